"""Sampling settings that callers request."""

from typing import Any

import pytest

from allocator.errors import InputError
from runtime.engines.base import SamplingSettings
from runtime.frontend.sampling_overrides import SamplingOverrides, sampling_for

CALIBRATED = SamplingSettings(temperature=1.0, top_p=0.95, max_tokens=160, step_end="\n")


def test_without_overrides_all_is_as_calibrated() -> None:
    assert sampling_for(CALIBRATED, 16, SamplingOverrides()) == (CALIBRATED, [])


def test_overrides_replace_calibrated_settings_and_are_noted() -> None:
    overrides = {"temperature": 0.7, "top_k": 20, "min_p": 0.1, "max_tokens": 9}
    settings, notes = sampling_for(CALIBRATED, 16, SamplingOverrides(**overrides))
    assert settings == CALIBRATED.model_copy(update=overrides)
    assert len(notes) == 3  # a shorter solution is not another way to sample
    assert "temperature is 0.7; the table was calibrated at temperature 1.0" in notes


def test_greedy_is_for_one_solution() -> None:
    settings, notes = sampling_for(CALIBRATED, 1, SamplingOverrides(temperature=0.0))
    assert (settings.temperature, notes) == (0, [])
    settings, notes = sampling_for(CALIBRATED, 4, SamplingOverrides(temperature=0.0))
    assert settings == CALIBRATED
    assert notes == [
        "at temperature 0 all 4 solutions would be the same; they were sampled at the "
        "calibrated temperature 1.0"
    ]


def test_greedy_gives_way_where_a_budget_in_tokens_may_be_several_solutions() -> None:
    settings, notes = sampling_for(CALIBRATED, None, SamplingOverrides(temperature=0.0))
    assert settings == CALIBRATED
    assert notes == [
        "at temperature 0 all solutions of a prompt would be the same; they were sampled at the "
        "calibrated temperature 1.0"
    ]


def test_minus_one_is_no_top_k() -> None:
    assert sampling_for(CALIBRATED, 4, SamplingOverrides(top_k=-1)) == (CALIBRATED, [])


@pytest.mark.parametrize(
    ("name", "value"),
    [("temperature", -1), ("temperature", float("nan")), ("top_p", 0), ("max_tokens", 0)],
)
def test_what_is_out_of_range_is_refused(name: str, value: Any) -> None:
    with pytest.raises(InputError, match=name):
        sampling_for(CALIBRATED, 4, SamplingOverrides(**{name: value}))
