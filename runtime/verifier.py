"""The verifier protocol: a process reward model that scores every step of a solution."""

from collections.abc import Sequence
from typing import Protocol


class Verifier(Protocol):
    """A PRM. `score` may be called by many coroutines at once; requests are batched together."""

    async def score(
        self, prompt_ids: Sequence[int], steps: Sequence[tuple[int, ...]]
    ) -> tuple[float, ...]:
        """The probability, after each step, that a solution going on from there ends correct.

        Args:
            prompt_ids: the prompt's tokens, as the language model saw them.
            steps: the solution's tokens, a tuple a step, at least one step.

        Returns:
            One value in [0, 1] a step.

        Raises:
            InputError: the verifier gave NaN.
        """
        ...

    def close(self) -> None:
        """Release the model."""
        ...
