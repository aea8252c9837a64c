"""Measurements of the testbed: its difficulty and its verifiers."""

from benchmarks.pages.tables import Data, measured_by, spread, table

COMMAND = "python -m benchmarks.testbed.measure"


def full(testbed: Data) -> str:
    """One row per figure."""
    rows = ((row["name"], spread(row, ".3f")) for row in testbed["targets"])
    heads = (f"measured on {testbed['prompts']} test prompts", "value [95%]")
    return "\n\n".join((measured_by(COMMAND, testbed), table(heads, rows)))
