"""vLLM's synchronous engine, the caller's `vllm.LLM`, stepped by its own thread."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Any

from allocator.errors import ModelError
from runtime.concurrency import pass_on
from runtime.engines.vllm_core import request_ids

# Seconds that the thread may take to end: less than a step of any model.
PATIENCE = 10.0


@dataclass
class _Request:
    """One request, with the outputs that its caller takes in its event loop."""

    name: str
    token_ids: list[int]
    params: Any
    priority: int
    loop: asyncio.AbstractEventLoop
    outputs: asyncio.Queue[Any]


class VLLMSyncCore:
    """Requests to a `vllm.LLM`, whose engine is stepped while requests run.

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

    async def stream(
        self, token_ids: Sequence[int], params: Any, priority: int = 0
    ) -> AsyncGenerator[Any, None]:
        """The outputs of one request; see `runtime.engines.vllm.Core.stream`."""
        if not self.alive:
            raise ModelError("vllm.LLM", "it has been let go")
        loop = asyncio.get_running_loop()
        name = next(self._request_ids)
        request = _Request(name, list(token_ids), params, priority, loop, asyncio.Queue())
        self._orders.put(partial(self._add, request))
        try:
            finished = False
            while not finished:
                output = await request.outputs.get()
                if isinstance(output, ModelError):
                    raise output
                finished = output.finished
                yield output
        except (asyncio.CancelledError, GeneratorExit):
            self._orders.put(partial(self._stop, request))
            raise

    @property
    def alive(self) -> bool:
        """Whether the thread that steps the engine runs."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Stop the thread; the caller's engine stays open."""
        if self._thread.is_alive():
            self._orders.put(None)
            self._thread.join(PATIENCE)

    def _drive(self) -> None:
        while True:
            # Wait for orders only while there is nothing to decode.
            while not self._running or not self._orders.empty():
                order = self._orders.get()
                if order is None:
                    for request in list(self._running.values()):
                        self._stop(request)
                    return
                order()
            try:
                outputs = self.engine.step()
            except Exception as error:  # any error is passed to all callers
                for request in list(self._running.values()):
                    self._end(request, ModelError("vllm.LLM", f"its engine failed: {error}"))
                continue
            for output in outputs:
                if output.request_id in self._running:  # not one that failed with its batch
                    self._give(self._running[output.request_id], output)

    def _add(self, request: _Request) -> None:
        from vllm import TokensPrompt

        self._running[request.name] = request
        try:
            prompt = TokensPrompt(prompt_token_ids=request.token_ids)
            self.engine.add_request(request.name, prompt, request.params, priority=request.priority)
        except Exception as error:
            self._end(request, ModelError("vllm.LLM", f"it refused the request: {error}"))

    def _stop(self, request: _Request) -> None:
        if request.name in self._running:
            self.engine.abort_request([request.name])
            self._end(request, ModelError("vllm.LLM", "it was closed during a request"))

    def _give(self, request: _Request, output: Any) -> None:
        """Pass an output to the caller of its request."""
        if output.finished:
            del self._running[request.name]
        pass_on(request.loop, request.outputs.put_nowait, output)

    def _end(self, request: _Request, error: ModelError) -> None:
        """End a request with an error."""
        del self._running[request.name]
        pass_on(request.loop, request.outputs.put_nowait, error)
