"""One task family: its calibration, and every method on its test prompts."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from allocator.curves import AccuracyCurves
from allocator.plan import Plan
from allocator.price import PriceList
from allocator.schedule import schedule_of
from allocator.table import Fingerprint, LookupTable
from benchmarks.allocation.family import Family, SeededReplay, grid
from benchmarks.allocation.methods import (
    AVERAGES,
    adaptive_pilots,
    bound,
    shared_by_bin,
)
from benchmarks.allocation.pool import rescored
from benchmarks.allocation.predictors import Compared, PromptInputs, compare
from benchmarks.allocation.rivals import concave_by, first_uncertainty
from benchmarks.testbed.measure import calibration_error
from calibration.fitting.fit import Calibration, fit
from calibration.fitting.gain_model import fit_gain_model, gains_between_stages
from calibration.new_artifact import fitted_policy
from calibration.replay.adaptive_consistency import adaptive_consistency
from calibration.replay.budget_replay import price_curve, shared_budget_curve
from calibration.replay.curve_summary import CurveSummary
from calibration.replay.curves import (
    Curve,
    averaged,
    interval,
    plan_curve,
    resamples,
    summarized,
)
from calibration.replay.policy_curves import PassAt1, policy_curve
from calibration.replay.replay import Replay
from calibration.replay.ways import PREDICTED, PRICE, TOTAL
from calibration.report.summary import Summary
from calibration.report.targets import Interval
from predictors.difficulty import DifficultyModel
from predictors.gain_model import GainModel
from runtime.artifact import Artifact, FittedPolicy

PILOTS, BINS = (0, 1, 2, 4, 8), 5
BASELINE = "best-of-N weighted"
ORACLE = "compute-optimal, oracle bins"
INTERVAL = 0.9
# Regressors are compared on this number of calibration prompts, a realistic one for users.
COMPARED, COMPARED_REPLICATES = 400, 4


@dataclass(frozen=True)
class CalibrationResult:
    """The results of a calibration, run here or by the public command.

    Attributes:
        table: over predicted difficulty.
        oracle_table: over oracle difficulty.
        difficulty: models by number of pilots.
        curves: accuracy of every plan in every bin.
        prices: the schedule, and the result of each price.
        gain_model: predicts the gain of more solutions.
        compared: number of pilots that every prompt with pilots has.
        efficient: budgets of the table that none of the others makes pointless on average, judged
            on the calibration prompts; see `CurveSummary.efficient`.
    """

    table: LookupTable
    oracle_table: LookupTable
    difficulty: dict[int, DifficultyModel]
    curves: AccuracyCurves
    prices: PriceList
    gain_model: GainModel
    compared: int
    efficient: frozenset[float]

    def bought(self, curves: Sequence[Curve]) -> list[Curve]:
        """The curves as somebody uses them who pays for the average: of the table's budgets, the
        efficient ones alone.
        """
        return [
            curve.restricted_to(self.efficient) if curve.name == PREDICTED else curve
            for curve in curves
        ]


def from_calibration(calibration: Calibration, calibration_replay: Replay) -> CalibrationResult:
    """The results of a calibration in this process, on these prompts."""
    shape = calibration_replay.prompts, calibration_replay.replicates
    held_out = averaged(
        PREDICTED,
        [fitted.row.budget for fitted in calibration.rows],
        [fitted.outcome(shape) for fitted in calibration.rows],
        [fitted.costs.reshape(shape) for fitted in calibration.rows],
    )
    return _result(
        fitted_policy(calibration),
        calibration.oracle_table,
        summarized(held_out, resamples(calibration_replay.prompts)),
    )


def from_artifact(artifact: Artifact) -> CalibrationResult:
    """The results in an artifact of ``ttc calibrate``."""
    everyone = Summary.load(artifact.folder).groups[0]
    (held_out,) = (curve for curve in everyone.curves if curve.name == PREDICTED)
    return _result(artifact, artifact.oracle_table(), held_out)


def _result(
    policy: FittedPolicy, oracle_table: LookupTable, held_out: CurveSummary
) -> CalibrationResult:
    return CalibrationResult(
        policy.policy.table,
        oracle_table,
        policy.difficulty,
        policy.curves,
        policy.prices,
        policy.gain_model,
        policy.drift_baseline.pilots,
        held_out.efficient(),
    )


def calibrated(family: Family, replay: Replay) -> Calibration:
    """A calibration on the family's calibration prompts."""
    fingerprint = Fingerprint(model=family.name, verifier="", answers="", sampling={})
    return fit(replay, grid, family.budgets, PILOTS, BINS, fingerprint)


def methods(
    result: CalibrationResult, test: SeededReplay, budgets: Sequence[int], pass_at_1: PassAt1
) -> list[Curve]:
    """Methods that need an artifact alone, on the test prompts; the baseline first."""
    plain = [Plan(strategy="best_of_n", n=n) for n in budgets]
    oracle = np.repeat(test.pass_at_1_by_prompt[:, None], test.replicates, axis=1)
    schedule = result.prices.schedule
    adaptive_runs = test.adaptive_runs(schedule)
    gains = gains_between_stages(result.gain_model, schedule, adaptive_runs.states)
    curves = [
        plan_curve(BASELINE, test, plain),
        plan_curve("majority", test, [_by_votes(plan) for plan in plain]),
        policy_curve(PREDICTED, test, result.table, pass_at_1),
        policy_curve(ORACLE, test, result.oracle_table, lambda _: oracle),
        adaptive_pilots(
            "predicted bins, adaptive pilots",
            test,
            result.table,
            result.difficulty,
            pass_at_1,
            result.compared,
        ),
    ]
    return [
        *curves,
        price_curve(PRICE, schedule, adaptive_runs, gains),
        shared_budget_curve(TOTAL, schedule, adaptive_runs, gains, AVERAGES),
    ]


def ingredients(
    family: Family,
    result: CalibrationResult,
    calibration_replay: Replay,
    test: SeededReplay,
    pass_at_1: PassAt1,
) -> list[Curve]:
    """Each ingredient alone: sharing a budget by bins, without updates from samples; stopping once
    settled; early stopping and sharing without searches.
    """
    by_bins = [
        shared_by_bin(
            f"one total by bins, {pilots} pilot{'s' * (pilots != 1)}",
            test,
            result.curves.after(pilots),
            pass_at_1(pilots),
        )
        for pilots in (0, 1, 2)
    ]
    schedule = schedule_of(family.window)
    adaptive_runs = test.adaptive_runs(schedule)
    gain_model = fit_gain_model([(schedule, calibration_replay.adaptive_runs(schedule))]).gain_model
    gains = gains_between_stages(gain_model, schedule, adaptive_runs.states)
    return [
        *by_bins,
        adaptive_consistency(
            "settled alone (Beta, weighted)", schedule, adaptive_runs, weighted=True
        ),
        price_curve("price, samples only", schedule, adaptive_runs, gains),
        shared_budget_curve("one total, samples only", schedule, adaptive_runs, gains, AVERAGES),
    ]


def rivals(
    family: Family,
    calibration: Calibration,
    calibration_replay: Replay,
    test: SeededReplay,
    pass_at_1: PassAt1,
) -> list[Curve]:
    """Published rivals on the same samples, and the upper bound that knows every prompt."""
    from_prompts = calibration.difficulty[0].predicted.reshape(calibration_replay.prompts, -1)
    schedule = schedule_of(family.window)
    return [
        adaptive_consistency(
            "rival: adaptive consistency",
            schedule,
            voted(test).adaptive_runs(schedule),
            weighted=False,
        ),
        concave_by(
            "rival: greedy by the prompt alone",
            calibration_replay,
            test,
            from_prompts,
            pass_at_1(0),
            0,
            family.window,
        ),
        concave_by(
            "rival: concave by the first sample's uncertainty",
            calibration_replay,
            test,
            first_uncertainty(calibration_replay),
            first_uncertainty(test),
            1,
            family.window,
        ),
        bound("bound: every prompt known", test, grid(family.window, 0)),
    ]


def compared(calibration_replay: Replay) -> list[Compared]:
    """LightGBM and alternatives to it as difficulty predictor, on the same folds."""
    few, states = calibration_replay.records[:COMPARED], calibration_replay.states
    replay = Replay(few, calibration_replay.window, COMPARED_REPLICATES)
    prompt = None
    if states is not None:
        prompt = PromptInputs(replay.features(0)[:, 0], states[: len(few)])
    return compare(replay, PILOTS if prompt is not None else PILOTS[1:], prompt)


def _by_votes(plan: Plan) -> Plan:
    return plan.model_copy(update={"selection": "majority"})


def voted(test: SeededReplay) -> SeededReplay:
    """The same test prompts with every score 1, by no verifier."""
    sizes = test.sizes and test.sizes.model_copy(update={"verifier": 0})
    alone = [replace(record, repeats=({},)) for record in test.records]
    return SeededReplay(rescored(alone, lambda _: 1.0), test.each, sizes=sizes)


def predicted_well(
    model: DifficultyModel, values: NDArray[np.float64], test: SeededReplay
) -> dict[str, Interval]:
    """Quality of predicted difficulty on the test prompts, against fresh samples.

    Args:
        model: model for one number of pilots.
        values: its predictions, shape (prompts, seeds).
        test: the test prompts.
    """
    fresh = test.fresh_pass_at_1
    bounds = model.distribution.interval(values, INTERVAL)
    # pass@1 measured on finitely many samples is noisy; the intervals, fitted on measurements of
    # the same kind, include that noise.
    inside = (bounds[..., 0] <= fresh) & (fresh <= bounds[..., 1])
    draws = resamples(test.prompts)[:501]

    def over(figure: object, of: Sequence[NDArray[np.float64]]) -> Interval:
        return interval(np.array([figure(*(a[d].ravel() for a in of)) for d in draws]))  # type: ignore[operator]

    return {
        "spearman": over(lambda p, f: spearmanr(p, f).statistic, (values, fresh)),
        "calibration error": over(calibration_error, (values, fresh)),
        "coverage": over(lambda i: i.mean(), (inside.astype(float),)),
        "width": over(lambda w: w.mean(), (bounds[..., 1] - bounds[..., 0],)),
    }
