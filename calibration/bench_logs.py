"""Measure what an artifact gains on logged questions that it has not seen, without a model."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from allocator.errors import InputError
from allocator.plan import Plan
from allocator.schedule import Schedule, Stage, schedule_of
from allocator.table import LookupTable
from calibration.bench import (
    BASELINE,
    baseline_among,
    baseline_notes,
    compute_optimal,
    findings_of,
    stopping_early,
)
from calibration.data.questions import MIN_PROMPTS
from calibration.data.sample_log import Log
from calibration.fitting.log_scoring import log_scores
from calibration.from_logs import fit_log
from calibration.replay.adaptive_consistency import CONFIDENCES, adaptive_consistency
from calibration.replay.curves import Curve, majority_curve, plan_curve
from calibration.replay.log_replay import LoggedReplay
from calibration.replay.thinking_curve import measured_thinking
from calibration.replay.ways import CHOSEN, WAYS, Way
from calibration.report.bench_result import Findings
from calibration.report.summarise import FITTED, NAMES, stronger_baseline
from calibration.unseen import check_several
from runtime.artifact import FittedPolicy

CONSISTENCY = "adaptive consistency, majority"
WEIGHTED_CONSISTENCY = "adaptive consistency, fitted score"
# Adaptive consistency decides after every sample up to this one, then at the schedule's stages.
ONE_BY_ONE = 16
NO_THINKING = (
    "The policy over thoughts is not measured by --split: calibrate on some of the questions, and "
    "measure on others with --artifact."
)
# How far 1 / (1 - share) may be from a whole number: 0.67 means two of three parts.
ROUNDING = 0.05


@dataclass(frozen=True)
class LogFindings:
    """What was measured on a log.

    Attributes:
        findings: the figures.
        table: the rows measured; of several tables the first.
        notes: what readers should know of how it was measured.
    """

    findings: Findings
    table: LookupTable
    notes: tuple[str, ...] = ()


def measure_log(
    log: Log,
    policy: FittedPolicy,
    table: LookupTable,
    way: Way | None = None,
    n_jobs: int | None = -1,
    baseline: str | None = None,
    baseline_score: str | None = None,
) -> LogFindings:
    """Measure every method on the questions of a log.

    Args:
        log: questions that the policy has not seen.
        policy: the policy of an artifact.
        table: the rows of its table to measure; those beyond the samples per question are left out.
        way, baseline: see `calibration.bench.measure`; without a logged score, majority stands in
            for best-of-N weighted.
        n_jobs: see `calibration.replay.parallel`.
        baseline_score: the logged score that weighs the votes of best-of-N weighted; the first
            where the log lacks it.

    Raises:
        InputError: a single question, fewer samples per question than the smallest budget, or the
            log lacks a score that the policy weighs, or the thoughts that its policy over depth
            needs.
    """
    check_several("from-logs", len(log.answer))
    table = _without_larger_budgets(table, log)
    if baseline_score not in log.scores.values:
        baseline_score = next(iter(log.scores.values), None)
    curves = log_curves(log, policy, table, baseline_score, n_jobs)
    notes: list[str] = []
    if policy.thinking is not None:
        if log.thoughts is None:
            raise InputError(
                "from-logs",
                log.name,
                "the artifact's policy over thinking tokens needs the columns probes and "
                "probe_every, or thinking_tokens; remove its thinking.json to test the rest",
            )
        of_thoughts, notes = measured_thinking(log.thoughts, policy.thinking, n_jobs)
        curves += of_thoughts
    plain = baseline_among(curves, baseline)
    found = _found(log, np.arange(len(log.answer)), curves, plain, table, way, n_jobs)
    return replace(found, notes=(*notes, *found.notes))


def measure_splits(
    log: Log,
    share: float,
    seeds: Sequence[int],
    budgets: Sequence[int],
    pilots: Sequence[int],
    n_bins: int,
    n_jobs: int | None = -1,
    done: Callable[[object], None] = lambda _: None,
) -> LogFindings:
    """Calibrate on a part of a log and measure on the rest, repeatedly.

    Each part of the questions is spent on in the way that its own calibration found the cheapest
    (the most accurate, where it counted no saving). All are compared with one baseline, the one
    that is the more accurate on the calibrations' questions.

    Args:
        log: the samples.
        share: share of the questions that each calibration gets, see `splits`.
        seeds: one shuffle of the questions each.
        budgets, pilots, n_bins, n_jobs: see `calibration.from_logs.fit_log`.
        done: called after each part was measured.

    Raises:
        InputError: a share that leaves too few questions to calibrate or to test on, or a
            calibration without a correct sample; else as `calibration.from_logs.fit_log`.
    """
    count = len(log.answer)
    check_share(share, count)
    divided = list(splits(count, share, seeds))
    _check_solved(log, share, [train for train, _ in divided])
    parts, ways, tables = [], [], []
    scores: Counter[str | None] = Counter()
    reached: Counter[str] = Counter()  # accuracies of the baselines, summed over calibrations
    for train, test in divided:
        fitted = fit_log(
            log.take(train), budgets=budgets, pilots=pilots, n_bins=n_bins, n_jobs=n_jobs
        )
        table = _without_larger_budgets(fitted.calibration.table, log)
        score = fitted.baseline_score
        curves = log_curves(log.take(test), fitted.fitted_policy, table, score, n_jobs)
        way = fitted.cheapest
        parts.append((test, [*curves, as_chosen(curves, way)]))
        ways.append(way)
        for curve in baseline_curves(fitted.log, [table.rows[-1].budget], score, n_jobs):
            reached[curve.name] += curve.correct.sum()
        scores[score] += 1
        tables.append(table)
        done(None)
    tested, curves = pooled(parts, count)
    plain = stronger_baseline(reached)
    notes = [NO_THINKING] if log.thoughts is not None else []
    if len(log.scores.values) > 1:
        times = ", ".join(f"{score} {scores[score]}" for score in log.scores.values)
        notes.append(f"The score of {BASELINE}, as each calibration chose it: {times}.")
    most = max(WAYS, key=lambda way: ways.count(way))
    if ways.count(most) == len(ways):
        found = _found(log, tested, curves[:-1], plain, tables[0], most, n_jobs)
        return replace(found, notes=(*notes, *found.notes))
    found = _found(log, tested, curves, plain, tables[0], most, n_jobs, CHOSEN)
    times = ", ".join(f"{way} {ways.count(way)}" for way in WAYS if way in ways)
    note = f"The cheapest way by each calibration: {times}."
    return replace(found, notes=(note, *notes, *found.notes))


def as_chosen(curves: Sequence[Curve], way: Way) -> Curve:
    """The curve of a way, at the average budgets that the ways that stop early have."""
    by_name = {curve.name: curve for curve in curves}
    own, budgets = by_name[WAYS[way]], by_name[WAYS["price"]].budgets
    # A table has rows for some budgets only: the largest within the budget counts.
    rows = np.maximum(0, np.searchsorted(own.budgets, budgets, side="right") - 1)
    spent = own.generations[rows], own.tokens[rows], own.flops[rows]
    return Curve(CHOSEN, budgets, own.correct[rows], *spent)


def check_share(share: float, questions: int) -> None:
    """Check the share of a log's questions that calibration gets.

    Raises:
        InputError: it leaves too few questions on either side.
    """
    if not 0 < share < 1:
        raise InputError("split", share, "must be a share between 0 and 1, such as 0.5")
    least = min(round(questions * share), round(questions * (1 - share)))
    if least < MIN_PROMPTS:
        raise InputError(
            "split",
            share,
            f"of {questions} questions it leaves {least} on one side; at least {MIN_PROMPTS} are "
            "needed to calibrate, and to test",
        )


def _check_solved(log: Log, share: float, trained: Sequence[NDArray[np.int64]]) -> None:
    """Check that each calibration gets a correct sample, before the first one takes its time.

    A log without any is left to `calibration.from_logs.fit_log`.

    Args:
        log: the samples.
        share: share of the questions that each calibration gets.
        trained: the questions of each calibration, by their indices.

    Raises:
        InputError: a calibration would get none.
    """
    solved = np.asarray(log.correct.any(axis=1))
    without = sum(not solved[train].any() for train in trained)
    if without and solved.any():
        raise InputError(
            "split",
            share,
            f"only {solved.sum()} of {len(solved)} questions have a correct sample, and "
            f"{without} of {len(trained)} calibrations would get none of these; use a log with "
            "more of them, or a larger share",
        )


def splits(
    count: int, share: float, seeds: Sequence[int]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Questions to calibrate on and questions to test on, by their indices.

    Each seed shuffles the questions. If parts of `1 - share` of them make up the whole, each part
    is tested: of 0.5 both halves, of 0.8 all five fifths. Of other shares one part is.

    Args:
        count: number of questions.
        share: share of them to calibrate on.
        seeds: one shuffle each.
    """
    parts = count_parts(share)
    for seed in seeds:
        shuffled = np.random.default_rng(seed).permutation(count)
        tested = np.array_split(shuffled, parts)
        for test in tested if parts > 1 else [shuffled[: round(count * (1 - share))]]:
            yield np.setdiff1d(shuffled, test), np.sort(test)


def count_parts(share: float) -> int:
    """How many parts of the questions each shuffle tests, if calibration gets a share of them."""
    parts = 1 / (1 - share)
    return round(parts) if abs(parts - round(parts)) < ROUNDING else 1


def log_curves(
    log: Log,
    policy: FittedPolicy,
    table: LookupTable,
    baseline_score: str | None,
    n_jobs: int | None,
) -> list[Curve]:
    """Every method on a log: baselines without and with the fitted score, and the three ways."""
    budgets = sorted({1, *(row.budget for row in table.rows)})
    plans = [Plan(strategy="best_of_n", n=n) for n in budgets]
    counted = LoggedReplay(log, None, n_jobs=n_jobs)
    curves = baseline_curves(log, budgets, baseline_score, n_jobs)
    window = counted.window
    one_by_one = {*range(1, min(ONE_BY_ONE, window) + 1), *schedule_of(window).costs}
    every = Schedule(stages=tuple(Stage(samples=n) for n in sorted(one_by_one)))
    stopped = [adaptive_consistency(CONSISTENCY, every, counted.adaptive_runs(every))]
    fitted = counted
    if policy.scoring is not None:
        fitted = LoggedReplay(log, log_scores(policy.scoring, log), n_jobs=n_jobs)
        curves.append(plan_curve(FITTED, fitted, plans))
        runs = fitted.adaptive_runs(every)
        stopped.append(adaptive_consistency(WEIGHTED_CONSISTENCY, every, runs, weighted=True))
    top = min(fitted.window, policy.prices.schedule.costs[-1])
    return [
        *curves,
        *(replace(curve, budgets=CONFIDENCES) for curve in stopped),  # they have no budgets
        compute_optimal(fitted, policy, table),
        *stopping_early(fitted, policy, [*budgets, top]),
    ]


def baseline_curves(
    log: Log, budgets: Sequence[int], score: str | None, n_jobs: int | None
) -> list[Curve]:
    """Majority, and best-of-N weighted by a logged score where there is one."""
    counted = LoggedReplay(log, None, n_jobs=n_jobs)
    curves = [majority_curve(NAMES["majority"], counted, budgets)]
    if score is not None:
        logged = LoggedReplay(log, log.scores.probabilities(score), n_jobs=n_jobs)
        plans = [Plan(strategy="best_of_n", n=n) for n in budgets]
        curves.append(plan_curve(BASELINE, logged, plans))
    return curves


def pooled(
    parts: Sequence[tuple[NDArray[np.int64], Sequence[Curve]]], count: int
) -> tuple[NDArray[np.int64], list[Curve]]:
    """Curves over all questions: each question's mean over the parts that it was tested in.

    Args:
        parts: indices of the questions of each part, and their curves, the same methods each time.
        count: number of questions.

    Returns:
        Indices of the questions that were tested, ascending, and the curves over these.
    """
    times = np.zeros(count)
    for test, _ in parts:
        times[test] += 1
    tested = np.flatnonzero(times)
    found = []
    for curves in zip(*(curves for _, curves in parts), strict=True):
        sums: Mapping[str, NDArray[np.float64]] = {
            unit: np.zeros((len(curves[0].budgets), count))
            for unit in ("correct", "generations", "tokens", "flops")
        }
        for (test, _), curve in zip(parts, curves, strict=True):
            for unit, total in sums.items():
                total[:, test] += getattr(curve, unit)
        means = {unit: total[:, tested] / times[tested] for unit, total in sums.items()}
        found.append(replace(curves[0], **means))
    return tested, found


def _without_larger_budgets(table: LookupTable, log: Log) -> LookupTable:
    """The table without the rows whose budgets the log has too few samples for.

    Raises:
        InputError: no row is left.
    """
    rows = tuple(row for row in table.rows if row.budget <= log.window)
    if not rows:
        raise InputError(
            "from-logs",
            log.name,
            f"it has {log.window} samples per question, and the smallest budget of the table is "
            f"{table.rows[0].budget}",
        )
    return table.model_copy(update={"rows": rows})


def _found(
    log: Log,
    tested: NDArray[np.int64],
    curves: Sequence[Curve],
    baseline: str,
    table: LookupTable,
    way: Way | None,
    n_jobs: int | None,
    policy: str | None = None,
) -> LogFindings:
    right = (log.correct.sum(1) / log.sizes)[tested]
    budgets = [row.budget for row in table.rows]
    findings = findings_of(curves, baseline, budgets, right, way, n_jobs, policy)
    return LogFindings(findings, table, baseline_notes(findings))
