"""The three ways to spend an artifact's generations, and the names of their curves."""

from typing import Literal

# By difficulty bins (``--budget``), by price (``--average-budget``), or one total over all prompts
# (``--total-budget``).
Way = Literal["bins", "price", "total"]

PREDICTED = "compute-optimal, predicted bins"
PRICE = "price, stopping early"
TOTAL = "one total, stopping early"
# The simplest way first: it is preferred among ways that save equally.
WAYS: dict[Way, str] = {"bins": PREDICTED, "price": PRICE, "total": TOTAL}
# Of several calibrations, each in its own way.
CHOSEN = "each calibration's cheapest way"
OPTIONS: dict[Way, str] = {
    "bins": "--budget",
    "price": "--average-budget",
    "total": "--total-budget",
}
