"""Tables written by older versions of this library, brought up to date version by version."""

from collections.abc import Callable
from typing import Any

from allocator.errors import InputError

Document = dict[str, Any]


def _scores_of_the_verifier_alone(table: Document) -> Document:
    """0 -> 1: the fingerprint says how a solution's score is made.

    Until then it was the verifier's at the last step. Plans gained lookahead, length and
    selection, whose defaults are what was done before.
    """
    alone = {"intercept": 0.0, "verifier": 1.0, "surprise": 0.0}
    return table | {"fingerprint": table["fingerprint"] | {"aggregation": "last", "scoring": alone}}


# From each older version to the next one.
STEPS: dict[int, Callable[[Document], Document]] = {0: _scores_of_the_verifier_alone}


def up_to_date(table: Document, version: int) -> Document:
    """A table's JSON document as `version` has it.

    Args:
        table: the document as read; it is left as it is.
        version: the schema version this library writes.

    Raises:
        InputError: a newer version, or none that ever was.
        KeyError, TypeError: an older document that is damaged.
    """
    found = table.get("schema_version")
    if not isinstance(found, int) or found < min(STEPS):
        raise InputError("schema_version", found, "no version is called that; calibrate again")
    if found > version:
        raise InputError(
            "schema_version",
            found,
            f"a newer library wrote it, this one reads up to {version}; "
            "update ttc-allocator, or calibrate again",
        )
    for step in range(found, version):
        table = STEPS[step](table) | {"schema_version": step + 1}
    return table
