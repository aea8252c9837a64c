"""What pretraining and inference cost, and the exchange between them."""

from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allocator.errors import InputError
from allocator.flops import STUDIED, Exchange, ModelSizes, pretraining_flops

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


def test_each_model_s_flops_are_twice_its_parameters_per_token() -> None:
    sizes = ModelSizes(model=3, verifier=5, reviser=7)
    assert (sizes.sampling(10), sizes.sampling(10, reviser=True)) == (60, 140)
    # Attempts are scored by the verifier, unless the reviser has a verifier of its own.
    assert (sizes.scoring(10), sizes.scoring(10, reviser=True)) == (100, 100)
    own = sizes.model_copy(update={"reviser_verifier": 11})
    assert (own.scoring(10), own.scoring(10, reviser=True)) == (100, 220)
    alone = ModelSizes(model=3)
    assert (alone.sampling(10), alone.scoring(10)) == (60, 0)


def test_the_papers_ratios() -> None:
    found = [Exchange(14, ratio).budget for ratio in STUDIED]
    assert found == pytest.approx([14 + 39 / 0.16, 14 + 39 / 0.79, 14 + 39 / 22])


@pytest.mark.parametrize(
    ("scale", "ratio", "field"),
    [
        (1, 1, "scale"),
        (inf, 1, "scale"),
        (14, 0, "ratio"),
        (14, nan, "ratio"),
        (14, inf, "ratio"),
        (14, 1e-320, "ratio"),
    ],
)
def test_what_is_no_exchange_is_refused(scale: float, ratio: float, field: str) -> None:
    with pytest.raises(InputError) as refused:
        Exchange(scale, ratio)
    assert refused.value.field == field
