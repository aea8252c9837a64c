"""The learned difficulty predictor: LightGBM from pilot features to expected pass@1."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from allocator.errors import InputError
from allocator.files import atomic_write
from predictors.features import FEATURE_NAMES

ROUNDS = 150
LEAVES = 4  # few, because a calibration set has hundreds of prompts
SEED = 0


class DifficultyPredictor:
    """Gradient-boosted regression of pass@1, in scikit-learn's manner.

    Cross-entropy on the soft target keeps predictions in [0, 1] and calibrated at both ends, where
    most prompts are; squared error does not.

    Args:
        names: names of the features, in their order.

    Attributes:
        booster_: the fitted LightGBM model.
    """

    def __init__(self, names: Sequence[str] = FEATURE_NAMES) -> None:
        self.names = names

    def fit(
        self, features: NDArray[np.float64], pass_at_1: NDArray[np.float64]
    ) -> "DifficultyPredictor":
        """Fit on features, shape (rows, features), and pass@1 in [0, 1], shape (rows,)."""
        import lightgbm

        parameters = {
            "objective": "cross_entropy",
            "num_leaves": LEAVES,
            "learning_rate": 0.04,
            "min_data_in_leaf": 20,
            "feature_fraction": 0.7,
            "bagging_fraction": 0.7,
            "bagging_freq": 1,
            "lambda_l2": 1.0,
            "seed": SEED,
            "deterministic": True,
            # On data this small, several threads spend most of the time waiting for each other.
            "num_threads": 1,
            "verbose": -1,
        }
        data = lightgbm.Dataset(features, pass_at_1, feature_name=list(self.names))
        self.booster_ = lightgbm.train(parameters, data, num_boost_round=ROUNDS)
        return self

    def predict(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Expected pass@1, shape (rows,), of features, shape (rows, features)."""
        # One thread, as in `fit`: LightGBM keeps their number for the whole process, where other
        # predictors may be in the middle of a fit.
        return np.clip(np.asarray(self.booster_.predict(features, num_threads=1)), 0.0, 1.0)

    def explain(self, features: NDArray[np.float64]) -> dict[str, float]:
        """Contribution of each feature of one prompt, shape (features,), to its log-odds."""
        parts = np.asarray(self.booster_.predict(features[None], pred_contrib=True))[0, :-1]
        return dict(zip(self.names, parts.tolist(), strict=True))

    def save(self, path: Path) -> None:
        """Write as LightGBM's text format; the file appears whole or not at all."""
        text = self.booster_.model_to_string()
        # LightGBM's own writer raises no OSError where the disk is full.
        with atomic_write(path) as scratch:
            scratch.write_text(text)

    @classmethod
    def load(cls, path: Path, names: Sequence[str] = FEATURE_NAMES) -> "DifficultyPredictor":
        """Read a predictor back, which must have been fitted on features of these names.

        Raises:
            InputError: missing, damaged, or fitted on other features.
        """
        if not path.is_file():
            raise InputError("predictor", str(path), "no such file; make one with ttc calibrate")
        import lightgbm

        predictor = cls(names)
        try:
            predictor.booster_ = lightgbm.Booster(model_file=str(path))
        except lightgbm.basic.LightGBMError as error:
            raise InputError(
                "predictor", str(path), f"damaged; calibrate again ({error})"
            ) from None
        if predictor.booster_.feature_name() != list(names):
            raise InputError("predictor", str(path), "fitted on other features; calibrate again")
        return predictor
