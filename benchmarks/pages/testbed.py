"""Measurements of the testbed: its difficulty and its verifiers."""

from benchmarks.pages.tables import Data, measured_by, spread, table, targets

COMMAND, AGAIN = "python -m benchmarks.testbed.measure", "python -m benchmarks.testbed.again"


def full(testbed: Data) -> str:
    """One row per figure."""
    rows = ((row["name"], spread(row, ".3f")) for row in testbed["targets"])
    heads = (f"measured on {testbed['prompts']} test prompts", "value [95%]")
    return "\n\n".join((measured_by(COMMAND, testbed), table(heads, rows)))


def again(testbed: Data) -> str:
    """The figures of models that were trained anew."""
    why = (
        "All models, and the artifact, as `make testbed` made them anew in one go. Sums of "
        "floating point numbers differ between machines, so these are other models than the "
        "repository's, as those of another seed would be: how much the figures differ is what "
        f"chance in training does to them. On {testbed['prompts']} test prompts:"
    )
    return "\n\n".join((measured_by(AGAIN, testbed), why, targets(testbed["targets"])))
