"""Regressors that `benchmarks.allocation.predictors` compares with the library's predictor."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from calibration.fitting.crossval import Regressor, out_of_fold_predictions
from predictors.features import FEATURE_NAMES
from predictors.learned import DifficultyPredictor
from predictors.prompt import PENALTIES, PROMPT_FEATURE_NAMES, PromptProbe

REFERENCE = "LightGBM"
# Features of a learned predictor that also reads a probe's prediction.
PROBED_FEATURE_NAMES = (*PROMPT_FEATURE_NAMES, "probe")


class MeanScore:
    """The paper's predictor: the verifier's average score, calibrated by isotonic regression."""

    def fit(self, features: NDArray[np.float64], pass_at_1: NDArray[np.float64]) -> "MeanScore":
        self.isotonic_ = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
        self.isotonic_.fit(self._score(features), pass_at_1)
        return self

    def predict(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(self.isotonic_.predict(self._score(features)))

    def _score(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        # Without logged scores all prompts get the same prediction.
        return np.nan_to_num(features[:, FEATURE_NAMES.index("score_mean")])


def with_probe(
    features: NDArray[np.float64], states: NDArray[np.floating], pass_at_1: NDArray[np.float64]
) -> tuple[NDArray[np.float64], PromptProbe]:
    """Features joined with a probe's out-of-fold predictions, and the probe.

    In-sample predictions would be better than those of new prompts: each prompt's prediction comes
    from a probe that was fitted on other prompts.

    Args:
        features: shape (prompts, features).
        states: hidden states, shape (prompts, columns).
        pass_at_1: shape (prompts,).

    Returns:
        Features, shape (prompts, features + 1), and a probe fitted on all prompts, whose
        prediction is the last feature of new prompts.
    """
    prompts = np.arange(len(pass_at_1))
    probed = out_of_fold_predictions(states, pass_at_1, prompts, PromptProbe)
    return np.column_stack([features, probed]), PromptProbe().fit(states, pass_at_1)


class Probed:
    """A regressor of surface features and a probe's prediction.

    Args:
        make: makes the unfitted regressor.

    Attributes:
        probe_: the fitted probe.
        regressor_: the fitted regressor.
    """

    def __init__(self, make: Callable[[], Regressor]) -> None:
        self.make = make

    def fit(self, inputs: NDArray[np.float64], pass_at_1: NDArray[np.float64]) -> "Probed":
        surface = inputs[:, : len(PROMPT_FEATURE_NAMES)]
        features, self.probe_ = with_probe(surface, inputs, pass_at_1)
        self.regressor_ = self.make().fit(features, pass_at_1)
        return self

    def predict(self, inputs: NDArray[np.float64]) -> NDArray[np.float64]:
        probed = self.probe_.predict(inputs)
        features = np.column_stack([inputs[:, : len(PROMPT_FEATURE_NAMES)], probed])
        return np.asarray(self.regressor_.predict(features))


def _ridge() -> Regressor:
    # Features that a log does not have are NaN, which LightGBM alone accepts.
    known = SimpleImputer(keep_empty_features=True)
    ridge: Regressor = make_pipeline(known, StandardScaler(), RidgeCV(PENALTIES))
    return ridge


def _forest() -> Regressor:
    known = SimpleImputer(keep_empty_features=True)
    forest = RandomForestRegressor(100, min_samples_leaf=10, max_features=0.5, random_state=0)
    pipeline: Regressor = make_pipeline(known, forest)
    return pipeline


Makers = Mapping[str, Callable[[], Regressor]]

# Grouped by input: pilots; surface features; surface features and the model's state.
OF_PILOTS: Makers = {
    REFERENCE: DifficultyPredictor,
    "ridge": _ridge,
    "random forest": _forest,
    "mean score": MeanScore,
}
OF_PROMPTS: Makers = {
    REFERENCE: partial(DifficultyPredictor, PROMPT_FEATURE_NAMES),
    "ridge": _ridge,
    "random forest": _forest,
}
OF_STATES: Makers = {
    REFERENCE: partial(Probed, partial(DifficultyPredictor, PROBED_FEATURE_NAMES)),
    "ridge": PromptProbe,
    "random forest": partial(Probed, _forest),
}
