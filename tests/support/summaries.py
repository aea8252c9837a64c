"""Summaries and tables as a calibration would make them, invented here."""

from math import log2
from pathlib import Path

from allocator.plan import Plan
from allocator.table import BudgetRow, Cell, Fingerprint, LookupTable
from calibration.replay.curve_summary import CurvePoint, CurveSummary
from calibration.replay.ways import PREDICTED, PRICE, TOTAL, Way
from calibration.report.bench_result import BenchResult, Findings
from calibration.report.summary import (
    CostSaving,
    Group,
    PredictorSummary,
    Reliability,
    Saving,
    Summary,
)
from calibration.report.words import UNITS
from runtime.artifact import ORACLE_TABLE, SETTINGS, TABLE
from runtime.settings import Settings

BUDGETS = (1, 2, 4, 8, 16, 32, 64)
BETWEEN = (1, 1.41, 2, 2.83, 4, 5.66, 8, 11.31, 16, 22.63, 32, 45.25, 64)
# Where each method starts and how much a doubling of the budget adds to it, by bin.
METHODS = {
    "majority": 0.024,
    "best-of-N, greatest score": 0.03,
    "best-of-N weighted": 0.034,
    "beam search, M = 4": 0.04,
    "compute-optimal, oracle bins": 0.06,
    PREDICTED: 0.052,
}
# Ways that stop early, over all prompts alone.
EARLY = {PRICE: 0.058, TOTAL: 0.056}
STARTS = {"all prompts": 0.56, "bin 1": 0.97, "bin 2": 0.86, "bin 3": 0.62, "bin 4": 0.28}
STARTS |= {"bin 5": 0.04}


def point(budget: float, accuracy: float, spent: float, prompts: int) -> CurvePoint:
    side = 0.9 / prompts**0.5
    low, high = max(0.0, accuracy - side), min(1.0, accuracy + side)
    return CurvePoint(
        budget=budget,
        generations=spent,
        accuracy=accuracy,
        low=low,
        high=high,
        flops=1.25e8 * spent,
    )


def curve(name: str, start: float, prompts: int) -> CurveSummary:
    spares = name.startswith("compute-optimal") or name in EARLY
    slope = (METHODS | EARLY)[name]
    points = [
        point(
            budget,
            start + min(0.99 - start, slope * log2(budget) * 4 * start * (1.05 - start)),
            budget**0.8 if spares else budget,
            prompts,
        )
        for budget in (BETWEEN if name in EARLY else BUDGETS)
    ]
    return CurveSummary(name=name, points=tuple(points))


def saved(way: Way, generations: float, low: float = 2.1, high: float = 6.4) -> Saving:
    """The saving of a way that spends so many generations where the baseline spends 16."""
    times, fewer = 16 / generations, 15 / generations
    tokens = CostSaving(spent=800 / fewer, baseline=800, times=fewer, low=low, high=high)
    return Saving(
        way=way,
        accuracy=0.709,
        generations=generations,
        baseline=16,
        times=times,
        low=low,
        high=high,
        tokens=tokens,
        flops=CostSaving(spent=2e9 / times, baseline=2e9, times=times, low=low, high=high),
    )


def rich_summary(**changes: object) -> Summary:
    """Six methods and those that stop early, five bins, a predictor, a gain and a warning.

    The greatest saving is that of the bins.
    """
    groups = [
        Group(
            name=name,
            prompts=240 if name == "all prompts" else 48,
            easiest=min(1.0, start + 0.1),
            hardest=max(0.0, start - 0.1),
            curves=tuple(
                curve(method, start, 240 if name == "all prompts" else 48)
                for method in (METHODS if name != "all prompts" else METHODS | EARLY)
            ),
        )
        for name, start in STARTS.items()
    ]
    predicted = (0.05, 0.18, 0.35, 0.52, 0.68, 0.81, 0.93, 0.98)
    predictor = PredictorSummary(
        pilots=2,
        rank_correlation=0.86,
        reliability=tuple(
            Reliability(
                predicted=at,
                measured=(measured := min(1.0, at * 0.9 + 0.06)),
                low=max(0.0, measured - 0.08),
                high=min(1.0, measured + 0.08),
                prompts=count,
            )
            for at, count in zip(predicted, (62, 28, 20, 18, 17, 24, 36, 35), strict=True)
        ),
        confusion=(
            (0.66, 0.28, 0.06, 0.0, 0.0),
            (0.25, 0.46, 0.25, 0.04, 0.0),
            (0.07, 0.22, 0.44, 0.2, 0.07),
            (0.02, 0.04, 0.2, 0.5, 0.24),
            (0.0, 0.0, 0.05, 0.26, 0.69),
        ),
    )
    summary = Summary(
        source="calibration.jsonl with models/base, scored by models/prm",
        prompts=240,
        samples=128,
        sampled_tokens=5_312_804,
        groups=tuple(groups),
        predictor=predictor,
        ways=(saved("bins", 4.2), saved("price", 4.4)),
        gain=saved("bins", 4.2),
        warnings=("12 prompts have answers that no sample ever gave: check them.",),
    )
    return summary.model_copy(update=changes)


def no_gain_summary() -> Summary:
    """The same without ways that stop early, and compute-optimal ends below best-of-N weighted."""
    summary = rich_summary(gain=None, ways=())
    everyone = summary.groups[0]
    shorter = [
        c.model_copy(update={"points": c.points[:2]}) if c.name.startswith("compute") else c
        for c in everyone.curves
        if c.name not in EARLY
    ]
    first = everyone.model_copy(update={"curves": tuple(shorter)})
    return summary.model_copy(update={"groups": (first, *summary.groups[1:])})


def beyond_summary() -> Summary:
    """The same with a baseline that more solutions hardly help, so that no saving is counted."""
    summary = rich_summary(baseline="majority", gain=None, ways=())
    everyone = summary.groups[0]
    flat = [
        c.model_copy(update={"points": tuple(point(b, 0.55 + b / 1280, b, 240) for b in BUDGETS)})
        if c.name == "majority"
        else c
        for c in everyone.curves
    ]
    first = everyone.model_copy(update={"curves": tuple(flat)})
    return summary.model_copy(update={"groups": (first, *summary.groups[1:])})


def minimal_summary(**changes: object) -> Summary:
    """One method at one budget, one bin, nothing predicted and nothing gained."""
    curves = (CurveSummary(name="majority", points=(point(1, 0.5, 1, 20),)),)
    everyone = Group(name="all prompts", prompts=20, easiest=1, hardest=0, curves=curves)
    summary = Summary(
        source="answers.jsonl",
        prompts=20,
        samples=1,
        sampled_tokens=900,
        groups=(everyone, everyone.model_copy(update={"name": "bin 1"})),
    )
    return summary.model_copy(update=changes)


def bench_result(**changes: object) -> BenchResult:
    """What ``ttc bench`` might find with the methods and the gain of `rich_summary`."""
    summary = rich_summary()
    curves = [c for c in summary.groups[0].curves if "oracle" not in c.name]
    baseline, policy = summary.baseline, PREDICTED
    points = [
        {
            "name": c.name,
            "points": [p.model_dump() | {"tokens": 51 * p.generations} for p in c.points],
        }
        for c in curves
    ]
    gains = [
        {"method": c.name, "budget": n, "unit": unit, "value": 1.5 + number, "low": 0, "high": 9}
        for number, c in enumerate(curves)
        for n in BUDGETS[3:]
        for unit in UNITS
    ]
    found = Findings.model_validate(
        {
            "prompts": summary.prompts,
            "budgets": BUDGETS,
            "baseline": baseline,
            "policy": policy,
            "way": "bins",
            "easiest": 1,
            "hardest": 0,
            "curves": points,
            "gains": gains,
            "differences": [
                {"budget": n, "value": 0.011 * n, "low": 0, "high": 1} for n in BUDGETS
            ],
            "saving": summary.gain,
        }
    )
    result = BenchResult(
        **dict(found),
        source=summary.source,
        artifact="out/mine",
        fingerprint=FINGERPRINT,
        foreign=(),
        left_out=7,
        resumed=12,
        engine="transformers",
        samples=64,
        searches=("beam search N=4 M=4", "beam search N=8 M=2"),
        sampled_tokens=summary.sampled_tokens,
        seconds=612.0,
        seed=11,
        date="2025-01-31",
        machine="2 cores of a processor",
        python="3.11.2",
        versions={"torch": "2.13.0"},
        targets=found.as_targets(),
    )
    return result.model_copy(update=changes)


def cell(plan: Plan, accuracy: float, prompts: int, pilots: int = 0) -> Cell:
    side = 0.9 / prompts**0.5
    return Cell(
        plan=plan,
        accuracy=accuracy,
        low=max(0, accuracy - side),
        high=min(1, accuracy + side),
        generations=plan.cost(pilots),
        tokens=52.5 * plan.cost(pilots),
        flops=1.5e8 * plan.cost(pilots),
        prompts=prompts,
    )


def rich_table(**changes: object) -> LookupTable:
    """Rows without pilots, then five bins; the last budgets choose alike."""
    best_of, beam = Plan(strategy="best_of_n", n=2), Plan(strategy="beam_search", n=4, beam_width=4)
    wide = Plan(strategy="beam_search", n=8, beam_width=2)
    edges = (0.95, 0.79, 0.47, 0.19)
    five = [(best_of, 0.99), (best_of, 0.95), (beam, 0.84), (beam, 0.52), (best_of, 0.08)]
    more = [*five[:3], (wide, 0.58), (wide, 0.09)]
    rows = [
        BudgetRow(budget=n, pilots=0, edges=(), cells=(cell(plan, accuracy, 240),))
        for n, plan, accuracy in ((1, Plan(strategy="best_of_n", n=1), 0.56), (4, beam, 0.68))
    ]
    rows += [
        BudgetRow(
            budget=n,
            pilots=2,
            edges=edges,
            cells=tuple(cell(plan, accuracy, 48, 2) for plan, accuracy in chosen),
        )
        for n, chosen in ((8, five), (16, more), (32, more), (64, more))
    ]
    table = LookupTable(fingerprint=FINGERPRINT, difficulty="predicted", rows=tuple(rows))
    return table.model_copy(update=changes)


def minimal_table() -> LookupTable:
    """One budget, one plan."""
    row = BudgetRow(
        budget=1, pilots=0, edges=(), cells=(cell(Plan(strategy="best_of_n", n=1), 0.5, 20),)
    )
    return LookupTable(fingerprint=FINGERPRINT, difficulty="predicted", rows=(row,))


def artifact(
    folder: Path, summary: Summary, table: LookupTable, settings: Settings | None = None
) -> Path:
    """An artifact folder with all that a report reads."""
    folder.mkdir(parents=True)
    summary.save(folder)
    table.save(folder / TABLE)
    if settings is not None:
        (folder / SETTINGS).write_text(settings.model_dump_json())
        table.model_copy(update={"difficulty": "oracle"}).save(folder / ORACLE_TABLE)
    return folder


FINGERPRINT = Fingerprint(
    model="b20e4c6bdfed5bb4",
    verifier="4703e6f4ef0bb7ed",
    answers=r"pattern:^#(\d+)$",
    scoring={"intercept": 4.3, "verifier": 0.07, "sqrt_nll": -3.99},
    sampling={"temperature": 1.0, "top_p": 1.0, "max_tokens": 160, "step_end": "\n"},
)
