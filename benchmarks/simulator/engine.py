"""An engine of virtual time that schedules as vLLM does: continuous batching over a KV cache.

As in vLLM's v1 scheduler, every step gives each decoding request one token, then goes on with what
is being prefilled, then admits what waits, in order, as long as sequences, tokens and blocks
suffice. A request whose next token finds no block has the last of the running requests preempted:
it waits again, in front, and what was evicted meanwhile is read again.
"""

import asyncio
import heapq
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count

from benchmarks.simulator.kv_cache import PRIVATE, BlockKey, KVCache, block_keys
from benchmarks.simulator.times import EngineShape

# Seconds: rounding may leave a trace of a step, in which no time would pass.
NEGLIGIBLE = 1e-9


@dataclass(eq=False)
class Job:
    """A request: what it reads, and how many tokens it writes after that.

    Attributes:
        target: tokens to read before it decodes: its prompt, and what it wrote before a preemption.
        total: tokens of its prompt and its output.
        keys: of the full blocks of both.
        rank: of those that wait, the lowest rank goes first.
        use_cache: whether cached blocks are read.
        future: takes the tokens of its prompt that were cached.
        blocks: that it holds.
        sealed: of those, how many are full, and can be found by others.
        computed: tokens that are in them, up to the last chunk of its prefill.
        since: step with which its prefill ended.
        last: step in which it ends; None while it does not decode.
        grows: step for whose token it needs another block.
        cached: tokens of its prompt that were cached at first.
    """

    target: int
    total: int
    keys: list[BlockKey]
    rank: tuple[int, int]
    use_cache: bool
    future: asyncio.Future[int]
    blocks: list[BlockKey | None] = field(default_factory=list)
    sealed: int = 0
    computed: int = 0
    since: int = 0
    last: int | None = None
    grows: int = 0
    cached: int | None = None


class Card:
    """What engines share: a GPU, where they take turns step by step, or a CPU, where they do not.

    Args:
        shared_speed: speed of each of two engines that work at once, as a share of its speed
            alone; None lets them take turns.

    Attributes:
        busy: seconds of all steps, each as if alone.
    """

    def __init__(self, shared_speed: float | None = None) -> None:
        self._shared_speed = shared_speed
        self._turn = asyncio.Lock()
        self._working = 0
        self._changed = asyncio.Event()
        self.busy = 0.0

    async def work(self, seconds: float) -> None:
        """One step of one engine."""
        self.busy += seconds
        if self._shared_speed is None:
            async with self._turn:
                await asyncio.sleep(seconds)
            return
        clock = asyncio.get_running_loop().time
        self._change(1)
        try:
            while seconds > NEGLIGIBLE:
                speed = 1.0 if self._working == 1 else self._shared_speed
                began = clock()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), seconds / speed)
                seconds -= (clock() - began) * speed
        finally:
            self._change(-1)

    def _change(self, more: int) -> None:
        """An engine begins or ends a step: the other's speed is another from now on."""
        self._working += more
        self._changed.set()
        self._changed = asyncio.Event()


class VirtualEngine:
    """One engine on a card.

    Args:
        shape: how it is set up.
        card: what it runs on.

    Attributes:
        cache: its KV cache.
        steps: that it has done.
        begun: requests that it has begun.
        read: tokens that it has prefilled, repeated ones among them.
        written: tokens of the outputs that are complete.
        preempted: how often a request had to wait again.
    """

    def __init__(self, shape: EngineShape, card: Card) -> None:
        self.shape, self.card = shape, card
        self.cache = KVCache(shape.kv_tokens // shape.block)
        self.steps = self.begun = self.read = self.written = self.preempted = 0
        self._numbers = count()
        self._waiting: list[tuple[tuple[int, int], Job]] = []
        self._running: dict[Job, None] = {}
        self._prefilling: dict[Job, None] = {}
        self._given_up: list[Job] = []
        # Decoding requests by the step in which they end, or need another block.
        self._ends: dict[int, list[Job]] = {}
        self._grows: dict[int, list[Job]] = {}
        self._kv_tokens = 0  # of the decoding requests
        self._work: asyncio.Task[None] | None = None

    async def run(
        self, token_ids: Sequence[int], output: Sequence[int], rank: int = 0, cached: bool = True
    ) -> int:
        """Read a text, then write the output; cancelling the call aborts the request.

        Args:
            token_ids: the text.
            output: what is written after it; none for a verifier.
            rank: of those that wait, the lowest rank goes first, of one rank the earliest.
            cached: whether cached blocks of the text may be used.

        Returns:
            Tokens of the text that were in the cache.

        Raises:
            ValueError: the KV cache, or an unchunked step, is too small for the request alone.
        """
        text = [*token_ids, *output]
        if len(text) > self.cache.blocks * self.shape.block or not (
            self.shape.chunked or len(text) <= self.shape.max_new_tokens
        ):
            raise ValueError(f"{len(text)} tokens are more than the engine takes")
        job = Job(
            target=len(token_ids),
            total=len(text),
            keys=block_keys(text, self.shape.block),
            rank=(rank, next(self._numbers)),
            use_cache=cached,
            future=asyncio.get_running_loop().create_future(),
        )
        heapq.heappush(self._waiting, (job.rank, job))
        if self._work is None or self._work.done():
            self._work = asyncio.ensure_future(self._run())
        try:
            found = await job.future
        except asyncio.CancelledError:
            self._given_up.append(job)
            raise
        self.written += len(output)
        return found

    async def _run(self) -> None:
        """Step after step, until there is nothing to do."""
        await asyncio.sleep(0)  # what comes at the same moment is in the same step
        while True:
            self._drop_given_up()
            if not (self._running or self._waiting):
                return
            self._grow()
            begun = self.begun
            new_tokens = self._prefill()
            decoding = len(self._running) - len(self._prefilling)
            self._kv_tokens += decoding
            self.read += new_tokens
            await self.card.work(
                self.shape.times.step(decoding, self._kv_tokens, new_tokens, self.begun - begun)
            )
            self._finish()

    def _grow(self) -> None:
        """Blocks for the tokens that this step decodes, where the last ones are full."""
        step = self.steps + 1
        for job in self._grows.pop(step, ()):
            if job.last is None or job.grows != step:
                continue  # it has ended, or was preempted
            self._seal(job, len(job.blocks) * self.shape.block)
            if self._take(job, 1):
                self._grow_at(job, step + self.shape.block)

    def _prefill(self) -> int:
        """Schedule this step's prefill; returns its tokens."""
        left = budget = self.shape.max_new_tokens - len(self._running) + len(self._prefilling)
        for job in list(self._prefilling):
            if job in self._prefilling:  # not preempted meanwhile
                left -= self._read_on(job, left)
        preempted = self.preempted
        while left > 0 and self._waiting and len(self._running) < self.shape.max_sequences:
            job = self._waiting[0][1]
            if job.future.done():
                heapq.heappop(self._waiting)
                continue
            if preempted != self.preempted or not self._admit(job, left):
                break
            heapq.heappop(self._waiting)
            left -= self._read_on(job, left)
        return budget - left

    def _admit(self, job: Job, left: int) -> bool:
        """Start a request, if there is room for its first chunk."""
        size = self.shape.block
        found = self.cache.known(job.keys[: (job.target - 1) // size]) if job.use_cache else 0
        known = job.keys[:found]
        new = job.target - found * size
        if new > left and not self.shape.chunked:
            return False
        blocks = -(-min(new, left) // size)
        if blocks + self.cache.unused(known) > self.cache.free:
            return False
        self.cache.use(known)
        job.blocks, job.sealed, job.computed = list(known), found, found * size
        if job.cached is None:
            job.cached = job.computed
            self.begun += 1
        self._running[job] = self._prefilling[job] = None
        return True

    def _read_on(self, job: Job, left: int) -> int:
        """Schedule the next chunk of a request's prefill; returns its tokens."""
        new = min(job.target - job.computed, left)
        if not self._take(job, -(-(job.computed + new) // self.shape.block) - len(job.blocks)):
            return 0
        job.computed += new
        self._seal(job, job.computed)
        return new

    def _take(self, job: Job, blocks: int) -> bool:
        """Take blocks for a request, preempting others; False if it was preempted itself."""
        while not self.cache.take(blocks):
            victim = max(self._running, key=lambda other: other.rank)
            self._preempt(victim)
            if victim is job:
                return False
        job.blocks += [PRIVATE] * blocks
        return True

    def _seal(self, job: Job, tokens: int) -> None:
        """Blocks that are full after so many tokens can be found by others."""
        full = tokens // self.shape.block
        for place in range(job.sealed, full):
            job.blocks[place] = self.cache.fill(job.keys[place])
        job.sealed = max(job.sealed, full)

    def _preempt(self, job: Job) -> None:
        """Have a request wait again; what it has written is to be read again."""
        self.preempted += 1
        if job.last is not None:  # the last token that it wrote has not been read yet
            job.target += self.steps - job.since + 1
        self._stop(job)
        heapq.heappush(self._waiting, (job.rank, job))

    def _stop(self, job: Job) -> None:
        """Take a request out of the running ones."""
        if job.last is not None:
            self._kv_tokens -= job.computed + self.steps - job.since
        job.last = None
        del self._running[job]
        self._prefilling.pop(job, None)
        self.cache.give_back(job.blocks)
        job.blocks, job.sealed = [], 0

    def _drop_given_up(self) -> None:
        """Abort what was cancelled; what waits is dropped when it is its turn."""
        for job in self._given_up:
            if job in self._running:
                self._stop(job)
        self._given_up.clear()
        while self._waiting and self._waiting[0][1].future.done():
            heapq.heappop(self._waiting)

    def _finish(self) -> None:
        """What has ended with this step is answered; what has been read begins to decode."""
        self.steps += 1
        for job in self._ends.pop(self.steps, ()):
            if job.last == self.steps:
                self._seal(job, job.computed + self.steps - job.since)
                self._answer(job)
        for job in [job for job in self._prefilling if job.computed == job.target]:
            further = job.total - job.target - 1
            if further <= 0:
                self._answer(job)
                continue
            del self._prefilling[job]
            job.since, job.last = self.steps, self.steps + further
            self._kv_tokens += job.computed
            self._ends.setdefault(job.last, []).append(job)
            room = len(job.blocks) * self.shape.block - job.computed
            self._grow_at(job, self.steps + room + 1)

    def _grow_at(self, job: Job, step: int) -> None:
        job.grows = step
        self._grows.setdefault(step, []).append(job)

    def _answer(self, job: Job) -> None:
        self._stop(job)
        if not job.future.done():
            job.future.set_result(job.cached or 0)
