"""Calibration from logs, on samples whose truth is known.

    python -m benchmarks.calibration

``ttc calibrate --from-logs`` runs on a million synthetic samples in its own process, with time and
peak memory measured; every estimator is compared with the true accuracy of the model that made the
samples; the coverage of 95% intervals is counted over many data sets; and calibration is timed on
one core and on all, from the log and from the testbed's samples. About six minutes on 2 cores.
Writes out/calibration.json.
"""

import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy.stats import beta

from allocator.plan import Plan, Selection
from benchmarks.allocation.fresh import ARITHMETIC
from benchmarks.allocation.measure import calibrated
from benchmarks.targets import at_most, between, show_targets, write_result
from calibration.data.answer_codes import CORRECT, UNANSWERED
from calibration.data.log_scores import LoggedScores
from calibration.data.sample_log import Log
from calibration.progress import console, progress
from calibration.replay.intervals import accuracy_interval, mean_interval
from calibration.replay.log_replay import LoggedReplay
from calibration.replay.parallel import jobs_of
from calibration.replay.replay import REPLICATES, Replay
from calibration.report.targets import Interval, Target, reported

QUESTIONS, SAMPLES = 7813, 128  # a million and 64 rows
SELECTIONS: tuple[Selection, ...] = ("weighted", "majority", "best")
SIZES = (1, 4, 16, 64)
FRESH = 24  # sets of fresh samples per question, which give the true accuracy
REPEATS, REPEAT_QUESTIONS, REPEAT_SAMPLES, REPEAT_SIZE = 1000, 300, 32, 8
FITTED = 64  # the testbed's largest budget
POPULATION = 300_000  # questions, for the true accuracy that intervals should contain

# Shares of each wrong answer, and of no answer, among a question's wrong samples.
WRONG = np.array([0.4, 0.2, 0.12, 0.1, 0.08, 0.05, 0.02])
SILENT = 1 - WRONG.sum()


def difficulties(count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Chances of a right sample: many questions are easy, many are hard."""
    return rng.beta(0.8, 0.8, count)


def drawn(pass_at_1: NDArray[np.float64], samples: int, rng: np.random.Generator) -> Log:
    """Draw samples of questions; the verifier's scores have an AUC of 0.8."""
    shape = (len(pass_at_1), samples)
    right = rng.random(shape) < pass_at_1[:, None]
    wrong = rng.choice([*range(1, len(WRONG) + 1), UNANSWERED], size=shape, p=[*WRONG, SILENT])
    answer = np.where(right, CORRECT, wrong)
    score = np.where(right, rng.beta(4, 2.5, shape), rng.beta(2.5, 4, shape))
    scores = LoggedScores({"score": score})
    return Log("synthetic", "", answer, scores, rng.lognormal(5, 0.4, shape), 0)


def replays(log: Log, replicates: int = REPLICATES) -> tuple[LoggedReplay, LoggedReplay]:
    """Replays by the score, and by counted votes, for which majority has a closed form."""
    return LoggedReplay(log, log.scores.first, replicates), LoggedReplay(log, None, replicates)


def write(log: Log, path: Path) -> None:
    """Write the log as a file of rows."""
    question = np.repeat(np.arange(len(log.answer)), log.answer.shape[1])
    names = np.array(["right", *(f"wrong{i}" for i in range(1, len(WRONG) + 1)), ""])
    columns = {
        "question": pa.array(question).cast(pa.string()),
        "answer": names[log.answer.ravel()],
        "correct": log.correct.ravel(),
        "score": log.scores.values["score"].ravel(),
        "tokens": log.tokens.ravel().astype(int) if log.tokens is not None else None,
    }
    pq.write_table(pa.table(columns), path)


def timed(log: Log, n_jobs: int = -1) -> tuple[float, float]:
    """Seconds and peak gigabytes of the command on the log."""
    with TemporaryDirectory() as folder:
        path, out = Path(folder) / "log.parquet", Path(folder) / "artifact"
        write(log, path)
        command = [
            sys.executable,
            "-m",
            "calibration.cli",
            "calibrate",
            "--from-logs",
            str(path),
            "--n-jobs",
            str(n_jobs),
        ]
        started = time.perf_counter()
        subprocess.run([*command, "--out", str(out)], check=True, capture_output=True)
        seconds = time.perf_counter() - started
    return seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6


def seconds_by_jobs(log: Log, on_all: float) -> dict[str, dict[str, float]]:
    """Seconds of calibration on one core and on all: of the command on the log, which takes
    `on_all` on all, and of `fit` on the testbed's 1,200 prompts.
    """
    records = ARITHMETIC.calibration(None).records
    fits = {}
    for n_jobs in (1, -1):
        replay = Replay(records, FITTED, n_jobs=n_jobs)
        started = time.perf_counter()
        calibrated(replace(ARITHMETIC, window=FITTED), replay)
        fits[str(n_jobs)] = time.perf_counter() - started
    return {"log": {"1": timed(log, 1)[0], "-1": on_all}, "testbed": fits}


def estimates(
    log: Log, sizes: Sequence[int] = SIZES
) -> dict[tuple[Selection, int], NDArray[np.float64]]:
    """Every estimator's accuracy on every question at every size."""
    scored, plain = replays(log)
    return {
        (selection, n): (plain if selection == "majority" else scored)
        .outcome(Plan(strategy="best_of_n", n=n, selection=selection), 0)
        .correct.mean(1)
        for selection in SELECTIONS
        for n in sizes
    }


def truths(
    pass_at_1: NDArray[np.float64], rng: np.random.Generator
) -> dict[tuple[Selection, int], NDArray[np.float64]]:
    """The true accuracies from fresh samples: the first n of each set, evaluated once."""
    sums: dict[tuple[Selection, int], NDArray[np.float64]] = {}
    with progress("Fresh samples", FRESH) as done:
        for _ in range(FRESH):
            log = drawn(pass_at_1, 2 * max(SIZES), rng)
            scored, plain = replays(log, 1)
            for selection in SELECTIONS:
                for n in SIZES:
                    plan = Plan(strategy="best_of_n", n=n, selection=selection)
                    replay = plain if selection == "majority" else scored
                    # With a pilot, samples are taken in order: there is no closed form.
                    correct = replay.outcome(plan, 1).correct[:, 0]
                    sums[selection, n] = sums.get((selection, n), 0.0) + correct
            done(None)
    return {key: total / FRESH for key, total in sums.items()}


def coverage(rng: np.random.Generator) -> dict[Selection, float]:
    """Share of 95% intervals, over data sets, that contain the accuracy over all questions."""

    def accuracies(pass_at_1: NDArray[np.float64]) -> dict[Selection, NDArray[np.float64]]:
        found = estimates(drawn(pass_at_1, REPEAT_SAMPLES, rng), (REPEAT_SIZE,))
        return {selection: found[selection, REPEAT_SIZE] for selection in SELECTIONS}

    true = {key: value.mean() for key, value in accuracies(difficulties(POPULATION, rng)).items()}
    held = dict.fromkeys(SELECTIONS, 0)
    questions = np.arange(REPEAT_QUESTIONS)
    with progress("Data sets", REPEATS) as done:
        for _ in range(REPEATS):
            found = accuracies(difficulties(REPEAT_QUESTIONS, rng))
            for selection, values in found.items():
                _, low, high = accuracy_interval(values, questions)
                held[selection] += bool(low <= true[selection] <= high)
            done(None)
    return {selection: count / REPEATS for selection, count in held.items()}


def share_interval(share: float) -> Interval:
    """A share of the data sets with its 95% interval (Jeffreys)."""
    count = share * REPEATS
    low, high = beta.ppf([0.025, 0.975], count + 0.5, REPEATS - count + 0.5)
    return share, float(low), float(high)


def main() -> None:
    rng = np.random.default_rng(0)
    pass_at_1 = difficulties(QUESTIONS, rng)
    log = drawn(pass_at_1, SAMPLES, rng)
    with console.status(f"Calibrating on {log.answer.size:,} samples"):
        seconds, gigabytes = timed(log)
    found, true = estimates(log), truths(pass_at_1, rng)
    targets: list[Target] = [
        at_most("seconds for a million samples", (seconds,) * 3, 60),
        at_most("peak gigabytes for a million samples", (gigabytes,) * 3, 4),
    ]
    questions = np.arange(QUESTIONS)
    for selection, n in found:
        error = mean_interval(found[selection, n] - true[selection, n], questions)
        targets.append(reported(f"error of {selection} at n = {n}, in accuracy", error))
    targets += [
        between(f"coverage of 95% intervals, {selection}", share_interval(share), 0.93, 0.97)
        for selection, share in coverage(rng).items()
    ]
    show_targets(targets)
    with console.status("Calibrating on one core and on all"):
        by_jobs = seconds_by_jobs(log, seconds)
    data = {
        "samples": log.answer.size,
        "questions": QUESTIONS,
        "repeats": REPEATS,
        "seed": 0,
        "cores": jobs_of(-1),
        "seconds_by_jobs": by_jobs,
    }
    write_result(Path("out/calibration.json"), data, targets)


if __name__ == "__main__":
    main()
