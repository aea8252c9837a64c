"""What the summary says of the predictor."""

import numpy as np

from calibration.report.summarise import tenths


def test_reliability_groups_do_not_part_equal_predictions() -> None:
    rng = np.random.default_rng(0)
    predicted = rng.permutation(np.repeat([0.2, 0.5, 0.9], [15, 2, 83]))
    groups = tenths(predicted)
    assert [np.unique(predicted[group]).tolist() for group in groups] == [[0.2], [0.5], [0.9]]
    assert sorted(np.concatenate(groups).tolist()) == list(range(100))


def test_reliability_groups_of_different_predictions_are_tenths() -> None:
    predicted = np.random.default_rng(0).random(200)
    groups = tenths(predicted)
    assert [len(group) for group in groups] == [20] * 10
    means = [predicted[group].mean() for group in groups]
    assert means == sorted(means)
