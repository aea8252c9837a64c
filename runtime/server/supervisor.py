"""Keeps models open: where an engine's process has died, another is started in its place."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from types import TracebackType
from typing import Self

from allocator.errors import ModelError
from runtime.engines.base import HasProcess
from runtime.models import Models
from runtime.server.errors import ApiError
from runtime.server.logs import ServerLog

PULSE = 1.0  # seconds between checks of the engine while no request reports its death
RETRY_AFTER = "10"  # seconds: about what a small model takes to load


def processes(models: Models) -> tuple[HasProcess, ...]:
    """Those models that have a process of their own; one without cannot die."""
    parts: list[object] = [models.engine, models.verifier]
    if models.reviser is not None:
        parts += [models.reviser.engine, models.reviser.verifier]
    return tuple(part for part in parts if isinstance(part, HasProcess))


class Supervisor:
    """Models for as long as the block lasts: the first, or those that followed.

    Enter it inside the event loop that will use the models.

    Args:
        open: opens models, as `runtime.models.open_models` does.
        log: where deaths and restarts are logged.
        first_wait: seconds between the first restart that fails and the second; each further wait
            is twice as long.
        longest_wait: the longest wait, in seconds.

    Attributes:
        generation: how often models were opened.
        why: why there are none; empty while there are.

    Raises:
        InputError: the first models cannot be opened.
    """

    def __init__(
        self,
        open: Callable[[], AbstractAsyncContextManager[Models]],
        log: ServerLog,
        first_wait: float = 1.0,
        longest_wait: float = 60.0,
    ) -> None:
        self._open, self._log = open, log
        self._first_wait, self._longest_wait = first_wait, longest_wait
        self.generation = 0
        self.why = "it is starting"
        self._models: Models | None = None
        self._processes: tuple[HasProcess, ...] = ()
        self._opened = AsyncExitStack()
        self._reported = asyncio.Event()

    @property
    def ready(self) -> bool:
        """Whether models are open, and all of their processes run."""
        return self._models is not None and all(part.alive for part in self._processes)

    @property
    def models(self) -> Models:
        """The models.

        Raises:
            ApiError: status 503: there are none just now.
        """
        if self._models is None or not self.ready:
            message = "the model is being restarted; retry soon"
            raise ApiError(503, message, headers={"Retry-After": RETRY_AFTER})
        return self._models

    async def lost(self, error: ModelError) -> bool:
        """Report that a request has failed, and start the engine again if it is dead.

        Returns at once; another engine is started in the background, one for all who call.

        Args:
            error: what the request ended with.

        Returns:
            Whether the engine is dead.
        """
        if self.ready:
            return False
        self.why = self.why or str(error)
        self._reported.set()
        return True

    def stop_restarting(self) -> None:
        """Start no more engines, for the server is about to stop. One that runs goes on."""
        self._keeper.cancel()

    async def __aenter__(self) -> Self:
        await self._start()
        self._keeper = asyncio.create_task(self._keep())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.stop_restarting()
        await asyncio.wait([self._keeper])
        self.why = "it has been stopped"
        await self._stop()

    async def _keep(self) -> None:
        """Start engines one at a time, however many requests fail."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(PULSE):
                    await self._reported.wait()
            self._reported.clear()
            if not self.ready:
                await self._restart()

    async def _restart(self) -> None:
        self.why = self.why or "its engine has died"
        self._log.turn("engine_lost", why=self.why, generation=self.generation)
        try:
            await self._stop()
        except Exception as error:  # it is dead already; the server goes on
            self._log.turn("engine_lost", why=f"closing what is left of it: {error!r}")
        wait = self._first_wait
        while True:
            try:
                await self._start()
            except Exception as error:  # the cause may pass: memory, a disk, a network
                self.why = f"{type(error).__name__}: {error}"
                self._log.turn("restart_failed", why=self.why, again_in=wait)
                await asyncio.sleep(wait)
                wait = min(2 * wait, self._longest_wait)
            else:
                self._log.turn("restarted", generation=self.generation)
                return

    async def _start(self) -> None:
        self._models = models = await self._opened.enter_async_context(self._open())
        self._processes = processes(models)
        self.generation += 1
        self.why = ""

    async def _stop(self) -> None:
        self._models, self._processes = None, ()
        opened, self._opened = self._opened, AsyncExitStack()
        await opened.aclose()
