"""Fitting on AIME 2024, and what the fitted policy does on other contests."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from allocator.errors import InputError
from allocator.schedule import Schedule, Stage
from calibration.data.sample_log import read_log
from calibration.data.table_io import open_rows
from calibration.data.thoughts import Thoughts, joined
from calibration.fitting.thinking import FittedThinking, fit_thinking
from calibration.fitting.thinking_search import STAGES
from calibration.replay.adaptive_consistency import CONFIDENCES, adaptive_consistency
from calibration.replay.adaptive_run import AdaptiveRuns
from calibration.replay.curves import Curve, resamples
from calibration.replay.thinking_curve import BY_PRICE, policy_runs, price_curve
from calibration.replay.thinking_run import ThinkingRuns, thinking_runs
from predictors.thinking_state import STATE_NAMES
from predictors.vote_state import VOTE_STATE_NAMES

FITTED_ON, REPORTED = "aime24", ("aime25", "hmmt25")
SHUFFLES = 100
# Every second logged probe is used. With a probe every 500, 1,000, 2,000, 4,000 and 8,000 tokens,
# held-out questions of AIME 2024 were right in 61.8, 61.9, 61.8, 61.7 and 61.6% of cases, averaged
# over the price curve: fewer probes cost less, and tell later when an answer came up.
PROBE_EVERY = 1000
UNIFORM, CONSISTENT, OWN = "self-consistency", "adaptive consistency", BY_PRICE
# From where all thoughts are worth their tokens to where a second one hardly ever is.
PRICES = tuple(float(price) for price in np.geomspace(3e-10, 3e-5, 60))

# The file of each model's samples on each benchmark.
Sources = Mapping[tuple[str, str], Path]


@dataclass(frozen=True)
class Measured:
    """What was measured of one model.

    Attributes:
        benchmarks: what it was measured on.
        curves: the methods: `UNIFORM`, `CONSISTENT`, `OWN`.
        draws: bootstrap draws of the questions, within each benchmark; the first is all of them.
    """

    benchmarks: tuple[str, ...]
    curves: dict[str, Curve]
    draws: NDArray[np.int64]


def sources_of(paths: Iterable[Path]) -> dict[tuple[str, str], Path]:
    """The first file that has samples of a model on a benchmark, for each such pair.

    Raises:
        InputError: no such file, or one without these columns.
    """
    found: dict[tuple[str, str], Path] = {}
    for path in paths:
        rows = open_rows(str(path), "file")
        for column in ("model", "benchmark"):
            if column not in rows.columns:
                raise InputError("file", str(path), f"it must have a column {column!r}")
        for _, row in rows.read(["model", "benchmark"]):
            found.setdefault((str(row["model"]), str(row["benchmark"])), path)
    return found


def thoughts_of(path: Path, model: str, benchmark: str) -> tuple[Thoughts, tuple[str, ...]]:
    """The thoughts of a model on a benchmark, and its questions' names.

    Raises:
        InputError: the file has no probes; else as `calibration.data.sample_log.read_log`.
    """
    log = read_log(path, where={"model": model, "benchmark": benchmark})
    if log.thoughts is None:
        raise InputError("file", str(path), "it must have the columns probes and probe_every")
    return log.thoughts.every(PROBE_EVERY), log.questions


def fitted(sources: Sources, n_jobs: int) -> FittedThinking:
    """The policy, fitted on `FITTED_ON` of all models together.

    Raises:
        InputError: no file has samples of it.
    """
    models = [model for model, benchmark in sources if benchmark == FITTED_ON]
    if not models:
        raise InputError("file", FITTED_ON, "one file must have this benchmark, to fit on")
    parts = [thoughts_of(sources[model, FITTED_ON], model, FITTED_ON) for model in models]
    names = [name for _, questions in parts for name in questions]
    owners = [model for model, (_, questions) in zip(models, parts, strict=True) for _ in questions]
    return fit_thinking(joined([thoughts for thoughts, _ in parts]), names, owners, n_jobs)


def measured(
    sources: Sources, model: str, benchmarks: Sequence[str], known: FittedThinking, n_jobs: int
) -> Measured:
    """Every method on a model's samples of some benchmarks."""
    parts = [thoughts_of(sources[model, name], model, name)[0] for name in benchmarks]
    thoughts = joined(parts)
    runs = policy_runs(known.policy, thoughts, SHUFFLES, n_jobs)
    own = price_curve(OWN, known.policy, runs, PRICES)
    # The baselines take whole thoughts without probes, and count votes.
    plain = thoughts.unprobed().at_cap(None)
    ones = np.ones(plain.answer.shape)
    counted = thinking_runs([plain], [ones], STAGES, SHUFFLES, n_jobs)
    curves = {UNIFORM: _uniform(counted), CONSISTENT: _consistent(counted), OWN: own}
    return Measured(tuple(benchmarks), curves, _draws([len(part.answer) for part in parts]))


def _draws(sizes: Sequence[int]) -> NDArray[np.int64]:
    """Bootstrap draws of several sets of questions, each resampled by itself."""
    starts = np.cumsum([0, *sizes])
    return np.hstack([starts[i] + resamples(size, seed=i) for i, size in enumerate(sizes)])


def _uniform(runs: ThinkingRuns) -> Curve:
    """The same number of whole thoughts for every question, by majority."""
    correct, tokens = (values[:, :, 0].mean(axis=1).T for values in (runs.correct, runs.tokens))
    samples = np.broadcast_to(np.array(STAGES, dtype=float)[:, None], correct.shape)
    return Curve(UNIFORM, STAGES, correct, samples, tokens, np.zeros(tokens.shape))


def _consistent(runs: ThinkingRuns) -> Curve:
    """Adaptive consistency on the same runs, at each of its confidences."""
    of = dict(zip(STATE_NAMES, np.moveaxis(runs.states[:, :, 0], -1, 0), strict=True))
    states = np.zeros((*runs.correct[:, :, 0].shape, len(VOTE_STATE_NAMES)))
    states[..., VOTE_STATE_NAMES.index("leader_mass")] = of["leader"]
    states[..., VOTE_STATE_NAMES.index("other_mass")] = of["rival"]
    schedule = Schedule(stages=tuple(Stage(samples=n) for n in STAGES))
    tokens = runs.tokens[:, :, 0]
    voted = AdaptiveRuns(states, runs.correct[:, :, 0], tokens, np.zeros(tokens.shape))
    return replace(adaptive_consistency(CONSISTENT, schedule, voted), budgets=CONFIDENCES)
