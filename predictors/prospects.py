"""What more solutions of a prompt would gain, learned from calibration.

Adaptive consistency stops when the leading answer is unlikely to be overtaken. That is half of the
question: a prompt without any leader may be one that cannot be won. What counts is the gain: how
much likelier the answer after more solutions is right than the one that leads now.
"""

from math import log2
from pathlib import Path

import lightgbm
import numpy as np
from numpy.typing import NDArray

from allocator.errors import InputError
from allocator.files import whole_file
from predictors.progress import PROGRESS_NAMES

NAMES = (*PROGRESS_NAMES, "growth")


class Prospects:
    """Gradient-boosted regression of the gain, in scikit-learn's manner.

    Args:
        rounds: boosting rounds.
        leaves: leaves a tree.
        seed: seed of the boosting.

    Attributes:
        booster_: the fitted LightGBM model.
    """

    def __init__(self, rounds: int = 120, leaves: int = 8, seed: int = 0) -> None:
        self.rounds, self.leaves, self.seed = rounds, leaves, seed

    def fit(
        self, costs: tuple[int, ...], states: NDArray[np.float64], correct: NDArray[np.float64]
    ) -> "Prospects":
        """Fit on climbs to the top of a ladder.

        Args:
            costs: generations of each rung.
            states: `predictors.progress` features on each rung, shape (climbs, rungs, features).
            correct: whether the leading answer of each rung is right, shape (climbs, rungs).

        Raises:
            InputError: a ladder of one rung.
        """
        if len(costs) < 2:
            raise InputError("ladder", costs, "there is nothing to gain on one rung; give two")
        pairs = [(i, j) for i in range(len(costs)) for j in range(i + 1, len(costs))]
        inputs = np.concatenate([_inputs(states[:, i], costs[j] / costs[i]) for i, j in pairs])
        gained = np.concatenate([correct[:, j] - correct[:, i] for i, j in pairs])
        parameters = {
            "objective": "regression",
            "num_leaves": self.leaves,
            "learning_rate": 0.05,
            # Climbs of one prompt are much alike: a leaf must hold those of many prompts.
            "min_data_in_leaf": max(20, len(gained) // 500),
            "feature_fraction": 0.7,
            "bagging_fraction": 0.5,
            "bagging_freq": 1,
            "lambda_l2": 5.0,
            "seed": self.seed,
            "deterministic": True,
            "num_threads": 2,
            "verbose": -1,
        }
        data = lightgbm.Dataset(inputs, gained, feature_name=list(NAMES))
        self.booster_ = lightgbm.train(parameters, data, num_boost_round=self.rounds)
        return self

    def gains(
        self, costs: tuple[int, ...], rung: int, states: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Gain of each rung above, shape (prompts, rungs - rung - 1).

        Args:
            costs: generations of each rung.
            rung: number of the rung that all prompts stand on.
            states: features of each prompt there, shape (prompts, features).
        """
        above = costs[rung + 1 :]
        if not above or not len(states):
            return np.zeros((len(states), len(above)))
        inputs = np.concatenate([_inputs(states, cost / costs[rung]) for cost in above])
        found = np.asarray(self.booster_.predict(inputs, num_threads=1))
        return found.reshape(len(above), len(states)).T

    def save(self, path: Path) -> None:
        """Write as LightGBM's text format; the file appears whole or not at all."""
        with whole_file(path) as scratch:
            self.booster_.save_model(str(scratch))

    @classmethod
    def load(cls, path: Path) -> "Prospects":
        """Read it back.

        Raises:
            InputError: missing, damaged, or fitted on other features than this library's.
        """
        if not path.is_file():
            raise InputError("prospects", str(path), "no such file; make one with ttc calibrate")
        prospects = cls()
        try:
            prospects.booster_ = lightgbm.Booster(model_file=str(path))
        except lightgbm.basic.LightGBMError as error:
            raise InputError(
                "prospects", str(path), f"damaged; calibrate again ({error})"
            ) from None
        if tuple(prospects.booster_.feature_name()) != NAMES:
            raise InputError("prospects", str(path), "fitted on other features; calibrate again")
        return prospects


def _inputs(states: NDArray[np.float64], growth: float) -> NDArray[np.float64]:
    return np.column_stack([states, np.full(len(states), log2(growth))])
