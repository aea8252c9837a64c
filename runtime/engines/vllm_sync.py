"""vLLM's synchronous engine, a `vllm.LLM` of the caller's, driven by a thread of its own."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Any

from allocator.errors import ModelError
from runtime.engines.vllm_core import request_ids

# Seconds that the thread may take to end: less than a step of any model.
PATIENCE = 10.0


@dataclass
class _Request:
    """One request, from the thread that steps the engine back to the loop that waits for it."""

    name: str
    token_ids: list[int]
    params: Any
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]


class VLLMSyncCore:
    """Requests to a `vllm.LLM`, whose engine is stepped while there are any.

    One thread adds, steps and aborts, for the engine is not made for several. Between requests it
    rests, and the caller may use the `LLM` as before; not beside them.

    Args:
        llm: a `vllm.LLM`.
    """

    def __init__(self, llm: Any) -> None:
        self.engine: Any = llm.llm_engine
        self._request_ids = request_ids()
        self._running: dict[str, _Request] = {}
        self._orders: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = Thread(target=self._drive, name="vllm-steps", daemon=True)
        self._thread.start()

    async def request(self, token_ids: Sequence[int], params: Any) -> Any:
        """The final output of one request; see `runtime.engines.vllm.Core.request`."""
        if not self.alive:
            raise ModelError("vllm.LLM", "it has been let go")
        loop = asyncio.get_running_loop()
        name = next(self._request_ids)
        request = _Request(name, list(token_ids), params, loop, loop.create_future())
        self._orders.put(partial(self._add, request))
        try:
            return await request.future
        except asyncio.CancelledError:
            self._orders.put(partial(self._stop, request))
            raise

    @property
    def alive(self) -> bool:
        """Whether the thread that steps the engine runs."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Let go of the engine, which goes on living."""
        if self._thread.is_alive():
            self._orders.put(None)
            self._thread.join(PATIENCE)

    def _drive(self) -> None:
        while True:
            # Orders are waited for only where there is nothing to decode.
            while not self._running or not self._orders.empty():
                order = self._orders.get()
                if order is None:
                    for request in list(self._running.values()):
                        self._stop(request)
                    return
                order()
            try:
                outputs = self.engine.step()
            except Exception as error:  # whatever it is, all who wait are told
                for request in list(self._running.values()):
                    self._settle(request, ModelError("vllm.LLM", f"its engine failed: {error}"))
                continue
            for output in outputs:
                if output.request_id in self._running:  # not one that failed with its batch
                    self._settle(self._running[output.request_id], output)

    def _add(self, request: _Request) -> None:
        from vllm import TokensPrompt

        self._running[request.name] = request
        try:
            prompt = TokensPrompt(prompt_token_ids=request.token_ids)
            self.engine.add_request(request.name, prompt, request.params)
        except Exception as error:
            self._settle(request, ModelError("vllm.LLM", f"it refused the request: {error}"))

    def _stop(self, request: _Request) -> None:
        if request.name in self._running:
            self.engine.abort_request([request.name])
            self._settle(request, ModelError("vllm.LLM", "it was let go while it had work to do"))

    def _settle(self, request: _Request, found: Any) -> None:
        """Hand a request's output to its waiter, or its error."""
        del self._running[request.name]
        request.loop.call_soon_threadsafe(_tell, request.future, found)


def _tell(future: asyncio.Future[Any], found: Any) -> None:
    if future.done():  # its waiter has gone
        return
    if isinstance(found, ModelError):
        future.set_exception(found)
    else:
        future.set_result(found)
