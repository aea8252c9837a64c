"""Logged scores as what a verifier gives: each is one aggregation of its step scores."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast, get_args

from allocator.errors import InputError
from calibration.data.log_scores import aggregation_of
from predictors.scoring import VOTES_ONLY, Scoring
from runtime.verifiers.base import Aggregation

AGGREGATIONS = ", ".join(get_args(Aggregation))
# The log-odds of a probability's last or least value are the last or least log-odds.
OF_LOG_ODDS = ("last", "min")


@dataclass(frozen=True)
class VerifierScoring:
    """The scoring of an artifact made from logs, for the solutions of a model at hand.

    Attributes:
        scoring: its scores have the names of the verifier's aggregations.
        notes: what was concluded from names, for people.
    """

    scoring: Scoring
    notes: tuple[str, ...] = ()


def verifier_scoring(logged: Scoring | None, named: Mapping[str, str]) -> VerifierScoring:
    """The scoring of logged samples, with the verifier's names for its scores.

    Scores of step-score lists are called ``column.min`` in a log, and need no name. Of other
    columns the aggregation is given, or taken from the ending of the name, as in ``score_min``.

    Args:
        logged: as the artifact has it; None where votes are only counted.
        named: the aggregation of each logged score, by its name.

    Raises:
        InputError: a name that the log does not have, an unknown aggregation, a score whose
            aggregation is not known, two of the same aggregation, or log-odds that a verifier's
            probabilities do not lead to.
    """
    scoring = VOTES_ONLY if logged is None else logged
    weights = {name: weight for name, weight in scoring.scores.items() if weight}
    for name, how in named.items():
        if name not in weights:
            known = ", ".join(weights) or "none"
            raise InputError("scores", name, f"the scores that have a weight are: {known}")
        if how not in get_args(Aggregation):
            raise InputError("scores", how, f"{name} must be one of {AGGREGATIONS}")
    notes: list[str] = []
    origin: dict[Aggregation, str] = {}
    for name in weights:
        how = cast("Aggregation | None", named.get(name)) or _by_name(name, notes)
        if how in origin:
            raise InputError(
                "scores", name, f"{origin[how]} is {how} already; give each its own with --scores"
            )
        if name in scoring.logits:
            if how not in OF_LOG_ODDS:
                raise InputError(
                    "scores",
                    name,
                    f"it was logged as log-odds; the {how} of log-odds cannot be computed from a "
                    "verifier's probabilities. Calibrate from the log without it",
                )
            notes.append(
                f"{name} was logged as log-odds; the log-odds of the verifier's probability stand "
                "for it, up to ±13.8"
            )
        origin[how] = name
    scores = {how: weights[name] for how, name in origin.items()}
    return VerifierScoring(
        scoring.model_copy(update={"scores": scores, "logits": ()}), tuple(notes)
    )


def _by_name(name: str, notes: list[str]) -> Aggregation:
    """The aggregation that a name says; a guess is added to the notes."""
    found = aggregation_of(name)
    if found is None:
        raise InputError(
            "scores",
            name,
            f"say which aggregation of step scores it is: --scores {name}=last, or another of "
            f"{AGGREGATIONS}",
        )
    if not name.endswith(f".{found}"):
        notes.append(f"{name} is taken for the {found} of the verifier's step scores")
    return found
