"""The supervisor: a real vLLM engine is killed under load, and one that cannot be opened again.

The engine killed here is the test's own.
"""

import asyncio
import io
import os
import signal
import weakref
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

import runtime.opener
from allocator.errors import InputError, ModelError
from benchmarks.testbed.paths import REQUEST_SETTINGS, SETTINGS
from benchmarks.testbed.task import distinct_problems
from runtime.engines.loading import open_engine
from runtime.models import Models, open_models
from runtime.prompt_run import PromptRun
from runtime.server.errors import ApiError
from runtime.server.logs import ServerLog
from runtime.server.supervisor import Supervisor, processes
from tests.support.artifacts import bent_models
from tests.support.fakes import SOON
from tests.support.serving import logged
from tests.support.vllm_requests import unfinished
from tests.support.waiting import eventually, eventually_in_loop, turns

PROMPTS = [problem.text for problem in distinct_problems("test", 12, seed=71)]
DEATH = ModelError("engine", "it has died")


def children() -> dict[int, str]:
    """Running processes of this one, but Python's own tracker of shared memory, which ends with it.

    One that has ended, and only waits for its parent to ask how, is not running.
    """
    found = {}
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            found[process.pid] = " ".join([process.name(), *process.cmdline()])
    return {pid: command for pid, command in found.items() if "resource_tracker" not in command}


def left_running(others: set[int], seconds: float = 10.0) -> dict[int, str]:
    """What else is running still: a process that is ending may take a moment."""

    def left() -> dict[int, str]:
        return {pid: command for pid, command in children().items() if pid not in others}

    with suppress(TimeoutError):
        eventually(lambda: not left(), seconds)
    return left()


async def texts(models: Models) -> list[str]:
    runs = [PromptRun(models, REQUEST_SETTINGS, prompt, 5) for prompt in PROMPTS]
    drawn = await asyncio.gather(*(run.samples(0, 2) for run in runs))
    return [sample.text for samples in drawn for sample in samples]


async def until_ready(supervisor: Supervisor, seconds: float) -> int:
    """Wait for it; how many requests that were made meanwhile, one a look, were refused."""
    refused = 0

    def ready() -> bool:
        nonlocal refused
        if supervisor.ready:
            return True
        with pytest.raises(ApiError) as error:
            _ = supervisor.models
        assert error.value.status == 503
        assert int(error.value.headers["Retry-After"]) > 0
        refused += 1
        return False

    await eventually_in_loop(ready, seconds)
    return refused


@pytest.mark.vllm
def test_a_killed_vllm_engine_is_followed_by_another_that_answers_the_same() -> None:
    # With as many processes as an engine ever has, for none may be left.
    settings = SETTINGS.with_args({"engine_args": {"distributed_executor_backend": "mp"}})
    others, log = children(), io.StringIO()

    async def ends(supervisor: Supervisor, prompt: str) -> str:
        try:
            await PromptRun(supervisor.models, REQUEST_SETTINGS, prompt, 6).samples(0, 64)
        except ModelError as error:
            return "dead" if await supervisor.lost(error) else "alive"
        return "answered"

    async def killed() -> None:
        opening = Supervisor(lambda: open_models(settings, Path(), "vllm"), ServerLog(stream=log))
        async with opening as supervisor:
            assert (supervisor.ready, supervisor.generation, supervisor.why) == (True, 1, "")
            before = await texts(supervisor.models)
            first = weakref.ref(supervisor.models.verifier)
            load = [asyncio.create_task(ends(supervisor, prompt)) for prompt in PROMPTS]
            await eventually_in_loop(lambda: unfinished(supervisor.models))
            new = {pid: command for pid, command in children().items() if pid not in others}
            (core,) = [pid for pid, command in new.items() if "EngineCore" in command]
            os.kill(core, signal.SIGKILL)
            ended = await asyncio.wait_for(asyncio.gather(*load), 60)
            assert set(ended) <= {"dead", "answered"}
            assert "dead" in ended
            assert not supervisor.ready
            assert "has died" in supervisor.why
            # The loop goes on while the models are loaded.
            assert await until_ready(supervisor, 180) > 10
            assert (supervisor.generation, supervisor.why) == (2, "")
            assert await texts(supervisor.models) == before
            assert first() is None, "the first verifier is still in memory"
            # What is in flight when all is closed ends, too.
            late = [asyncio.create_task(ends(supervisor, prompt)) for prompt in PROMPTS]
            await eventually_in_loop(lambda: unfinished(supervisor.models))
        ended = await asyncio.wait_for(asyncio.gather(*late), 60)
        assert "dead" in ended
        assert set(ended) <= {"dead", "answered"}

    asyncio.run(killed())
    assert not left_running(set(others)), "something was left running"
    lines = logged(log)
    assert [line["event"] for line in lines] == ["models", "engine_lost", "models", "restarted"]


class Mortal:
    """An engine that dies on request, and the opening of models with it.

    Args:
        failures: how many times opening fails after the first.
        seconds: that opening takes after the first.
    """

    def __init__(self, tokenizer: Any, failures: int = 0, seconds: float = 0.0) -> None:
        self.tokenizer, self.failures, self.seconds = tokenizer, failures, seconds
        self.opened = self.closed = 0
        self.reopening = False
        self.newest: Any = None

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Models]:
        if self.opened:
            self.reopening = True
            await asyncio.sleep(self.seconds)
            if self.failures:
                self.failures -= 1
                raise InputError("model", "here", "there is no memory left")
        models = bent_models(self.tokenizer)
        self.newest = models.engine
        self.newest.alive = True
        self.opened += 1
        try:
            yield models
        finally:
            self.closed += 1


def supervised(mortal: Mortal, log: io.StringIO, **waits: float) -> Supervisor:
    return Supervisor(mortal.open, ServerLog(stream=log), **waits)


def test_many_who_tell_of_one_death_share_one_restart(tokenizer: Any) -> None:
    async def lost() -> None:
        mortal = Mortal(tokenizer, seconds=0.1)
        async with supervised(mortal, io.StringIO()) as supervisor:
            assert not await supervisor.lost(DEATH), "a living engine was given up"
            await turns()  # those in which another could be opened
            assert mortal.opened == 1
            mortal.newest.alive = False
            assert all(await asyncio.gather(*(supervisor.lost(DEATH) for _ in range(20))))
            await until_ready(supervisor, SOON)
            assert not await supervisor.lost(DEATH), "a late one started another"
            await turns()
            assert (mortal.opened, mortal.closed, supervisor.generation) == (2, 1, 2)
        assert mortal.closed == 2

    asyncio.run(lost())


@pytest.mark.slow
def test_a_death_that_no_request_tells_of_is_noticed(tokenizer: Any) -> None:
    async def idle() -> None:
        mortal = Mortal(tokenizer)
        async with supervised(mortal, io.StringIO()) as supervisor:
            mortal.newest.alive = False
            await until_ready(supervisor, SOON)
            assert supervisor.generation == 2

    asyncio.run(idle())


@pytest.mark.slow
def test_restarts_that_fail_are_tried_again_ever_more_slowly(tokenizer: Any) -> None:
    log = io.StringIO()

    async def failing() -> None:
        mortal = Mortal(tokenizer, failures=5)
        waits = {"first_wait": 0.02, "longest_wait": 0.08}
        async with supervised(mortal, log, **waits) as supervisor:
            mortal.newest.alive = False
            await supervisor.lost(DEATH)
            await eventually_in_loop(lambda: mortal.failures <= 2)
            assert not supervisor.ready
            assert "there is no memory left" in supervisor.why
            await until_ready(supervisor, SOON)
            assert (supervisor.generation, supervisor.why) == (2, "")

    asyncio.run(failing())
    lines = logged(log)
    waits = [line["again_in"] for line in lines if line["event"] == "restart_failed"]
    assert waits == [0.02, 0.04, 0.08, 0.08, 0.08]
    assert lines[-1]["event"] == "restarted"


def test_a_server_that_is_about_to_stop_loads_no_models_anew(tokenizer: Any) -> None:
    async def stopping() -> None:
        mortal = Mortal(tokenizer)
        async with supervised(mortal, io.StringIO()) as supervisor:
            supervisor.stop_restarting()
            assert supervisor.ready
            mortal.newest.alive = False
            assert await supervisor.lost(DEATH)
            await turns()
            assert (mortal.opened, mortal.reopening) == (1, False)
        assert mortal.closed == 1

    asyncio.run(stopping())


def test_stopping_amid_a_restart_leaves_nothing_open(tokenizer: Any) -> None:
    async def stopped() -> Mortal:
        mortal = Mortal(tokenizer, seconds=600)
        async with supervised(mortal, io.StringIO()) as supervisor:
            mortal.newest.alive = False
            await supervisor.lost(DEATH)
            await eventually_in_loop(lambda: mortal.reopening)
        assert not supervisor.ready
        return mortal

    mortal = asyncio.run(asyncio.wait_for(stopped(), SOON))
    assert mortal.opened == mortal.closed == 1


def test_first_models_that_cannot_be_opened_is_an_error_at_once(tmp_path: Path) -> None:
    async def start() -> None:
        settings = SETTINGS.model_copy(update={"verifier": str(tmp_path)})
        async with Supervisor(lambda: open_models(settings, Path()), ServerLog()):
            pass

    with pytest.raises(InputError, match=r"no config\.json"):
        asyncio.run(start())


def test_opening_that_is_cancelled_closes_what_it_had_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    happened = []

    @contextmanager
    def watched(*arguments: Any) -> Iterator[Any]:
        with open_engine(*arguments) as engine:
            happened.append("loaded")
            try:
                yield engine
            finally:
                happened.append("closed")

    monkeypatch.setattr(runtime.opener, "open_engine", watched)

    async def cancelled() -> None:
        async with asyncio.timeout(0.01), open_models(SETTINGS, Path(), "transformers"):
            happened.append("opened")

    with pytest.raises(TimeoutError):
        asyncio.run(cancelled())
    assert happened == ["loaded", "closed"]


def test_what_a_closed_model_had_to_do_ends_with_an_error() -> None:
    async def closed() -> tuple[Any, ...]:
        async with open_models(SETTINGS, Path(), "transformers") as models:
            assert all(part.alive for part in processes(models))
            # Two batches: one is at work when it closes, the other waits.
            first = asyncio.create_task(
                PromptRun(models, REQUEST_SETTINGS, PROMPTS[0], 1).samples(0, 4)
            )
            engine: Any = models.engine
            await eventually_in_loop(lambda: engine._batcher._at_work)
            second = asyncio.create_task(
                PromptRun(models, REQUEST_SETTINGS, PROMPTS[1], 1).samples(0, 4)
            )
            await asyncio.sleep(0)
        late = PromptRun(models, REQUEST_SETTINGS, PROMPTS[2], 1).samples(0, 1)
        return await asyncio.gather(first, second, late, return_exceptions=True)

    first, second, late = asyncio.run(asyncio.wait_for(closed(), 60))
    assert isinstance(first, ModelError | list)
    assert isinstance(second, ModelError)
    assert isinstance(late, ModelError)
