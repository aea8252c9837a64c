"""Faults while requests are running: every request must end with an answer or an error."""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from pydantic import BaseModel

from benchmarks.serving.load import Load, body, loaded
from benchmarks.serving.processes import Serving, ttc_serve, vllm_serve
from benchmarks.testbed.paths import BASE

CLIENTS, BUDGET, MAX_TOKENS = 16, 4, 160
AFTER, LASTS = 3.0, 20.0  # seconds until the fault, and of the load
BACK_WITHIN = 180.0
CUT, SLOW_SECONDS = 20, 8.0
EXIT_WITHIN = 60


class Fault(BaseModel):
    """The effects of a fault.

    Attributes:
        name: the fault.
        sent: requests sent while it happened.
        answered: those that got an answer.
        errors: those that got an error, by message.
        lost: those that got neither answer nor error.
        unclear: those whose error was no status of HTTP with a message.
        back: seconds from the fault to the next answer; None if none was expected.
        left: processes still running after the server's shutdown.
        status: the server's exit status.
    """

    name: str
    sent: int
    answered: int
    errors: dict[str, int]
    lost: int
    unclear: int
    back: float | None
    left: int
    status: int | None = None


async def _under_load(
    serving: Serving, model: str, prompts: list[str], happens: Callable[[], Awaitable[None]]
) -> Load:
    """The load on the server, with the fault in the middle of it."""

    async def fault() -> None:
        await asyncio.sleep(AFTER)
        await happens()

    load, _ = await asyncio.gather(
        loaded(serving.url, model, prompts, [BUDGET], MAX_TOKENS, LASTS, CLIENTS), fault()
    )
    return load


async def _killed(pid: int, serving: Serving, model: str, prompt: str, at: list[float]) -> None:
    """Kill a process; `at` gets the moment, and that of the next answer."""
    os.kill(pid, signal.SIGKILL)
    at.append(time.perf_counter())
    await _answers_again(serving, model, prompt)
    at.append(time.perf_counter())


async def _answers_again(serving: Serving, model: str, prompt: str) -> None:
    """Until a request is answered.

    Raises:
        TimeoutError: none was in time.
    """
    async with asyncio.timeout(BACK_WITHIN), httpx.AsyncClient(timeout=60) as client:
        while True:
            try:
                reply = await client.post(
                    f"{serving.url}/v1/chat/completions",
                    json=body(prompt, BUDGET, MAX_TOKENS) | {"model": model},
                )
                if reply.status_code == 200:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.25)


def _ended(serving: Serving) -> tuple[int, int | None]:
    """Tell the server to end: processes left, and its exit status."""
    serving.process.terminate()
    status = serving.process.wait(EXIT_WITHIN)
    time.sleep(1)
    return len(serving.running()), status


def _fault(name: str, load: Load, back: float | None, ended: tuple[int, int | None]) -> Fault:
    # A connection that is refused, as after SIGTERM, says enough; one that is cut off does not.
    clear = ("status", "ConnectError")
    return Fault(
        name=name,
        sent=load.sent,
        answered=load.answered,
        errors=dict(load.errors),
        lost=load.lost,
        unclear=sum(n for what, n in load.errors.items() if not what.startswith(clear)),
        back=back,
        left=ended[0],
        status=ended[1],
    )


def engine_killed(model: str, prompts: list[str]) -> Fault:
    """The engine's process is killed; the server starts another."""
    with ttc_serve() as serving:
        at: list[float] = []

        def kill() -> Awaitable[None]:
            return _killed(serving.engine(), serving, model, prompts[0], at)

        load = asyncio.run(_under_load(serving, model, prompts, kill))
        return _fault("engine killed", load, at[1] - at[0], _ended(serving))


def replica_lost(model: str, prompts: list[str]) -> Fault:
    """One of two replicas is killed; the other answers all."""
    with ExitStack() as stack:
        urls = [stack.enter_context(vllm_serve(BASE)) for _ in range(2)]
        with ttc_serve(",".join(urls)) as serving:
            at: list[float] = []

            def kill() -> Awaitable[None]:
                replica = _listening(urlsplit(urls[1]).port)
                return _killed(replica, serving, model, prompts[0], at)

            load = asyncio.run(_under_load(serving, model, prompts, kill))
            return _fault("replica lost", load, at[1] - at[0], _ended(serving))


def _listening(port: int | None) -> int:
    """The process that was started to listen on a port."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"--model" in arguments and str(port).encode() in arguments:
            return int(folder.name)
    raise RuntimeError(f"nothing was started to listen on {port}")


def clients_cut_off(model: str, prompts: list[str]) -> Fault:
    """Clients go away in mid-stream, and one reads slowly; the others do not notice."""
    with ttc_serve() as serving:

        async def misbehave() -> None:
            slow = asyncio.create_task(_read_slowly(serving, model, prompts[0]))
            await asyncio.gather(*(_cut_off(serving, model, prompts[i]) for i in range(CUT)))
            await slow

        load = asyncio.run(_under_load(serving, model, prompts, misbehave))
        return _fault("clients cut off, one slow", load, None, _ended(serving))


def _streamed(model: str, prompt: str) -> dict[str, Any]:
    return body(prompt, 16, MAX_TOKENS) | {"model": model, "stream": True}


async def _cut_off(serving: Serving, model: str, prompt: str) -> None:
    """Read one piece of a stream, and go away."""
    async with (
        httpx.AsyncClient(timeout=60) as client,
        client.stream(
            "POST", f"{serving.url}/v1/chat/completions", json=_streamed(model, prompt)
        ) as reply,
    ):
        async for _ in reply.aiter_raw():
            return


async def _read_slowly(serving: Serving, model: str, prompt: str) -> None:
    """Read a stream a little at a time."""
    async with (
        httpx.AsyncClient(timeout=60) as client,
        client.stream(
            "POST", f"{serving.url}/v1/chat/completions", json=_streamed(model, prompt)
        ) as reply,
    ):
        until = time.perf_counter() + SLOW_SECONDS
        async for _ in reply.aiter_bytes(16):
            await asyncio.sleep(0.2 if time.perf_counter() < until else 0)


def told_to_end(model: str, prompts: list[str]) -> Fault:
    """SIGTERM under load: what is running is answered, what comes after is refused."""
    with ttc_serve() as serving:

        async def end() -> None:
            serving.process.terminate()

        load = asyncio.run(_under_load(serving, model, prompts, end))
        status = serving.process.wait(EXIT_WITHIN)
        time.sleep(1)
        return _fault("SIGTERM under load", load, None, (len(serving.running()), status))


FAULTS = (engine_killed, replica_lost, clients_cut_off, told_to_end)
