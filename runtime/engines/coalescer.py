"""Combine simultaneous calls that differ only in their seeds into requests of several choices."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from runtime.engines.base import Completion, SamplingSettings
from runtime.engines.constraint import Constraint
from runtime.engines.token_options import PLAIN, TokenOptions

# Choices of a request at most: so many save nearly all of what requests cost, and what is finished
# does not wait for many others.
MAX_CHOICES = 16


@dataclass(frozen=True)
class EngineRequest:
    """A completion request without its seed; see `runtime.engines.base.Engine.complete`."""

    token_ids: tuple[int, ...]
    settings: SamplingSettings
    max_tokens: int
    stop: tuple[str, ...]
    stop_token_ids: tuple[int, ...]
    logprob: bool
    constraint: Constraint | None = None
    options: TokenOptions = PLAIN
    thought: bool = False


@dataclass(frozen=True)
class _Call:
    """One call, with the future of its caller."""

    seed: int
    future: asyncio.Future[Completion]


class RequestCoalescer:
    """Sends simultaneous calls with consecutive seeds as one request.

    vLLM samples choice i of a request as it samples a request of its own whose seed is i higher:
    what comes back is the same, and what a request costs is paid once.

    Args:
        send: takes a request, its first seed and the number of seeds; returns the completions in
            the order of the seeds.
    """

    def __init__(
        self, send: Callable[[EngineRequest, int, int], Awaitable[Sequence[Completion]]]
    ) -> None:
        self._send = send
        self._waiting: dict[EngineRequest, list[_Call]] = {}
        self._sending: set[asyncio.Task[None]] = set()

    async def complete(self, request: EngineRequest, seed: int) -> Completion:
        """The completion of one call, when all calls of its request are done.

        An error reaches all of them; they are given up once all who wait have been cancelled.

        Args:
            request: the request without its seed.
            seed: the seed.
        """
        if not request.settings.temperature:  # vLLM takes no greedy request of several choices
            (completion,) = await self._send(request, seed, 1)
            return completion
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._flush)
        call = _Call(seed, loop.create_future())
        self._waiting.setdefault(request, []).append(call)
        return await call.future

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for request, calls in waiting.items():
            for group in _groups([call for call in calls if not call.future.done()]):
                task = asyncio.ensure_future(self._answer(request, group))
                self._sending.add(task)  # asyncio keeps only weak references to tasks
                task.add_done_callback(self._sending.discard)
                for call in group:
                    call.future.add_done_callback(partial(_give_up, task, group))

    async def _answer(self, request: EngineRequest, group: Sequence[_Call]) -> None:
        try:
            completions = await self._send(request, group[0].seed, len(group))
            answered = list(zip(group, completions, strict=True))
        except asyncio.CancelledError:  # as a client's that is closed
            for call in group:
                call.future.cancel()
            raise
        except Exception as error:
            for call in group:
                if not call.future.done():
                    call.future.set_exception(error)
            return
        for call, completion in answered:
            if not call.future.done():
                call.future.set_result(completion)


def _groups(calls: Sequence[_Call]) -> list[list[_Call]]:
    """The calls grouped by consecutive seeds, at most `MAX_CHOICES` per group.

    A prompt that is asked twice has every seed twice.
    """
    groups: list[list[_Call]] = []
    for call in sorted(calls, key=lambda call: call.seed):
        for group in groups:
            if len(group) < MAX_CHOICES and group[-1].seed + 1 == call.seed:
                group.append(call)
                break
        else:
            groups.append([call])
    return groups


def _give_up(task: asyncio.Task[None], group: Sequence[_Call], _: Any) -> None:
    if all(call.future.cancelled() for call in group):
        task.cancel()
