"""What is requested of vLLM."""

from typing import Any

import pytest

from runtime.engines.base import SamplingSettings
from runtime.engines.constraint import Constraint
from runtime.engines.token_options import PLAIN, TokenOptions
from runtime.engines.vllm_requests import LONG, sampling_params


def request(max_tokens: int = LONG, **how: Any) -> Any:
    usual: dict[str, Any] = {"options": PLAIN, "constraint": None, "thought": False}
    return sampling_params(
        SamplingSettings(),
        **usual | how,
        max_tokens=max_tokens,
        seed=0,
        stop=(),
        stop_token_ids=(),
        logprobs=None,
        each_token=False,
    )


def test_a_long_thought_may_be_taken_for_an_endless_loop() -> None:
    found = request(thought=True).repetition_detection
    assert (found.min_pattern_size, found.max_pattern_size, found.min_count) == (33, 64, 8)
    assert request(LONG - 1, thought=True).repetition_detection is None


@pytest.mark.parametrize(
    "how",
    [
        {"thought": False},
        {"thought": True, "options": TokenOptions(ignore_eos=True)},
        {"thought": True, "constraint": Constraint.of("choice", {"choice": ["a"]})},
    ],
    ids=str,
)
def test_nothing_else_may(how: dict[str, Any]) -> None:
    assert request(**how).repetition_detection is None
