"""Adaptive consistency (Aggarwal et al. 2023): vote until the leader will hardly be overtaken."""

import numpy as np

from allocator.schedule import Schedule
from calibration.replay.adaptive_run import AdaptiveRuns
from calibration.replay.budget_replay import curve_of_stops
from calibration.replay.curves import Curve
from predictors.vote_state import VOTE_STATE_NAMES, overtaken

CONFIDENCES = (0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.925, 0.95, 0.975, 0.99, 0.999)


def adaptive_consistency(
    name: str, schedule: Schedule, adaptive_runs: AdaptiveRuns, weighted: bool = False
) -> Curve:
    """Accuracy and cost where each run ends as soon as its leader is confident enough.

    One point per confidence: the chance that more than half of the votes of the two leading answers
    are for the first, under a uniform prior.

    Args:
        name: name of the curve.
        schedule: independent solutions alone.
        adaptive_runs: adaptive runs of the test prompts; with all scores 1 they vote.
        weighted: weight votes by their scores, scaled to 1 on average.
    """
    of = {n: adaptive_runs.states[..., i] for i, n in enumerate(VOTE_STATE_NAMES)}
    scale = 1 / np.maximum(of["score_mean"], 1e-6) if weighted else 1.0
    sure = 1 - overtaken(of["leader_mass"] * scale, of["other_mass"] * scale)
    ends = []
    for confidence in CONFIDENCES:
        stop = sure >= confidence
        stop[..., -1] = True
        ends.append(stop.argmax(axis=-1))
    return curve_of_stops(name, schedule, adaptive_runs, ends)
