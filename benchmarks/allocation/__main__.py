"""What allocation gains, every cost counted, with 95% intervals.

    python -m benchmarks.allocation [--fresh] [--traces FILE]

On 500 held-out prompts of the testbed and five seeds: compute-optimal per prompt, one budget across
prompts with early stopping, each ingredient alone, published rivals, and an upper bound that knows
every prompt. Then a second task, calibrated by the public command alone, and real traces of Qwen3
if their file is given. Samples are read from the repository; ``--fresh`` samples them again.
"""

import argparse
import asyncio
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.allocation.figures import draw_difficulty, draw_methods
from benchmarks.allocation.fresh import (
    ARITHMETIC,
    REWRITING,
    SAMPLING_SEED,
    artifact_of,
    prompt_states,
    resample,
    sizes_of,
)
from benchmarks.allocation.measure import (
    BASELINE,
    ORACLE,
    calibrated,
    compared,
    from_artifact,
    from_calibration,
    ingredients,
    methods,
    predicted_well,
    rivals,
)
from benchmarks.allocation.regressors import REFERENCE
from benchmarks.allocation.traces import MODELS, Traces, measure_traces, needed
from benchmarks.targets import at_least, at_most, show_targets, write_result
from calibration.cli.console import new_table
from calibration.progress import console
from calibration.replay.curves import differences, gain, gains, resamples, summarized
from calibration.replay.policy_curves import predicted
from calibration.replay.ways import PREDICTED, TOTAL
from calibration.report.targets import Interval, Target, reported
from calibration.report.words import UNITS

SHARED = Path(os.environ.get("TTC_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
AT = (16, 64, 256)
NEARLY = 0.005  # half a point
PER_PROMPT, TOGETHER, SAMPLES_NEEDED = 4.0, 8.0, 15.0


def of(
    found: list[dict[str, Any]], method: str, budget: int, unit: str = "generations"
) -> Interval:
    """The gain of one method at one budget."""
    row = next(r for r in found if (r["method"], r["budget"], r["unit"]) == (method, budget, unit))
    return row["value"], row["low"], row["high"]


def best_of(found: list[dict[str, Any]], method: str, at: Iterable[int]) -> tuple[int, Interval]:
    """The budget at which a method gains most, and that gain."""
    budget = max(at, key=lambda b: of(found, method, b)[0])
    return budget, of(found, method, budget)


def show_gains(title: str, found: list[dict[str, Any]], at: Iterable[int]) -> None:
    """Print gains, a table per budget with a row per method."""
    for budget in at:
        shown = new_table(f"{title}, N = {budget}", "method", *UNITS.values())
        for method in dict.fromkeys(row["method"] for row in found):
            cells = []
            for unit in UNITS:
                value, low, high = of(found, method, budget, unit)
                text = f"{value:.1f}" if value > 0 else "not reached"
                cells.append(f"{text} [{low:.1f}, {high:.1f}]")
            shown.add_row(method, *cells)
        console.print(shown)


def arithmetic(out: Path) -> tuple[dict[str, Any], list[Target]]:
    """Measure the testbed's own task."""
    sizes = sizes_of(ARITHMETIC)
    known = ARITHMETIC.calibration(prompt_states(ARITHMETIC, "calibration"), sizes)
    test = ARITHMETIC.test(prompt_states(ARITHMETIC, "test"), sizes)
    made = calibrated(ARITHMETIC, known)
    learned = from_calibration(made)
    pass_at_1 = predicted(test, learned.difficulty)
    curves = [
        *methods(learned, test, ARITHMETIC.budgets, pass_at_1),
        *ingredients(ARITHMETIC, learned, known, test, pass_at_1),
        *rivals(ARITHMETIC, known, made, test, pass_at_1),
    ]
    draws = resamples(test.prompts)
    found = gains(curves[0], curves[1:], AT, draws)
    show_gains("Times less than best-of-N weighted, at its accuracy", found, AT)
    by_name = {curve.name: curve for curve in curves}
    paired = differences(by_name[BASELINE], by_name[PREDICTED], draws)
    below = sum(row["high"] < 0 for row in paired)
    prediction = {
        count: predicted_well(model, pass_at_1(count), test)
        for count, model in learned.difficulty.items()
    }
    summaries = [summarized(curve, draws) for curve in curves]
    draw_methods(summaries, out / "allocation.png", f"{test.prompts} held-out prompts, 5 seeds")
    draw_difficulty(prediction, out / "allocation-difficulty.png")
    near = {
        (name, budget): gain(curves[0], budget, by_name[name], draws, slack=NEARLY)
        for name in (PREDICTED, TOTAL)
        for budget in AT
    }
    single, single_gain = best_of(found, PREDICTED, AT)
    batch, batch_gain = best_of(found, TOTAL, AT)
    targets = [
        at_least(f"{PREDICTED}: gain at {single}", single_gain, PER_PROMPT),
        *(
            reported(f"{name}: gain at {budget}, in {words}", of(found, name, budget, unit))
            for name in (PREDICTED, ORACLE, TOTAL, "bound: every prompt known")
            for budget in AT
            for unit, words in UNITS.items()
        ),
        at_least(f"{TOTAL}: gain at {batch}", batch_gain, TOGETHER),
        *(
            reported(f"{name}: gain at {budget}, within half a point of its accuracy", found_near)
            for (name, budget), found_near in near.items()
        ),
        at_most("budgets at which compute-optimal is significantly below", (below,) * 3, 0),
        at_least("held-out test prompts", (test.prompts,) * 3, 500),
        at_least("seeds", (test.replicates,) * 3, 5),
        *(
            reported(f"difficulty from {count} pilots: {figure}", values)
            for count, figures in prediction.items()
            for figure, values in figures.items()
        ),
    ]
    regressors = compared(known)
    targets += [
        reported(
            f"{row.regressor} from {row.pilots} pilots ({row.inputs}), Spearman minus LightGBM's",
            (row.spearman_gain.value, row.spearman_gain.low, row.spearman_gain.high),
        )
        for row in regressors
        if row.regressor != REFERENCE
    ]
    data = {
        "regressors": [row.model_dump() for row in regressors],
        "prompts": test.prompts,
        "seeds": test.replicates,
        "curves": [summary.model_dump() for summary in summaries],
        "gains": found,
        "differences": paired,
        "nearly": [
            {"method": name, "budget": budget, "value": value, "low": low, "high": high}
            for (name, budget), (value, low, high) in near.items()
        ],
        "table": made.table.model_dump(mode="json"),
        "difficulty": prediction,
    }
    return data, targets


def rewriting(out: Path) -> tuple[dict[str, Any], list[Target]]:
    """The second task, calibrated by ``ttc calibrate``; it was not used in development."""
    learned = from_artifact(artifact_of(REWRITING))
    test = REWRITING.test(prompt_states(REWRITING, "test"), sizes_of(REWRITING))
    budgets = [row.budget for row in learned.table.rows]
    at = budgets[-2:]
    curves = methods(learned, test, budgets, predicted(test, learned.difficulty))
    draws = resamples(test.prompts)
    found = gains(curves[0], curves[1:], at, draws)
    show_gains(f"{REWRITING.name}, calibrated by the public command", found, at)
    summaries = [summarized(curve, draws) for curve in curves]
    draw_methods(
        summaries, out / "allocation-rewriting.png", f"{test.prompts} prompts of rewriting"
    )
    targets = [
        reported(f"rewriting, {name}: gain at {budget}", of(found, name, budget))
        for name in (PREDICTED, TOTAL)
        for budget in at
    ]
    return {
        "prompts": test.prompts,
        "curves": [summary.model_dump() for summary in summaries],
        "gains": found,
    }, targets


def traces(path: Path) -> tuple[dict[str, Any], list[Target]]:
    """Measure real traces."""
    data, targets = {}, []
    for model in MODELS:
        measured: Traces = measure_traces(path, model)
        rows = {}
        for name in measured.curves:
            samples, tokens = needed(measured, name)
            rows[name] = {"samples": samples, "tokens": tokens}
        shown = new_table(
            f"{model}: for the accuracy of uniform majority at 64, {measured.wanted:.3f}",
            *("votes", "mean samples [95%]", "mean tokens"),
        )
        for name, row in rows.items():
            value, low, high = row["samples"]
            shown.add_row(name, f"{value:.1f} [{low:.1f}, {high:.1f}]", f"{row['tokens'][0]:,.0f}")
        console.print(shown)
        data[model] = {"wanted": measured.wanted, "needed": rows}
        name = f"{model}: mean samples for the accuracy of uniform majority at 64"
        best = rows["gain model, votes by length"]["samples"]
        targets.append(
            at_most(name, best, SAMPLES_NEEDED) if model == MODELS[0] else reported(name, best)
        )
    return data, targets


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--fresh", action="store_true", help="draw all samples anew")
    parser.add_argument("--out", type=Path, default=Path("out"))
    parser.add_argument("--traces", type=Path, default=SHARED / "qwen3_samples.parquet")
    args = parser.parse_args()
    started = time.time()
    args.out.mkdir(parents=True, exist_ok=True)
    if args.fresh:
        for family in (ARITHMETIC, REWRITING):
            asyncio.run(resample(family))
    data, targets = arithmetic(args.out)
    second, more = rewriting(args.out)
    result: dict[str, Any] = {"seed": SAMPLING_SEED, "arithmetic": data, "rewriting": second}
    targets += more
    if args.traces.is_file():
        result["traces"], more = traces(args.traces)
        targets += more
    else:
        console.print(f"No traces at {args.traces}: that part is left out.")
    seconds = time.time() - started
    targets.append(at_most("seconds", (seconds,) * 3, 1200))
    show_targets(targets)
    write_result(args.out / "allocation.json", result | {"seconds": seconds}, targets)
    console.print(f"Wrote {args.out / 'allocation.json'} and pictures beside it.")


if __name__ == "__main__":
    main()
