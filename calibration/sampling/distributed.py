"""Sampling on a Ray cluster: one actor per engine, prompts in batches, lost actors replaced.

A prompt's seed determines its samples, whichever worker draws them and however often one is lost:
the records equal those that one process would have collected.
"""

import asyncio
import socket
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from allocator.errors import InputError, ModelError
from allocator.extras import require
from allocator.plan import Plan
from calibration.sampling.collect import PROMPTS_IN_FLIGHT, PromptRecord
from calibration.sampling.collectors import LocalCollector, Work
from calibration.sampling.journal import Journals
from calibration.sampling.store import records_of, rows_of, schema
from runtime.engines.loading import EngineName
from runtime.models import open_models
from runtime.request import RequestSettings
from runtime.settings import Settings

# Prompts per batch: enough to keep an engine busy, few enough to lose little with a worker.
BATCH = PROMPTS_IN_FLIGHT
CONNECT_SECONDS = 5


class Worker:
    """One engine, in its own actor."""

    def __init__(self, settings: Settings, engine: EngineName) -> None:
        self._loop = asyncio.new_event_loop()
        self._stack = AsyncExitStack()
        opening = self._stack.enter_async_context(open_models(settings, Path(), engine))
        models = self._loop.run_until_complete(opening)
        sampling = RequestSettings(settings.sampling)
        self._collector = LocalCollector(models, sampling, self._stack.aclose)

    def engine(self) -> str:
        """Name of the engine's class."""
        return self._collector.engine

    def collect(self, prompts: Sequence[tuple[str, str]], work: Work) -> bytes:
        """Records of a batch, as a Parquet file."""
        records: list[PromptRecord] = []
        self._loop.run_until_complete(self._collector.collect(prompts, work, records.append))
        rows = [row for record in records for row in rows_of(record)]
        file = BytesIO()
        pq.write_table(pa.Table.from_pylist(rows, schema=schema()), file)
        return file.getvalue()

    def states(self, prompts: Sequence[str]) -> NDArray[np.float32] | None:
        """The language model's states after prompts."""
        return self._loop.run_until_complete(self._collector.states(prompts))

    def close(self) -> None:
        """Release the models."""
        self._loop.run_until_complete(self._stack.aclose())


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


class RayCollector:
    """Samples on the workers of an existing Ray cluster.

    Args:
        settings: models, answers and sampling; folders are absolute, and every node has them.
        engine: which engine samples.
        address: address of the cluster, or ``auto`` for the one that this machine belongs to.
        workers: number of workers; None takes one per GPU, or one per node without GPUs.

    Raises:
        InputError: Ray is not installed, or the cluster cannot be reached.
    """

    def __init__(
        self, settings: Settings, engine: EngineName, address: str, workers: int | None
    ) -> None:
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
        gpus = int(ray.cluster_resources().get("GPU", 0))
        count = workers or gpus or len([node for node in ray.nodes() if node["Alive"]])
        remote: Any = ray.remote(Worker)
        # A lost worker is restarted on any node and gets its batch again.
        options = remote.options(
            max_restarts=-1, max_task_retries=-1, num_cpus=1, num_gpus=1 if gpus else 0
        )
        self.workers = [options.remote(settings, engine) for _ in range(count)]
        self.engine: str = self._result(self.workers[0].engine.remote())

    async def collect(
        self,
        prompts: Sequence[tuple[str, str]],
        work: Work,
        done: Callable[[PromptRecord], None] = lambda _: None,
        journals: Journals | None = None,
    ) -> None:
        """See `.collectors.Collector`; whole batches are kept, no part of one."""
        batches = [prompts[start : start + BATCH] for start in range(0, len(prompts), BATCH)]
        waiting: dict[Any, Any] = {}
        idle = list(self.workers)
        while batches or waiting:
            while batches and idle:
                worker = idle.pop()
                waiting[worker.collect.remote(batches.pop(0), work)] = worker
            (ready,), _ = await asyncio.to_thread(self._ray.wait, list(waiting))
            idle.append(waiting.pop(ready))
            table = pq.read_table(BytesIO(self._result(ready)), schema=schema())
            for record in records_of(table.to_pylist()):
                done(record)

    async def seconds(self, prompts: Sequence[str], plans: Sequence[Plan]) -> dict[Plan, float]:
        """Empty: workers differ in speed."""
        return {}

    async def states(self, prompts: Sequence[str]) -> NDArray[np.float32] | None:
        """See `calibration.sampling.collectors.Collector`; a worker reads them."""
        reading = self.workers[0].states.remote(prompts)
        return cast("NDArray[np.float32] | None", await asyncio.to_thread(self._result, reading))

    def _result(self, drift_baseline: Any) -> Any:
        try:
            return self._ray.get(drift_baseline)
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
