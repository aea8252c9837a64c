"""Figures 6 and 7 on chains whose truth is known."""

from dataclasses import replace

import numpy as np
import pytest

from allocator.flops import ModelSizes
from benchmarks.allocation.family import SeededReplay
from benchmarks.figures.pools import (
    KINDS,
    MAX_N,
    Samples,
    beside,
    chained,
    first_solutions,
    powers,
    ratios,
    revisions,
    runs_of,
)
from benchmarks.figures.revising import (
    along_chains,
    best_ratios,
    figure_6,
    figure_7,
    figure_8,
    flip_counts,
)
from calibration.sampling.collect import PromptRecord
from tests.support.findings import verdicts
from tests.support.samples import SEARCH, chain_run, record, run_of

PROMPTS = 30


def chains_of(prompt: str, chances: np.ndarray, rng: np.random.Generator) -> PromptRecord:
    """Chains of every kind; attempt number i is right with chance i, shape (64,)."""
    searches = {}
    for kind in KINDS:
        drawn = rng.random((kind.n // kind.length, kind.length)) < chances[: kind.length]
        searches[kind] = chain_run(drawn.ravel().tolist())
    return PromptRecord(prompt, "1", 5, chain_run([True]), (searches,))


def samples_of(slope: float) -> Samples:
    """Prompts of every difficulty, whose attempts get better by a slope over a chain's octaves."""
    rng = np.random.default_rng(0)
    records = []
    for i in range(PROMPTS):
        ease = 0.3 + 0.4 * (1 - i / PROMPTS)
        chances = np.clip(ease + slope * np.log2(np.arange(1, MAX_N + 1)), 0, 1)
        solutions = record(f"p{i}", (rng.random(MAX_N) < ease).tolist())
        runs = chained(chains_of(f"p{i}", chances, rng))
        records += beside([solutions], {f"p{i}": runs})
    replay = SeededReplay(records, 16)
    return Samples(replay, replay, replay, replay, replay, replay, replay, replay, {})


def test_ratios_are_cut_from_chains_without_sharing_an_attempt() -> None:
    rng = np.random.default_rng(1)
    runs = chained(chains_of("p", np.full(MAX_N, 0.5), rng))
    assert set(runs) == {plan for n in powers(MAX_N) for plan in ratios(n)}
    for plan, found in runs.items():
        assert len(found) == min(MAX_N // plan.n, 20)
        chains = [sample.chain for run in found for sample in run.samples]
        assert len(chains) == plan.n * len(found)
        counts = np.bincount(np.array(chains, dtype=int))
        assert set(counts[counts > 0]) == {plan.length}, "every chain is in one run alone"
        assert all(run.sampled_tokens == 3 * plan.n for run in found)
        for run in found:
            assert [s.answer == "1" for s in run.samples] == list(run.correct)


def test_a_place_of_a_chain_is_averaged_over_all_chains_that_reach_it() -> None:
    rng = np.random.default_rng(2)
    right = np.arange(MAX_N) % 3 == 0
    chains = chains_of("p", right.astype(float), rng)
    (known,) = beside([record("p", [True])], {"p": chained(chains)})
    np.testing.assert_array_equal(along_chains(known), right)
    # In 4 chains of 16: the first of each three is right, five of six right ones are followed.
    lost, followed, won, wrong = flip_counts(known)
    assert (lost, followed, won, wrong) == (20, 20, 20, 40)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("slope", "first"),
    [(0.08, "holds"), (0.0, "cannot be told apart"), (-0.06, "does not hold")],
)
def test_attempts_that_get_better_are_told_from_those_that_do_not(slope: float, first: str) -> None:
    samples = samples_of(slope)
    rising, weighted, voted = verdicts(figure_6(samples))
    assert rising == first
    assert weighted == voted == first or slope == 0
    easiest, _ = verdicts(figure_7(samples))
    assert easiest != {"holds": "does not hold", "does not hold": "holds"}.get(first)


def test_the_best_ratio_of_a_bin_is_its_most_accurate_then_the_cheapest() -> None:
    one, two, four = ratios(4)
    records = []
    for i in range(PROMPTS):
        hard = i >= PROMPTS // 2
        # Where prompts are hard, chains of two alone are right; elsewhere all are.
        runs = {
            one: [chain_run([not hard] * 4)],
            two: [chain_run([True] * 4)],
            four: [replace(chain_run([not hard] * 4), sampled_tokens=1)],
        }
        records += beside([record(f"p{i}", [not hard] * 16)], {f"p{i}": runs})
    replay = SeededReplay(records, 16, sizes=ModelSizes(model=1))
    assert best_ratios(replay, [4]) == [[four], [two]]


@pytest.mark.slow
def test_parallel_is_matched_with_less_where_attempts_get_better() -> None:
    assert verdicts(figure_8(samples_of(0.1))) == ["holds"]
    assert verdicts(figure_8(samples_of(-0.1))) != ["holds"]


def test_runs_take_turns_and_come_from_several_pools() -> None:
    one = record("p", [True, False], True, False)
    other = replace(one, repeats=({revisions(1, 1): run_of([True])},))
    again = replace(one, repeats=(one.repeats[0], {SEARCH: run_of([False, False], 4)}))
    runs = runs_of([again, other])
    assert {plan: len(of_plan) for plan, of_plan in runs["p"].items()} == {
        SEARCH: 2,
        revisions(1, 1): 1,
    }
    (joined,) = beside([one], runs)
    assert [repeat[SEARCH].correct for repeat in joined.repeats] == [(True, False), (False, False)]
    assert all(repeat[revisions(1, 1)].correct == (True,) for repeat in joined.repeats)


def test_first_solutions_are_the_first() -> None:
    (few,) = first_solutions([record("p", [True, False, True])], 2)
    assert few.independent.correct == (True, False)
    assert len(few.independent.samples) == 2
