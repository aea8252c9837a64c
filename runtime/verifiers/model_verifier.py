"""A verifier of any family on any backend, which never scores the same text twice."""

from collections.abc import Sequence
from typing import Protocol

from runtime.engine import HasProcess
from runtime.verifier import Context, Verdict
from runtime.verifiers.families import Family

# Scores kept. The steps of a growing beam, and those that beams have in common, are scored once;
# the limit holds memory to some hundred megabytes at solutions of a hundred tokens.
REMEMBERED = 100_000


class Backend(Protocol):
    """Runs a verifier's model."""

    async def read(
        self, token_ids: tuple[int, ...], reads: tuple[int, ...]
    ) -> tuple[tuple[float, ...], int]:
        """Probabilities at the given places, and how many of the tokens were run over for it."""
        ...

    def close(self) -> None: ...


class ModelVerifier:
    """A verifier: a family's layout, a backend's model, and a memory of scores.

    Args:
        family: how solutions are laid out and read.
        backend: runs the model.
    """

    def __init__(self, family: Family, backend: Backend) -> None:
        self._family, self._backend = family, backend
        # Scores by the tokens up to the place they were read at, oldest first.
        self._known: dict[tuple[int, ...], float] = {}

    async def score(self, context: Context, steps: Sequence[tuple[int, ...]]) -> Verdict:
        """Score every step; see `runtime.verifier.Verifier.score`."""
        layout = self._family.lay_out(context, steps)
        prefixes = [layout.token_ids[: place + 1] for place in layout.reads]
        # Taken now: while this waits for the others, a score may be forgotten again.
        found = {prefix: self._known[prefix] for prefix in prefixes if prefix in self._known}
        missing = tuple(len(p) - 1 for p in dict.fromkeys(prefixes) if p not in found)
        run_over = 0
        if missing:
            text = layout.token_ids[: missing[-1] + 1]
            scores, run_over = await self._backend.read(text, missing)
            new = {text[: at + 1]: score for at, score in zip(missing, scores, strict=True)}
            found |= new
            self._known |= new
            while len(self._known) > REMEMBERED:
                del self._known[next(iter(self._known))]
        return Verdict(
            tuple(found[prefix] for prefix in prefixes),
            read_tokens=run_over,
            cached_tokens=len(layout.token_ids) - run_over,
        )

    @property
    def alive(self) -> bool:
        """Whether the backend's process runs, where it has one."""
        return not isinstance(self._backend, HasProcess) or self._backend.alive

    def close(self) -> None:
        """Release the model."""
        self._backend.close()
