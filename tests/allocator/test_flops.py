"""What pretraining and inference cost, and the exchange between them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allocator.errors import InputError
from allocator.flops import STUDIED, Exchange, pretraining_flops

scales, ratios = st.floats(1.01, 100), st.floats(0.01, 100)


@given(scales, ratios, st.floats(1e6, 1e9), st.floats(1e6, 1e12))
def test_at_the_budget_both_models_cost_the_same(
    scale: float, ratio: float, parameters: float, pretrained: float
) -> None:
    inferred = ratio * pretrained
    larger = pretraining_flops(scale * parameters, pretrained)
    larger += 2 * scale * parameters * inferred  # inference, 2 N D
    small = pretraining_flops(parameters, pretrained)
    small += 2 * parameters * inferred * Exchange(scale, ratio).budget
    assert small == pytest.approx(larger)


def test_the_papers_ratios() -> None:
    found = [Exchange(14, ratio).budget for ratio in STUDIED]
    assert found == pytest.approx([14 + 39 / 0.16, 14 + 39 / 0.79, 14 + 39 / 22])


@pytest.mark.parametrize(
    ("scale", "ratio", "field"), [(1, 1, "scale"), (14, 0, "ratio"), (14, float("nan"), "ratio")]
)
def test_what_is_no_exchange_is_refused(scale: float, ratio: float, field: str) -> None:
    with pytest.raises(InputError) as refused:
        Exchange(scale, ratio)
    assert refused.value.field == field
