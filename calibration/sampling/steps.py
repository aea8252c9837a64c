"""Whether sampled solutions have steps, told before anything is spent that needs them.

Where the text that should end a step does not occur, a solution is one step: a search costs what
it costs and does what best-of-N does, and a PRM is trained as an ORM.
"""

from collections.abc import Sequence
from statistics import median

from predictors.sample import Sample

# Solutions to look at, where none have been sampled yet.
PROMPTS, SAMPLES = 16, 4
# Steps count as missing where fewer of the solutions than this have more than one.
MIN_SHARE = 0.1
# What may end a step instead, best first.
SEPARATORS = ("\n\n", "\n", "。", ". ", "; ")


def steps_of(sample: Sample) -> int:
    """A solution's steps; a last one that is the end of sequence alone is none."""
    return len(sample.steps) - (sample.ended and len(sample.steps[-1]) == 1)


def missing_steps(counts: Sequence[int], texts: Sequence[str], step_end: str) -> str | None:
    """What is found where solutions have no steps, in words; None where enough of them have.

    Args:
        counts: steps of each solution.
        texts: the solutions.
        step_end: the text that should end a step.
    """
    several = sum(count > 1 for count in counts)
    if several >= MIN_SHARE * len(counts):
        return None
    found = f"{several} of {len(counts)} sampled solutions have more than one step"
    others = {
        separator: median(_parts(text, separator) for text in texts)
        for separator in SEPARATORS
        if separator != step_end
    }
    offers = [f"{steps:g} with {name!r}" for name, steps in others.items() if steps > 1]
    if not offers:
        return f"{found}, and they would not with {' or '.join(map(repr, others))} as step end"
    return f"{found}; the median would be {', '.join(offers)} as step end"


def _parts(text: str, separator: str) -> int:
    return sum(bool(part.strip()) for part in text.split(separator))
