"""The gain model: the accuracy that more solutions of a prompt add, learned in calibration.

Adaptive consistency stops when the leading answer is unlikely to be overtaken. That does not tell
apart a prompt that needs more solutions from one that is too hard: neither has a clear leader.
The gain does: the chance that the answer after more solutions is right, less the chance that the
leading answer is right now.

The gain of continuing from k to n generations is modelled as

    exp(w . z) (1 - (k / n)^rho)

in a state z. It is never negative, it grows with n, and each further generation adds less. The
model has few parameters because calibration sets have few prompts: boosted trees were clearly worse
on held-out prompts.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from allocator.errors import InputError
from allocator.files import JsonArtifact
from allocator.schedule import Schedule
from predictors.transforms import bounded_exp, log_odds
from predictors.vote_state import overtaken

PENALTY = 1e-5  # on squared weights of standardised columns: keeps them bounded
MIN_EXPONENT, MAX_EXPONENT = -20.0, 1.0
LOG_ODDS_CLIP = 0.002  # scores are clipped to this distance from 0 and 1 before log-odds
DIGITS = 5  # of fitted parameters; further digits are noise
# What rho may be: below, gains hardly ever level off; above, at once.
RHO = (10.0**-DIGITS, 100.0)
COLUMNS = (
    "one",
    "log_overtaken",
    "log_overtaken_by_votes",
    "log_samples",
    "leader_best_log_odds",
    "leader_best_log_odds_squared",
    "other_best_log_odds",
    "score_mean_log_odds",
    "distinct_share",
    "unanswered_share",
    "log_prompt_tokens",
    "searches_ahead",
)
# The scores among the features of `predictors.vote_state`: of leader, of the next answer, the mean.
BEST_TO_MEAN = slice(3, 6)


class GainModel(JsonArtifact):
    """The gain of more solutions on a schedule; `GainEstimator` fits it.

    Attributes:
        weights: one for each of `COLUMNS`.
        rho: how fast gains level off: the smaller, the more later generations gain.
    """

    schema_version: Literal[1] = 1
    weights: tuple[float, ...] = Field(min_length=len(COLUMNS), max_length=len(COLUMNS))
    rho: float = Field(gt=0)

    def gains(
        self, schedule: Schedule, stage: int, states: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Predicted gain of each later stage.

        Args:
            schedule: the schedule it was fitted on.
            stage: number of the stage that all prompts are at.
            states: features of each prompt at that stage, shape (prompts, features).

        Returns:
            Shape (prompts, stages - stage - 1).
        """
        costs = np.array(schedule.costs, dtype=float)
        reached = 1 - (costs[stage] / costs[stage + 1 :]) ** self.rho
        # All other columns are the same for every later stage.
        ahead = np.array([_ahead(schedule, stage, j) for j in range(stage + 1, len(costs))])
        same = _columns(states, searches_ahead=0) @ np.array(self.weights)
        exponent = same[:, None] + self.weights[-1] * ahead
        return np.asarray(bounded_exp(exponent, MIN_EXPONENT, MAX_EXPONENT) * reached)


class GainEstimator:
    """Fits a `GainModel` by least squares over all pairs of stages, in scikit-learn's manner.

    Args:
        schedule: the schedule of the runs that it is fitted on.

    Attributes:
        model_: the fitted gain model.
    """

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule

    def fit(self, states: NDArray[np.float64], correct: NDArray[np.float64]) -> "GainEstimator":
        """Fit on adaptive runs through all stages.

        Args:
            states: `predictors.vote_state` features at each stage, shape (runs, stages, features).
            correct: whether the leading answer at each stage is right, shape (runs, stages).

        Raises:
            InputError: a schedule of one stage.
        """
        from scipy.optimize import minimize

        if len(self.schedule.costs) < 2:
            raise InputError("schedule", self.schedule.costs, "must have two stages or more")
        blocks = _blocks(self.schedule, states, correct)
        # All columns but the constant are standardised; other constant columns get no weight.
        total = sum(block.gained.size for block in blocks)
        middle = sum(block.pairs * block.columns.sum(axis=0) for block in blocks) / total
        squares = sum(b.pairs * ((b.columns - middle) ** 2).sum(axis=0) for b in blocks) / total
        middle[0], scale = 0.0, np.where(squares > 1e-18, np.sqrt(squares), 1.0)
        scaled = [(block.columns - middle) / scale for block in blocks]

        def loss(point: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            weights, rho = point[:-1], np.exp(point[-1])
            squared_error, toward, by_rho = 0.0, np.zeros(len(weights)), 0.0
            for block, columns in zip(blocks, scaled, strict=True):
                height = bounded_exp(columns @ weights, MIN_EXPONENT, MAX_EXPONENT)
                decay = np.exp(rho * block.growth)
                error = np.outer(1 - decay, height) - block.gained
                squared_error += float(np.vdot(error, error)) / total
                slope = 2 * error @ height / total
                toward += (2 * height * ((1 - decay) @ error) / total) @ columns
                by_rho += float(slope @ (-decay * block.growth)) * rho
            toward[1:] += 2 * PENALTY * weights[1:]
            penalty = PENALTY * float(weights[1:] @ weights[1:])
            return squared_error + penalty, np.append(toward, by_rho)

        start = np.zeros(len(COLUMNS) + 1)
        start[0], start[-1] = -3.0, np.log(0.5)
        bounds = [*[(None, None)] * len(COLUMNS), tuple(np.log(RHO))]
        options = {"maxiter": 300}
        optimum = minimize(
            loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options
        ).x
        weights = optimum[:-1] / scale
        weights[0] -= weights @ middle
        weights = np.round(weights, DIGITS)
        rho = round(float(np.exp(optimum[-1])), DIGITS)
        self.model_ = GainModel(weights=tuple(weights.tolist()), rho=rho)
        return self


@dataclass(frozen=True)
class _Block:
    """Pairs of stages of equal columns: from one stage, with as many searches between them.

    Attributes:
        columns: shape (runs, columns).
        growth: logarithm of the stage's cost over the later one's, shape (pairs,).
        gained: accuracy at the later stage less that at the stage, shape (pairs, runs).
    """

    columns: NDArray[np.float64]
    growth: NDArray[np.float64]
    gained: NDArray[np.float64]

    @property
    def pairs(self) -> int:
        return len(self.growth)


def _blocks(
    schedule: Schedule, states: NDArray[np.float64], correct: NDArray[np.float64]
) -> list[_Block]:
    costs, blocks = schedule.costs, []
    for stage in range(len(costs) - 1):
        for ahead in range(len(schedule.searches) + 1):
            above = [j for j in range(stage + 1, len(costs)) if _ahead(schedule, stage, j) == ahead]
            if above:
                columns = _columns(states[:, stage], searches_ahead=ahead)
                growth = np.log(costs[stage] / np.array([costs[j] for j in above]))
                gained = (correct[:, above] - correct[:, [stage]]).T
                blocks.append(_Block(columns, growth, np.ascontiguousarray(gained)))
    return blocks


def _ahead(schedule: Schedule, stage: int, above: int) -> int:
    """How many searches lie between two stages."""
    return len(schedule.stages[above].searches) - len(schedule.stages[stage].searches)


def _columns(states: NDArray[np.float64], searches_ahead: int) -> NDArray[np.float64]:
    """The columns that the gain depends on, shape (prompts, columns)."""
    samples, mass, rival, _, _, mean, distinct, unanswered, prompt_tokens = states.T
    # Scaled so that solutions weigh 1 on average: confidence then depends on their number.
    weight = np.where(mean > 0, 1 / np.maximum(mean, 1e-6), 0.0)
    weights = np.array([np.ones(len(states)), weight])
    lost = overtaken(mass * weights, rival * weights)
    best, other_best, mean_odds = log_odds(states[:, BEST_TO_MEAN], LOG_ODDS_CLIP).T
    columns = np.empty((len(states), len(COLUMNS)))
    columns[:, 0] = 1.0
    columns[:, 1:3] = np.log(np.maximum(lost, 1e-6)).T
    columns[:, 3] = np.log(samples)
    columns[:, 4], columns[:, 5], columns[:, 6] = best, best**2, other_best
    columns[:, 7], columns[:, 8], columns[:, 9] = mean_odds, distinct, unanswered
    columns[:, 10] = np.log(np.maximum(prompt_tokens, 1))
    columns[:, 11] = searches_ahead
    return columns
