"""The policy's own time: predict, look up, plan."""

import time

import numpy as np

from calibration.replay.curves import interval
from calibration.report.targets import Interval
from predictors.features import FEATURE_NAMES
from runtime.artifact import Artifact

BATCH, REPEATS = 1000, 20


def policy_time(artifact: Artifact) -> Interval:
    """Milliseconds per prompt in batches of 1,000, with its 95% interval over repeats."""
    rng = np.random.default_rng(0)
    features = rng.random((BATCH, len(FEATURE_NAMES)))
    budget = artifact.policy.table.rows[-1].budget
    predictor = artifact.difficulty[max(artifact.difficulty)].predictor
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        artifact.policy.plans(budget, predictor.predict(features))
        times.append((time.perf_counter() - started) * 1000 / BATCH)
    draws = rng.integers(REPEATS, size=(2000, REPEATS))
    values = np.array(times)
    return interval(np.array([values.mean(), *values[draws].mean(axis=1)]))
