"""Simulated adaptive runs of three kinds of prompts: settled at once, open, and too hard."""

import numpy as np

from allocator.schedule import Schedule
from calibration.replay.adaptive_run import AdaptiveRuns, Draw, Searched, replay_run

# Chance of a right sample, number of wrong answers, and scores of right and wrong samples.
KINDS = {
    "settled": (0.97, 20, 0.95, 0.9),
    "open": (0.45, 20, 0.55, 0.45),
    "hopeless": (0.0, 20, 0.5, 0.05),
}


def drawn(rng: np.random.Generator, kind: str, count: int) -> list[Draw]:
    """Independent samples of one prompt; the right answer is "right"."""
    chance, wrong, high, low = KINDS[kind]
    right = rng.random(count) < chance
    names = rng.integers(wrong, size=count)
    scores = np.clip(np.where(right, high, low) + rng.normal(0, 0.03, count), 0.01, 0.99)
    return [
        ("right" if r else f"wrong {name}", float(score), 10)
        for r, name, score in zip(right, names, scores, strict=True)
    ]


def made_runs(schedule: Schedule, kinds: list[str], replicates: int, seed: int = 0) -> AdaptiveRuns:
    """One prompt per entry of `kinds`, its searches finding nothing."""
    rng = np.random.default_rng(seed)
    adaptive_runs = AdaptiveRuns.empty(len(kinds), replicates, len(schedule.stages))
    for row, kind in enumerate(kinds):
        for replicate in range(replicates):
            draws = drawn(rng, kind, schedule.stages[-1].samples)
            searches = {search: Searched([], 0) for search in schedule.searches}
            replay_run(adaptive_runs, (row, replicate), schedule, 7, "right", draws, searches)
    return adaptive_runs
