"""A sampled solution with its scores: the output of strategies, the input of selection."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from math import nan

from pydantic import InstanceOf, SkipValidation

from predictors.confidence import ConfidenceWindow
from predictors.token_logprobs import PlaceLogprobs


@dataclass(frozen=True)
class Sample:
    """One complete solution.

    Attributes:
        steps: sampled token ids, one tuple per step.
        text: the solution.
        answer: the final answer; None where none was found.
        step_scores: the verifier's prediction after each step, probabilities in [0, 1].
        score: the solution's score, in [0, 1]; NaN where it was not scored, because it is the
            only solution or its vote is only counted.
        logprob: summed natural log-probability of the sampled tokens; NaN where it was not
            requested.
        ended: whether the model ended the solution itself.
        chain: number of the revision chain it is an attempt of; None outside of chains.
        thinking: tokens of its thought, which are among its tokens; None where it has none.
        forced: whether the thought was ended at a cap, and the answer forced.
        confidence: its lowest mean confidence, see `predictors.confidence`; NaN where it was not
            read.
        confidence_at: number of sampled tokens after which that was known; None where it is not the
            mean of a whole window.
        reasoning: text of its thought; None where it has none.
        content: what follows the thought; None where the thought has not ended, or the solution was
            aborted.
        raw_content: the content with its special tokens, by which some models mark calls of tools;
            None where they are not looked for.
        window: the confidence of its tokens; None where it was not read. Like the two before, it is
            only known where a solution has just been sampled.
        logprobs: log-probabilities at each of its tokens, likewise; None where they were not
            requested, or where a token was not sampled.
    """

    steps: tuple[tuple[int, ...], ...]
    text: str
    answer: str | None
    step_scores: tuple[float, ...]
    score: float
    logprob: float
    ended: bool
    chain: int | None = None
    thinking: int | None = None
    forced: bool = False
    confidence: float = nan
    confidence_at: int | None = None
    reasoning: str | None = field(default=None, compare=False)
    content: str | None = field(default=None, compare=False)
    raw_content: str | None = field(default=None, compare=False)
    window: InstanceOf[ConfidenceWindow] | None = field(default=None, compare=False, repr=False)
    logprobs: SkipValidation[tuple[PlaceLogprobs, ...] | None] = field(
        default=None, compare=False, repr=False
    )

    @property
    def token_ids(self) -> tuple[int, ...]:
        return tuple(token for step in self.steps for token in step)

    @cached_property  # calibration reads it many times
    def tokens(self) -> int:
        return sum(len(step) for step in self.steps)

    def with_answer(self, answer: str | None) -> "Sample":
        return replace(self, answer=answer)
