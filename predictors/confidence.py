"""How sure a language model is of what it writes, read as it writes (after DeepConf).

DeepConf (Fu et al. 2025, https://arxiv.org/abs/2508.15260): the confidence of a token is the mean
log-probability of the likeliest tokens at its place, negated. Where one token has all probability,
the others are very improbable, and the confidence is high. The lowest mean over a sliding window
of tokens is a solution's confidence: a thought is lost where the model is unsure for long.
"""

from array import array
from collections.abc import Iterable, Sequence
from math import inf, nan

from pydantic import Field

from allocator.schema import Schema

# Of a token's confidence: engines differ beyond, and journals stay small.
DECIMALS = 4


class ConfidenceSettings(Schema):
    """How confidence is read, and when it ends a solution."""

    top: int = Field(
        default=20, ge=1, description="likeliest tokens of each place; vLLM gives up to 20"
    )
    window: int = Field(default=512, ge=1, description="tokens over which the mean slides")
    threshold: float | None = Field(
        default=None, description="solutions end below this mean of a whole window; null for none"
    )
    saved: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="share of the calibration's tokens that the threshold would have saved",
    )


def token_confidence(logprobs: Sequence[float]) -> float:
    """The confidence of one token.

    Args:
        logprobs: natural log-probabilities of the likeliest tokens at its place, at least one.
    """
    return -sum(logprobs) / len(logprobs)


class ConfidenceWindow:
    """The lowest mean confidence of a solution as its tokens come, in O(1) a token.

    Args:
        settings: width of the window, and threshold.

    Attributes:
        values: the confidence of every token so far.
        lowest_at: number of tokens after which the lowest whole window ended; None before there is
            a whole window.
    """

    def __init__(self, settings: ConfidenceSettings) -> None:
        self.settings = settings
        self.values: array[float] = array("d")
        self.lowest_at: int | None = None
        self._sum = 0.0  # of the last `window` values
        self._lowest = inf  # mean of a whole window

    @property
    def lowest(self) -> float:
        """The lowest mean; of all tokens while they are fewer than a window, nan of none."""
        if self.lowest_at is not None:
            return self._lowest
        return self._sum / len(self.values) if self.values else nan

    @property
    def lost(self) -> bool:
        """Whether the mean of a whole window has been below the threshold."""
        threshold = self.settings.threshold
        return threshold is not None and self._lowest < threshold

    def add(self, confidences: Iterable[float]) -> int:
        """Add the confidences of the next tokens, up to the one at which the solution is lost.

        Returns:
            How many were added.
        """
        before, width = len(self.values), self.settings.window
        for confidence in confidences:
            if self.lost:
                break
            value = round(confidence, DECIMALS)
            self.values.append(value)
            self._sum += value
            if len(self.values) > width:
                self._sum -= self.values[-width - 1]
            if len(self.values) >= width and self._sum / width < self._lowest:
                self._lowest, self.lowest_at = self._sum / width, len(self.values)
        return len(self.values) - before

    def first(self, tokens: int) -> "ConfidenceWindow":
        """That of the first tokens alone, which may go on in another way."""
        first = ConfidenceWindow(self.settings)
        first.add(self.values[:tokens])
        return first
