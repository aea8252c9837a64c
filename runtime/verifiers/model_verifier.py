"""A verifier of any family on any backend, which never scores the same text twice."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Sequence
from typing import Protocol

from allocator.errors import InputError, shortened
from runtime.concurrency import together
from runtime.engines.base import HasProcess
from runtime.engines.tokenizer import text_key
from runtime.remembering import remember
from runtime.verifiers.base import Context, Verdict
from runtime.verifiers.layout import Family, Layout
from runtime.verifiers.windows import windows

LOGGER = logging.getLogger("ttc.verifier")

# Scores kept. The steps of a growing beam, and those that beams have in common, are scored once. A
# large GPU runs six thousand beams; where they have 160 steps each, all scores of theirs are kept.
# At 280 bytes a score that is 280 megabytes at most.
REMEMBERED = 1_000_000


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

    No text longer than the model's context is read, for what a model says beyond it means nothing:
    see `runtime.verifiers.windows`.

    Before its first score, a family with solutions of known worth is checked by them: that the
    wrong one is preferred is logged as a warning.

    Args:
        family: how solutions are laid out and read.
        backend: runs the model.
        name: what it is and how it is read, for messages.

    Attributes:
        resources: what it runs on, in words.
        shares_tokens: see `runtime.verifiers.base.HasContext`.
        context_length: likewise.
        window: tokens of its own that the model reads at once; None has no limit.
    """

    def __init__(self, family: Family, backend: Backend, name: str) -> None:
        self._family, self._backend, self._name = family, backend, name
        self.resources = backend.resources
        self.shares_tokens = family.shares_tokens
        self.window = backend.context_length
        self.context_length = self.window if family.shares_tokens else None
        self._checked = False
        # Scores by the text up to the place they were read at, the longest unused first. In a dict,
        # the search for the first key passes over all that were deleted before it.
        self._known: OrderedDict[bytes, float] = OrderedDict()
        # Scores that are being read, by the same key and the loop that waits; set when they are.
        self._reading: dict[tuple[asyncio.AbstractEventLoop, bytes], asyncio.Event] = {}

    def room(self, context: Context) -> int | None:
        """Tokens that a solution may have; see `runtime.verifiers.base.HasContext.room`.

        Raises:
            InputError: the prompt leaves no room in the verifier's context.
        """
        limit = self.window
        if limit is None:
            return None
        taken = len(self._family.format_input(context, [()]).token_ids)
        if taken >= limit:
            shown = shortened(context.prompt)
            raise InputError(
                "prompt",
                shown,
                f"{taken} tokens leave no room in the verifier's context of {limit}; shorten it",
            )
        return None if self.context_length is None else limit - taken

    async def score(self, context: Context, steps: Sequence[tuple[int, ...]]) -> Verdict:
        """Score every step; see `runtime.verifiers.base.Verifier.score`."""
        if not self._checked:
            self._checked = True
            await self._check()
        arguments = self._family, context, steps, self.window
        # A long text takes a tenth of a second to tokenise, in which all other prompts would wait.
        layouts = (
            windows(*arguments)
            if self.shares_tokens
            else await asyncio.to_thread(windows, *arguments)
        )
        parts = await together(self._read(layout) for layout in layouts)
        return Verdict(
            step_scores=tuple(score for scores, _ in parts for score in scores),
            processed_tokens=sum(run_over for _, run_over in parts),
            # A text of which scores were forgotten may be run over more than once.
            cached_tokens=sum(
                max(0, len(layout.token_ids) - run_over)
                for layout, (_, run_over) in zip(layouts, parts, strict=True)
            ),
            windowed=len(layouts) > 1,
        )

    async def _read(self, layout: Layout) -> tuple[tuple[float, ...], int]:
        """Scores at the layout's places, and how many tokens were run over for it."""
        keys, loop = _keys(layout), asyncio.get_running_loop()
        # Taken now: while this waits for the others, a score may be forgotten again.
        found = self._remembered(keys)
        reads = [self._reading.get((loop, key)) for key in keys if key not in found]
        # Equal solutions are often scored at once, and one of them is read for all. If its read
        # fails or is cancelled, each of the others has one of its own.
        if all(reads):
            for read in filter(None, reads):
                await read.wait()
            found |= self._remembered(keys)
        missing = {
            key: place
            for key, place in zip(keys, layout.score_positions, strict=True)
            if key not in found
        }
        if not missing:
            return tuple(found[key] for key in keys), 0
        places = tuple(missing.values())
        text = layout.token_ids[: places[-1] + 1]
        done = asyncio.Event()
        begun = {(loop, key) for key in missing} - self._reading.keys()
        self._reading |= dict.fromkeys(begun, done)
        try:
            scores, run_over = await self._backend.read(Layout(text, places, layout.start))
            new = dict(zip(missing, scores, strict=True))
            remember(self._known, new, REMEMBERED)
        finally:
            done.set()
            for key in begun:
                del self._reading[key]
        found |= new
        return tuple(found[key] for key in keys), run_over

    def _remembered(self, keys: Sequence[bytes]) -> dict[bytes, float]:
        found = {key: self._known[key] for key in keys if key in self._known}
        for key in found:
            self._known.move_to_end(key)
        return found

    async def _check(self) -> None:
        """Warn if a wrong solution is scored above a right one."""
        known = self._family.known_solutions()
        if known is None or known[0].token_ids == known[1].token_ids:
            return
        limit = self.window
        if limit is not None and max(len(layout.token_ids) for layout in known) > limit:
            return
        right, wrong = [scores for scores, _ in await together(map(self._read, known))]
        if min(right) <= min(wrong):
            LOGGER.warning(
                "verifier %s: a wrong solution of an easy question scores %.3f, and a right one "
                "%.3f; probably it is of another family: set verifier_family",
                self._name,
                min(wrong),
                min(right),
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
