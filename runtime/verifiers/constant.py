"""In place of a verifier, where solutions are scored without one: by their votes or length."""

from collections.abc import Sequence

from runtime.verifiers.base import Context, Verdict

SCORE = 0.5


class NoVerifier:
    """Gives every step the same score, at no cost."""

    async def score(self, context: Context, steps: Sequence[tuple[int, ...]]) -> Verdict:
        """See `runtime.verifiers.base.Verifier`."""
        return Verdict((SCORE,) * len(steps), 0, 0)

    def close(self) -> None:
        """There is nothing to release."""
