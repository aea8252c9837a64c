"""The policy over width and depth: after each stage stop, sample more thoughts, or think deeper.

A run starts at the first cap on thinking tokens. At each stage the policy predicts what each choice
gains in accuracy and costs in tokens:

- sampling on to a later stage: exp(w . z) (1 - (k / n)^rho), from k to n thoughts, in a state z;
- deepening: the thoughts that the cap cut off go on to the next cap, which then holds for new
  thoughts too: exp(v . z).

A choice is made if its gain exceeds the price of its tokens; of two, the one that gains more per
token. Where neither does, the run ends.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from pathlib import Path
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from allocator.errors import InputError
from allocator.files import JsonArtifact
from predictors.branches import Branch, BranchScoring
from predictors.thinking_state import BASE, PROBE_TOKENS, gain_columns, state_of

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


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class SampleGain(_Part):
    """What more thoughts gain under one cap, and cost.

    Attributes:
        weights: one for each of the first columns of `gain_columns`.
        rho: how fast gains level off: the smaller, the more later thoughts gain.
        tokens: tokens of a thought and its probes, on average.
    """

    weights: tuple[float, ...] = Field(min_length=BASE, max_length=BASE)
    rho: float = Field(gt=0)
    tokens: float = Field(gt=0)


class DepthGain(_Part):
    """What the step from one cap to the next gains, and costs.

    Attributes:
        weights: one for each column of `gain_columns`.
        tokens: further tokens of each unfinished thought, on average.
    """

    weights: tuple[float, ...] = Field(min_length=DEEPENING, max_length=DEEPENING)
    tokens: float = Field(ge=0)


class TokenPrice(_Part):
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
        caps: thinking tokens of each depth, ascending; None, the last one, for no cap.
        stages: thoughts in all at each stage, ascending.
        sampling: what more thoughts gain under each cap.
        deepening: what each step to the next cap gains.
        prices: by ascending price.
    """

    schema_version: Literal[1] = 1
    scoring: BranchScoring
    probes: tuple[int, ...]
    probe_tokens: int = Field(default=PROBE_TOKENS, ge=0)
    caps: tuple[int | None, ...] = Field(min_length=1)
    stages: tuple[int, ...] = Field(min_length=1)
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
        return self

    def outlook(self, level: int, stage: int, states: NDArray[np.float64]) -> "Outlook":
        """What each choice gains and costs.

        Args:
            level: number of the cap that holds, from 0 on.
            stage: number of the stage that all runs are at, from 0 on.
            states: shape (..., len(STATE_NAMES)).
        """
        columns = gain_columns(states)
        samples, _, _, _, _, tokens, unfinished = np.moveaxis(states, -1, 0)
        more = self.sampling[level]
        now, later = self.stages[stage], np.array(self.stages[stage + 1 :], dtype=float)
        height = _exp(columns[..., :BASE] @ np.array(more.weights))
        each = (tokens + PRIOR_SAMPLES * more.tokens) / (samples + PRIOR_SAMPLES)
        depth_gain = depth_cost = np.zeros(height.shape)
        if level < len(self.deepening):
            step = self.deepening[level]
            depth_gain = _exp(columns @ np.array(step.weights)) * (unfinished > 0)
            depth_cost = unfinished * step.tokens
        return Outlook(
            height[..., None] * (1 - (now / later) ** more.rho),
            each[..., None] * (later - now),
            depth_gain,
            depth_cost,
        )

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
        state = state_of(branches, self.scoring, self.probes, self.probe_tokens)
        return Action(int(self.outlook(level, stage, state).actions(price)))

    def price_for(self, tokens: float) -> float:
        """The price at which calibration questions cost an average, interpolated in logs.

        Beyond the ends of `prices` it is the price at the end.

        Args:
            tokens: average per question.

        Raises:
            InputError: not positive, or the policy has no prices.
        """
        if not (np.isfinite(tokens) and tokens > 0):
            raise InputError("tokens", tokens, "must be a positive number of tokens")
        if not self.prices:
            raise InputError("prices", (), "the policy has none; give a price")
        spent = np.log([point.tokens for point in self.prices])[::-1]
        prices = np.log([point.price for point in self.prices])[::-1]
        return float(np.exp(np.interp(np.log(tokens), np.maximum.accumulate(spent), prices)))


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
    """

    sample_gain: NDArray[np.float64]
    sample_cost: NDArray[np.float64]
    depth_gain: NDArray[np.float64]
    depth_cost: NDArray[np.float64]

    def actions(self, price: float) -> NDArray[np.int64]:
        """What each run does at a price, in accuracy per token; `Action`s of shape (...)."""
        surplus = (self.sample_gain - price * self.sample_cost).max(axis=-1, initial=-np.inf)
        sample, deepen = surplus > 0, self.depth_gain > price * self.depth_cost
        rate = (self.sample_gain / self.sample_cost).max(axis=-1, initial=0.0)
        deeper = self.depth_gain > rate * self.depth_cost
        chosen = np.where(sample, Action.SAMPLE, Action.STOP)
        return np.asarray(np.where(deepen & (deeper | ~sample), Action.DEEPEN, chosen))


def _exp(exponent: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.exp(np.clip(exponent, MIN_EXPONENT, MAX_EXPONENT)))
