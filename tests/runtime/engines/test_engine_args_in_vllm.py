"""Arguments reach the vLLM engines of the language model and of the verifier."""

import asyncio
import logging
from pathlib import Path

import pytest

from allocator.errors import InputError
from benchmarks.testbed.paths import SETTINGS
from runtime.engines.base import HasResources
from runtime.models import LOGGER, open_models
from runtime.verifiers.model_verifier import ModelVerifier

CACHE = 2**26  # bytes
TOKEN = 4 * 2 * 4 * 32 * 4  # bytes of keys and values of 4 layers of 4 heads of 32, in float32


@pytest.mark.vllm
@pytest.mark.slow
def test_each_engine_gets_its_own_and_the_log_says_so(
    classifier: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = SETTINGS.model_copy(update={"verifier": str(classifier)}).with_args(
        {
            "engine_args": {"max_model_len": 128, "kv_cache_memory_bytes": CACHE},
            # vLLM runs it, on CPU too, for transformers could not honour them.
            "verifier_args": {"max_model_len": 192},
        }
    )

    async def opened() -> None:
        async with open_models(settings, Path(), "vllm") as models:
            assert models.engine.context_length == 128
            assert isinstance(models.engine, HasResources)
            assert isinstance(models.verifier, ModelVerifier)
            assert models.verifier.context_length == 192
            tokens = CACHE // TOKEN
            expected = f"vLLM on CPU, a KV cache of {tokens:,} tokens, contexts of 128"
            assert models.engine.resources == expected
            got = f"model base: {expected}; verifier {classifier.name}: vLLM on CPU, a KV cache of "
            assert caplog.messages[-1].startswith(got)
            assert caplog.messages[-1].endswith("contexts of 192")

    with caplog.at_level(logging.INFO, LOGGER.name):
        asyncio.run(opened())


@pytest.mark.vllm
@pytest.mark.slow
def test_a_value_that_vllm_refuses_is_an_input_error() -> None:
    settings = SETTINGS.with_args({"engine_args": {"max_model_len": 10**6}})

    async def opened() -> None:
        async with open_models(settings, Path(), "vllm"):
            pytest.fail("it was not refused")

    with pytest.raises(InputError, match=r"(?s)vLLM cannot serve it: .*max_model_len"):
        asyncio.run(opened())


@pytest.mark.vllm
@pytest.mark.slow
def test_a_context_is_as_long_as_the_memory_has_room_for() -> None:
    blocks = 5 * 32 * TOKEN  # of which vLLM keeps one to itself
    limited = SETTINGS.with_args({"engine_args": {"kv_cache_memory_bytes": blocks}})

    async def context(longest: int) -> int:
        sampling = limited.sampling.model_copy(update={"max_tokens": longest})
        settings = limited.model_copy(update={"sampling": sampling})
        async with open_models(settings, Path(), "vllm") as models:
            return models.engine.context_length

    assert asyncio.run(context(128)) == 128
    with pytest.raises(InputError, match=r"max_tokens: 129: .* room for 128 tokens"):
        asyncio.run(context(129))
