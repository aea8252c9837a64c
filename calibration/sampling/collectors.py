"""Collectors sample a data set: in this process, or on the workers of a Ray cluster."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from allocator.plan import Plan
from calibration.sampling.collect import PROMPTS_IN_FLIGHT, PromptRecord, Work, collect
from calibration.sampling.journal import Journals
from calibration.sampling.timing import time_plans
from runtime.concurrency import bounded, sharing_cores
from runtime.engines.base import encode_prompt
from runtime.engines.engine_args import ARGS
from runtime.engines.gpus import visible_gpus
from runtime.engines.hidden import PromptEncoder
from runtime.engines.loading import EngineName, engine_kind
from runtime.models import Models, open_models
from runtime.request import RequestSettings
from runtime.settings import Settings
from runtime.verifiers.loading import VerifierEngine, verifier_kind


class Collector(Protocol):
    """Samples prompts."""

    engine: str  # name of the engine's class

    async def collect(
        self,
        prompts: Sequence[tuple[str, str]],
        work: Work,
        done: Callable[[PromptRecord], None] = lambda _: None,
        journals: Journals | None = None,
    ) -> None:
        """Sample every prompt.

        Args:
            prompts: (prompt, right answer) pairs.
            work: what to sample of each.
            done: called with each record as it comes, in any order.
            journals: keep the samples of unfinished prompts; None keeps nothing.

        Raises:
            InputError, ModelError: as `calibration.sampling.collect.collect`.
        """
        ...

    async def seconds(self, prompts: Sequence[str], plans: Sequence[Plan]) -> dict[Plan, float]:
        """Seconds each plan takes, one prompt at a time; empty where they are not measured."""
        ...

    async def states(self, prompts: Sequence[str]) -> NDArray[np.float32] | None:
        """The language model's state after each prompt, shape (prompts, hidden); None if there is
        no way to read it.

        Call it last: where the engine does not give it, the models are closed first, for a copy of
        the language model beside them may not fit the GPU.
        """
        ...


class LocalCollector:
    """Samples in this process.

    Args:
        models: the models.
        settings: how solutions are sampled.
        close: closes the models, where they belong to the collector.
    """

    def __init__(
        self,
        models: Models,
        settings: RequestSettings,
        close: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._models, self._settings, self._close = models, settings, close
        self.engine = type(models.engine).__name__

    async def collect(
        self,
        prompts: Sequence[tuple[str, str]],
        work: Work,
        done: Callable[[PromptRecord], None] = lambda _: None,
        journals: Journals | None = None,
    ) -> None:
        """See `Collector`."""
        await collect(self._models, self._settings, prompts, work, done, journals)

    async def seconds(self, prompts: Sequence[str], plans: Sequence[Plan]) -> dict[Plan, float]:
        """See `Collector`."""
        return await time_plans(self._models, self._settings, prompts, plans)

    async def states(self, prompts: Sequence[str]) -> NDArray[np.float32] | None:
        """See `Collector`."""
        reader = self._models.hidden
        if reader is None:
            return None
        ids = [encode_prompt(self._models.engine, prompt) for prompt in prompts]
        if self._close is not None and isinstance(reader, PromptEncoder):
            await self._close()
            reader = PromptEncoder(reader.folder)  # the one that was open is closed with the rest
        try:
            return np.array(await bounded(reader.hidden_state, ids, PROMPTS_IN_FLIGHT))
        finally:
            if isinstance(reader, PromptEncoder):
                reader.close()


@asynccontextmanager
async def open_collector(
    settings: Settings,
    engine: EngineName,
    ray: str | None,
    workers: int | None,
    verifier_engine: VerifierEngine = "auto",
) -> AsyncIterator[Collector]:
    """A collector for as long as the block lasts.

    Args:
        settings: models, answers and sampling.
        engine: which engine samples.
        ray: address of a Ray cluster, or ``auto``; None samples in this process.
        workers: number of workers on the cluster, each with its own engine; see
            `calibration.sampling.distributed.RayCollector`.
        verifier_engine: what runs the verifiers.

    Raises:
        InputError: unusable settings, or a cluster that cannot be reached.
    """
    if ray is None:
        here = settings.verifier is not None and verifier_kind(verifier_engine) != "servers"
        both = here and engine_kind(engine) == "transformers"
        with sharing_cores() if both else nullcontext():
            async with AsyncExitStack() as stack:
                opening = open_models(settings, Path(), engine, verifier_engine)
                models = await stack.enter_async_context(opening)
                yield LocalCollector(models, RequestSettings(settings.sampling), stack.aclose)
    else:
        from calibration.sampling.distributed import RayCollector

        gpus = visible_gpus(settings.args(which) for which in ARGS)
        absolute = settings.with_absolute_paths(Path())
        collector = RayCollector(absolute, engine, ray, workers, gpus, verifier_engine)
        try:
            yield collector
        finally:
            collector.close()
