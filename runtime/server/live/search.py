"""Data of one request's search for the live page: beams by round, solutions by answer."""

from collections.abc import Sequence
from math import isnan
from typing import Any

from allocator.plan import Selection
from predictors.sample import Sample
from runtime.answers.selection import weights
from runtime.request import Event, SearchStep

# Limits per request. Further steps are counted, not kept.
MAX_STEPS, MAX_SOLUTIONS, MAX_ANSWERS = 2048, 512, 24
MAX_ANSWER_TEXT = 160


class Search:
    """A request's steps and solutions, a bounded number of them.

    Args:
        show_answers: keep the answers' texts. Otherwise answers are numbered.

    Attributes:
        steps: (round, column, column of its parent in the round before, score) of each step.
        spent: generations so far; a beam search counts all of its beams at its first step.
    """

    def __init__(self, show_answers: bool) -> None:
        self.steps: list[tuple[int, int, int | None, float | None]] = []
        self.spent = 0
        self._show_answers = show_answers
        self._left_out = self._solutions = 0
        self._ends: list[tuple[int, int, float | None, int]] = []
        self._chosen: tuple[int, int] | None = None
        self._scores: dict[str | int | None, list[float | None]] = {}
        self._weights: dict[str | int | None, float] | None = None

    def step(self, step: SearchStep, parent_place: int | None, score: float | None) -> None:
        """Add a step of a beam."""
        if not self.steps:
            self.spent += step.beams * (step.lookahead + 1)
        if len(self.steps) == MAX_STEPS:
            self._left_out += 1
            return
        self.steps.append((step.round, step.place, parent_place, _number(score)))

    def solution(self, event: Event) -> None:
        """Add a complete solution: an independent one, a revision, or a finished beam."""
        self._count(event.answer, event.score)
        if event.step is None:
            self.spent += 1
        elif len(self._ends) < MAX_SOLUTIONS:
            end = (event.step.round, event.step.place, _number(event.score), event.tokens)
            self._ends.append(end)

    def finish(self, ranked: Sequence[Sample], how: Selection) -> None:
        """Set the solutions that the answer was selected from, the chosen one first."""
        self._scores, self._solutions = {}, 0
        for sample in ranked:
            self._count(sample.answer, sample.score)
        weighed = weights(ranked, how)
        self._weights = {self._key(answer): weight for answer, weight in weighed.items()}
        mark = (_number(ranked[0].score), ranked[0].tokens)
        self._chosen = next((end[:2] for end in self._ends if end[2:] == mark), None)

    def to_json(self, known: int) -> dict[str, Any]:
        """As JSON.

        Args:
            known: number of steps that the reader already has.
        """
        answers = [
            {
                "answer": f"answer {number}" if isinstance(key, int) else key,
                "scores": scores,
                # Before selection: the sum of scores. A solution without a score is a vote.
                "weight": sum(1.0 if score is None else score for score in scores)
                if self._weights is None
                else _number(self._weights.get(key, 0.0)),
            }
            for number, (key, scores) in enumerate(self._scores.items(), start=1)
        ]
        return {
            "steps": self.steps[known:],
            "steps_left_out": self._left_out,
            "ends": [end[:2] for end in self._ends],
            "chosen": self._chosen,
            "answers": answers[:MAX_ANSWERS],
            "answers_left_out": max(0, len(answers) - MAX_ANSWERS),
        }

    def _count(self, answer: str | None, score: float | None) -> None:
        if self._solutions < MAX_SOLUTIONS:
            self._solutions += 1
            self._scores.setdefault(self._key(answer), []).append(_number(score))

    def _key(self, answer: str | None) -> str | int | None:
        if answer is None or self._show_answers:
            return answer and answer[:MAX_ANSWER_TEXT]
        return hash(answer)


def _number(value: float | None) -> float | None:
    """A number for JSON, which has no NaN."""
    return None if value is None or isnan(value) else round(value, 4)
