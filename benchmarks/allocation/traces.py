"""Real traces: Qwen3 on three contests, 128 samples per question, votes and lengths alone.

Everything is fitted on two of the benchmarks, with both models' samples, and tested on the third.
Longer solutions are more often wrong, so their votes weigh less. The weights and when to stop are
the only things to learn.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from allocator.schedule import Schedule, Stage
from calibration.data.answer_codes import CORRECT
from calibration.data.sample_log import Log, read_log
from calibration.fitting.gain_model import gains_between_stages
from calibration.replay.adaptive_consistency import adaptive_consistency
from calibration.replay.adaptive_run import AdaptiveRuns, Draw, replay_run
from calibration.replay.budget_replay import curve_of_stops, stopped_at
from calibration.replay.curves import Curve, cost_at, interval, resamples
from calibration.replay.estimators import majority_accuracy
from calibration.report.targets import Interval
from predictors.gain_model import GainEstimator

MODELS = ("Qwen3-1.7B", "Qwen3-0.6B")
MAX_SAMPLES, ORDERS, SEED = 64, 64, 0
PRICES = np.geomspace(2e-5, 0.2, 80)
SCHEDULE = Schedule(
    stages=tuple(
        Stage(samples=n) for n in (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 40, 48, MAX_SAMPLES)
    )
)


@dataclass(frozen=True)
class Traces:
    """Results of one model; curves over all questions, each tested where it was not fitted.

    Attributes:
        wanted: accuracy of uniform majority with 64 samples, exactly.
        uniform: accuracy of uniform majority of each question.
        curves: by name.
    """

    wanted: float
    uniform: NDArray[np.float64]
    curves: dict[str, Curve]


def benchmarks_of(path: Path) -> list[str]:
    """Names of the benchmarks in a file of traces."""
    return sorted(set(pq.read_table(path, columns=["benchmark"])["benchmark"].to_pylist()))


def measure_traces(path: Path, model: str) -> Traces:
    """Leave one benchmark out, three times.

    Args:
        path: the file of traces.
        model: the model whose samples are tested.
    """
    names = benchmarks_of(path)
    logs = {
        (which, name): read_log(path, where={"model": which, "benchmark": name})
        for which in MODELS
        for name in names
    }
    adaptive_runs = {
        (*key, weighted): runs_of(log, weighted)
        for key, log in logs.items()
        for weighted in (False, True)
    }
    curves: dict[str, list[Curve]] = {}
    for name in names:
        for weighted, title in ((True, "votes by length"), (False, "plain votes")):
            train = [adaptive_runs[m, n, weighted] for m in MODELS for n in names if n != name]
            states = np.concatenate([c.states.reshape(-1, *c.states.shape[2:]) for c in train])
            correct = np.concatenate([c.correct.reshape(-1, c.correct.shape[2]) for c in train])
            fitted = GainEstimator(SCHEDULE).fit(states, correct).model_
            test = adaptive_runs[model, name, weighted]
            gains = gains_between_stages(fitted, SCHEDULE, test.states)
            ends = [stopped_at(SCHEDULE, gains, float(price)) for price in PRICES]
            found = [
                curve_of_stops(f"gain model, {title}", SCHEDULE, test, ends),
                adaptive_consistency(f"adaptive consistency, {title}", SCHEDULE, test, weighted),
                curve_of_stops(f"uniform, {title}", SCHEDULE, test, _everywhere(test)),
            ]
            for curve in found:
                curves.setdefault(curve.name, []).append(curve)
    uniform = np.concatenate([exact_majority(logs[model, name]) for name in names])
    joined = {name: _joined(parts) for name, parts in curves.items()}
    return Traces(float(uniform.mean()), uniform, joined)


def runs_of(log: Log, weighted: bool) -> AdaptiveRuns:
    """Adaptive runs of random orders of each question's samples, (questions, orders, stages)."""
    rng = np.random.default_rng(SEED)
    questions, samples = log.answer.shape
    adaptive_runs = AdaptiveRuns.empty(questions, ORDERS, len(SCHEDULE.stages))
    tokens = np.ones_like(log.answer) if log.tokens is None else log.tokens
    # Only the ratio of two weights counts; scores lie in [0, 1].
    weights = 1000 / np.maximum(tokens, 1000) if weighted else np.ones(log.answer.shape)
    for question in range(questions):
        for order in range(ORDERS):
            drawn: list[Draw] = [
                (
                    None if log.answer[question, i] < 0 else str(log.answer[question, i]),
                    float(weights[question, i]),
                    int(tokens[question, i]),
                )
                for i in rng.permutation(samples)[:MAX_SAMPLES]
            ]
            replay_run(adaptive_runs, (question, order), SCHEDULE, 1, str(CORRECT), drawn, {})
    return adaptive_runs


def exact_majority(log: Log) -> NDArray[np.float64]:
    """Accuracy of uniform majority with 64 samples of each question, over all subsets."""
    answer = log.answer
    width = int(answer.max(initial=0)) + 1
    counts = np.array([np.bincount(row[row >= 0], minlength=width) for row in answer])
    silent = (answer < 0).sum(axis=1)
    return majority_accuracy(counts[:, 1:], np.stack([counts[:, 0], silent], axis=1), MAX_SAMPLES)


def _everywhere(adaptive_runs: AdaptiveRuns) -> list[NDArray[np.int64]]:
    return [
        np.full(adaptive_runs.correct.shape[:2], stage) for stage in range(len(SCHEDULE.stages))
    ]


def _joined(parts: Sequence[Curve]) -> Curve:
    first = parts[0]
    return Curve(
        first.name,
        first.budgets,
        np.concatenate([part.correct for part in parts], axis=1),
        np.concatenate([part.generations for part in parts], axis=1),
        np.concatenate([part.tokens for part in parts], axis=1),
        np.concatenate([part.flops for part in parts], axis=1),
    )


def needed(traces: Traces, name: str) -> tuple[Interval, Interval]:
    """Mean samples and tokens for the accuracy of uniform majority at 64, over questions.

    The accuracy is that of the drawn questions, the same on both sides. A draw that does not reach
    it counts as all 64 samples.
    """
    curve = traces.curves[name]
    draws = resamples(curve.correct.shape[1])
    samples, tokens = np.empty(len(draws)), np.empty(len(draws))
    for row, drawn in enumerate(draws):
        correct = curve.correct[:, drawn].mean(axis=1)
        wanted = float(traces.uniform[drawn].mean())
        for spent, into in ((curve.generations, samples), (curve.tokens, tokens)):
            costs = spent[:, drawn].mean(axis=1)
            cost = cost_at(correct, costs, wanted)
            into[row] = cost if np.isfinite(cost) else costs.max()
    return interval(samples), interval(tokens)
