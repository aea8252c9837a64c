"""Figures 6, 7 and 8: revisions, their ratios, and the compute-optimal one (section 6)."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from allocator.plan import Plan
from benchmarks.allocation.family import SeededReplay
from benchmarks.figures.drawing import Figure, Line, Panel, line_of
from benchmarks.figures.findings import Finding, Reproduced, mean_above
from benchmarks.figures.optimal import (
    ORACLE,
    PREDICTED,
    bins_by,
    compute_optimal,
    savings_of,
)
from benchmarks.figures.pools import MAX_N, Samples, powers, ratios, revisions
from benchmarks.figures.search import mean_over, oracle_bins, parts_of, predicted_bins
from calibration.fitting.crossval import most_accurate
from calibration.replay.curves import Curve, interval, plan_curve, resamples
from calibration.report.targets import reported
from calibration.sampling.collect import PromptRecord

PARALLEL, SEQUENTIAL = "parallel", "sequential"
BY_ORM, BY_VOTE = "best-of-N weighted", "majority"
LATE = 32  # attempts from here on are late ones
PAIRED = 16  # length of the chains on which flips of right and wrong are counted
SEVERAL = powers(MAX_N)[2:]
WITH_CHAINS = powers(MAX_N)[1:]  # budgets at which attempts may follow one another


def best_ratios(revised: SeededReplay, budgets: Sequence[int]) -> list[list[Plan]]:
    """In each bin, the most accurate ratio at each budget, of equally accurate ones the one of the
    fewest FLOPs; all prompts take part in the choice, for it is tried on others.
    """
    bins = bins_by(revised.pass_at_1_by_prompt)
    found = []
    for number in range(int(bins.max()) + 1):
        inside, chosen = bins == number, []
        for budget in budgets:
            plans = ratios(budget)
            tried = [revised.outcome(plan, 0) for plan in plans]
            correct = np.array([outcome.correct[inside].ravel() for outcome in tried])
            flops = [outcome.flops[inside].mean() for outcome in tried]
            chosen.append(plans[most_accurate(correct, flops)])
        found.append(chosen)
    return found


def along_chains(record: PromptRecord) -> NDArray[np.float64]:
    """Share of right ones among a prompt's attempts at each place of a chain, shape (64,)."""
    found = np.empty(MAX_N)
    for length in powers(MAX_N):
        # The shortest chains that reach a place are the most numerous.
        right = np.array(record.repeats[0][revisions(MAX_N, length)].correct, dtype=float)
        places = slice(length // 2, length)
        found[places] = right.reshape(-1, length).mean(axis=0)[places]
    return found


def flip_counts(record: PromptRecord) -> NDArray[np.float64]:
    """How often a right attempt is followed by a wrong one, and how many right ones are followed;
    then the same of wrong attempts that a right one follows; shape (4,).
    """
    right = np.array(record.repeats[0][revisions(MAX_N, PAIRED)].correct).reshape(-1, PAIRED)
    before, after = right[:, :-1], right[:, 1:]
    counts = [(before & ~after).sum(), before.sum(), (~before & after).sum(), (~before).sum()]
    return np.array(counts, dtype=float)


def figure_6(samples: Samples) -> Reproduced:
    """pass@1 along a chain; sequential against parallel."""
    replay = samples.revised
    draws = resamples(replay.prompts)
    everyone = np.ones(replay.prompts, dtype=bool)
    along = np.array([along_chains(record) for record in replay.records])
    counts = np.array([flip_counts(record) for record in replay.records])[draws].sum(axis=1)
    places = list(range(1, MAX_N + 1))
    chain = Line(
        "pass@1 of the attempt",
        places,
        [interval(along[draws, place - 1].mean(axis=1)) for place in places],
        banded=True,
    )
    sums = {
        f"{way}, {how}": plan_curve(
            f"{way}, {how}",
            replay,
            [ratios(n)[end].model_copy(update={"selection": selection}) for n in powers(MAX_N)],
        )
        for how, selection in ((BY_ORM, "weighted"), (BY_VOTE, "majority"))
        for way, end in ((PARALLEL, 0), (SEQUENTIAL, -1))
    }
    figure = Figure(
        "F6",
        "Revisions along a chain, and sequential against parallel",
        [
            Panel("all prompts", "attempt of the chain", [chain]),
            Panel("all prompts", "generations", [line_of(c, everyone) for c in sums.values()]),
        ],
        2,
    )
    findings = [
        Finding(
            f"pass@1 rises along a chain (attempts {LATE} to {MAX_N} above the first)",
            mean_above(along[:, LATE - 1 :].mean(axis=1), along[:, 0], everyone, draws),
        ),
        *(
            Finding(
                f"sequential is above parallel from {SEVERAL[0]} to {MAX_N} generations, by {how}",
                mean_above(
                    mean_over(sums[f"{SEQUENTIAL}, {how}"], SEVERAL),
                    mean_over(sums[f"{PARALLEL}, {how}"], SEVERAL),
                    everyone,
                    draws,
                ),
            )
            for how in (BY_ORM, BY_VOTE)
        ),
    ]
    targets = [
        reported(
            "F6: right attempts that a revision turns wrong", interval(counts[:, 0] / counts[:, 1])
        ),
        reported(
            "F6: wrong attempts that a revision turns right", interval(counts[:, 2] / counts[:, 3])
        ),
    ]
    return Reproduced(figure, findings, targets)


def by_length(samples: Samples, budget: int) -> Curve:
    """Accuracy against the length of chains at one budget; `budgets` are the lengths."""
    curve = plan_curve(f"N = {budget}", samples.revised, ratios(budget))
    lengths = tuple(plan.length for plan in ratios(budget))
    return replace(curve, budgets=lengths)


def figure_7(samples: Samples) -> Reproduced:
    """Accuracy against the sequential share, at each budget, over all prompts and by bin."""
    bins = oracle_bins(samples)
    draws = resamples(len(bins))
    curves = [by_length(samples, budget) for budget in WITH_CHAINS]
    parts = parts_of(bins)
    panels = [
        Panel(
            title,
            "attempts in a chain (1: all parallel)",
            [line_of(curve, inside, banded=curve is curves[-1]) for curve in curves],
        )
        for title, inside in parts.items()
    ]
    sequential = np.mean([curve.correct[-1] for curve in curves], axis=0)
    parallel = np.mean([curve.correct[0] for curve in curves], axis=0)

    def chosen(inner: bool) -> NDArray[np.float64]:
        """Accuracy of each prompt by the better of the extremes, or by the best ratio within."""
        found = []
        for budget in SEVERAL:
            every = ratios(budget)
            plans = every[1:-1] if inner else [every[0], every[-1]]
            curve = compute_optimal("", samples.revised, plans, [budget], bins)
            found.append(curve.correct[0])
        return np.asarray(np.mean(found, axis=0))

    over = f"{SEVERAL[0]} to {MAX_N} generations"
    findings = [
        Finding(
            "in the easiest bin all sequential is above all parallel, "
            f"{WITH_CHAINS[0]} to {MAX_N} generations",
            mean_above(sequential, parallel, bins == 0, draws),
        ),
        Finding(
            f"in the harder bins (3 to 5) a balanced ratio is above both extremes, {over}",
            mean_above(chosen(inner=True), chosen(inner=False), bins >= 2, draws),
        ),
    ]
    figure = Figure("F7", "Accuracy against how sequential revisions are", panels, 3)
    return Reproduced(figure, findings)


def figure_8(samples: Samples) -> Reproduced:
    """The compute-optimal ratio in each bin, against all parallel."""
    replay = samples.revised
    draws = resamples(replay.prompts)
    everyone = np.ones(replay.prompts, dtype=bool)
    plans: list[Plan] = [plan for n in powers(MAX_N) for plan in ratios(n)]
    parallel = plan_curve(
        "parallel best-of-N weighted", replay, [ratios(n)[0] for n in powers(MAX_N)]
    )
    curves = [
        parallel,
        compute_optimal(ORACLE, replay, plans, powers(MAX_N), oracle_bins(samples)),
        compute_optimal(PREDICTED, replay, plans, powers(MAX_N), predicted_bins(samples)),
    ]
    finding, savings = savings_of(parallel, curves[1:], draws)
    targets = [reported(f"F8: revisions, {name}", times) for name, times in savings]
    lines = [line_of(curve, everyone, spent=True, banded=True) for curve in curves]
    figure = Figure(
        "F8",
        "Compute-optimal revisions against parallel best-of-N",
        [Panel("all prompts", "average generations per prompt", lines)],
        1,
    )
    return Reproduced(figure, [finding], targets)
