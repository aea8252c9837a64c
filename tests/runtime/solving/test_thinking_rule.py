"""The policy over width and depth, one stage at a time."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from allocator.errors import InputError
from predictors.branches import Branch, BranchScoring
from predictors.thinking_policy import (
    THINKING,
    DepthGain,
    SampleGain,
    ThinkingPolicy,
    TokenPrice,
)
from runtime.solving.thinking_rule import Step, ThinkingRule

# More thoughts gain 0.2 (1 - k / n), at 100 tokens each; a deeper cap 0.1, at 50 tokens a thought.
POLICY = ThinkingPolicy(
    scoring=BranchScoring(),
    probes=(100,),
    caps=(100, 200),
    stages=(1, 3),
    sampling=(SampleGain(weights=(np.log(0.2), 0, 0), rho=1, tokens=100),) * 2,
    deepening=(DepthGain(weights=(np.log(0.1), 0, 0, 0, 0), tokens=50),),
    prices=(TokenPrice(price=5e-4, tokens=300, accuracy=0.5),),
)
CUT, ENDED = Branch("a", 100, 100, "capped"), Branch("b", 80, 80)


def test_a_run_samples_deepens_and_stops() -> None:
    run = ThinkingRule(POLICY, price=5e-4).start()
    assert run.answer is None
    assert run.next() == Step(1, (), 100)
    run.add(CUT)
    # 0.1 for 50 tokens is worth more than 0.13 for 240, and both are worth their price.
    assert run.next() == Step(0, (0,), 200)
    assert run.next() == Step(0, (0,), 200)  # what is missing is requested again
    run.replace(0, Branch("a", 150, 100))
    assert run.next() == Step(2, (), 200)
    run.add(ENDED)
    assert run.next() == Step(1, (), 200)
    run.add(ENDED)
    assert run.next() is None
    assert run.next() is None
    assert run.ended
    assert run.answer == "b"


def test_a_thought_that_the_context_has_ended_is_not_requested_again() -> None:
    run = ThinkingRule(POLICY, price=5e-4).start()
    run.next()
    run.add(Branch("a", 90, 90, "capped"))
    assert run.next() == Step(0, (0,), 100)
    run.replace(0, Branch("a", 95, 90, "capped"))
    assert run.next() == Step(0, (0,), 100)
    run.replace(0, Branch("a", 95, 90, "capped"))
    with pytest.raises(InputError, match="did not request"):
        run.replace(0, CUT)
    # The deeper cap holds now, for new thoughts alone.
    assert run.next() == Step(2, (), 200)
    for _ in range(2):
        run.add(ENDED)
    assert run.next() is None


def test_nothing_more_is_worth_a_high_price() -> None:
    run = ThinkingRule(POLICY, price=1.0).start()
    run.next()
    run.add(CUT)
    assert run.next() is None
    assert run.answer == "a"


def test_what_was_not_requested_is_refused() -> None:
    run = ThinkingRule(POLICY, price=5e-4).start()
    run.add(CUT)
    with pytest.raises(InputError, match="requested no more"):
        run.add(CUT)
    with pytest.raises(InputError, match="did not request"):
        run.replace(0, CUT)
    assert run.next() == Step(0, (0,), 200)
    with pytest.raises(InputError, match="shorter"):
        run.replace(0, Branch("a", 90, 90, "capped"))


def test_a_rule_takes_a_price_or_an_average(tmp_path: Path) -> None:
    POLICY.save(tmp_path / THINKING)
    assert ThinkingRule.load(tmp_path, average_tokens=1000).price == pytest.approx(5e-4)
    assert ThinkingRule.load(tmp_path, price=0.5).price == 0.5
    both = {"price": 1.0, "average_tokens": 5.0}
    texts: list[Any] = [{"price": "x"}, {"average_tokens": "900"}]
    for given in ({}, both, {"price": 0.0}, {"average_tokens": -1.0}, *texts):
        with pytest.raises(InputError):
            ThinkingRule.load(tmp_path, **given)
    with pytest.raises(InputError, match="no such file"):
        ThinkingRule.load(tmp_path / "none", price=1.0)


@pytest.mark.slow
def test_no_heavy_library_is_loaded() -> None:
    code = (
        "import sys; from ttc_allocator import ThinkingRule; "
        "print([m for m in ('torch', 'sklearn', 'lightgbm', 'vllm') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
