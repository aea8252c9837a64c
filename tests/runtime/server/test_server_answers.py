"""The server's answers: what is asked of the solver, and what of its work clients are told."""

import copy
from typing import Any

import pytest

from runtime.engines.base import encode_prompt
from runtime.frontend.conversation import conversation_text
from runtime.models import Models
from runtime.server.service import Service
from runtime.solving.solve import Solver
from tests.support.running import Run
from tests.support.serving import PROMPTS, asked, chat, client_of, engine_of, service_of


@pytest.fixture(scope="module")
def service(transformers_models: Models) -> Any:
    return service_of(transformers_models, seed=5, max_budget=32)


@pytest.mark.slow
def test_a_chat_is_answered_as_the_solver_answers(run: Run[Any], service: Service) -> None:
    solver = Solver(service.ready().models, service.artifact, seed=5)
    for prompt in PROMPTS[:4]:
        reply = run(asked(service, chat(prompt, ttc={"budget": 8}))).json()
        result = run(solver.solve(prompt, 8))
        (choice,) = reply["choices"]
        assert choice["message"]["content"] == result.solution
        assert choice["ttc"] == {"answer": result.answer, "score": pytest.approx(result.score)}
        assert choice["finish_reason"] == "stop"
        receipt = reply["ttc"]["receipt"]
        assert receipt["plan"] == result.receipt.plan.model_dump()
        assert reply["usage"]["completion_tokens"] == result.receipt.sampled_tokens
        assert reply["usage"]["prompt_tokens"] == result.receipt.prompt_tokens
        assert reply["ttc"]["notes"] == []


@pytest.mark.slow
def test_completions_take_texts_and_token_ids_as_they_are(run: Run[Any], service: Service) -> None:
    engine = engine_of(service)
    text = PROMPTS[1]
    laid_out = list(encode_prompt(engine, text))
    as_chat = run(asked(service, chat(text, max_tokens=60))).json()
    body = {"prompt": [laid_out, engine.tokenizer.encode(text)], "max_tokens": 60}
    as_ids = run(asked(service, body)).json()
    as_text = run(asked(service, {"prompt": text, "max_tokens": 60})).json()
    said = [choice["text"] for choice in as_ids["choices"]]
    assert said[1] == as_text["choices"][0]["text"]
    assert as_ids["ttc"]["receipts"][0]["prompt_tokens"] == len(laid_out)
    assert as_chat["usage"]["prompt_tokens"] == len(laid_out)
    assert as_text["object"] == "text_completion"
    assert as_ids["usage"]["total_tokens"] == sum(
        receipt["prompt_tokens"] + receipt["sampled_tokens"]
        for receipt in as_ids["ttc"]["receipts"]
    )


@pytest.mark.slow
def test_choices_are_the_best_and_numbered_through(run: Run[Any], service: Service) -> None:
    body = {"prompt": PROMPTS[:2], "n": 3, "ttc": {"budget": 4}}
    reply = run(asked(service, body)).json()
    assert [choice["index"] for choice in reply["choices"]] == list(range(6))
    alone = run(asked(service, body | {"n": 1})).json()
    assert [c["text"] for c in alone["choices"]] == [c["text"] for c in reply["choices"][::3]]


def test_a_solution_that_is_cut_short_says_so(run: Run[Any], service: Service) -> None:
    reply = run(asked(service, {"prompt": PROMPTS[0], "max_tokens": 3})).json()
    assert reply["choices"][0]["finish_reason"] == "length"
    reply = run(asked(service, chat(PROMPTS[0], stop=["\n"]))).json()
    assert reply["choices"][0]["finish_reason"] == "stop"
    assert "\n" not in reply["choices"][0]["message"]["content"]


@pytest.mark.slow
def test_seeds_make_answers(run: Run[Any], service: Service) -> None:
    body = {"prompt": PROMPTS[3], "ttc": {"budget": 1}, "max_tokens": 60}

    def said(**fields: Any) -> Any:
        return run(asked(service, body | fields)).json()["choices"][0]["text"]

    assert said() == said(seed=5)
    assert len({said(seed=seed) for seed in (-1, 0, 1, 2, 3)}) > 1


@pytest.mark.slow
def test_greedy_is_for_one_solution_and_else_noted(run: Run[Any], service: Service) -> None:
    one = run(asked(service, chat(PROMPTS[0], temperature=0, ttc={"budget": 1}))).json()
    other = run(asked(service, chat(PROMPTS[0], temperature=0, ttc={"budget": 1}, seed=9))).json()
    assert one["choices"][0]["message"] == other["choices"][0]["message"]
    assert one["ttc"]["notes"] == []
    assert one["choices"][0]["ttc"]["score"] is None
    more = run(asked(service, chat(PROMPTS[0], temperature=0, ttc={"budget": 4}))).json()
    (note,) = more["ttc"]["notes"]
    assert "calibrated temperature 1.0" in note
    warm = run(asked(service, {"prompt": PROMPTS[:2], "temperature": 0.5})).json()
    assert warm["ttc"]["notes"] == [
        "temperature is 0.5; the table was calibrated at temperature 1.0"
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "headers", "body", "budget"),
    [
        ("base", {}, None, 16),
        ("base-ttc-2", {}, None, 2),
        ("base-ttc-2", {"X-TTC-Budget": "4"}, None, 4),
        ("base-ttc-2", {"X-TTC-Budget": "4"}, 1, 1),
    ],
)
def test_the_body_wins_over_the_header_over_the_name(
    run: Run[Any], service: Service, model: Any, headers: dict[str, str], body: Any, budget: Any
) -> None:
    fields = {"model": model} | ({"ttc": {"budget": body}} if body else {})
    reply = run(asked(service, chat("81+54", **fields), **headers)).json()
    assert reply["ttc"]["receipt"]["budget"] == budget
    assert reply["model"] == model


def test_models_are_listed_once_a_budget(run: Run[Any], service: Service) -> None:
    async def get(path: str) -> Any:
        async with client_of(service) as client:
            return (await client.get(path)).json()

    rows = service.artifact.policy.table.rows
    budgets = [row.budget for row in rows if row.budget <= service.settings.max_budget]
    listed = run(get("/v1/models"))["data"]
    assert [model["id"] for model in listed] == [
        "base",
        *(f"base-ttc-{budget}" for budget in budgets),
    ]
    assert {model["max_model_len"] for model in listed} == {256}
    assert run(get("/v1/models/base-ttc-8")) == listed[1 + budgets.index(8)]
    assert run(get("/v1/models/other"))["error"]["param"] == "model"


def test_a_deadline_reaches_the_solver(run: Run[Any], service: Service) -> None:
    reply = run(asked(service, chat(PROMPTS[0], ttc={"budget": 16, "deadline": 0.000001}))).json()
    assert reply["ttc"]["receipt"]["deadline"] == 0.000001
    assert reply["ttc"]["receipt"]["generations"] == 1


def test_a_conversation_keeps_its_turns(run: Run[Any], service: Service) -> None:
    reply = run(asked(service, chat("1+2", "1+2=3\n#3", "81+54"))).json()
    template = "<user>1+2<assistant>1+2=3\n#3<end><user>81+54<assistant>"
    ids = engine_of(service).tokenizer.encode(template)
    assert reply["usage"]["prompt_tokens"] == len(ids)
    turns = [{"role": "user", "content": "1+2"}, {"role": "assistant", "content": "3"}]
    system, last = {"role": "system", "content": "Be brief."}, {"role": "user", "content": "4+5"}
    assert conversation_text([last]) == "4+5"
    assert conversation_text([system, last]) == "Be brief.\n\n4+5"
    assert conversation_text([system, *turns, last]) == (
        "Be brief.\n\nUser: 1+2\n\nAssistant: 3\n\nUser: 4+5"
    )


@pytest.mark.slow
def test_parts_of_text_are_joined(run: Run[Any], service: Service) -> None:
    parts = [{"type": "text", "text": "81"}, {"type": "text", "text": "+54"}]
    one = run(asked(service, {"messages": [{"role": "user", "content": parts}]})).json()
    other = run(asked(service, chat("81\n+54"))).json()
    assert one["choices"] == other["choices"]


def test_the_chat_template_is_given_its_variables(
    run: Run[Any], transformers_models: Models
) -> None:
    service = service_of(transformers_models, default_budget=1)
    engine = engine_of(service)
    engine.tokenizer = copy.copy(engine.tokenizer)
    engine.tokenizer.chat_template += "{% if enable_thinking is false %}1+2=3\n{% endif %}"
    plain = run(asked(service, chat("81+54"))).json()
    fields = {"chat_template_kwargs": {"enable_thinking": False, "other": None}}
    found = run(asked(service, chat("81+54", **fields))).json()
    more = len(engine.tokenizer.encode("1+2=3\n"))
    assert found["usage"]["prompt_tokens"] == plain["usage"]["prompt_tokens"] + more
    assert plain["ttc"]["notes"] == []
    assert found["ttc"]["notes"] == [
        "the chat template was given enable_thinking; the table was calibrated with none set"
    ]
    null = run(asked(service, chat("81+54", chat_template_kwargs={"other": None}))).json()
    assert null["choices"] == plain["choices"]


def test_a_stop_token_ends_a_solution_which_is_cut_before_it(
    run: Run[Any], service: Service
) -> None:
    (stop,) = engine_of(service).tokenizer.encode("=")
    greedy = {"temperature": 0, "ttc": {"budget": 1}, "max_tokens": 60}
    reply = run(asked(service, chat("81+54", stop_token_ids=[stop], **greedy))).json()
    by_text = run(asked(service, chat("81+54", stop=["="], **greedy))).json()
    assert reply["choices"] == by_text["choices"]
    assert reply["choices"][0]["message"]["content"] == "81+54"
    assert reply["choices"][0]["finish_reason"] == "stop"
    assert reply["usage"] == by_text["usage"]
