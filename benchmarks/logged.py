"""What allocation saves on real models' samples, from logs, with one command of the library.

    python -m benchmarks.logged [--data FOLDER]

Three logs: Llama-3.1-8B-Instruct on MATH-500 with the scores of a PRM, and two Qwen3 models on
three contests, without a verifier. `ttc bench --from-logs ... --split 0.5` shuffles the questions
five times (seeds 0 to 4); each time both halves are tested, each by a calibration on the other.
Then the ingredients one by one, on the same splits of the first log: by which score votes are
weighted, and what ends a prompt.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import matplotlib

matplotlib.use("Agg")

import numpy as np
from numpy.typing import NDArray

from allocator.errors import ModelError
from allocator.plan import Plan
from allocator.schedule import Schedule, schedule_of
from benchmarks.figure import COLOURS, spending_axes
from benchmarks.targets import at_least, bounded, show_targets, write_result
from calibration.bench_logs import pooled, splits
from calibration.data.sample_log import Log, read_log
from calibration.fitting.gain_model import gains_between_stages
from calibration.fitting.log_scoring import fit_log_scoring, log_scores
from calibration.progress import console, progress
from calibration.replay.adaptive_consistency import adaptive_consistency
from calibration.replay.adaptive_run import AdaptiveRuns
from calibration.replay.budget_replay import PRICES, curve_of_stops, price_curve
from calibration.replay.curves import Curve, plan_curve, resamples
from calibration.replay.log_replay import LoggedReplay
from calibration.replay.saving_rows import SHARES, saving_row, saving_rows
from calibration.replay.ways import WAYS
from calibration.report.targets import Interval, Target, reported
from predictors.gain_model import GainEstimator

DATA = Path(os.environ.get("TTC_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))
OUT = Path("out")
SPLIT, SEEDS = 0.5, range(5)
SCORES = ("score", "score_min", "score_prod")
BUDGETS = (1, 2, 4, 8, 16)
TARGET, LOW_TARGET = 3.0, 2.0  # of the saving, and of the low end of its interval

# Each log: its file, the options of the command that name it, and N of the baseline.
LOGS: Mapping[str, tuple[str, tuple[str, ...], int]] = {
    "Llama-3.1-8B": (
        "llama_math_prm.parquet",
        ("--columns", f"score={','.join(SCORES)}", "--budgets", ",".join(map(str, BUDGETS))),
        16,
    ),
    "Qwen3-1.7B": ("qwen3_samples.parquet", ("--where", "model=Qwen3-1.7B"), 64),
    "Qwen3-0.6B": ("qwen3_samples.parquet", ("--where", "model=Qwen3-0.6B"), 64),
}


def command(name: str) -> list[str]:
    """The command that measures a log, without the folder of the data."""
    file, options, _ = LOGS[name]
    split = ["--split", str(SPLIT), "--splits", str(len(SEEDS))]
    return ["ttc", "bench", "--from-logs", file, *options, *split]


def benched(name: str, data: Path) -> dict[str, Any]:
    """``bench.json`` of the command on a log.

    Raises:
        ModelError: the command fails.
    """
    with TemporaryDirectory() as folder:
        _, _, source, file, *options = command(name)
        run = [sys.executable, "-m", "calibration.cli", "bench", source, str(data / file)]
        done = subprocess.run([*run, *options, "--out", folder], capture_output=True, text=True)
        if done.returncode:
            raise ModelError("ttc bench", done.stdout + done.stderr)
        found: dict[str, Any] = json.loads((Path(folder) / "bench.json").read_text())
    return found


def weighings(train: Log, test: Log) -> Iterator[tuple[str, Any, NDArray[np.float64]]]:
    """Ways to weigh votes: name, scores of the calibration questions, and of the test questions."""
    for name, column in (("last step", "score"), ("product of steps", "score_prod")):
        yield name, train.scores.values[column], test.scores.values[column]
    if (found := fit_log_scoring(train)) is not None:
        yield "fitted score", found.held_out, log_scores(found.scoring, test)


def ingredients(train: Log, test: Log) -> list[Curve]:
    """Each weighing with each rule of stopping, fitted on one half and run on the other."""
    plans = [Plan(strategy="best_of_n", n=n) for n in BUDGETS]
    found = []
    for name, known, scores in weighings(train, test):
        fitted_on, replay = LoggedReplay(train, known), LoggedReplay(test, scores)
        schedule = schedule_of(replay.window)
        learnt, runs = fitted_on.adaptive_runs(schedule), replay.adaptive_runs(schedule)
        flat = learnt.states.reshape(-1, *learnt.states.shape[2:])
        correct = learnt.correct.reshape(len(flat), -1)
        gain_model = GainEstimator(schedule).fit(flat, correct).model_
        promised = gains_between_stages(gain_model, schedule, runs.states)
        confident = f"{name}; until the leader is sure"
        found += [
            plan_curve(f"{name}; the same number for all", replay, plans),
            adaptive_consistency(confident, schedule, runs, weighted=True),
            price_curve(f"{name}; until more gains too little", schedule, runs, promised),
            known_curves(f"{name}; each question's curve known (bound)", schedule, runs),
        ]
    return found


def known_curves(name: str, schedule: Schedule, runs: AdaptiveRuns) -> Curve:
    """Each question at its own best number of samples, as if its accuracy at each were known."""
    costs, accuracy = np.array(schedule.costs, dtype=float), runs.correct.mean(axis=1)
    shape = runs.correct.shape[:2]
    best = [(accuracy - price * costs).argmax(axis=1) for price in PRICES]
    ends = [np.broadcast_to(stages[:, None], shape) for stages in best]
    return curve_of_stops(name, schedule, runs, ends)


def ablation(log: Log) -> list[dict[str, Any]]:
    """The savings of all ingredients over best-of-N weighted by the last step, N = 16."""
    parts = []
    each = list(splits(len(log.answer), SPLIT, list(SEEDS)))
    with progress("Ingredients", len(each)) as done:
        for train, test in each:
            parts.append((test, ingredients(log.take(train), log.take(test))))
            done(None)
    tested, curves = pooled(parts, len(log.answer))
    draws = resamples(len(tested))
    return saving_rows(curves[0], curves, [16], draws)


def saving(found: dict[str, Any], budget: int, unit: str, share: float = 1.0) -> Interval:
    """The saving of a result's own way over its baseline."""
    return bounded(saving_row(found["gains"], found["policy"], budget, unit, share))


def draw(results: Mapping[str, dict[str, Any]], path: Path) -> None:
    """Accuracy against generations, a panel per log."""
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, len(results), figsize=(15, 5), layout="constrained")
    for axes, (name, found) in zip(panels, results.items(), strict=True):
        colours = iter(COLOURS[1:5])
        for curve in found["curves"]:
            own, plain = curve["name"] == found["policy"], curve["name"] == found["baseline"]
            if not own and curve["name"] in WAYS.values():
                continue  # one way to spend is enough to see
            points = sorted(curve["points"], key=lambda point: point["generations"])
            spent = [point["generations"] for point in points]
            colour = COLOURS[5] if own else COLOURS[0] if plain else next(colours)
            right = [point["accuracy"] for point in points]
            axes.plot(spent, right, color=colour, lw=2.4 if own or plain else 1.2)
            axes.plot([], [], color=colour, label=curve["name"])
        top = LOGS[name][2]
        spending_axes(axes, f"{name}, {found['prompts']} questions", int(np.log2(top)))
        axes.set_xlim(0.95, 1.05 * top)
        axes.legend(frameon=False, loc="lower right", fontsize=8)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _target(name: str, found: Interval, which: tuple[str, float]) -> Target:
    """The saving in samples at the whole accuracy has a target, for its interval too."""
    if which != ("generations", 1.0):
        return reported(name, found)
    target = at_least(name, found, TARGET)
    return target.model_copy(update={"met": bool(target.met and target.low >= LOW_TARGET)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the logs")
    data = parser.parse_args().data
    results, started = {}, time.time()
    for name in LOGS:
        with console.status(f"{name}: {' '.join(command(name))}"):
            results[name] = benched(name, data)
    file, _, top = LOGS["Llama-3.1-8B"]
    parts = ablation(read_log(data / file, {"score": SCORES}))
    llama = results["Llama-3.1-8B"]
    targets = []
    for share in SHARES:
        at = "at its accuracy" if share == 1 else f"at {share:.0%} of the way to it"
        for unit, words in (("generations", "samples"), ("tokens", "tokens")):
            name = f"Llama-3.1-8B: times fewer {words} than {llama['baseline']}, N = {top}, {at}"
            targets.append(_target(name, saving(llama, top, unit, share), (unit, share)))
    commands = {name: " ".join(command(name)) for name in LOGS}
    content = {"commands": commands, "logs": results, "ingredients": parts}
    write_result(OUT / "logged.json", content | {"seconds": time.time() - started}, targets)
    draw(results, OUT / "logged.png")
    show_targets(targets)


if __name__ == "__main__":
    main()
