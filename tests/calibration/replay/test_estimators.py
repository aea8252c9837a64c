"""Unbiased best-of-n curves against direct simulation and enumeration."""

from itertools import combinations

import numpy as np
import pytest

from allocator.errors import InputError
from calibration.replay.estimators import best_of_n_accuracy


def test_the_closed_form_equals_enumeration_of_every_subset() -> None:
    rng = np.random.default_rng(0)
    scores, correct = rng.random(7), rng.random(7) < 0.4
    for n in range(1, 8):
        subsets = [list(subset) for subset in combinations(range(7), n)]
        best = np.mean([correct[s][np.argmax(scores[s])] for s in subsets])
        assert best_of_n_accuracy(scores, correct, n) == pytest.approx(best)


def test_closed_form_agrees_with_direct_simulation() -> None:
    # One set of 4000 samples from a noisy verifier, against fresh best-of-8 draws from its model.
    rng = np.random.default_rng(1)

    def draw(*shape: int) -> tuple[np.ndarray, np.ndarray]:
        correct = rng.random(shape) < 0.3
        return correct, rng.normal(correct * 1.0, 1.0)

    correct, scores = draw(4000)
    estimated = best_of_n_accuracy(scores, correct, 8)
    fresh_correct, fresh_scores = draw(20000, 8)
    simulated = fresh_correct[np.arange(20000), fresh_scores.argmax(axis=1)].mean()
    assert estimated == pytest.approx(simulated, abs=0.03)


def test_equal_scores_share_their_chances() -> None:
    assert best_of_n_accuracy([0.5, 0.5], [True, False], 2) == pytest.approx(0.5)


@pytest.mark.parametrize("n", [0, 4])
def test_a_subset_that_cannot_be_is_refused(n: int) -> None:
    with pytest.raises(InputError, match="between 1 and the number of samples, 3"):
        best_of_n_accuracy([0.1, 0.2, 0.3], [True, False, True], n)
