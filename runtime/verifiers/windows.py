"""Solutions that are longer than a verifier's context, read in windows of their steps."""

from bisect import bisect_left
from collections.abc import Sequence

from runtime.verifiers.base import Context, TooLongError
from runtime.verifiers.layout import Family, Layout


def windows(
    family: Family, context: Context, steps: Sequence[tuple[int, ...]], limit: int | None
) -> list[Layout]:
    """A solution laid out so that a verifier reads every step within its context.

    A solution that fits is one layout. Of a longer one, the first window holds the steps that fit.
    Each further window holds the prompt, the steps just before its first new one, which take up to
    half of what the prompt leaves, and the new ones that fit. Which window a step is scored in
    depends on the steps before it alone: a growing solution keeps its scores.

    Args:
        family: how solutions are laid out.
        context: the prompt.
        steps: the solution's steps, at least one.
        limit: tokens that the verifier reads at most; None has no limit.

    Returns:
        Layouts with the positions of new steps only: all together, each step once, in order.

    Raises:
        TooLongError: the family reads no windows, or the prompt and one step do not fit.
    """
    whole = family.format_input(context, steps)
    taken = [place + 1 for place in whole.score_positions]  # tokens up to each step
    if limit is None or taken[-1] <= limit:
        return [whole]
    if family.shares_tokens:
        raise _too_long("solution", taken[-1], limit)
    half = (limit - len(family.format_input(context, [()]).token_ids)) // 2
    found: list[Layout] = []
    first = new = 0
    while new < len(steps):
        layout = family.format_input(context, steps[first:])
        fitting = bisect_left(layout.score_positions, limit)
        places = layout.score_positions[new - first : fitting]
        if not places:
            raise _too_long("one step", layout.score_positions[0] + 1, limit)
        found.append(Layout(layout.token_ids[: places[-1] + 1], places))
        new = first + fitting
        if new < len(steps):
            # From here the steps up to the new one take half at most, or it stands alone.
            first = min(new, bisect_left(taken, taken[new] - half) + 1)
    return found


def _too_long(what: str, tokens: int, limit: int) -> TooLongError:
    return TooLongError(
        "verifier",
        f"prompt and {what} take {tokens} tokens, and its context is {limit}; sample "
        "shorter solutions (max_tokens), or choose a verifier with a longer context",
    )
