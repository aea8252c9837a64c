"""The policy over width and depth: which choice is made at which price."""

from pathlib import Path

import numpy as np
import pydantic
import pytest

from allocator.errors import InputError
from predictors.branches import BranchScoring
from predictors.thinking_policy import (
    THINKING,
    Action,
    DepthGain,
    SampleGain,
    ThinkingPolicy,
    TokenPrice,
    read_thinking,
)

# More thoughts gain 0.2 (1 - k / n), at 100 tokens each. A deeper cap gains 0.1, at 50 tokens for
# each thought that was cut off.
POLICY = ThinkingPolicy(
    scoring=BranchScoring(),
    probes=(100,),
    caps=(100, None),
    stages=(1, 2, 4),
    sampling=(SampleGain(weights=(np.log(0.2), 0, 0), rho=1, tokens=100),) * 2,
    deepening=(DepthGain(weights=(np.log(0.1), 0, 0, 0, 0), tokens=50),),
    prices=(
        TokenPrice(price=1e-4, tokens=400, accuracy=0.8),
        TokenPrice(price=1e-3, tokens=100, accuracy=0.6),
    ),
)
# One thought of 100 tokens, cut off; the same thought, finished.
CUT, ENDED = np.array([1.0, 1, 0, 1, 1, 100, 1]), np.array([1.0, 1, 0, 1, 1, 100, 0])


def test_gains_and_costs_are_those_of_the_model() -> None:
    found = POLICY.outlook(0, 0, CUT)
    assert found.sample_gain == pytest.approx([0.1, 0.15])
    assert found.sample_cost == pytest.approx([100, 300])
    assert (found.depth_gain, found.depth_cost) == (pytest.approx(0.1), 50)
    ended = POLICY.outlook(0, 0, ENDED)
    assert (ended.depth_gain, ended.depth_cost) == (0, 0)
    # Two thoughts of calibration count beside the run's own of 400 tokens.
    long = POLICY.outlook(0, 0, np.array([1.0, 1, 0, 1, 1, 400, 0]))
    assert long.sample_cost == pytest.approx([200, 600])


def test_the_choice_that_gains_more_per_token_is_made_if_it_is_worth_its_price() -> None:
    states = np.stack([CUT, ENDED])
    assert POLICY.outlook(0, 0, states).actions(0.0005).tolist() == [Action.DEEPEN, Action.SAMPLE]
    assert POLICY.outlook(0, 0, states).actions(0.0015).tolist() == [Action.DEEPEN, Action.STOP]
    assert POLICY.outlook(0, 0, states).actions(0.003).tolist() == [Action.STOP, Action.STOP]
    # There is no deeper cap, and then no later stage either.
    assert POLICY.outlook(1, 0, states).actions(0.0005).tolist() == [Action.SAMPLE, Action.SAMPLE]
    assert POLICY.outlook(1, 2, states).actions(1e-9).tolist() == [Action.STOP, Action.STOP]
    # A long way may be worth it where one step is not: 0.2 rather than 0.1 for a wide first step.
    assert POLICY.outlook(0, 2, CUT).actions(1e-9) == Action.DEEPEN


def test_prices_are_read_by_the_average_that_they_led_to() -> None:
    assert POLICY.price_for(200) == pytest.approx(np.sqrt(1e-4 * 1e-3))
    assert (POLICY.price_for(100), POLICY.price_for(1e6)) == pytest.approx((1e-3, 1e-4))
    with pytest.raises(InputError, match=r"average_tokens: 99.5: must be at least 100 tokens"):
        POLICY.price_for(99.5)
    with pytest.raises(InputError, match="positive"):
        POLICY.price_for(0)
    with pytest.raises(InputError, match="has none"):
        POLICY.model_copy(update={"prices": ()}).price_for(100)


def test_a_policy_is_kept_in_an_artifact(tmp_path: Path) -> None:
    assert read_thinking(tmp_path) is None
    POLICY.save(tmp_path / THINKING)
    assert read_thinking(tmp_path) == POLICY
    (tmp_path / THINKING).write_text('{"schema_version": 1}')
    with pytest.raises(InputError, match="damaged"):
        read_thinking(tmp_path)


@pytest.mark.parametrize(
    "wrong",
    [{"caps": (100, 50)}, {"caps": (None, 100)}, {"stages": (2, 1)}, {"deepening": ()}],
)
def test_what_does_not_fit_together_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(pydantic.ValidationError):
        ThinkingPolicy(**{**dict(POLICY), **wrong})
