"""Budgets in tokens over HTTP: `ttc.budget_tokens` and `ttc.average_tokens`."""

from dataclasses import replace
from typing import Any

import pytest

from runtime.server.policies import ServedPolicy
from runtime.server.service import Service
from tests.support.running import Run
from tests.support.serving import asked, chat, service_of
from tests.support.thinking import TEMPLATE, thinker, thinking_models
from tests.support.token_budgets import with_token_budgets


@pytest.fixture(scope="module")
def service() -> Service:
    made = service_of(thinking_models(thinker(30, TEMPLATE)))
    made.policies.current = ServedPolicy.of(with_token_budgets(made.artifact))
    return made


def reply(run: Run[Any], service: Service, **ttc: Any) -> Any:
    return run(asked(service, chat("?", ttc=ttc)))


def test_the_table_in_tokens_says_how_deep(run: Run[Any], service: Service) -> None:
    receipt = reply(run, service, budget_tokens=60).json()["ttc"]["receipt"]
    assert (receipt["plan"]["n"], receipt["plan"]["thinking"]) == (2, 11)
    assert receipt["budget_tokens"] == 60


def test_an_average_of_tokens_is_spent_by_price(run: Run[Any], service: Service) -> None:
    dear, cheap = (
        reply(run, service, average_tokens=tokens).json()["ttc"]["receipt"] for tokens in (900, 9)
    )
    assert dear["sampled_tokens"] > 4 * cheap["sampled_tokens"]


def test_thoughts_that_would_be_the_same_are_sampled_as_calibrated(
    run: Run[Any], service: Service
) -> None:
    body = chat("?", temperature=0, ttc={"budget_tokens": 60})
    (note,) = run(asked(service, body)).json()["ttc"]["notes"]
    assert "at temperature 0 all solutions of a prompt would be the same" in note


@pytest.mark.parametrize(
    ("ttc", "says"),
    [
        ({"budget_tokens": 0}, "ttc.budget_tokens"),
        ({"budget_tokens": 7}, "must be at least 50 tokens"),
        ({"average_tokens": 7}, "must be at least 9 tokens"),
        ({"budget_tokens": 60, "average_tokens": 60}, "give one of"),
        ({"budget_tokens": 60, "budget": 4}, "give one of"),
        ({"budget_tokens": 60, "deadline": 2}, "goes with a budget for each prompt"),
    ],
)
def test_what_cannot_be_kept_is_refused(
    run: Run[Any], service: Service, ttc: dict[str, Any], says: str
) -> None:
    response = reply(run, service, **ttc)
    assert response.status_code == 400
    assert says in response.text


def test_a_second_budget_in_generations_is_refused(run: Run[Any], service: Service) -> None:
    body = chat("?", ttc={"average_tokens": 60})
    for response, field in (
        (run(asked(service, body, **{"X-TTC-Budget": "4"})), "X-TTC-Budget"),
        (run(asked(service, body | {"model": "base-ttc-4"})), "model"),
    ):
        assert response.status_code == 400
        assert f"{field}: 4: the body has a budget in tokens" in response.text


def test_without_a_table_in_tokens_it_is_refused(run: Run[Any], service: Service) -> None:
    without = service_of(thinking_models(thinker(30, TEMPLATE)))
    plain = replace(without.artifact, tokens=None, thinking=None)
    without.policies.current = ServedPolicy.of(plain)
    for ttc in ({"budget_tokens": 60}, {"average_tokens": 60}):
        response = reply(run, without, **ttc)
        assert response.status_code == 400
        assert "calibrate with --thinking" in response.text
