"""What allocation gains, every cost counted, with 95% intervals.

    python -m benchmarks.allocation [--fresh] [--traces FILE]

On 500 held-out prompts of the testbed and five seeds: compute-optimal per prompt, one budget across
prompts with early stopping, each ingredient alone, published rivals, and an upper bound that knows
every prompt. Then a second task, calibrated by the public command alone, and real traces of Qwen3
if their file is given. Samples are read from the repository; ``--fresh`` samples them again.
"""

import argparse
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
    calibrated,
    compared,
    from_artifact,
    from_calibration,
    ingredients,
    methods,
    predicted_well,
    rivals,
)
from benchmarks.allocation.traces import MODELS, Traces, measure_traces, needed
from benchmarks.pages.tables import saving
from benchmarks.targets import at_least, at_most, bounded, show_targets, write_result
from calibration.cli.console import new_table
from calibration.progress import console
from calibration.replay.curves import differences, resamples, summarized
from calibration.replay.policy_curves import predicted
from calibration.replay.saving_rows import SHARES, saving_row, saving_rows
from calibration.replay.ways import PREDICTED, TOTAL
from calibration.report.targets import Target, reported
from calibration.report.words import UNITS

SHARED = Path(os.environ.get("TTC_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
AT = (16, 64, 256)
GOAL = 64  # budget of best-of-N at whose accuracy the savings have goals
# The goal of each method, in generations, and that of its interval's low end.
GOALS = {PREDICTED: (4.0, 2.0), TOTAL: (8.0, 4.0)}


def show_savings(title: str, found: list[dict[str, Any]], at: Iterable[int]) -> None:
    """Print savings, a table per budget with a row per method."""
    for share in SHARES:
        for budget in at:
            shown = new_table(f"{title}, {_place(budget, share)}", "method", *UNITS.values())
            for method in dict.fromkeys(row["method"] for row in found):
                cells = (saving(saving_row(found, method, budget, unit, share)) for unit in UNITS)
                shown.add_row(method, *cells)
            console.print(shown)


def _place(budget: int, share: float) -> str:
    """Where a saving is measured, in words."""
    near = "" if share == 1 else f"{share:.0%} of the way to "
    return f"at {near}the accuracy of N = {budget}"


def saving_targets(found: list[dict[str, Any]]) -> list[Target]:
    """The savings at `GOAL`: in generations against their goals, and in the other units."""
    targets = []
    for share in SHARES:
        for method, (goal, low_goal) in GOALS.items():
            for unit, words in UNITS.items():
                times = bounded(saving_row(found, method, GOAL, unit, share))
                name = f"{method}: times fewer {words}, {_place(GOAL, share)}"
                if unit == "generations":
                    targets.append(at_least(name, times, goal))
                    targets.append(at_least(f"{name}: low end", (times[1],) * 3, low_goal))
                else:
                    targets.append(reported(name, times))
    return targets


def arithmetic(out: Path) -> tuple[dict[str, Any], list[Target]]:
    """Measure the testbed's own task."""
    sizes = sizes_of(ARITHMETIC)
    calibration_replay = ARITHMETIC.calibration(prompt_states(ARITHMETIC, "calibration"), sizes)
    test = ARITHMETIC.test(prompt_states(ARITHMETIC, "test"), sizes)
    calibration = calibrated(ARITHMETIC, calibration_replay)
    result = from_calibration(calibration, calibration_replay)
    pass_at_1 = predicted(test, result.difficulty)
    curves = [
        *methods(result, test, ARITHMETIC.budgets, pass_at_1),
        *ingredients(ARITHMETIC, result, calibration_replay, test, pass_at_1),
        *rivals(ARITHMETIC, calibration, calibration_replay, test, pass_at_1),
    ]
    draws = resamples(test.prompts)
    bought = result.bought(curves)
    found = saving_rows(bought[0], bought[1:], AT, draws)
    show_savings("Times less than best-of-N weighted", found, AT)
    by_name = {curve.name: curve for curve in curves}
    paired = differences(by_name[BASELINE], by_name[PREDICTED], draws)
    below = sum(row["high"] < 0 for row in paired)
    prediction = {
        count: predicted_well(model, pass_at_1(count), test)
        for count, model in result.difficulty.items()
    }
    summaries = [summarized(curve, draws) for curve in curves]
    draw_methods(
        [summarized(curve, draws) for curve in bought],
        out / "allocation.png",
        f"{test.prompts} held-out prompts, 5 seeds",
    )
    draw_difficulty(prediction, out / "allocation-difficulty.png")
    targets = [
        *saving_targets(found),
        at_most(
            "budgets at which compute-optimal is significantly below best-of-N", (below,) * 3, 0
        ),
        at_least("held-out test prompts", (test.prompts,) * 3, 500),
        at_least("seeds", (test.replicates,) * 3, 5),
    ]
    data = {
        "regressors": [row.model_dump() for row in compared(calibration_replay)],
        "prompts": test.prompts,
        "seeds": test.replicates,
        "curves": [summary.model_dump() for summary in summaries],
        "efficient": sorted(result.efficient),
        "gains": found,
        "differences": paired,
        "table": calibration.table.model_dump(mode="json"),
        "difficulty": prediction,
    }
    return data, targets


def rewriting(out: Path) -> dict[str, Any]:
    """The second task, calibrated by ``ttc calibrate``; it was not used in development."""
    result = from_artifact(artifact_of(REWRITING))
    test = REWRITING.test(prompt_states(REWRITING, "test"), sizes_of(REWRITING))
    budgets = [row.budget for row in result.table.rows]
    at = budgets[-2:]
    curves = methods(result, test, budgets, predicted(test, result.difficulty))
    draws = resamples(test.prompts)
    bought = result.bought(curves)
    found = saving_rows(bought[0], bought[1:], at, draws)
    show_savings(f"{REWRITING.name}, calibrated by the public command", found, at)
    summaries = [summarized(curve, draws) for curve in curves]
    draw_methods(
        [summarized(curve, draws) for curve in bought],
        out / "allocation-rewriting.png",
        f"{test.prompts} prompts of rewriting",
    )
    return {
        "prompts": test.prompts,
        "curves": [summary.model_dump() for summary in summaries],
        "efficient": sorted(result.efficient),
        "gains": found,
    }


def traces(path: Path) -> dict[str, Any]:
    """Measure real traces."""
    data = {}
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
    return data


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
            resample(family)
    data, targets = arithmetic(args.out)
    result: dict[str, Any] = {
        "seed": SAMPLING_SEED,
        "arithmetic": data,
        "rewriting": rewriting(args.out),
    }
    if args.traces.is_file():
        result["traces"] = traces(args.traces)
    else:
        console.print(f"No traces at {args.traces}: that part is left out.")
    seconds = time.time() - started
    show_targets(targets)
    write_result(args.out / "allocation.json", result | {"seconds": seconds}, targets)
    console.print(f"Wrote {args.out / 'allocation.json'} and pictures beside it.")


if __name__ == "__main__":
    main()
