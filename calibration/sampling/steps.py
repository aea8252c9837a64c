"""Whether sampled solutions have steps, checked before compute is spent on searches.

Where the text that should end a step does not occur, a solution is one step: a search does what
best-of-N does at a higher price, and a PRM is trained as an ORM.
"""

from collections.abc import Sequence
from statistics import median

from predictors.sample import Sample

# Prompts and solutions per prompt to check, where none have been sampled yet.
PROMPTS, SAMPLES = 16, 4
# Steps are missing if less than this share of the solutions has more than one.
MIN_SHARE = 0.1
# Alternative step ends, the best first.
SEPARATORS = ("\n\n", "\n", "。", ". ", "; ")


def steps_of(sample: Sample) -> int:
    """A solution's number of steps; the end-of-sequence token alone is no step."""
    return len(sample.steps) - (sample.ended and len(sample.steps[-1]) == 1)


def missing_steps(counts: Sequence[int], texts: Sequence[str], step_end: str) -> str | None:
    """A message where too few solutions have steps; None otherwise.

    Args:
        counts: number of steps of each solution.
        texts: the solutions.
        step_end: the text that should end a step.
    """
    several = sum(count > 1 for count in counts)
    if several >= MIN_SHARE * len(counts):
        return None
    finding = f"{several} of {len(counts)} sampled solutions have more than one step"
    others = {
        separator: median(_parts(text, separator) for text in texts)
        for separator in SEPARATORS
        if separator != step_end
    }
    offers = [f"{steps:g} with {name!r}" for name, steps in others.items() if steps > 1]
    if not offers:
        return f"{finding}, and they would not with {' or '.join(map(repr, others))} as step end"
    return f"{finding}; the median would be {', '.join(offers)} as step end"


def _parts(text: str, separator: str) -> int:
    return sum(bool(part.strip()) for part in text.split(separator))
