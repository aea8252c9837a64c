"""The confidence of a stream of tokens, computed by hand."""

from math import isnan, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from predictors.confidence import ConfidenceSettings, ConfidenceWindow, token_confidence

OF_TWO = ConfidenceSettings(window=2)


def read(settings: ConfidenceSettings, *values: float) -> ConfidenceWindow:
    window = ConfidenceWindow(settings)
    window.add(values)
    return window


def test_a_token_is_as_sure_as_the_likeliest_others_are_improbable() -> None:
    assert token_confidence([log(0.5), log(0.5)]) == pytest.approx(log(2))
    sure = token_confidence([log(0.98), log(0.01), log(0.01)])
    assert sure == pytest.approx(-(log(0.98) + 2 * log(0.01)) / 3)
    assert sure > token_confidence([log(1 / 3)] * 3)


def test_the_lowest_mean_of_two_tokens_and_where_it_ended() -> None:
    window = read(OF_TWO, 4.0, 2.0, 1.0, 5.0)
    assert (window.lowest, window.lowest_at) == (1.5, 3)


def test_fewer_tokens_than_a_window_have_their_own_mean_and_end_nothing() -> None:
    window = read(ConfidenceSettings(window=4, threshold=9.0), 1.0, 2.0, 6.0)
    assert (window.lowest, window.lowest_at, window.lost) == (3.0, None, False)
    assert isnan(read(OF_TWO).lowest)


def test_the_solution_is_lost_at_the_token_that_ends_a_window_below_the_threshold() -> None:
    window = ConfidenceWindow(ConfidenceSettings(window=2, threshold=2.0))
    assert window.add([4.0, 1.0, 3.0]) == 3  # means 2.5 and 2.0: not below
    assert not window.lost
    assert window.add([0.5, 9.0, 9.0]) == 1
    assert (window.lost, window.lowest, window.lowest_at) == (True, 1.75, 4)
    assert window.add([9.0]) == 0


@given(
    st.lists(st.floats(0, 30), min_size=1, max_size=60),
    st.integers(1, 12),
    st.integers(1, 7),
)
def test_chunks_of_any_length_give_the_lowest_of_all_windows(
    values: list[float], width: int, chunk: int
) -> None:
    window = ConfidenceWindow(ConfidenceSettings(window=width))
    for start in range(0, len(values), chunk):
        window.add(values[start : start + chunk])
    means = [np.mean(values[i : i + width]) for i in range(max(1, len(values) - width + 1))]
    assert window.lowest == pytest.approx(min(means), abs=1e-3)


def test_the_first_tokens_go_on_in_another_way() -> None:
    window = read(OF_TWO, 4.0, 2.0, 1.0, 1.0)
    first = window.first(2)
    assert (first.lowest, first.lowest_at) == (3.0, 2)
    first.add([8.0])
    assert (len(first.values), len(window.values), window.lowest) == (3, 4, 1.0)


@pytest.mark.parametrize("wrong", [{"top": 0}, {"window": 0}, {"saved": 2}, {"bottom": 1}])
def test_settings_that_are_none_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        ConfidenceSettings.model_validate(wrong)
