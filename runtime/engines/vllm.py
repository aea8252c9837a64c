"""vLLM in process: its asynchronous engine, with continuous batching and prefix caching."""

import asyncio
import itertools
import os
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from allocator.errors import InputError, ModelError
from runtime.engine import Completion, Halt, SamplingSettings
from runtime.engines.loading import model_dtype


class VLLMEngine:
    """vLLM's asynchronous engine on one model.

    Open it inside a running event loop, and use it from that loop only.

    Args:
        model: a Hugging Face model folder.
        engine_args: further arguments of vLLM's AsyncEngineArgs, for example
            ``tensor_parallel_size``.

    Raises:
        InputError: vLLM cannot serve the model; the message is vLLM's own.
    """

    def __init__(self, model: Path, **engine_args: Any) -> None:
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
        from vllm.platforms import current_platform
        from vllm.v1.engine.async_llm import AsyncEngineArgs, AsyncLLM

        # A GPU is shared with the verifier, which needs some of its memory too.
        defaults: dict[str, Any] = {
            "enable_prefix_caching": True,
            "disable_log_stats": True,
            "max_num_seqs": 256,
            "dtype": model_dtype(model),
            "gpu_memory_utilization": float(os.environ.get("TTC_GPU_MEMORY_UTILIZATION", "0.8")),
        }
        if current_platform.is_cpu():
            os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
            # On CPU: no graphs to capture, and prefix blocks as small as the backend allows, for
            # short prompts share no prefix at the default size.
            # Whole prefills: one split over two steps makes the runner rewind a seeded request's
            # generator, which CPU generators cannot do (it ends the engine in vLLM 0.32).
            defaults |= {
                "enforce_eager": True,
                "block_size": 32,
                "enable_chunked_prefill": False,
            }
        try:
            self._engine: Any = AsyncLLM.from_engine_args(
                AsyncEngineArgs(model=str(model), **(defaults | engine_args))
            )
        except (ValueError, RuntimeError) as error:
            raise InputError("model", str(model), f"vLLM cannot serve it: {error}") from error
        self._name = str(model)
        self.tokenizer: Any = self._engine.get_tokenizer()
        self.context_length: int = self._engine.model_config.max_model_len
        self._request_ids = itertools.count()
        self._marks: dict[str, list[int]] = {}

    async def complete(
        self,
        token_ids: Sequence[int],
        *,
        settings: SamplingSettings,
        max_tokens: int,
        seed: int,
        stop: str | None = None,
        halt: Halt | None = None,
    ) -> Completion:
        """Sample one continuation; see `runtime.engine.Engine.complete`."""
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        # A stop token ends a request in the engine itself; a stop text is only seen afterwards,
        # by the process that decodes, and costs a wasted step. Texts that span tokens need it.
        marks = self._marks_of(stop) if stop else []
        params = SamplingParams(
            temperature=settings.temperature,
            top_p=settings.top_p,
            max_tokens=max_tokens,
            seed=seed,
            stop=stop if stop and len(stop) > 1 else None,
            stop_token_ids=marks,
            include_stop_str_in_output=True,
            logprobs=0,  # the sampled token's own, for cumulative_logprob
            output_kind=RequestOutputKind.FINAL_ONLY,
        )
        output = await self._request(token_ids, params, halt)
        final = output.outputs[0]
        return Completion(
            token_ids=tuple(final.token_ids),
            text=final.text,
            logprob=float(final.cumulative_logprob or 0.0),
            # The reason of a stop is the text or token that was asked for; an end of sequence
            # has none, or a token of the model's own.
            ended=final.finish_reason == "stop"
            and not isinstance(final.stop_reason, str)
            and final.stop_reason not in marks,
            cached_tokens=output.num_cached_tokens or 0,
        )

    async def _request(self, token_ids: Sequence[int], params: Any, halt: Halt | None) -> Any:
        """The final output of one request, which is aborted if the halt or a cancellation comes.

        An aborted request's output holds what it had sampled, so that not a token goes uncounted.
        """
        from vllm import TokensPrompt
        from vllm.v1.engine.exceptions import EngineDeadError

        request_id = str(next(self._request_ids))
        aborts: list[asyncio.Task[None]] = []

        def abort() -> None:
            aborts.append(asyncio.create_task(self._engine.abort(request_id)))

        collector = None
        try:
            collector = await self._engine.add_request(
                request_id, TokensPrompt(prompt_token_ids=list(token_ids)), params
            )
            if halt is not None and halt.called:
                abort()
            with halt.stops(abort) if halt is not None else nullcontext():
                output = collector.get_nowait() or await collector.get()
            if aborts:
                await asyncio.gather(*aborts)
            return output
        except EngineDeadError as error:
            raise ModelError(
                self._name, "its vLLM engine has died; see the engine's own log, and start again"
            ) from error
        except asyncio.CancelledError:
            await self._engine.abort(request_id)
            raise
        finally:
            if collector is not None:
                collector.close()

    def _marks_of(self, stop: str) -> list[int]:
        """The tokens whose text holds `stop`."""
        if stop not in self._marks:
            vocabulary = self.tokenizer.batch_decode([[i] for i in range(len(self.tokenizer))])
            self._marks[stop] = [i for i, text in enumerate(vocabulary) if stop in text]
        return self._marks[stop]

    def close(self) -> None:
        """Stop the engine's processes."""
        if self._engine is not None:
            self._engine.shutdown()
        # At interpreter exit vLLM's own finaliser would shut down again and fail; let go of it now.
        self._engine = None
