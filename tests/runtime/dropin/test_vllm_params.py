"""SamplingParams as the solver's options, without an engine of vLLM."""

from typing import Any

import pytest
from vllm import SamplingParams

from runtime.dropin.vllm_params import PromptParams, VLLMOptions, vllm_options
from runtime.engines.base import SamplingSettings
from tests.support.structured import tooled_tokenizer, unverified
from tests.support.writer import Writer


def options(**params: Any) -> VLLMOptions:
    engine: Any = Writer("")
    engine.tokenizer = tooled_tokenizer()
    given = PromptParams(SamplingParams(max_tokens=9, **params))
    return vllm_options(given, SamplingSettings(), unverified(engine), 1)


@pytest.mark.parametrize("ignored", [False, True])
def test_the_models_own_end_is_a_stop_token_where_it_would_be_ignored(ignored: bool) -> None:
    """As in vLLM, which then gives it as the stop reason."""
    end = tooled_tokenizer().eos_token_id
    found = options(stop_token_ids=[end], ignore_eos=ignored)
    assert found.request.settings.stop_token_ids == ((end,) if ignored else ())
    assert found.stop_reasons == ({end: end} if ignored else {})
