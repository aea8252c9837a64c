"""Sampling on a Ray cluster: one actor per engine, prompts in batches, lost actors replaced.

A worker that finds no place is refused, for Ray itself would wait for one without end and without a
word.

A prompt's seed determines its samples, whichever worker draws them and however often one is lost:
the records equal those that one process would have collected. What a batch drew is journaled by
the process that collects when the batch is done: an interruption loses the batches in flight.
"""

import asyncio
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from io import BytesIO
from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from allocator.errors import InputError, ModelError
from allocator.extras import require
from allocator.plan import Plan
from calibration.sampling.collect import PROMPTS_IN_FLIGHT, PromptRecord, Work
from calibration.sampling.collectors import LocalCollector
from calibration.sampling.journal import Journals
from calibration.sampling.store import records_of, rows_of, schema
from runtime.engines.loading import EngineName
from runtime.models import open_models
from runtime.request import RequestSettings
from runtime.settings import Settings
from runtime.verifiers.loading import VerifierEngine

# Batches that a worker has at once: while the last prompts of one are sampled, the engine is kept
# busy by the other. Together they are as many prompts as one process has in flight.
IN_FLIGHT = 2
BATCH = PROMPTS_IN_FLIGHT // IN_FLIGHT
CONNECT_SECONDS = 5
PLACE_SECONDS = 120.0  # for workers to start; their models are loaded afterwards


@dataclass(frozen=True)
class BatchJournals:
    """The journals of a batch of prompts, on their way to a worker.

    Attributes:
        identity: of the journals.
        journals_by_prompt: what they hold, as `Journals.read` returns it.
    """

    identity: str
    journals_by_prompt: Mapping[str, bytes]

    def written(self, folder: Path) -> Journals:
        """The same journals in a folder."""
        journals = Journals(folder, self.identity)
        journals.write(self.journals_by_prompt)
        return journals


class Worker:
    """One engine, in its own actor, which samples all the batches that it has at once.

    Its models are loaded at the first use, in the event loop that will use them: a worker answers
    before that, and whether it has found a place on the cluster is known within seconds.
    """

    def __init__(
        self, settings: Settings, engine: EngineName, verifier_engine: VerifierEngine
    ) -> None:
        self._settings, self._engines = settings, (engine, verifier_engine)
        self._stack = AsyncExitStack()
        self._opening: asyncio.Task[LocalCollector] | None = None

    async def engine(self) -> str:
        """Name of the engine's class."""
        return (await self._collector()).engine

    async def collect(
        self,
        prompts: Sequence[tuple[str, str]],
        work: Work,
        journaled: BatchJournals | None = None,
    ) -> tuple[bytes, dict[str, bytes]]:
        """Sample a batch.

        Args:
            prompts: (prompt, right answer) pairs.
            work: what to sample of each.
            journaled: what is journaled of them already; None journals nothing.

        Returns:
            Their records, as a Parquet file, and their journals.
        """
        collector = await self._collector()
        records: list[PromptRecord] = []
        with TemporaryDirectory() as folder:
            journals = None if journaled is None else journaled.written(Path(folder))
            await collector.collect(prompts, work, records.append, journals)
            by_prompt = {} if journals is None else journals.read(prompt for prompt, _ in prompts)
        rows = [row for record in records for row in rows_of(record)]
        file = BytesIO()
        pq.write_table(pa.Table.from_pylist(rows, schema=schema()), file)
        return file.getvalue(), by_prompt

    async def states(self, prompts: Sequence[str]) -> NDArray[np.float32] | None:
        """The language model's states after prompts."""
        return await (await self._collector()).states(prompts)

    async def _collector(self) -> LocalCollector:
        if self._opening is None:
            self._opening = asyncio.ensure_future(self._open())
        return await self._opening

    async def _open(self) -> LocalCollector:
        opening = open_models(self._settings, Path(), *self._engines)
        models = await self._stack.enter_async_context(opening)
        sampling = RequestSettings(self._settings.sampling)
        return LocalCollector(models, sampling, self._stack.aclose)


def _reachable(address: str) -> None:
    """Check that the cluster's port is open: Ray itself would try for minutes.

    Raises:
        InputError: nothing listens at a HOST:PORT.
    """
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdecimal():
        return
    try:
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
    except OSError as error:
        raise InputError("ray", address, f"no cluster there ({error.strerror or error})") from None


def capacity(nodes: Sequence[Mapping[str, float]], gpus: int) -> int:
    """Workers that a cluster has places for: each takes a core and its GPUs on one node.

    Args:
        nodes: what each node has, in Ray's words: ``CPU`` and ``GPU``.
        gpus: GPUs per worker.
    """
    places = [min(node.get("CPU", 0), node.get("GPU", 0) / gpus if gpus else inf) for node in nodes]
    return sum(map(int, places))


class RayCollector:
    """Samples on the workers of an existing Ray cluster.

    Args:
        settings: models, answers and sampling; folders are absolute, and every node has them.
        engine: which engine samples.
        address: address of the cluster, or ``auto`` for the one that this machine belongs to.
        workers: number of workers; None takes as many as the GPUs suffice for, or one per node
            without GPUs.
        gpus: GPUs per worker, all on one node; see `runtime.engines.gpus.visible_gpus`. A cluster
            without GPUs gives a worker one core alone.
        verifier_engine: what runs the verifiers.

    Raises:
        InputError: Ray is not installed, the cluster cannot be reached, or it has not so many
            places, or has them but in use for `PLACE_SECONDS`.
    """

    def __init__(
        self,
        settings: Settings,
        engine: EngineName,
        address: str,
        workers: int | None,
        gpus: int = 1,
        verifier_engine: VerifierEngine = "auto",
    ) -> None:
        if gpus < 1:
            raise InputError("gpus", gpus, "a worker needs at least 1")
        require("ray", "ray", address)
        import ray

        self._ray = ray
        self._joined = not ray.is_initialized()
        if self._joined:
            _reachable(address)
            try:
                ray.init(address=address, log_to_driver=False, logging_level="error")
            except (ConnectionError, ValueError, RuntimeError) as error:
                raise InputError("ray", address, f"no cluster there ({error})") from None
        self.workers: list[Any] = []
        try:
            self._start((settings, engine, verifier_engine), workers, gpus)
            self.engine: str = self._result(self.workers[0].engine.remote())
        except BaseException:
            self.close()
            raise

    def _start(
        self, opened: tuple[Settings, EngineName, VerifierEngine], workers: int | None, gpus: int
    ) -> None:
        """Start the workers, without their models.

        Args:
            opened: what each of them opens.
            workers: number of workers, as the constructor's.
            gpus: likewise.

        Raises:
            InputError: there is no place for all of them.
        """
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        if gpus == 1 and not any(node.get("GPU") for node in nodes):
            gpus = 0
        places = capacity(nodes, gpus)
        each = "1 core" + (f" and {gpus} of the GPUs of one node" if gpus else "")
        if places < (workers or 1):
            hint = f"the cluster has places for {places} that need {each}; give at most as many"
            raise InputError("workers", workers, hint)
        count = workers or (places if gpus else sum(capacity([node], 0) > 0 for node in nodes))
        remote: Any = self._ray.remote(Worker)
        # A lost worker is restarted on any node and gets its batches again.
        options = remote.options(max_restarts=-1, max_task_retries=-1, num_cpus=1, num_gpus=gpus)
        self.workers = [options.remote(*opened) for _ in range(count)]
        started = [worker.__ray_ready__.remote() for worker in self.workers]
        _, waiting = self._ray.wait(started, num_returns=count, timeout=PLACE_SECONDS)
        if waiting:
            free = self._ray.available_resources()
            raise InputError(
                "workers",
                count,
                f"{len(waiting)} of them, which need {each}, found no place within "
                f"{PLACE_SECONDS:g} seconds: others use the cluster, and "
                f"{free.get('CPU', 0):g} cores and {free.get('GPU', 0):g} GPUs are free; "
                "give fewer, or try again later",
            )

    async def collect(
        self,
        prompts: Sequence[tuple[str, str]],
        work: Work,
        done: Callable[[PromptRecord], None] = lambda _: None,
        journals: Journals | None = None,
    ) -> None:
        """See `.collectors.Collector`; whole batches are kept and journaled, no part of one."""
        batches = [prompts[start : start + BATCH] for start in range(0, len(prompts), BATCH)]
        waiting: dict[Any, Any] = {}
        free = [*self.workers] * IN_FLIGHT  # each once, before any has a second batch
        while batches or waiting:
            while batches and free:
                worker, batch = free.pop(0), batches.pop(0)
                journaled = None
                if journals is not None:
                    by_prompt = journals.read(prompt for prompt, _ in batch)
                    journaled = BatchJournals(journals.identity, by_prompt)
                waiting[worker.collect.remote(batch, work, journaled)] = worker
            (ready,), _ = await asyncio.to_thread(self._ray.wait, list(waiting))
            free.append(waiting.pop(ready))
            file, sampled = self._result(ready)
            if journals is not None:  # before the records, with which they may be removed again
                journals.write(sampled)
            table = pq.read_table(BytesIO(file), schema=schema())
            for record in records_of(table.to_pylist()):
                done(record)

    async def seconds(self, prompts: Sequence[str], plans: Sequence[Plan]) -> dict[Plan, float]:
        """Empty: workers differ in speed."""
        return {}

    async def states(self, prompts: Sequence[str]) -> NDArray[np.float32] | None:
        """See `calibration.sampling.collectors.Collector`; a worker reads them."""
        reading = self.workers[0].states.remote(prompts)
        return cast("NDArray[np.float32] | None", await asyncio.to_thread(self._result, reading))

    def _result(self, reference: Any) -> Any:
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, InputError | ModelError):
                raise error.cause from None
            raise ModelError("Ray worker", str(error.cause)) from error
        except self._ray.exceptions.RayError as error:
            raise ModelError("Ray cluster", str(error)) from error

    def close(self) -> None:
        """Release the workers; the cluster keeps running."""
        for worker in self.workers:
            self._ray.kill(worker)
        if self._joined:
            self._ray.shutdown()
