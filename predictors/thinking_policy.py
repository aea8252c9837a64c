"""The policy over width and depth: after each stage stop, sample more thoughts, or think deeper.

A run may start with answers without a thought, which are cheap and end the easy questions; then it
thinks, up to the first cap on thinking tokens. At each stage the policy predicts what each choice
gains in accuracy and costs in tokens:

- sampling on to a later stage: exp(w . z) (1 - (s / t)^rho), in a state z, where s and t are the
  tokens that the samples of the two stages cost on average;
- deepening: the thoughts that the cap cut off go on to the next cap, which then holds for new
  thoughts too: exp(v . z).

A choice is made if its gain exceeds the price of its tokens; of two, the one that gains more per
token. Where neither does, the run ends.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from math import ceil
from pathlib import Path
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from allocator.checks import check_positive
from allocator.errors import InputError
from allocator.files import JsonArtifact
from allocator.price import interpolated_price
from allocator.schema import Schema
from predictors.branches import Branch, BranchScoring
from predictors.thinking_state import BASE, PROBE_TOKENS, STATE_NAMES, gain_columns, state_of
from predictors.transforms import bounded_exp

THINKING = "thinking.json"  # its file in an artifact
DEEPENING = 5  # columns of the gain of more depth
MIN_EXPONENT, MAX_EXPONENT = -15.0, 1.0
# A run's own tokens per thought count together with this many thoughts of calibration.
PRIOR_SAMPLES = 2


class Action(IntEnum):
    """What a run does next."""

    STOP = 0
    SAMPLE = 1
    DEEPEN = 2


class SampleGain(Schema):
    """What more samples gain after direct answers, or after thoughts under one cap; their cost.

    Attributes:
        weights: one for each of the first columns of `gain_columns`.
        rho: how fast gains level off: the smaller, the more later samples gain.
        tokens: tokens of a direct answer, or of a thought, its probes and its answer, on average.
    """

    weights: tuple[float, ...] = Field(min_length=BASE, max_length=BASE)
    rho: float = Field(gt=0)
    tokens: float = Field(gt=0)


class DepthGain(Schema):
    """What the step from one cap to the next gains, and costs.

    Attributes:
        weights: one for each column of `gain_columns`.
        tokens: further tokens of each unfinished thought and its new answer, on average.
    """

    weights: tuple[float, ...] = Field(min_length=DEEPENING, max_length=DEEPENING)
    tokens: float = Field(ge=0)


class TokenPrice(Schema):
    """What one price led to on calibration questions held out of the fit.

    Attributes:
        price: accuracy that a token must gain.
        tokens: spent per question on average.
        accuracy: share of questions answered right.
    """

    price: float = Field(gt=0)
    tokens: float = Field(gt=0)
    accuracy: float = Field(ge=0, le=1)


class ThinkingPolicy(JsonArtifact):
    """When to stop, sample or deepen; `calibration.fitting.thinking` fits it.

    Attributes:
        scoring: how thoughts vote.
        probes: ascending depths at which every thought is probed, as far as it goes.
        probe_tokens: tokens of a probe.
        answer_tokens: tokens of the answer after a thought that ended by itself, on average; 0
            where the tokens of a thought count it.
        caps: thinking tokens of each depth, ascending; None, the last one, for no cap.
        stages: thoughts in all at each stage, ascending; direct answers count as thoughts.
        direct: the first so many samples are direct answers.
        direct_gain: what more samples gain before as many; None where there are none.
        sampling: what more samples gain after these, under each cap.
        deepening: what each step to the next cap gains.
        prices: by ascending price.
    """

    schema_version: Literal[1] = 1
    scoring: BranchScoring
    probes: tuple[int, ...]
    probe_tokens: int = Field(default=PROBE_TOKENS, ge=0)
    answer_tokens: float = Field(default=0.0, ge=0)
    caps: tuple[int | None, ...] = Field(min_length=1)
    stages: tuple[int, ...] = Field(min_length=1)
    direct: int = Field(default=0, ge=0)
    direct_gain: SampleGain | None = None
    sampling: tuple[SampleGain, ...]
    deepening: tuple[DepthGain, ...]
    prices: tuple[TokenPrice, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        depths = [np.inf if cap is None else cap for cap in self.caps]
        for name, values in (("caps", depths), ("stages", self.stages), ("probes", self.probes)):
            if any(low >= high for low, high in pairwise(values)):
                raise ValueError(f"{name}: must be ascending")
        if len(self.sampling) != len(self.caps) or len(self.deepening) != len(self.caps) - 1:
            raise ValueError("sampling, deepening: give one for each cap, and for each step")
        if (self.direct > 0) != (self.direct_gain is not None):
            raise ValueError("direct_gain: goes with direct answers")
        return self

    def outlook(self, level: int, stage: int, states: NDArray[np.float64]) -> "Outlook":
        """What each choice gains and costs.

        Args:
            level: number of the cap that holds, from 0 on.
            stage: number of the stage that all runs are at, from 0 on.
            states: shape (..., len(STATE_NAMES)).
        """
        columns, unfinished = gain_columns(states), states[..., STATE_NAMES.index("unfinished")]
        more = self._gain(level, stage)
        height = bounded_exp(
            columns[..., :BASE] @ np.array(more.weights), MIN_EXPONENT, MAX_EXPONENT
        )
        spent = self.expected_tokens(level, self.stages[stage:])
        depth_gain = depth_cost = np.zeros(height.shape)
        if level < len(self.deepening):
            step = self.deepening[level]
            deeper = bounded_exp(columns @ np.array(step.weights), MIN_EXPONENT, MAX_EXPONENT)
            depth_gain = deeper * (unfinished > 0)
            depth_cost = unfinished * step.tokens
        return Outlook(
            height[..., None] * (1 - (spent[0] / spent[1:]) ** more.rho),
            self._cost(level, stage, states),
            depth_gain,
            depth_cost,
            unfinished * self.dropped_tokens,
        )

    @property
    def dropped_tokens(self) -> int:
        """Tokens of a forced answer that is dropped where its thought goes on.

        They are 0 where thoughts are probed: the answer is then one of the probes, which count.
        """
        return 0 if self.probes else self.probe_tokens

    def expected_tokens(self, level: int, stages: Sequence[int]) -> NDArray[np.float64]:
        """Tokens that numbers of samples cost on average in calibration, shape (stages,).

        Args:
            level: number of the cap that holds, from 0 on.
            stages: numbers of samples.
        """
        counts = np.asarray(stages, dtype=float)
        direct = np.minimum(counts, self.direct)
        each = 0.0 if self.direct_gain is None else self.direct_gain.tokens
        return np.asarray(direct * each + (counts - direct) * self.sampling[level].tokens)

    def _gain(self, level: int, stage: int) -> SampleGain:
        """What holds at a stage."""
        begun = self.stages[stage] >= self.direct
        return self.sampling[level] if begun or self.direct_gain is None else self.direct_gain

    def _cost(self, level: int, stage: int, states: NDArray[np.float64]) -> NDArray[np.float64]:
        """Tokens from a stage on to each later one, shape (..., later stages).

        What comes next costs as the run's own samples of its kind and those of calibration did.
        """
        now, later = self.stages[stage], np.array(self.stages[stage + 1 :], dtype=float)
        tokens, more = states[..., STATE_NAMES.index("tokens")], self._gain(level, stage)
        if now < self.direct:
            like, alike = now, np.minimum(later, self.direct) - now
        else:
            # What the run's direct answers cost is not known apart from its thoughts.
            tokens = np.maximum(tokens - self.expected_tokens(level, [self.direct])[0], 0.0)
            like, alike = now - self.direct, later - now
        each = (tokens + PRIOR_SAMPLES * more.tokens) / (like + PRIOR_SAMPLES)
        others = (later - now - alike) * self.sampling[level].tokens
        return np.asarray(each[..., None] * alike + others)

    def next_action(
        self, level: int, stage: int, branches: Sequence[Branch], price: float
    ) -> Action:
        """What one run does next at a price.

        Args:
            level: number of the cap that holds, from 0 on.
            stage: number of the stage that it is at, from 0 on.
            branches: its thoughts.
            price: accuracy that a token must gain.
        """
        each = self.probe_tokens, self.answer_tokens
        state = state_of(branches, self.scoring, self.probes, *each)
        return Action(int(self.outlook(level, stage, state).actions(price)))

    def price_for(self, tokens: float) -> float:
        """The price at which calibration questions cost an average, interpolated in logs.

        Of an average above all of `prices` it is the lowest price: thoughts that end by themselves
        spend no more.

        Args:
            tokens: average per question.

        Raises:
            InputError: not positive, below the least average of `prices`, or the policy has none.
        """
        check_positive("average_tokens", tokens, "must be a positive number of tokens")
        if not self.prices:
            raise InputError("prices", (), "the policy has none; give a price")
        least = min(point.tokens for point in self.prices)
        if tokens < least:
            why = f"must be at least {ceil(least)} tokens, the least that calibration measured"
            raise InputError("average_tokens", tokens, why)
        spent = [point.tokens for point in self.prices]
        return interpolated_price(float(np.log(tokens)), spent, [p.price for p in self.prices])


def read_thinking(folder: Path) -> ThinkingPolicy | None:
    """The policy of an artifact; None where no thoughts were calibrated.

    Raises:
        InputError: it is damaged.
    """
    path = folder / THINKING
    return ThinkingPolicy.load(path) if path.is_file() else None


@dataclass(frozen=True)
class Outlook:
    """What each choice of runs at one stage gains and costs.

    Attributes:
        sample_gain: accuracy gained by sampling on to each later stage, shape (..., stages).
        sample_cost: tokens of that, likewise.
        depth_gain: accuracy gained by deepening, shape (...); 0 where there is nothing to deepen.
        depth_cost: tokens of that, likewise.
        dropped: tokens of the forced answers that deepening drops, likewise.
    """

    sample_gain: NDArray[np.float64]
    sample_cost: NDArray[np.float64]
    depth_gain: NDArray[np.float64]
    depth_cost: NDArray[np.float64]
    dropped: NDArray[np.float64]

    def actions(self, price: float | NDArray[np.float64]) -> NDArray[np.int64]:
        """What each run does at a price.

        Args:
            price: accuracy that a token must gain; an array broadcasts against the runs.

        Returns:
            `Action`s, of the shape that price and runs have together.
        """
        each = np.asarray(price)[..., None]
        surplus = (self.sample_gain - each * self.sample_cost).max(axis=-1, initial=-np.inf)
        sample, deepen = surplus > 0, self.depth_gain > price * self.depth_cost
        rate = (self.sample_gain / self.sample_cost).max(axis=-1, initial=0.0)
        deeper = self.depth_gain > rate * self.depth_cost
        chosen = np.where(sample, Action.SAMPLE, Action.STOP)
        return np.asarray(np.where(deepen & (deeper | ~sample), Action.DEEPEN, chosen))
