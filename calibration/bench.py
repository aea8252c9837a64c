"""Measure what an artifact gains on prompts that it has not seen.

The paper's comparison (sections 5.3 and 6.2) on the user's model: compute-optimal allocation and
its alternatives at every budget of the artifact's table, on the same samples.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from allocator.errors import InputError
from allocator.flops import ModelSizes
from allocator.plan import FIXED_BEAM_WIDTH, Plan
from allocator.schedule import Schedule
from allocator.table import LookupTable
from calibration.fitting.fit import searches_among
from calibration.fitting.gain_model import gains_between_stages
from calibration.replay.budget_replay import averages_between, early_stopping_curves
from calibration.replay.curves import (
    Curve,
    differences_at_cost,
    majority_curve,
    plan_curve,
    resamples,
    summarized,
)
from calibration.replay.estimators import best_of_n_accuracy
from calibration.replay.outcomes import Outcomes
from calibration.replay.policy_curves import exact_curve, policy_curve, predicted
from calibration.replay.replay import Replay
from calibration.replay.saving_rows import saving_rows
from calibration.replay.ways import PREDICTED, WAYS, Way
from calibration.report.bench_result import Findings
from calibration.report.savings import largest_saving, savings
from calibration.report.summarise import BEAM_SEARCH, NAMES
from calibration.sampling.collect import PlanRun, PromptRecord, Work, in_order
from calibration.sampling.collectors import LocalCollector
from calibration.sampling.resume import SampleStore
from predictors.scoring import Scoring
from runtime.artifact import FittedPolicy
from runtime.models import Models
from runtime.request import RequestSettings

BASELINE = NAMES["weighted"]


def table_for(table: LookupTable, budgets: Sequence[int]) -> LookupTable:
    """The table's rows at the given budgets; all rows if none is given.

    Raises:
        InputError: a budget without a row in the table.
    """
    calibrated = [row.budget for row in table.rows]
    for budget in budgets:
        if budget not in calibrated:
            names = ", ".join(map(str, calibrated))
            raise InputError("budgets", budget, f"the artifact was calibrated for {names}")
    rows = tuple(row for row in table.rows if not budgets or row.budget in budgets)
    return table.model_copy(update={"rows": rows})


def beam_plan(budget: int) -> Plan:
    """The plan of the beam search curve: M = 4, or the whole budget if that is less."""
    if budget == 1:
        return Plan(strategy="best_of_n", n=1)
    width = min(FIXED_BEAM_WIDTH, budget)
    return Plan(strategy="beam_search", n=budget - budget % width, beam_width=width)


def schedule_within(schedule: Schedule, samples: int) -> Schedule:
    """The schedule's stages of no more than so many independent solutions."""
    return Schedule(stages=tuple(stage for stage in schedule.stages if stage.samples <= samples))


def work_of(
    tables: Sequence[LookupTable], scoring: Scoring, seed: int, schedule: Schedule | None = None
) -> Work:
    """What to sample of every prompt to measure the given tables.

    Args:
        tables: tables with the same budgets.
        scoring: how solutions are scored.
        seed: seed of all sampling.
        schedule: the schedule of `stopping_early`, if that is to be measured.
    """
    budgets = [row.budget for row in tables[0].rows]
    plans = {beam_plan(budget) for budget in budgets}
    plans |= {plan for table in tables for plan in table.plans}
    if schedule is not None:
        plans |= {*schedule.searches}
    return Work(budgets[-1], tuple(searches_among(plans)), scoring, seed)


def reads_states(table: LookupTable) -> bool:
    """Whether a row predicts bins from the prompt alone, which reads the model's state."""
    return any(row.edges and not row.pilots for row in table.rows)


async def sample(
    table: LookupTable,
    prompts: Sequence[tuple[str, str]],
    work: Work,
    store: SampleStore,
    open_models: Callable[[], AbstractAsyncContextManager[Models]],
    settings: RequestSettings,
    done: Callable[[PromptRecord | None], None] = lambda _: None,
    n_jobs: int | None = -1,
    sizes: ModelSizes | None = None,
) -> Replay:
    """Sample what the store does not hold yet.

    If it holds everything, models are loaded only where the table reads the language model's state
    after each prompt: states are not stored.

    Args:
        table: the table to measure.
        prompts: (prompt, right answer) pairs.
        work: what to sample of each.
        store: keeps what was sampled.
        open_models: loads the models, for as long as its block lasts.
        settings: how solutions are sampled.
        done: called with each prompt's record; with None for those that were there.
        n_jobs: cores of the replay, and of `measure`; see `calibration.replay.parallel`.
        sizes: of the models, by which FLOPs are counted; None where they are unknown.

    Returns:
        A replay of the records.

    Raises:
        InputError, ModelError: as `calibration.sampling.collect.collect`.
    """
    states = None
    if store.missing(prompts) or reads_states(table):
        async with AsyncExitStack() as stack:
            models = await stack.enter_async_context(open_models())
            collector = LocalCollector(models, settings, stack.aclose)
            await store.fill(collector, prompts, work, done)
            if reads_states(table):
                states = await collector.states([prompt for prompt, _ in prompts])
    else:
        for _ in prompts:
            done(None)
    records = in_order(store.records(), prompts)
    return Replay(records, work.samples, states=states, n_jobs=n_jobs, sizes=sizes)


def baselines(replay: Replay, budgets: Sequence[int]) -> list[Curve]:
    """The baselines, each with one plan for all prompts: majority, best-of-N by the greatest score
    and weighted, beam search with M = 4.
    """
    best_of_n = [Plan(strategy="best_of_n", n=n) for n in budgets]
    beams = plan_curve(BEAM_SEARCH, replay, [beam_plan(budget) for budget in budgets])
    return [
        majority_curve(NAMES["majority"], replay, budgets),
        exact_curve(NAMES["best"], replay, budgets, _greatest_score),
        plan_curve(BASELINE, replay, best_of_n),
        # Its number of beams is a multiple of M, so it may cost less than the budget.
        replace(beams, budgets=tuple(budgets)),
    ]


def _greatest_score(run: PlanRun, n: int) -> float:
    """Accuracy of plain best-of-n, exact over all subsets; `select` has the same rule."""
    # Samples without an answer lose to any that has one.
    scores = [-1.0 if sample.answer is None else sample.score for sample in run.samples]
    return float(best_of_n_accuracy(scores, run.correct, n))


def compute_optimal(replay: Outcomes, artifact: FittedPolicy, table: LookupTable) -> Curve:
    """The table's plan for each prompt's predicted bin, pilots counted (section 3.2)."""
    return policy_curve(PREDICTED, replay, table, predicted(replay, artifact.difficulty))


def stopping_early(
    replay: Outcomes, artifact: FittedPolicy, budgets: Iterable[int]
) -> tuple[Curve, Curve]:
    """The curves by price and within one total, with points between the budgets too.

    By price, each prompt stops at the price at which calibration spent the budget on average; see
    `runtime.solving.solve.Solver.solve_at_price`. What is spent here may differ. Within one total,
    all prompts share it; see `runtime.solving.solve.Solver.solve_all`.
    """
    schedule = schedule_within(artifact.prices.schedule, replay.window)
    adaptive_runs = replay.adaptive_runs(schedule)
    promised = gains_between_stages(artifact.gain_model, schedule, adaptive_runs.states)
    averages = averages_between(budgets)
    return early_stopping_curves(schedule, artifact.prices, adaptive_runs, promised, averages)


def measure(
    replay: Replay,
    artifact: FittedPolicy,
    table: LookupTable,
    way: Way | None = None,
    baseline: str | None = None,
) -> Findings:
    """Measure every method at every budget, and the saving of one way to spend.

    Savings are measured at the upper half of the budgets: at the lowest there is nothing to save.

    Args:
        replay: samples of the prompts, as `work_of` specifies them; measured on its `n_jobs`.
        artifact: the artifact to measure.
        table: the rows of its table to measure.
        way: the way that the artifact's calibration leads with, see
            `calibration.report.methods.leading_way`; choosing it by these prompts would favour
            it. None if that is unknown: the saving is then that of the bins.
        baseline: the method that calibration compares the ways with, see
            `calibration.report.methods.stored_baseline`; choosing it by these prompts would, too,
            depend on them. None, or one that is not measured, is best-of-N weighted.
    """
    budgets = [row.budget for row in table.rows]
    searches = [(beam_plan(budget), 0) for budget in budgets]
    best_of_n = [(Plan(strategy="best_of_n", n=n), 0) for n in budgets]
    replay.prepare([*searches, *best_of_n], [row.pilots for row in table.rows if row.edges])
    by_bins = compute_optimal(replay, artifact, table)
    early = stopping_early(replay, artifact, budgets)
    right = np.array([np.mean(record.independent.correct) for record in replay.records])
    # Savings near the baseline's accuracy are a share of the way to it from one sample's.
    curves = [*baselines(replay, sorted({1, *budgets})), by_bins, *early]
    return findings_of(curves, baseline_among(curves, baseline), budgets, right, way, replay.n_jobs)


def baseline_among(curves: Sequence[Curve], stored: str | None) -> str:
    """The baseline that calibration stored, or best-of-N weighted, or else majority.

    Args:
        curves: the methods that are measured, majority among them.
        stored: name of the stored baseline; None if it is unknown.
    """
    names = {curve.name for curve in curves}
    wanted = (stored, BASELINE, NAMES["majority"])
    return next(name for name in wanted if name is not None and name in names)


def baseline_notes(findings: Findings) -> tuple[str, ...]:
    """A note where majority is more accurate than the baseline at the largest budget."""
    largest = findings.budgets[-1]
    at_largest = {
        curve.name: point.accuracy
        for curve in findings.curves
        if (point := curve.at(largest)) is not None
    }
    majority, plain = at_largest[NAMES["majority"]], at_largest[findings.baseline]
    if majority <= plain:
        return ()
    return (
        f"At {largest} generations per prompt majority is more accurate than {findings.baseline} "
        f"here, {majority:.1%} to {plain:.1%}: compared with majority, the savings and gains would "
        "be smaller.",
    )


def findings_of(
    curves: Sequence[Curve],
    baseline: str,
    budgets: Sequence[int],
    right: NDArray[np.float64],
    way: Way | None,
    n_jobs: int | None,
    policy: str | None = None,
) -> Findings:
    """What curves of the same prompts show: accuracies, savings, and that of one way.

    Args:
        curves: every method, the ways to spend among them.
        baseline: name of the curve that others are compared with.
        budgets: the measured budgets of the table, ascending.
        right: each prompt's share of right solutions, shape (prompts,).
        way: as `measure` has it.
        n_jobs: see `calibration.replay.parallel`.
        policy: name of the curve whose saving it is; None is that of the way.
    """
    by_name = {curve.name: curve for curve in curves}
    plain, chosen = by_name[baseline], by_name[policy or WAYS[way or "bins"]]
    draws = resamples(len(right))
    upper = budgets[len(budgets) // 2 :]
    return Findings.model_validate(
        {
            "prompts": len(right),
            "budgets": budgets,
            "baseline": baseline,
            "policy": chosen.name,
            "way": way,
            "easiest": right.max(),
            "hardest": right.min(),
            "curves": [summarized(curve, draws) for curve in curves],
            "gains": saving_rows(plain, curves, upper, draws, n_jobs),
            # A baseline may start at a smaller budget than the table, whose ways do not.
            "differences": differences_at_cost(plain.restricted_to(budgets), chosen, draws),
            "saving": largest_saving(savings(plain, {way or "bins": chosen}, n_jobs)),
        }
    )
