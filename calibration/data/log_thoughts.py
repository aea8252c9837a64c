"""Thoughts in a log: answers forced in mid-thought, or the same thought under several caps.

A log holds them in one of two ways. A column `probes` lists the answers forced every `probe_every`
thinking tokens. Or a sample has several rows, one per cap in `thinking_tokens`; the one where it is
blank is the whole thought; that of cap 0, or ``off``, is an answer without a thought. Where no row
is blank, no thought may be longer than the largest cap.

A thought that was cut off while it was sampled has ``finished`` false. Without that column, one
that has no answer and as many tokens as any in the log was cut off.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from allocator.errors import InputError
from calibration.data.cells import (
    as_answer,
    as_finished,
    as_logprob,
    as_number,
    as_tokens,
    is_blank,
)
from calibration.data.log_rows import LogRows
from predictors.thinking_state import PROBE_TOKENS

WHOLE, DIRECT = "full", "off"


@dataclass(frozen=True)
class Probed:
    """The answers forced in mid-thought.

    Attributes:
        depths: thinking tokens, ascending, shape (depths,); 0 stands for no thought.
        answers: of each sample, one per depth up to its end or beyond; None for none.
        cut: whether each sample's thought was cut off while it was sampled, shape (samples,); none
            is where there is a `limit`.
        direct: tokens and negative log-probability (0 where it is not known) of each sample's
            answer without a thought, shape (samples, 2); None where there are none.
        judged: question and answer of each row, and whether the log says that it is correct; empty
            where the rows that are left say the same.
        tokens: of each sample's thought, and of the answer after it as far as the former do not
            count it, shape (samples, 2); None where the log's tokens are those of thoughts.
        probe_tokens: tokens of a forced answer.
        limit: the greatest cap, where no sample was thought about without one; None else.
    """

    depths: NDArray[np.int64]
    answers: list[list[str | None]] = field(repr=False)
    cut: NDArray[np.bool_] = field(repr=False)
    direct: NDArray[np.float64] | None = field(default=None, repr=False)
    judged: tuple[tuple[str, str | None, bool], ...] = ()
    tokens: NDArray[np.float64] | None = field(default=None, repr=False)
    probe_tokens: int = PROBE_TOKENS
    limit: int | None = None


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
    return Probed(every.pop() * np.arange(1, longest + 1), filled, np.array(_cut_off(rows)))


def _cut_off(rows: LogRows) -> list[bool]:
    """Whether each row was cut off while it was sampled."""
    if "finished" in rows.names:
        return [not ended for ended in rows.parsed("finished", as_finished)]
    tokens, answers = rows.parsed("tokens", as_tokens), rows.parsed("answer", as_answer)
    # What was cut off at a log's limit is longest. Without an answer, another thought is as long by
    # chance alone.
    longest = max(tokens)
    return [n == longest and answer is None for n, answer in zip(tokens, answers, strict=True)]


def _merged(rows: LogRows) -> tuple[LogRows, Probed]:
    _require(rows, "thinking_tokens", "sample", "the sample of the question that a row is of")
    _require(rows, "thinking_tokens", "tokens", "the number of tokens of each row")
    caps = rows.parsed("thinking_tokens", _cap)
    tokens = rows.parsed("tokens", as_tokens)
    answers = rows.parsed("answer", as_answer)
    questions = rows.parsed("question", str)
    names = zip(questions, rows.parsed("sample", str), strict=True)
    # By cap, of each sample.
    rows_by_sample: dict[tuple[str, str], dict[float, int]] = {}
    for row, (name, cap) in enumerate(zip(names, caps, strict=True)):
        if rows_by_sample.setdefault(name, {}).setdefault(cap, row) != row:
            why = "must differ between the rows of a sample"
            raise rows.refusal(rows.numbers[row], "thinking_tokens", cap, why)
    depths, top = sorted({cap for cap in caps if cap < np.inf}), max(caps)
    # The tokens by which a row exceeds its cap are of its answer.
    beyond = [n - cap for n, cap in zip(tokens, caps, strict=True) if 0 < cap < np.inf]
    kept = [row_by_cap[max(row_by_cap)] for row_by_cap in rows_by_sample.values()]
    cut = [False] * len(kept) if top < np.inf else _cut_off(rows.take(kept))
    of_cut = {row for row, was_cut in zip(kept, cut, strict=True) if was_cut}
    capped = _Capped(rows, answers, tokens, depths, top, max(beyond, default=0.0), of_cut)
    for row_by_cap in rows_by_sample.values():
        capped.check(row_by_cap)
    forced = [
        [answers[row_by_cap.get(depth, whole)] for depth in depths]
        for row_by_cap, whole in zip(rows_by_sample.values(), kept, strict=True)
    ]
    direct, judged = None, tuple[tuple[str, str | None, bool], ...]()
    if "correct" in rows.names:
        judged = tuple(zip(questions, answers, rows.marks(), strict=True))
    if 0 in depths:  # every sample has such a row, or was refused
        given = [row_by_cap[0.0] for row_by_cap in rows_by_sample.values()]
        nll = [0.0] * len(given)
        if "logprob" in rows.names:
            nll = [-logprob for logprob in rows.take(given).parsed("logprob", as_logprob)]
        direct = np.array([[max(1.0, tokens[row]) for row in given], nll]).T
    lengths = [capped.thought(row_by_cap) for row_by_cap in rows_by_sample.values()]
    after = [max(0.0, tokens[row] - n) for row, n in zip(kept, lengths, strict=True)]
    found = Probed(
        depths=np.array(depths, dtype=np.int64),
        answers=forced,
        cut=np.array(cut),
        direct=direct,
        judged=judged,
        tokens=np.array([lengths, after]).T,
        probe_tokens=capped.probe_tokens(
            list(rows_by_sample.values()), np.add(lengths, cut).tolist()
        ),
        limit=None if top == np.inf else int(top),
    )
    return rows.take(kept), found


@dataclass(frozen=True)
class _Capped:
    """The rows of a log with one row per sample and cap; a sample's are a dict, by their caps.

    Attributes:
        rows: the rows.
        answers: of each.
        tokens: of each, thought and answer together.
        depths: the caps, ascending; 0 stands for no thought.
        top: the greatest cap; infinite where rows without a cap have whole thoughts.
        longest: tokens of an answer at most, as far as rows tell.
        cut: the rows of whole thoughts that were cut off while they were sampled.
    """

    rows: LogRows
    answers: list[str | None]
    tokens: list[float]
    depths: list[float]
    top: float
    longest: float
    cut: set[int]

    def check(self, row_by_cap: dict[float, int]) -> None:
        """Refuse a sample that lacks a row which others have, and which its others do not tell.

        Raises:
            InputError: it lacks one.
        """
        most = max(row_by_cap)
        total = self.tokens[row_by_cap[most]]
        if not most:
            why = "the sample needs a row with a thought too: give both the same sample number"
            raise self._refusal(row_by_cap, why)
        # A thought that ended by itself is whole under any greater cap.
        missing = [self.top] if most < self.top and total >= most else []
        missing += [
            depth
            for depth in self.depths
            if depth not in row_by_cap
            and depth < most
            and (not depth or total - depth > self.longest)
        ]
        if missing:
            why = f"must be {_shown(missing[0])} in a row of this sample too"
            raise self._refusal(row_by_cap, f"{why}: it has {total:.0f} tokens")

    def thought(self, row_by_cap: dict[float, int]) -> float:
        """Tokens of a sample's thought, its answer included as far as no cap tells them apart.

        One that was cut off at the greatest cap has more tokens than that.
        """
        total = self.tokens[row_by_cap[max(row_by_cap)]]
        ended = [depth for depth in self.depths if depth and self._ended(row_by_cap, depth)]
        if ended or self.top == np.inf:
            return min([total, *ended])
        return max(total, self.top + 1)

    def _ended(self, row_by_cap: dict[float, int], cap: float) -> bool:
        """Whether a sample's thought ended by itself under a cap."""
        most, row = max(row_by_cap), row_by_cap.get(cap)
        whole = row_by_cap[most]
        total = self.tokens[whole]
        if cap >= most:
            return total < most
        if total < cap or (total == cap and whole not in self.cut):
            return True
        if total - cap > self.longest:  # no answer is as long
            return False
        if row is None or self.tokens[row] < cap:
            return True
        return (self.answers[row], self.tokens[row]) == (self.answers[whole], total)

    def probe_tokens(self, samples: list[dict[float, int]], lengths: list[float]) -> int:
        """Tokens of a forced answer, on average over the rows that were cut off.

        Args:
            samples: the rows of each sample.
            lengths: tokens of each one's thought; more where it was cut off.
        """
        forced = [
            max(0.0, self.tokens[row] - cap)
            for row_by_cap, length in zip(samples, lengths, strict=True)
            for cap, row in row_by_cap.items()
            if 0 < cap < length and cap < np.inf
        ]
        # A log in which forced answers have no tokens does not count them.
        return round(float(np.mean(forced))) or PROBE_TOKENS if forced else PROBE_TOKENS

    def _refusal(self, row_by_cap: dict[float, int], why: str) -> InputError:
        most = max(row_by_cap)
        number = self.rows.numbers[row_by_cap[most]]
        return self.rows.refusal(number, "thinking_tokens", _shown(most), why)


def _shown(cap: float) -> int | str:
    return WHOLE if cap == np.inf else int(cap)


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


def _answers(cell: object) -> list[str | None]:
    if is_blank(cell):
        return []
    if not isinstance(cell, list):
        raise ValueError("must be a list of answers")
    return [as_answer(each) for each in cell]
