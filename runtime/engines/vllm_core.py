"""vLLM's asynchronous engine: starting, one request, and stopping."""

import asyncio
import gc
import itertools
import secrets
import signal
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import resource_tracker
from pathlib import Path
from threading import Lock
from typing import Any

import torch

from allocator.errors import InputError, ModelError
from runtime.engines.checkpoint import loading_dtype
from runtime.engines.engine_args import engine_fields
from runtime.engines.environment import environment_defaults
from runtime.engines.vllm_on_cpu import cpu_start


class VLLMCore:
    """Requests to one asynchronous vLLM engine.

    Use it from one event loop only: the one that the engine belongs to.

    Args:
        name: what the engine runs, for messages.
        engine: vLLM's AsyncLLM.
        owned: whether the engine is shut down with this.
    """

    def __init__(self, name: str, engine: Any, owned: bool = False) -> None:
        self.engine: Any = engine
        self._name, self._owned = name, owned
        self._request_ids = request_ids()

    @classmethod
    def start(cls, field: str, model: Path, engine_args: dict[str, Any]) -> "VLLMCore":
        """An engine in a process of its own. Call it inside the event loop that will use it.

        While it is open, this process's garbage collector skips what was loaded before
        (`gc.freeze`), and on CPU torch has one thread here; `close` undoes both. Environment
        variables are set and Ctrl-C is blocked only while the engine starts. What vLLM itself
        changes stays changed: the handlers of its loggers, environment variables of its own, and
        Python's resource tracker, a process that multiprocessing starts.

        Args:
            field: what the model is, for messages: ``model`` or ``verifier``.
            model: a Hugging Face model folder.
            engine_args: further arguments of vLLM's AsyncEngineArgs.

        Raises:
            InputError: an argument that vLLM does not have, or vLLM cannot serve the model; the
                message is vLLM's own.
        """
        with environment_defaults(VLLM_LOGGING_LEVEL="ERROR"):
            return cls._start(field, model, engine_args)

    @classmethod
    def _start(cls, field: str, model: Path, engine_args: dict[str, Any]) -> "VLLMCore":
        from vllm.platforms import current_platform
        from vllm.usage.usage_lib import UsageContext
        from vllm.v1.engine.async_llm import AsyncEngineArgs, AsyncLLM

        known = engine_fields()
        for name, value in engine_args.items():
            if name not in known:
                raise InputError(name, value, "vLLM's engine has no such argument; leave it out")
        defaults: dict[str, Any] = {
            "enable_prefix_caching": True,
            "disable_log_stats": True,
            "dtype": loading_dtype(),
            # The model's own, or as many tokens as the memory that it gets can hold of one request.
            "max_model_len": -1,
        }
        on_cpu, environment = cpu_start(engine_args) if current_platform.is_cpu() else ({}, {})
        try:
            args = AsyncEngineArgs(model=str(model), **(defaults | on_cpu | engine_args))
            # For servers vLLM's defaults fit the card: 1,024 sequences and 8,192 tokens a step on
            # an H100. Without a context they are 128 and 2,048 on all.
            context = UsageContext.OPENAI_API_SERVER
            with block_sigint(), environment_defaults(**environment):
                # No name of its own here: vLLM keeps hold of this frame, and so of its names.
                core = cls(
                    f"{field} {model}",
                    AsyncLLM.from_engine_args(args, usage_context=context),
                    owned=True,
                )
        except (ValueError, RuntimeError, TypeError) as error:
            raise InputError(field, str(model), f"vLLM cannot serve it: {error}") from error
        _SHARING.enter(one_thread=current_platform.is_cpu())
        return core

    async def stream(
        self, token_ids: Sequence[int], params: Any, priority: int = 0
    ) -> AsyncGenerator[Any, None]:
        """The outputs of one request; see `runtime.engines.vllm.Core.stream`.

        Raises:
            ModelError: the engine's process has died, or vLLM refused the request or failed on it:
                for one, it is longer than the context.
        """
        from vllm.v1.engine.exceptions import EngineDeadError

        if self.engine is None:
            raise ModelError(self._name, "its vLLM engine has been closed")
        engine, request_id = self.engine, next(self._request_ids)
        collector = None
        try:
            # As vLLM's renderer would hand it on: there is nothing to tokenise, for which a prompt
            # would be sent to another thread and back.
            prompt = {"type": "token", "prompt_token_ids": list(token_ids)}
            collector = await engine.add_request(request_id, prompt, params, priority=priority)
            finished = False
            while not finished:
                output = collector.get_nowait() or await collector.get()
                finished = output.finished
                yield output
        except EngineDeadError as error:
            raise ModelError(
                self._name, "its vLLM engine has died; see the engine's own log, and start again"
            ) from error
        except Exception as error:  # vLLM's own are of many classes, which change by version
            raise ModelError(self._name, f"vLLM refused the request: {error}") from error
        except (asyncio.CancelledError, GeneratorExit):
            await engine.abort(request_id)
            raise
        finally:
            if collector is not None:
                collector.close()

    @property
    def alive(self) -> bool:
        """Whether the engine's process runs."""
        return self.engine is not None and not self.engine.errored

    def close(self) -> None:
        """Stop the engine's process, if it was started here.

        Requests that are still in it end with ModelError.
        """
        from vllm.v1.engine.exceptions import EngineDeadError

        if self._owned and self.engine is not None:
            try:
                self.engine.output_processor.propagate_error(EngineDeadError())
                self.engine.shutdown()
            finally:
                _SHARING.leave()
        # At interpreter exit vLLM's own finaliser would shut down again and fail; let go of it now.
        self.engine = None


class _Sharing:
    """What this process does for the vLLM engines that it has started, while any is open."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._open = 0
        self._threads: int | None = None  # of torch, before; None where they were left alone

    def enter(self, one_thread: bool) -> None:
        """An engine has started.

        Args:
            one_thread: the engine has the cores. Torch threads of this process, where a verifier
                may run, would wait for each other at every operation.
        """
        with self._lock:
            self._open += 1
            if one_thread and self._threads is None:
                self._threads = torch.get_num_threads()
                torch.set_num_threads(1)
            # What has been loaded stays: garbage collection need not look through it again and
            # again. An engine that this one follows may go.
            gc.unfreeze()
            gc.collect()
            gc.freeze()

    def leave(self) -> None:
        """An engine has been closed. After the last one all is as it was before the first."""
        with self._lock:
            self._open -= 1
            if self._open:
                return
            if self._threads is not None:
                torch.set_num_threads(self._threads)
                self._threads = None
            gc.unfreeze()


_SHARING = _Sharing()


def capacity(engine: Any, tokens: int) -> int:
    """Requests of so many tokens each that a vLLM engine runs at once, on all its GPUs."""
    config = engine.vllm_config
    most, room = config.scheduler_config.max_num_seqs, config.cache_config.kv_cache_size_tokens
    # Replicas of `data_parallel_size` have so many requests, and such a cache, each.
    replicas = config.parallel_config.data_parallel_size
    return int(replicas * (most if room is None else min(most, room // tokens)))


def resources(engine: Any) -> str:
    """What a vLLM engine has got, in words."""
    config = engine.vllm_config
    cache, parallel = config.cache_config, config.parallel_config
    named = parallel.assigned_physical_gpu_ids or range(parallel.world_size)
    where = (
        "CPU"
        if config.device_config.device_type == "cpu"
        else f"{cache.gpu_memory_utilization:.1%} of GPU {', '.join(map(str, named))}"
    )
    room = cache.kv_cache_size_tokens
    cached = "" if room is None else f", a KV cache of {room:,} tokens"
    return f"vLLM on {where}{cached}, contexts of {config.model_config.max_model_len:,}"


def request_ids() -> Iterator[str]:
    """Request ids that are unique on an engine, also among other users' requests."""
    prefix = secrets.token_hex(4)
    return (f"{prefix}-{number}" for number in itertools.count())


@contextmanager
def block_sigint() -> Iterator[None]:
    """Block SIGINT (Ctrl-C) in processes started in the block; this process gets its mask back.

    A terminal sends SIGINT to all processes, and vLLM's would end by it while requests still run.
    They end by SIGTERM.
    """
    resource_tracker.ensure_running()  # starting it later would undo the mask
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
