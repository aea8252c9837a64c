"""How the memory of GPUs is divided, by hand-computed cases."""

import pytest

from allocator.errors import InputError
from runtime.engines.memory import OVERHEAD, RESERVE, Gpu, Need, plan_shares

GIB = 2**30
EMPTY = Gpu(80 * GIB, 80 * GIB)
ROOM = 80 * (1 - RESERVE)
POLICY = Need((0,), 15 * GIB, 131_072)
VERIFIER = Need((0,), 14 * GIB, 57_344)
OTHERS = 2 * OVERHEAD / GIB


def test_one_model_gets_all_but_the_reserve() -> None:
    assert plan_shares({"model": POLICY}, {0: EMPTY}) == {"model": 1 - RESERVE}


def test_caches_hold_as_many_tokens() -> None:
    shares = plan_shares({"model": POLICY, "verifier": VERIFIER}, {0: EMPTY})
    rest = ROOM - 29 - OTHERS
    policy = (15 + OTHERS / 2 + rest * 131_072 / 188_416) / 80
    assert shares == {
        "model": pytest.approx(policy, abs=0.001),
        "verifier": pytest.approx(1 - RESERVE - policy, abs=0.002),
    }
    assert sum(shares.values()) <= 1 - RESERVE


def test_where_a_cache_is_unknown_the_rest_is_divided_by_weights() -> None:
    needs = {"model": Need((0,), 30 * GIB, None), "verifier": Need((0,), 10 * GIB, 1)}
    rest = ROOM - 40 - OTHERS
    assert plan_shares(needs, {0: EMPTY})["model"] == pytest.approx(
        (30 + OTHERS / 2 + rest * 3 / 4) / 80, abs=0.001
    )


def test_what_the_user_sets_is_left_to_him() -> None:
    needs = {"model": Need((0,), 15 * GIB, 1, share=0.5), "verifier": VERIFIER}
    assert plan_shares(needs, {0: EMPTY}) == {"verifier": pytest.approx(0.4, abs=0.001)}
    both = {name: Need((0,), 500 * GIB, 1, share=0.9) for name in ("model", "verifier")}
    assert plan_shares(both, {0: EMPTY}) == {}  # vLLM says whether that fits


def test_a_cache_of_the_users_size_does_not_grow() -> None:
    needs = {"model": Need((0,), 15 * GIB, 1, cache=8 * GIB), "verifier": VERIFIER}
    shares = plan_shares(needs, {0: EMPTY})
    assert shares["model"] == pytest.approx((15 + 8 + OTHERS / 2) / 80, abs=0.001)
    assert shares["verifier"] == pytest.approx(1 - RESERVE - shares["model"], abs=0.002)


def test_what_others_use_of_a_gpu_is_not_planned_with() -> None:
    used = Gpu(80 * GIB, 40 * GIB)
    assert plan_shares({"verifier": VERIFIER}, {0: used}) == {"verifier": 0.4}


def test_a_model_on_several_gpus_gets_the_least_of_their_shares() -> None:
    needs = {"model": Need((0, 1), 8 * GIB, 1), "verifier": Need((1,), 8 * GIB, 1)}
    shares = plan_shares(needs, {0: EMPTY, 1: EMPTY})
    assert shares == {"model": 0.45, "verifier": 0.45}


def test_models_on_gpus_of_their_own_do_not_share() -> None:
    needs = {"model": POLICY, "verifier": Need((1,), 14 * GIB, 57_344)}
    assert set(plan_shares(needs, {0: EMPTY, 1: EMPTY}).values()) == {1 - RESERVE}


def test_models_that_do_not_fit_are_refused() -> None:
    # What wrapping a vllm.LLM at its default leaves to a verifier.
    wrapped = Gpu(80 * GIB, 6 * GIB)
    with pytest.raises(InputError) as refused:
        plan_shares({"verifier": VERIFIER}, {0: wrapped})
    assert str(refused.value).startswith(
        "GPU 0: '6.0 GiB of 80.0 GiB free': too little: verifier 16.0 GiB at least, 8.0 GiB stay"
    )
    greedy = {"model": Need((0,), 15 * GIB, 1, share=0.9), "verifier": VERIFIER}
    with pytest.raises(InputError, match=r"72\.0 GiB are set for others"):
        plan_shares(greedy, {0: EMPTY})
    plan_shares({"verifier": VERIFIER}, {0: Gpu(80 * GIB, 24 * GIB)})  # exactly enough
