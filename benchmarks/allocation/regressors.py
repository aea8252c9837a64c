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

from predictors.features import FEATURE_NAMES
from predictors.learned import DifficultyPredictor, Regressor, out_of_fold_predictions
from predictors.prompt import PENALTIES, PROMPT_FEATURE_NAMES, PromptProbe

DRIFT_BASELINE = "LightGBM"
# A learned predictor with a probe's prediction among its features.
PROBED_FEATURE_NAMES = (*PROMPT_FEATURE_NAMES, "probe")


class MeanScore:
    """The paper's predictor: the verifier's average score, calibrated by isotonic regression."""

    def fit(self, features: NDArray[np.float64], pass_at_1: NDArray[np.float64]) -> "MeanScore":
        self._isotonic = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
        self._isotonic.fit(self._score(features), pass_at_1)
        return self

    def predict(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(self._isotonic.predict(self._score(features)))

    def _score(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        # Without logged scores all prompts get the same prediction.
        return np.nan_to_num(features[:, FEATURE_NAMES.index("score_mean")])


def with_probe(
    features: NDArray[np.float64], states: NDArray[np.floating], pass_at_1: NDArray[np.float64]
) -> tuple[NDArray[np.float64], PromptProbe]:
    """Features to fit a predictor on, a probe's out-of-fold predictions among them, and the probe.

    A probe's predictions for the prompts it was fitted on are better than those for new ones, so
    each prompt's prediction comes from a probe that never saw it.

    Args:
        features: shape (prompts, features).
        states: hidden states, shape (prompts, columns).
        pass_at_1: shape (prompts,).

    Returns:
        Features, shape (prompts, features + 1), and a probe of all prompts, whose prediction is
        the last feature of new ones.
    """
    prompts = np.arange(len(pass_at_1))
    probed = out_of_fold_predictions(states, pass_at_1, prompts, make=PromptProbe)
    return np.column_stack([features, probed]), PromptProbe().fit(states, pass_at_1)


class Probed:
    """A regressor of surface features and a probe's prediction; inputs are features and states."""

    def __init__(self, make: Callable[[], Regressor]) -> None:
        self._make, self._width = make, len(PROMPT_FEATURE_NAMES)

    def fit(self, inputs: NDArray[np.float64], pass_at_1: NDArray[np.float64]) -> "Probed":
        features, self._probe = with_probe(inputs[:, : self._width], inputs, pass_at_1)
        self._fitted = self._make().fit(features, pass_at_1)
        return self

    def predict(self, inputs: NDArray[np.float64]) -> NDArray[np.float64]:
        probed = self._probe.predict(inputs)
        features = np.column_stack([inputs[:, : self._width], probed])
        return np.asarray(self._fitted.predict(features))


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

# By input: pilots; the prompt's surface; its surface and the model's state.
OF_PILOTS: Makers = {
    DRIFT_BASELINE: DifficultyPredictor,
    "ridge": _ridge,
    "random forest": _forest,
    "mean score": MeanScore,
}
OF_PROMPTS: Makers = {
    DRIFT_BASELINE: partial(DifficultyPredictor, PROMPT_FEATURE_NAMES),
    "ridge": _ridge,
    "random forest": _forest,
}
OF_STATES: Makers = {
    DRIFT_BASELINE: partial(Probed, partial(DifficultyPredictor, PROBED_FEATURE_NAMES)),
    "ridge": PromptProbe,
    "random forest": partial(Probed, _forest),
}
