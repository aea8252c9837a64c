"""The smooth model of what plans gain over best-of-N, on made accuracies."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from allocator.plan import Plan
from calibration.fitting.advantage import by_advantage, modelled_accuracies
from calibration.fitting.binned import BinnedOutcomes
from tests.support.binned import binned_outcomes

PLAIN = [Plan(strategy="best_of_n", n=n) for n in (1, 2, 4, 8, 16)]
SEARCHES = [
    Plan(strategy="beam_search", n=n, beam_width=m) for n, m in ((2, 2), (4, 2), (8, 2), (16, 4))
]
PLANS = [*PLAIN, *SEARCHES]
COSTS = np.array([float(plan.cost(0)) for plan in PLANS])
BINS = 5


def drawn(truth: NDArray[np.float64], per_bin: int, seed: int) -> BinnedOutcomes:
    """Outcomes of prompts of those accuracies, shape (plans, bins), paired over the plans."""
    bins = np.repeat(np.arange(truth.shape[1]), per_bin)
    rng = np.random.default_rng(seed)
    luck, own = rng.random(len(bins)), rng.random((len(truth), len(bins)))
    # Half of what decides is the prompt's, the same for all plans.
    shared = rng.random(own.shape) < 0.5
    correct = (np.where(shared, luck, own) < truth[:, bins]).astype(float)
    return binned_outcomes(PLANS, correct, bins, truth.shape[1])


def world(advantage: Callable[[int], float]) -> NDArray[np.float64]:
    """Accuracies of best-of-N that rise with N, and of searches that gain by bin over it."""
    base = np.array([0.9, 0.7, 0.5, 0.3, 0.1])
    plain = base + 0.05 * np.log2(COSTS)[:, None] * (1 - base)
    gained = np.array([advantage(b) for b in range(BINS)])
    plain[len(PLAIN) :] += gained
    return np.asarray(np.clip(plain, 0, 1))


def chosen(truth: NDArray[np.float64], per_bin: int, seed: int) -> list[int]:
    return by_advantage(drawn(truth, per_bin, seed))


def test_searches_are_chosen_in_the_bins_where_they_gain() -> None:
    truth = world(lambda b: 0.2 if b >= 2 else -0.2)
    for seed in range(5):
        strategies = [PLANS[plan].strategy for plan in chosen(truth, 60, seed)]
        assert strategies == ["best_of_n"] * 2 + ["beam_search"] * 3


def test_neighbouring_bins_and_plans_share_their_evidence() -> None:
    # Eight prompts in a bin say next to nothing of one plan there; those of all bins do.
    truth = world(lambda _: 0.2)
    reached = []
    for seed in range(20):
        binned = drawn(truth, 8, seed)
        accuracy = modelled_accuracies(binned)
        inside = [binned.bins == b for b in range(BINS)]
        means = np.array([binned.correct[:, entries].mean(axis=1) for entries in inside]).T
        error = [np.abs(found - truth)[len(PLAIN) :].mean() for found in (accuracy, means)]
        reached.append(error)
    modelled, raw = np.mean(reached, axis=0)
    assert modelled < 0.9 * raw


def test_prompts_weigh_by_their_entries_in_the_bin() -> None:
    # All 16 replicates of 40 prompts are in the bin, and right; of 40 others one is, and wrong.
    prompts = np.concatenate([np.repeat(np.arange(40), 16), np.arange(40, 80)])
    correct = np.tile((prompts < 40).astype(float), (len(PLANS), 1))
    bins = np.zeros(len(prompts), dtype=np.int64)
    accuracy = modelled_accuracies(binned_outcomes(PLANS, correct, bins, 1, prompts))
    assert accuracy == pytest.approx(640 / 680, abs=0.02)


def test_luck_alone_moves_the_choice_little() -> None:
    truth = world(lambda _: 0.0)
    for seed in range(5):
        accuracy = modelled_accuracies(drawn(truth, 40, seed))
        alike = [PLAIN.index(Plan(strategy="best_of_n", n=plan.n)) for plan in SEARCHES]
        assert np.abs(accuracy[len(PLAIN) :] - accuracy[alike]).max() < 0.05


def test_of_plans_that_do_alike_the_cheapest_is_chosen() -> None:
    flat = np.full((len(PLANS), BINS), 1.0)
    assert chosen(flat, 20, 0) == [0] * BINS


def test_best_of_n_rises_with_n() -> None:
    # 0, 3/4 and 1/4 of many prompts: the two that fall are made one.
    correct = np.array([[0.0] * 4, [1, 1, 1, 0.0], [1, 0, 0, 0.0]]).repeat(200, axis=1)
    accuracy = modelled_accuracies(binned_outcomes(PLAIN[:3], correct, np.zeros(800, int), 1))
    assert accuracy[:, 0] == pytest.approx([0, 0.5, 0.5], abs=0.06)


def test_a_bin_without_prompts_and_best_of_n_alone() -> None:
    correct = np.array([[0.0] * 10 + [1.0] * 10, [1.0] * 20])
    bins = np.repeat([0, 5], 10)
    assert by_advantage(binned_outcomes(PLAIN[:2], correct, bins, 6)) == [1, 0, 0, 0, 0, 0]
