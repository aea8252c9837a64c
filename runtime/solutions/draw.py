"""One solution: how it is to be sampled, and what has been written of it."""

from dataclasses import dataclass, replace

from predictors.confidence import ConfidenceWindow
from predictors.token_logprobs import PlaceLogprobs
from runtime.engines.base import Completion, SeedPath


@dataclass(frozen=True)
class DrawSettings:
    """How one solution is to be sampled.

    Attributes:
        path: names its draw; its last part is a number.
        max_tokens: tokens that the solution may have in all.
        thinking: tokens that it may think; 0 for no thought, None leaves it to the model.
        step_end: texts that end a step of the answer.
        logprob: have the engine give log-probabilities.
        greedy: take the likeliest tokens.
        window: reads the confidence of what is sampled, in one request or several; None for none.
    """

    path: SeedPath
    max_tokens: int
    thinking: int | None = None
    step_end: tuple[str, ...] = ()
    logprob: bool = True
    greedy: bool = False
    window: ConfidenceWindow | None = None


class SolutionBuilder:
    """A solution as it is written, in one request or several.

    Args:
        draw: how it is sampled.
        prefix: what it continues; the solution's tokens are added to it.

    Attributes:
        draw: how it is sampled.
        prefix: what it continues.
        solution: all its tokens so far, the prefix included.
        left: tokens that it may still have.
        logprob: sum of the log-probabilities of its sampled tokens.
        cached_tokens: tokens of prefixes that the engine did not have to read again.
        sampled: tokens that the last request sampled.
        ended: whether the model has ended it.
        aborted: whether it was ended because its confidence fell too low.
        stopped_by: the text that ended the last request; None if none did.
        repeating: whether it repeats itself without end.
        forced_at: thinking tokens after which its thought was ended at a cap; None if it was not.
        skipped: whether its thought was skipped.
        unsampled: tokens of its thought that were not sampled but appended.
        logprobs: log-probabilities at each of its new tokens; None where those of some are not
            known.
    """

    def __init__(self, draw: DrawSettings, prefix: list[int]) -> None:
        self.draw, self.prefix, self.solution = draw, tuple(prefix), prefix
        self.left = draw.max_tokens - len(prefix)
        self.logprob, self.cached_tokens, self.sampled = 0.0, 0, 0
        self.ended = False
        self.aborted = draw.window is not None and draw.window.lost
        self.stopped_by: str | None = None
        self.repeating = False
        self.forced_at: int | None = None
        self.skipped = False
        self.unsampled = 0
        self.logprobs: tuple[PlaceLogprobs, ...] | None = ()
        self._requests = 0

    @property
    def new(self) -> tuple[int, ...]:
        """The tokens after the prefix."""
        return tuple(self.solution[len(self.prefix) :])

    def next_path(self) -> SeedPath:
        """The path of the next request: the draw's own, then others of the same draw."""
        *name, number = self.draw.path
        self._requests += 1
        return self.draw.path if self._requests == 1 else (*name, "on", len(self.solution), number)

    def add(self, completion: Completion) -> None:
        """Add what was sampled."""
        self.solution += completion.token_ids
        self.left -= len(completion.token_ids)
        self.sampled = len(completion.token_ids)
        self.logprob += completion.logprob
        self.cached_tokens += completion.cached_tokens
        self.ended, self.stopped_by = completion.ended, completion.stopped_by
        self.repeating = completion.repeating
        self.aborted = completion.aborted
        self.logprobs = joined(self.logprobs, completion.logprobs)

    def append(self, token_ids: tuple[int, ...]) -> None:
        """Append tokens that were not sampled."""
        self.solution += token_ids
        self.left -= len(token_ids)
        if token_ids:
            self.logprobs = None

    def cut(self, cutoff: tuple[int, ...], thinking: int) -> None:
        """End the thought at its cap, after so many thinking tokens."""
        self.append(cutoff)
        self.forced_at, self.ended = thinking, False


def continued(prefix: tuple[int, ...], completion: Completion) -> Completion:
    """A completion with the prefix that it continues, whose log-probabilities are not known."""
    if not prefix:
        return completion
    return replace(completion, token_ids=(*prefix, *completion.token_ids), logprobs=None)


def joined(
    before: tuple[PlaceLogprobs, ...] | None, after: tuple[PlaceLogprobs, ...] | None
) -> tuple[PlaceLogprobs, ...] | None:
    """Log-probabilities of two parts of a solution; None where those of one are not known."""
    return None if before is None or after is None else before + after
