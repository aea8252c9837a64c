"""What the summary says of the predictor, and what it compares the ways with."""

import numpy as np
import pytest

from calibration.report.summarise import stronger_baseline, tenths


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


@pytest.mark.parametrize(
    ("accuracies", "baseline"),
    [
        ({"majority": 0.6, "best-of-N weighted": 0.7, "best-of-N, greatest score": 0.8}, None),
        ({"majority": 0.7, "best-of-N weighted": 0.7}, None),
        ({"majority": 0.71, "best-of-N weighted": 0.7}, "majority"),
        ({"majority": 0.6, "best-of-N weighted, fitted score": 0.7}, "majority"),
        ({"best-of-N weighted": 0.7}, None),
    ],
)
def test_the_baseline_is_the_stronger_one(
    accuracies: dict[str, float], baseline: str | None
) -> None:
    assert stronger_baseline(accuracies) == (baseline or "best-of-N weighted")
