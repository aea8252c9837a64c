"""Thoughts in a log: answers forced in mid-thought, or the same thought under several caps.

A log holds them in one of two ways. A column `probes` lists the answers forced every `probe_every`
thinking tokens. Or a sample has several rows, one per cap in `thinking_tokens`; the row of the
largest cap, or the one where it is blank, is the whole thought; that of cap 0, or ``off``, is an
answer without a thought.
"""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from allocator.errors import InputError
from calibration.data.cells import (
    as_logprob,
    as_number,
    as_text,
    as_tokens,
    as_truth,
    is_blank,
)
from calibration.data.log_rows import LogRows

WHOLE, DIRECT = "full", "off"


@dataclass(frozen=True)
class Probed:
    """The answers forced in mid-thought.

    Attributes:
        depths: thinking tokens, ascending, shape (depths,); 0 stands for no thought.
        answers: of each sample, one per depth up to its end or beyond; None for none.
        direct: tokens and negative log-probability (0 where it is not known) of each sample's
            answer without a thought, shape (samples, 2); None where there are none.
        judged: question and answer of each row, and whether the log says that it is correct; empty
            where the rows that are left say the same.
    """

    depths: NDArray[np.int64]
    answers: list[list[str | None]] = field(repr=False)
    direct: NDArray[np.float64] | None = field(default=None, repr=False)
    judged: tuple[tuple[str, str | None, bool], ...] = ()


def read_thoughts(rows: LogRows) -> tuple[LogRows, Probed | None]:
    """The rows of whole thoughts, and the answers forced before their end.

    Returns:
        The rows, one per sample, and what was forced; None where the log has no thoughts.

    Raises:
        InputError: a cell that cannot be used, columns that are missing, or thoughts that lack a
            cap that others have.
    """
    if "probes" in rows.names:
        return rows, _listed(rows)
    if "thinking_tokens" in rows.names:
        return _merged(rows)
    return rows, None


def _listed(rows: LogRows) -> Probed:
    _require(rows, "probes", "probe_every", "the number of thinking tokens between two probes")
    _require(rows, "probes", "tokens", "the number of tokens of each thought")
    every = set(rows.parsed("probe_every", _depth))
    if len(every) > 1:
        raise InputError("probe_every", sorted(every), "must be the same in all rows")
    answers = rows.parsed("probes", _answers)
    longest = max(map(len, answers))
    # A thought may have fewer probes than tokens: its last answer then stands.
    filled = [[*each, *(each[-1:] or [None]) * (longest - len(each))] for each in answers]
    return Probed(every.pop() * np.arange(1, longest + 1), filled)


def _merged(rows: LogRows) -> tuple[LogRows, Probed]:
    _require(rows, "thinking_tokens", "sample", "the sample of the question that a row is of")
    _require(rows, "thinking_tokens", "tokens", "the number of tokens of each row")
    caps = rows.parsed("thinking_tokens", _cap)
    tokens = rows.parsed("tokens", as_tokens)
    answers = rows.parsed("answer", _answer)
    questions = rows.parsed("question", str)
    names = zip(questions, rows.parsed("sample", str), strict=True)
    of: dict[tuple[str, str], dict[float, int]] = {}
    for row, (name, cap) in enumerate(zip(names, caps, strict=True)):
        if of.setdefault(name, {}).setdefault(cap, row) != row:
            why = "must differ between the rows of a sample"
            raise rows.refusal(rows.numbers[row], "thinking_tokens", cap, why)
    depths = sorted(set(caps))[:-1]
    kept, forced = [], []
    for row_of in of.values():
        whole = row_of[max(row_of)]
        if not max(row_of):
            why = "the sample needs a row with a thought too: give both the same sample number"
            raise rows.refusal(rows.numbers[whole], "thinking_tokens", 0, why)
        kept.append(whole)
        forced.append([_forced(rows, row_of, depth, answers, tokens) for depth in depths])
    direct, judged = None, tuple[tuple[str, str | None, bool], ...]()
    if "correct" in rows.names:
        judged = tuple(zip(questions, answers, rows.parsed("correct", as_truth), strict=True))
    if 0 in depths:  # every sample has such a row, or was refused
        given = [row_of[0.0] for row_of in of.values()]
        nll = [0.0] * len(given)
        if "logprob" in rows.names:
            nll = [-logprob for logprob in _taken(rows, given).parsed("logprob", as_logprob)]
        direct = np.array([[max(1.0, tokens[row]) for row in given], nll]).T
    return _taken(rows, kept), Probed(np.array(depths, dtype=np.int64), forced, direct, judged)


def _taken(rows: LogRows, kept: list[int]) -> LogRows:
    """Some of the rows, by their indices."""
    cells = {name: [column[row] for row in kept] for name, column in rows.cells.items()}
    return replace(rows, numbers=[rows.numbers[row] for row in kept], cells=cells)


def _forced(
    rows: LogRows,
    row_of: dict[float, int],
    depth: float,
    answers: list[str | None],
    tokens: list[float],
) -> str | None:
    """The answer of a sample under a cap."""
    if depth in row_of:
        return answers[row_of[depth]]
    whole = row_of[max(row_of)]
    if tokens[whole] > depth or not depth:
        why = f"must be {int(depth)} in a row of this sample too: it has {tokens[whole]:.0f} tokens"
        raise rows.refusal(rows.numbers[whole], "thinking_tokens", max(row_of), why)
    return answers[whole]


def _require(rows: LogRows, column: str, needed: str, meaning: str) -> None:
    if needed not in rows.names:
        raise InputError(
            "columns",
            needed,
            f"{rows.rows.source} has {rows.names[column]!r} and needs this too: {meaning}",
        )


def _depth(cell: object) -> int:
    number = as_number(cell)
    if number < 1 or number != int(number):
        raise ValueError("must be a whole number of tokens, 1 or more")
    return int(number)


def _cap(cell: object) -> float:
    text = cell.strip().lower() if isinstance(cell, str) else cell
    if is_blank(cell) or text == WHOLE:
        return np.inf
    if text == DIRECT or as_number(cell) == 0:
        return 0.0
    return float(_depth(cell))


def _answer(cell: object) -> str | None:
    return None if is_blank(cell) else as_text(cell)


def _answers(cell: object) -> list[str | None]:
    if not isinstance(cell, list):
        raise ValueError("must be a list of answers")
    return [_answer(each) for each in cell]
