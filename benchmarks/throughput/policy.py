"""The policy's own time: features of the pilots, pass@1 with its interval, and the plan."""

import time

import numpy as np

from benchmarks.allocation.pool import read_pool
from benchmarks.testbed.paths import TEST_POOL
from calibration.replay.curves import interval, resamples
from calibration.report.targets import Interval
from predictors.features import pilot_features
from runtime.artifact import Artifact
from runtime.solving.decide import PilotResult, decide, predict


def policy_time(artifact: Artifact) -> Interval:
    """Milliseconds per prompt, with its 95% interval over prompts.

    Prompts are decided one at a time and by the functions that serving calls, with as many pilots
    as any row of the table takes.
    """
    row = max(artifact.policy.table.rows, key=lambda one: one.pilots)
    model = artifact.difficulty[row.pilots]
    times = []
    for record in read_pool(TEST_POOL):
        pilots = list(record.independent.samples[: row.pilots])
        started = time.perf_counter()
        features = pilot_features(record.prompt_tokens, pilots)
        decide(artifact, row, PilotResult(pilots, *predict(model, features)), row.budget)
        times.append((time.perf_counter() - started) * 1000)
    values = np.array(times)
    return interval(values[resamples(len(values))].mean(axis=1))
