"""Recorded traffic as rows of a log: samples, and which of them are correct.

Clients say of some answers whether they are right. What that leaves open is estimated. A sample's
score is how probably it is correct; an answer is taken to be as probable as its best sample. At
most one answer of a question is right, so with odds o its probability is o / (1 + the sum of all
odds). The right answer, or that none is, is then drawn with these probabilities: taking the most
probable one instead would call every vote correct that the score decides.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from allocator.errors import InputError
from calibration.data.table_io import Row, Rows
from predictors.scoring import score_log_odds
from runtime.traffic import FILES, RecordedPrompt, RecordedVerdict, read_lines

COLUMNS = ("question", "answer", "correct", "score", "logprob", "tokens", "finished")


@dataclass
class _Question:
    """A recorded prompt, and what was said of its answers: right or wrong.

    Attributes:
        prompt: the prompt.
        said: verdicts by answer.
    """

    prompt: RecordedPrompt
    said: dict[str, bool] = field(default_factory=dict)

    @property
    def known(self) -> str | None:
        """The answer that was called right; None if none was."""
        return next((answer for answer, right in self.said.items() if right), None)

    @property
    def settled(self) -> bool:
        """Whether it is known of every sample whether it is correct."""
        return self.known is not None or {*self.prompt.answer} - {None} <= self.said.keys()

    def right_answer(self) -> str | None:
        """The right answer, drawn where it is not known; None if no sample has it.

        The draw is the same whenever the question is read.
        """
        if (known := self.known) is not None:
            return known
        wrong = self.said.keys()
        chances = answer_probabilities(self.prompt.answer, self.prompt.probability, wrong)
        draw = np.random.default_rng(int(self.prompt.question, 16)).random()
        place = int(np.searchsorted(np.cumsum([*chances.values()]), draw, side="right"))
        return [*chances, None][place]


def answer_probabilities(
    answers: Sequence[str | None], scores: Sequence[float], wrong: Collection[str] = ()
) -> dict[str, float]:
    """How probably each answer of a question is the right one; what is left is that none is.

    Args:
        answers: of the samples; None for none.
        scores: how probably each sample is correct.
        wrong: answers that are known to be wrong.
    """
    best: dict[str, float] = {}
    for answer, score in zip(answers, scores, strict=True):
        if answer is not None and answer not in wrong:
            best[answer] = max(score, best.get(answer, 0.0))
    odds = {answer: float(np.exp(score_log_odds(score))) for answer, score in best.items()}
    return {answer: each / (1 + sum(odds.values())) for answer, each in odds.items()}


def traffic_rows(folder: Path) -> Rows:
    """The rows of recorded traffic, one per question; of a question recorded twice the last.

    Args:
        folder: see `runtime.traffic`.

    Raises:
        InputError: damaged lines, no prompt, or prompts without feedback whose scores say nothing.
    """
    questions = _read(folder)
    if not questions:
        raise InputError("from-logs", str(folder), "no prompt has been recorded there yet")
    scores = {score for one in questions for score in one.prompt.probability}
    unsettled = sum(not one.settled for one in questions)
    if unsettled and len(scores) == 1:
        raise InputError(
            "from-logs",
            str(folder),
            f"feedback does not say which answer of {unsettled} of {len(questions)} questions is "
            "right, and all samples have the same score, by which it could be estimated",
        )
    texts = all(one.prompt.text is not None for one in questions)
    columns = (*COLUMNS, "prompt") if texts else COLUMNS

    def read(_: Sequence[str]) -> Iterator[Row]:
        for number, one in enumerate(questions, start=1):
            right = one.right_answer()
            row: dict[str, object] = {
                name: [*map(_plain, getattr(one.prompt, name))]
                for name in ("answer", "score", "logprob", "tokens", "finished")
            }
            row["correct"] = [a is not None and a == right for a in one.prompt.answer]
            row |= {"question": one.prompt.question, "prompt": one.prompt.text}
            yield number, {name: row[name] for name in columns}

    return Rows(str(folder), columns, read, "question", tuple(_notes(questions)))


def _read(folder: Path) -> list[_Question]:
    found: dict[str, _Question] = {}
    places: dict[tuple[str, int], _Question] = {}
    for path in sorted(folder.glob(FILES)):
        for line in read_lines(path):
            if isinstance(line, RecordedPrompt):
                found[line.question] = places[line.request, line.prompt] = _Question(line)
            else:
                _say(places, line)
    return list(found.values())


def _say(places: Mapping[tuple[str, int], _Question], verdict: RecordedVerdict) -> None:
    """Add a verdict to its question; one on what has been removed, or has no answer, is lost."""
    question = places.get((verdict.request, verdict.prompt))
    if question is not None and verdict.rank < len(question.prompt.answer):
        answer = question.prompt.answer[verdict.rank]
        if answer is not None:
            question.said[answer] = verdict.correct


def _notes(questions: Sequence[_Question]) -> Iterator[str]:
    """Where the correctness of the samples comes from, and how good the estimates are."""
    known = sum(one.settled for one in questions)
    wrong = sum(not one.settled and bool(one.said) for one in questions)
    if known < len(questions):
        yield (
            f"which samples are correct is known of {known} of {len(questions)} questions, by "
            f"feedback, which also calls an answer of {wrong} others wrong; what is left open is "
            "estimated by the verifier's calibrated score"
        )
    pairs = []
    for one in questions:
        chances = answer_probabilities(one.prompt.answer, one.prompt.probability)
        pairs += [(chances[answer], right) for answer, right in one.said.items()]
    if pairs:
        expected, right = np.mean(np.array(pairs, dtype=float), axis=0)
        yield (
            f"of the {len(pairs)} answers that feedback is on, the score expects {expected:.0%} to "
            f"be right, and {right:.0%} are"
        )


def _plain(cell: object) -> object:
    return list(cell) if isinstance(cell, tuple) else cell
