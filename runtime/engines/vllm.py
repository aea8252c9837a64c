"""vLLM in process: its asynchronous engine, with continuous batching and prefix caching."""

import itertools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from allocator.errors import InputError
from runtime.engine import Completion, SamplingSettings
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
        self.tokenizer: Any = self._engine.get_tokenizer()
        self.context_length: int = self._engine.model_config.max_model_len
        self._request_ids = itertools.count()

    async def complete(
        self,
        token_ids: Sequence[int],
        *,
        settings: SamplingSettings,
        max_tokens: int,
        seed: int,
        stop: str | None = None,
    ) -> Completion:
        """Sample one continuation; see `runtime.engine.Engine.complete`."""
        from vllm import SamplingParams, TokensPrompt
        from vllm.sampling_params import RequestOutputKind

        params = SamplingParams(
            temperature=settings.temperature,
            top_p=settings.top_p,
            max_tokens=max_tokens,
            seed=seed,
            stop=stop,
            include_stop_str_in_output=True,
            logprobs=0,  # the sampled token's own, for cumulative_logprob
            output_kind=RequestOutputKind.FINAL_ONLY,
        )
        stream = self._engine.generate(
            TokensPrompt(prompt_token_ids=list(token_ids)), params, str(next(self._request_ids))
        )
        async for output in stream:
            final = output.outputs[0]
        return Completion(
            token_ids=tuple(final.token_ids),
            text=final.text,
            logprob=float(final.cumulative_logprob),
            # The reason of a stop text is that text; an end of sequence has an id or none.
            ended=final.finish_reason == "stop" and not isinstance(final.stop_reason, str),
        )

    def close(self) -> None:
        """Stop the engine's processes."""
        if self._engine is not None:
            self._engine.shutdown()
        # At interpreter exit vLLM's own finaliser would shut down again and fail; let go of it now.
        self._engine = None
