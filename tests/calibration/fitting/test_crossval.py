"""Folds by prompt: no model has seen the prompts that it is tested on."""

import numpy as np

from calibration.fitting.crossval import folds, out_of_fold_predictions
from predictors.features import FEATURE_NAMES
from predictors.learned import DifficultyPredictor


def test_rows_of_a_prompt_share_a_fold_and_few_prompts_are_a_fold_each() -> None:
    for prompts, count in ((3, 3), (12, 5)):
        owners = np.tile(np.arange(prompts), 2)
        splits = folds(owners)
        assert len(splits) == count
        held_out = np.concatenate([held_out for _, held_out in splits])
        assert sorted(held_out) == list(range(len(owners)))
        assert not any(set(owners[train]) & set(owners[held_out]) for train, held_out in splits)


def test_out_of_fold_predictions_never_saw_the_prompt() -> None:
    # Pure noise, each prompt's difficulty repeated over its rows: only leakage could predict it.
    rng = np.random.default_rng(0)
    prompts = np.repeat(np.arange(60), 8)
    features = np.repeat(rng.normal(size=(60, len(FEATURE_NAMES))), 8, axis=0)
    pass_at_1 = np.repeat(rng.random(60), 8)
    predicted = out_of_fold_predictions(features, pass_at_1, prompts, DifficultyPredictor)
    seen = DifficultyPredictor().fit(features, pass_at_1).predict(features)
    assert np.corrcoef(seen, pass_at_1)[0, 1] > 0.8
    assert abs(np.corrcoef(predicted, pass_at_1)[0, 1]) < 0.4
