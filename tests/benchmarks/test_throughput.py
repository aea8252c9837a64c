"""What the benchmark of throughput measures beside whole runs."""

from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.allocation.pool import read_pool
from benchmarks.testbed.paths import ARTIFACT, TEST_POOL
from benchmarks.throughput import policy
from runtime.artifact import Artifact
from runtime.solving.decide import decide


def test_the_policys_own_time_is_that_of_its_decisions(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds, numbers = 0, count()

    def timed(*arguments: Any) -> Any:
        """Every second decision takes 1 second, the others 3."""
        nonlocal seconds
        seconds += 1 if next(numbers) % 2 else 3
        return decide(*arguments)

    pool = read_pool(TEST_POOL)[:20]
    monkeypatch.setattr(policy, "read_pool", lambda _: pool)
    monkeypatch.setattr(policy, "decide", timed)
    monkeypatch.setattr(policy, "time", SimpleNamespace(perf_counter=lambda: seconds))
    value, low, high = policy.policy_time(Artifact.load(ARTIFACT))
    assert value == 2000
    assert 1000 <= low < 2000 < high <= 3000
