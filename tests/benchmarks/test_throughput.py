"""What the benchmark of throughput measures beside whole runs."""

from benchmarks.testbed.paths import ARTIFACT
from benchmarks.throughput.policy import policy_time
from runtime.artifact import Artifact


def test_the_policys_own_time_is_that_of_its_decisions() -> None:
    value, low, high = policy_time(Artifact.load(ARTIFACT))
    assert 0 < low <= value <= high
