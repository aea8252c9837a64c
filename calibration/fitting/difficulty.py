"""Fitting the difficulty model of each number of pilots: predictor, distribution, bins."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from allocator.bins import DifficultyBins, bin_of
from calibration.fitting.crossval import out_of_fold_predictions
from calibration.replay.outcomes import Outcomes
from predictors.difficulty import DifficultyModel
from predictors.distribution import DistributionEstimator
from predictors.learned import DifficultyPredictor
from predictors.prompt import PromptProbe, with_states

# Plans cannot be compared on fewer prompts: such a bin is merged with its smaller neighbour.
MIN_IN_BIN = 8
# Predictions closer than this are the same: what is left is rounding.
NOISE = 1e-9


@dataclass(frozen=True)
class FittedDifficulty:
    """The difficulty model of one number of pilots.

    Attributes:
        pilots: number of pilots; 0 reads the prompt alone.
        model: fitted on every prompt.
        predicted: out-of-fold predictions of pass@1 for every prompt and replicate, shape
            (entries,); those that many prompts share are the model's own.
        edges: inner edges of the bins of these predictions.
        rank_correlation: Spearman's, of measured pass@1 with out-of-fold predictions; 0 where
            either is constant, or the model predicts the same of all prompts.
    """

    pilots: int
    model: DifficultyModel
    predicted: NDArray[np.float64]
    edges: tuple[float, ...]
    rank_correlation: float


def fit_difficulty(outcomes: Outcomes, pilots: int, n_bins: int) -> FittedDifficulty:
    """Fit the difficulty model of one number of pilots on the calibration prompts.

    Args:
        outcomes: features and measured pass@1.
        pilots: number of pilots to read; 0 reads the prompt, and the language model's state after
            it where there is one.
        n_bins: bins to cut predictions into.
    """
    from scipy.stats import spearmanr

    features, measured = outcomes.features(pilots), outcomes.pass_at_1(pilots)
    make: Callable[[], DifficultyPredictor | PromptProbe] = DifficultyPredictor
    if pilots == 0:
        # Replicates differ in their samples alone. The probe chooses its penalty by leaving out
        # single rows, and would choose the smallest if copies of a row stayed.
        make, features = PromptProbe, with_states(features, outcomes.states)[:, :1]
        measured = measured[:, :1]
    rows = features.shape[1]
    flat, target = features.reshape(-1, features.shape[-1]), measured.ravel()
    prompts = np.repeat(np.arange(outcomes.prompts), rows)
    out_of_fold = out_of_fold_predictions(flat, target, prompts, make)
    predictor = make().fit(flat, target)
    in_sample = predictor.predict(flat)
    distribution = DistributionEstimator().fit(out_of_fold, target, prompts).distribution_
    varies = all(np.ptp(values) > NOISE for values in (out_of_fold, in_sample, target))
    predicted = _merge_predictions(out_of_fold, in_sample, prompts)
    return FittedDifficulty(
        pilots=pilots,
        model=DifficultyModel(predictor, distribution),
        predicted=np.repeat(predicted, outcomes.replicates // rows),
        edges=edges_of(predicted, n_bins, rows),
        rank_correlation=float(spearmanr(out_of_fold, target).statistic) if varies else 0.0,
    )


def _merge_predictions(
    out_of_fold: NDArray[np.float64], in_sample: NDArray[np.float64], prompts: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Out-of-fold predictions, except where at least `MIN_IN_BIN` prompts share a prediction.

    Folds predict slightly different values for identical features, and a bin edge could fall
    between them; live prompts would never straddle it. With answers alone and two pilots, for
    example, agreement takes two values, yet five bins could be cut. Where at least `MIN_IN_BIN`
    prompts share a prediction, use the full model's: one prompt hardly changes it.

    Args:
        out_of_fold: each prompt's, of a predictor that was not fitted on it, shape (entries,).
        in_sample: those of the predictor that was fitted on every prompt, shape (entries,).
        prompts: which prompt each entry belongs to, shape (entries,).
    """
    _, alike = np.unique(np.round(in_sample / NOISE), return_inverse=True)
    sharing = np.bincount(np.unique(np.stack([alike, prompts]), axis=1)[0])
    return np.where(sharing[alike] >= MIN_IN_BIN, in_sample, out_of_fold)


def edges_of(pass_at_1: NDArray[np.float64], n_bins: int, replicates: int) -> tuple[float, ...]:
    """Inner edges of quantile bins of at least `MIN_IN_BIN` prompts each, if there are so many.

    Args:
        pass_at_1: predicted or measured, shape (entries,).
        n_bins: bins requested.
        replicates: entries per prompt.
    """
    edges = [float(edge) for edge in DifficultyBins(n_bins).fit(pass_at_1).edges_]
    while edges:
        held = np.bincount(bin_of(edges, pass_at_1), minlength=len(edges) + 1)
        smallest = int(np.argmin(held))
        if held[smallest] >= MIN_IN_BIN * replicates:
            break
        # Edge i lies between bins i and i + 1.
        sides = [i for i in (smallest - 1, smallest) if 0 <= i < len(edges)]
        neighbours = [held[i] if i < smallest else held[i + 1] for i in sides]
        del edges[sides[int(np.argmin(neighbours))]]
    return tuple(edges)
