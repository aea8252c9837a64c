"""What the benchmarks' figures state."""

from benchmarks.figures.findings import Reproduced


def verdicts(made: Reproduced) -> list[str]:
    return [finding.verdict for finding in made.findings]
