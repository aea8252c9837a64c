"""Artifacts written by older versions of this library, brought up to date version by version."""

from collections.abc import Callable, Mapping
from typing import Any

from allocator.errors import InputError

Document = dict[str, Any]
Migrations = Mapping[int, Callable[[Document], Document]]


def _scores_of_the_verifier_alone(table: Document) -> Document:
    """0 -> 1: the fingerprint says how a solution's score is made.

    Until then it was the verifier's at the last step. Plans gained lookahead, length and
    selection, whose defaults are what was done before.
    """
    alone = {"intercept": 0.0, "verifier": 1.0, "surprise": 0.0}
    return table | {"fingerprint": table["fingerprint"] | {"aggregation": "last", "scoring": alone}}


def _renamed(document: Document, old: str, new: str) -> Document:
    return {(new if name == old else name): value for name, value in document.items()}


def _fingerprint_with_sqrt_nll(table: Document) -> Document:
    """1 -> 2: ``surprise`` is called ``sqrt_nll``."""
    fingerprint = table["fingerprint"]
    if "scoring" in fingerprint:
        scoring = _renamed(fingerprint["scoring"], "surprise", "sqrt_nll")
        fingerprint = fingerprint | {"scoring": scoring}
    return table | {"fingerprint": fingerprint}


def _settings_with_sqrt_nll(settings: Document) -> Document:
    """0 -> 1: settings have a version, and ``surprise`` is called ``sqrt_nll``."""
    if "scoring" not in settings:
        return settings
    return settings | {"scoring": _renamed(settings["scoring"], "surprise", "sqrt_nll")}


def _scores_by_name(owner: Document) -> Document:
    """Several scores may have a weight: that of the verifier's gets the name of its aggregation."""
    scoring = owner.get("scoring")
    if not scoring:
        return owner
    named = {
        "intercept": scoring["intercept"],
        "scores": {owner.get("aggregation", "last"): scoring["verifier"]},
        "logits": [],
        "sqrt_nll": scoring["sqrt_nll"],
        "log_tokens": 0.0,
        "unfinished": 0.0,
    }
    return owner | {"scoring": named}


def _fingerprint_with_scores_by_name(table: Document) -> Document:
    """2 -> 3: as `_scores_by_name`."""
    return table | {"fingerprint": _scores_by_name(table["fingerprint"])}


def _schedule_of_stages(prices: Document) -> Document:
    """1 -> 2: a ladder of rungs is called a schedule of stages."""
    prices = _renamed(prices, "ladder", "schedule")
    return prices | {"schedule": _renamed(prices["schedule"], "rungs", "stages")}


def _stages_of_searches(prices: Document) -> Document:
    """2 -> 3: a stage may hold several searches."""
    stages = [
        {"samples": stage["samples"], "searches": [stage["search"]] if stage.get("search") else []}
        for stage in prices["schedule"]["stages"]
    ]
    return prices | {"schedule": prices["schedule"] | {"stages": stages}}


def _one_way_alone(summary: Document) -> Document:
    """1 -> 2: a saving names its way to spend; until then it was by difficulty bins."""
    gain = summary.get("gain")
    return summary | {"gain": gain and gain | {"way": "bins"}}


# From each older version to the next one.
TABLE: Migrations = {
    0: _scores_of_the_verifier_alone,
    1: _fingerprint_with_sqrt_nll,
    2: _fingerprint_with_scores_by_name,
}
SETTINGS: Migrations = {0: _settings_with_sqrt_nll, 1: _scores_by_name}
PRICES: Migrations = {1: _schedule_of_stages, 2: _stages_of_searches}
SUMMARY: Migrations = {1: _one_way_alone}


def up_to_date(document: Document, version: int, migrations: Migrations) -> Document:
    """A JSON document as `version` has it.

    Args:
        document: as read; it is left as it is.
        version: the schema version this library writes.
        migrations: from each older version to the next one.

    Raises:
        InputError: a newer version, or an unknown one.
        KeyError, TypeError: an older document that is damaged.
    """
    found = document.get("schema_version")
    if not isinstance(found, int) or found < min(migrations, default=version):
        raise InputError("schema_version", found, "unknown schema version; calibrate again")
    if found > version:
        raise InputError(
            "schema_version",
            found,
            f"a newer library wrote it, this one reads up to {version}; "
            "update ttc-allocator, or calibrate again",
        )
    for step in range(found, version):
        document = migrations[step](document) | {"schema_version": step + 1}
    return document
