"""A verifier of any family on any backend, which never scores the same text twice."""

from collections.abc import Sequence
from typing import Protocol

from allocator.errors import InputError, ModelError
from runtime.engines.base import HasProcess
from runtime.engines.tokenizer import text_key
from runtime.verifiers.base import Context, Verdict
from runtime.verifiers.layout import Family, Layout

# Scores kept. The steps of a growing beam, and those that beams have in common, are scored once;
# the limit holds memory to some hundred megabytes at solutions of a hundred tokens.
REMEMBERED = 100_000


class Backend(Protocol):
    """Runs a verifier's model."""

    @property
    def resources(self) -> str:
        """What it runs on, in words."""
        ...

    @property
    def context_length(self) -> int | None:
        """Tokens of its own that the model reads at most; None has no limit."""
        ...

    async def read(self, layout: Layout) -> tuple[tuple[float, ...], int]:
        """Probabilities at the layout's places, and how many of its tokens were run over for it."""
        ...

    def close(self) -> None: ...


class ModelVerifier:
    """A verifier: a family's layout, a backend's model, and a memory of scores.

    A text longer than the model's context is refused: what a model says beyond it means nothing.

    Args:
        family: how solutions are laid out and read.
        backend: runs the model.

    Attributes:
        resources: what it runs on, in words.
        shares_tokens: see `runtime.verifiers.base.HasContext`.
        context_length: likewise. A verifier with a tokenizer of its own that has all the language
            model's tokens, and marks besides, is taken to count as that does.
    """

    def __init__(self, family: Family, backend: Backend) -> None:
        self._family, self._backend = family, backend
        self.resources = backend.resources
        self.shares_tokens = family.shares_tokens
        self.context_length = backend.context_length if family.counts_alike else None
        # Scores by the text up to the place they were read at, oldest first.
        self._known: dict[bytes, float] = {}

    def room(self, context: Context) -> int | None:
        """Tokens that a solution may have; see `runtime.verifiers.base.HasContext.room`."""
        limit = self._backend.context_length
        if limit is None:
            return None
        taken = len(self._family.format_input(context, [()]).token_ids)
        if taken >= limit:
            shown = context.prompt if len(context.prompt) <= 60 else context.prompt[:57] + "..."
            raise InputError(
                "prompt",
                shown,
                f"{taken} tokens leave no room in the verifier's context of {limit}; shorten it",
            )
        return None if self.context_length is None else limit - taken

    async def score(self, context: Context, steps: Sequence[tuple[int, ...]]) -> Verdict:
        """Score every step; see `runtime.verifiers.base.Verifier.score`."""
        layout = self._family.format_input(context, steps)
        limit, length = self._backend.context_length, layout.score_positions[-1] + 1
        if limit is not None and length > limit:
            raise ModelError(
                "verifier",
                f"prompt and solution take {length} tokens, and its context is {limit}; sample "
                "shorter solutions (max_tokens), or choose a verifier with a longer context",
            )
        keys = _keys(layout)
        # Taken now: while this waits for the others, a score may be forgotten again.
        found = {key: self._known[key] for key in keys if key in self._known}
        missing = {
            key: place
            for key, place in zip(keys, layout.score_positions, strict=True)
            if key not in found
        }
        run_over = 0
        if missing:
            places = tuple(missing.values())
            text = layout.token_ids[: places[-1] + 1]
            scores, run_over = await self._backend.read(Layout(text, places, layout.start))
            new = dict(zip(missing, scores, strict=True))
            found |= new
            self._known |= new
            while len(self._known) > REMEMBERED:
                del self._known[next(iter(self._known))]
        return Verdict(
            tuple(found[key] for key in keys),
            processed_tokens=run_over,
            cached_tokens=len(layout.token_ids) - run_over,
        )

    @property
    def alive(self) -> bool:
        """Whether the backend's process runs, where it has one."""
        return not isinstance(self._backend, HasProcess) or self._backend.alive

    def close(self) -> None:
        """Release the model."""
        self._backend.close()


def _keys(layout: Layout) -> list[bytes]:
    """A key for the text up to each place that is read, made of the key before it and the tokens
    since: of a long solution every token is looked at once, not once for every step after it.
    """
    # Where the solution begins tells what of the text counts as likely or not.
    keys, key, start = [], layout.start.to_bytes(8), 0
    for place in layout.score_positions:
        key = text_key(layout.token_ids[start : place + 1], key)
        keys.append(key)
        start = place + 1
    return keys
