"""The answers of a log's rows, graded and numbered within their questions."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from allocator.errors import InputError
from calibration.data.answer_codes import answer_codes, text_codes
from calibration.data.answer_notes import forced_notes, value_notes
from calibration.data.cells import as_answer, as_text, is_blank
from calibration.data.grading import answer_reader, are_solutions, canonicalized, forced_reader
from calibration.data.log_rows import NO_VOTES, LogRows
from calibration.data.log_thoughts import Probed
from runtime.answers import Answers
from runtime.answers.thought import KNOWN, after_thought

# Exact strings: Python's spelling of what a gold answer of true or false is written as.
TRUTHS = {"True": "true", "False": "false"}

# Questions with both a right and a wrong sample from which on two answers in the whole log, one of
# them always right, are no coincidence: of questions to be answered by yes or no, all of as many
# have the same answer once in 16 logs. Nor is one answer to each, in right and wrong samples alike.
FEW = 5

Gold = TypeVar("Gold", str, str | None)


def needed(cell: object) -> str:
    """A cell that must hold something, as text."""
    if is_blank(cell):
        raise ValueError("must not be blank")
    return as_text(cell)


def graded(
    rows: LogRows, questions: NDArray[np.int64], probed: Probed | None, reader: Answers | None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The answer of each sample, and those forced in mid-thought, numbered within questions.

    Args:
        rows: the rows; notes are added on thoughts that have not ended, on `correct`, and on forced
            answers that nothing grades, or that are hardly ever those of the samples, and on
            answers that equal the gold ones by value alone.
        questions: the question of each.
        probed: the forced answers; None for none.
        reader: reads and compares answers; None for exact strings.

    Returns:
        Shapes (rows,) and (rows, depths).

    Raises:
        InputError: a cell that cannot be used, or whole solutions where answers must be.
    """
    texts = rows.parsed("answer", _answer if reader is None else as_answer)
    forced = [[] for _ in texts] if probed is None else probed.answers
    if reader is None:
        forced = [[*map(_stripped, each)] for each in forced]
    else:
        texts, forced = _read(rows, reader, texts, forced)
    depths = 0 if probed is None else len(probed.depths)
    # All answers of a sample, the natural one first: equal ones get equal numbers.
    flat = [each for text, others in zip(texts, forced, strict=True) for each in (text, *others)]
    owners = np.repeat(questions, depths + 1)
    if "correct" in rows.names and reader is None:
        verdicts = _verdicts(rows, questions.tolist(), texts, probed)
        pairs = list(zip(owners.tolist(), flat, strict=True))
        if probed is not None:
            verdicts |= _verdicts_by_gold(rows, questions, verdicts, pairs)
        correct = np.array([verdicts.get(pair, False) for pair in pairs])
    else:
        golds = [gold for gold in _golds(rows, questions, _gold) for _ in range(depths + 1)]
        if reader is not None:
            flat, golds = canonicalized(reader, owners.tolist(), flat, golds)
        else:
            flat = [None if text is None else TRUTHS.get(text, text) for text in flat]
            golds = [TRUTHS.get(gold, gold) for gold in golds]
            each = depths + 1
            rows.notes.extend(value_notes(questions.tolist(), flat[::each], golds[::each]))
        correct = np.array([text == gold for text, gold in zip(flat, golds, strict=True)])
    answer = answer_codes(owners, text_codes(flat), correct).reshape(-1, depths + 1)
    if probed is not None and "probes" in rows.names:
        rows.notes.extend(forced_notes(answer[:, 0], answer[:, 1:], probed.cut, reader is None))
    return answer[:, 0], answer[:, 1:]


def _verdicts(
    rows: LogRows, questions: list[int], texts: list[str | None], probed: Probed | None
) -> dict[tuple[int, str | None], bool]:
    """Whether each answer of a row to its question is correct: most of its rows say so.

    Raises:
        InputError: as `_check_not_gold`, `_check_verdicts` and `_check_spellings`.
    """
    judged = list(zip(questions, texts, rows.marks(), strict=True))
    if probed is not None and probed.judged:
        numbers = dict(zip(rows.parsed("question", str), questions, strict=True))
        judged = [(numbers[name], _answer(text), said) for name, text, said in probed.judged]
    marks: dict[tuple[int, str | None], list[bool]] = {}
    blank = 0
    for question, text, is_right in judged:
        if text is None:
            blank += is_right
        else:
            marks.setdefault((question, text), []).append(is_right)
    _check_not_gold(rows, marks)
    _check_verdicts(rows, marks)
    if blank:
        rows.notes.append(f"{blank} rows marked correct have no answer: they count as wrong")
    if disputed := sum(0 < sum(each) < len(each) for each in marks.values()):
        rows.notes.append(
            f"{disputed} answers to a question are marked correct in some rows and wrong in "
            "others: they count as most of their rows say"
        )
    verdicts = {pair: 2 * sum(each) > len(each) for pair, each in marks.items()}
    _check_spellings(rows, {pair: len(marks[pair]) for pair in marks if verdicts[pair]})
    return verdicts


def _check_not_gold(rows: LogRows, marks: Mapping[tuple[int, str | None], list[bool]]) -> None:
    """Check that answers are those of the samples, not the gold answer of each question.

    Args:
        rows: the rows.
        marks: what the rows of each answer to a question say of it.

    Raises:
        InputError: most questions with right and wrong samples have one answer in all of them, and
            several do.
    """
    of: dict[int, list[list[bool]]] = {}
    for (question, _), each in marks.items():
        of.setdefault(question, []).append(each)
    both = [
        said for said in of.values() if {mark for each in said for mark in each} == {True, False}
    ]
    alike = sum(len(said) == 1 for said in both)
    if alike < FEW or 2 * alike <= len(both):
        return
    name = rows.names["answer"]
    raise InputError(
        "columns",
        f"answer={name}",
        f"in {alike} of {len(both)} questions of {rows.rows.source} that have correct and wrong "
        "samples it is the same in all of them, so it looks like the gold answer: map the samples' "
        f"own answers, which they vote by, --columns answer=NAME"
        + ("" if "gold" in rows.names else f",gold={name}"),
    )


def _check_verdicts(rows: LogRows, marks: Mapping[tuple[int, str | None], list[bool]]) -> None:
    """Check that answers are more than another way to say which samples are correct.

    With two answers in the whole log, pass and fail, all that pass would vote as one.

    Args:
        rows: the rows.
        marks: what the rows of each answer to a question say of it.

    Raises:
        InputError: there are two, one correct in every row and the other wrong in every row, and
            several questions have both; and no gold answers show that they are answers.
    """
    said: dict[str | None, set[bool]] = {}
    of: dict[int, int] = {}
    for (question, text), each in marks.items():
        said.setdefault(text, set()).update(each)
        of[question] = of.get(question, 0) + 1
    opposite = sorted(map(sorted, said.values())) == [[False], [True]]
    both = sum(count > 1 for count in of.values())
    if not opposite or both < FEW or "gold" in rows.names:
        return
    wrong, right = sorted(said, key=lambda text: max(said[text]))
    raise InputError(
        "columns",
        f"answer={rows.names['answer']}",
        f"in every row of {rows.rows.source} it is {right!r} if {rows.names['correct']!r} says "
        f"correct and {wrong!r} if not, so it is no answer: map the samples' final answers, which "
        f"they vote by. {NO_VOTES}. If these are answers, to questions that all have the same "
        "right one, give the right ones in a column gold",
    )


def _verdicts_by_gold(
    rows: LogRows,
    questions: NDArray[np.int64],
    verdicts: Mapping[tuple[int, str | None], bool],
    pairs: Iterable[tuple[int, str | None]],
) -> dict[tuple[int, str | None], bool]:
    """Whether forced answers that no row has are correct: equal to the question's gold answer.

    One that a row has counts as that row says. The log's grader may differ from a comparison of
    texts, and an answer must not be right in one thought and wrong in another.

    Args:
        rows: the rows; a note is added on questions whose right answer nothing tells.
        questions: the question of each.
        verdicts: on the answers that rows have.
        pairs: all answers, each with its question.
    """
    golds = _golds(rows, questions, _answer) if "gold" in rows.names else [None] * len(questions)
    gold_of = {q: g for q, g in zip(questions.tolist(), golds, strict=True) if g is not None}
    others = {pair for pair in pairs if pair[1] is not None and pair not in verdicts}
    solved = {question for (question, _), is_right in verdicts.items() if is_right}
    if ungraded := {question for question, _ in others} - set(gold_of) - solved:
        rows.notes.append(
            f"{len(ungraded)} questions have forced answers, but no row that is marked correct and "
            "no gold answer: what was forced counts as wrong"
        )
    return {
        (question, text): TRUTHS.get(text, text) == TRUTHS.get(gold, gold)
        for question, text in others
        if text is not None and (gold := gold_of.get(question)) is not None
    }


def _check_spellings(rows: LogRows, right: Mapping[tuple[int, str | None], int]) -> None:
    """Check that correct answers are answers, which samples share; a note counts spellings.

    All correct texts of a question are one answer. Of whole solutions no vote could be predicted:
    the correct ones would all vote together, and the wrong ones each alone.

    Args:
        rows: the rows.
        right: how many rows have each correct text of a question.

    Raises:
        InputError: most texts are those of a single row, in questions with several correct rows.
    """
    of: dict[int, list[int]] = {}
    for (question, _), count in right.items():
        of.setdefault(question, []).append(count)
    several = [counts for counts in of.values() if sum(counts) > 1]
    alone = sum(counts.count(1) for counts in several if len(counts) > 1)
    total = sum(map(sum, several))
    if 2 * alone > total:
        raise InputError(
            "columns",
            rows.names["answer"],
            f"must hold final answers: {alone} of {total} correct samples in {rows.rows.source} "
            "have a text that no other correct one of their question has, as whole solutions do; "
            "map a column of answers, answer=NAME, or give gold answers and --answers, which reads "
            "answers out of solutions",
        )
    if spelled := sum(len(counts) > 1 for counts in several):
        rows.notes.append(
            f"the correct samples of {spelled} of {len(several)} questions have several texts: "
            "they vote as one answer, while wrong answers of several spellings vote apart"
        )


def _answer(cell: object) -> str | None:
    """An answer that is compared as it is, without white space at its ends."""
    return _stripped(as_answer(cell))


def _gold(cell: object) -> str:
    return needed(cell).strip()


def _stripped(text: str | None) -> str | None:
    return None if text is None else text.strip()


def _read(
    rows: LogRows,
    reader: Answers,
    texts: Sequence[str | None],
    forced: Sequence[Sequence[str | None]],
) -> tuple[list[str | None], list[list[str | None]]]:
    """The answers in the texts of a log, and in those forced in mid-thought, of each sample.

    Args:
        rows: the rows; notes are added on texts without an answer.
        reader: reads answers.
        texts: of each sample, its answer or whole solution; None where there is none.
        forced: of each sample, those of every depth.
    """
    texts = _concluded(texts, rows.notes)
    solutions = rows.solutions or are_solutions(reader, texts)
    read = answer_reader(reader, solutions)
    answers = [read(text) for text in texts]
    if solutions and not rows.solutions:
        given = sum(text is not None for text in texts)
        found = sum(answer is not None for answer in answers)
        rows.notes.append(
            f"answers were read out of the whole solutions in {rows.names['answer']!r}: "
            f"{given - found} of {given} have none"
        )
    # Under caps on thinking tokens they are rows of the same column. Probes are short answers.
    if "probes" in rows.names:
        read = forced_reader(reader, {*answers, *rows.parsed("gold", _answer)})
    return answers, [[read(text) for text in each] for each in forced]


def _concluded(texts: Sequence[str | None], notes: list[str]) -> list[str | None]:
    """Answers or whole solutions; None for those whose thought has not ended.

    Solutions do not show a thought that the chat template has begun. They hold its end alone, and
    those that were cut off within it hold neither.

    Args:
        texts: the answers or solutions; None where there is none.
        notes: one is added about thoughts whose beginning is not seen.
    """
    kept = [None if text is None or after_thought(text, KNOWN) is None else text for text in texts]
    for thought in KNOWN:
        ending = [text for text in kept if text is not None and thought.end in text]
        begun = sum(thought.start not in text.partition(thought.end)[0] for text in ending)
        if 2 * begun <= len(ending):
            continue
        open_ones = [place for place, text in enumerate(kept) if text and thought.end not in text]
        for place in open_ones:
            kept[place] = None
        if open_ones:
            notes.append(
                f"unfinished thoughts, without an answer: {len(open_ones)} solutions without "
                f"{thought.end}, before which others have no {thought.start}"
            )
    return kept


def _golds(
    rows: LogRows, questions: NDArray[np.int64], parse: Callable[[object], Gold]
) -> list[Gold]:
    """The gold answer of each sample, which is the same for all samples of a question."""
    golds = rows.parsed("gold", parse)
    first: dict[int, Gold] = {}
    for question, gold, number in zip(questions.tolist(), golds, rows.numbers, strict=True):
        if gold is not None and first.setdefault(question, gold) != gold:
            why = f"must be {first[question]!r}, as in the question's first row"
            raise rows.refusal(number, "gold", gold, why)
    return golds
