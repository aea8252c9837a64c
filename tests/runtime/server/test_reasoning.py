"""Thoughts over HTTP: budgets, efforts and switches; `reasoning` apart from the content."""

from io import StringIO
from typing import Any

import pytest

from allocator.plan import Plan
from runtime.models import Models
from runtime.server.service import Service
from tests.support.running import Run
from tests.support.serving import (
    asked,
    chat,
    chunks_of,
    client_of,
    engine_of,
    logged,
    service_of,
)
from tests.support.thinking import EFFORTFUL, END, SWITCHED, TEMPLATE, thinker, thinking_models

# A thought of 30 letters has 32 tokens: a newline stands before and after them.
LETTERS, NATURAL = 30, 32
THOUGHT = f"\n{'a' * LETTERS}\n"
ONE: dict[str, Any] = {"ttc": {"budget": 1}}
NOTE = "thinking is {}, as requested; the table holds for the depth of its plans"


def served(template: str = TEMPLATE, **how: Any) -> Service:
    return service_of(thinking_models(thinker(LETTERS, template, **how)))


@pytest.fixture(scope="module")
def service() -> Service:
    return served()


def answer(run: Run[Any], service: Service, **fields: Any) -> Any:
    response = run(asked(service, chat("?", **ONE | fields)))
    assert response.status_code == 200, response.text
    return response.json()


def said(reply: Any) -> list[Any]:
    return [choice["message"] for choice in reply["choices"]]


def test_a_thought_stands_apart_from_the_content(run: Run[Any], service: Service) -> None:
    reply = answer(run, service)
    (choice,) = reply["choices"]
    assert choice["message"] == {
        "role": "assistant",
        "reasoning": THOUGHT,
        "content": f"\n\n#30\n{END}",
        "refusal": None,
    }
    assert choice["ttc"]["answer"] == "30"
    assert reply["usage"]["completion_tokens_details"] == {"reasoning_tokens": NATURAL}
    assert reply["usage"]["completion_tokens"] > NATURAL
    assert reply["ttc"]["receipt"]["thinking_tokens"] == NATURAL
    assert reply["ttc"]["receipt"]["thinking_cap"] is None
    assert reply["ttc"]["notes"] == []


def test_a_budget_caps_the_thought(run: Run[Any], service: Service) -> None:
    reply = answer(run, service, thinking_token_budget=11)
    assert said(reply)[0]["reasoning"] == f"\n{'a' * 10}\n"
    assert said(reply)[0]["content"] == f"\n\n#10\n{END}"
    receipt = reply["ttc"]["receipt"]
    assert (receipt["thinking_cap"], receipt["forced_thoughts"]) == (11, 1)
    # The opening's newline was written, not sampled.
    assert reply["usage"]["completion_tokens_details"]["reasoning_tokens"] == 10
    assert reply["ttc"]["notes"] == [NOTE.format("at most 11 tokens")]


def test_a_large_budget_and_none_change_nothing(run: Run[Any], service: Service) -> None:
    plain = said(answer(run, service))
    assert said(answer(run, service, thinking_token_budget=-1)) == plain
    reply = answer(run, service, thinking_token_budget=50)
    assert said(reply) == plain
    assert reply["ttc"]["receipt"]["forced_thoughts"] == 0


@pytest.mark.parametrize(
    "fields",
    [
        {"thinking_token_budget": 0},
        {"reasoning_effort": "none"},
        {"chat_template_kwargs": {"enable_thinking": False}},
        {"chat_template_kwargs": {"reasoning_effort": "none"}},
        {"chat_template_kwargs": {"enable_thinking": False}, "reasoning_effort": "high"},
        {"reasoning_effort": "none", "thinking_token_budget": 11},
    ],
)
@pytest.mark.parametrize("template", [TEMPLATE, SWITCHED], ids=["no switch", "switch"])
def test_thoughts_are_turned_off(run: Run[Any], template: str, fields: dict[str, Any]) -> None:
    service = served(template)
    reply = answer(run, service, **fields)
    (message,) = said(reply)
    assert message["reasoning"] is None
    assert message["content"].lstrip() == f"#0\n{END}"
    assert reply["usage"]["completion_tokens_details"] == {"reasoning_tokens": 0}
    assert reply["ttc"]["receipt"]["thinking_cap"] == 0
    (before, _) = engine_of(service).engine.requests[-1]
    assert before == "<think>\n\n</think>\n\n"


def test_a_request_goes_below_its_plan_and_not_above(run: Run[Any]) -> None:
    service = served()
    service.ready().fixed = Plan(strategy="best_of_n", n=1, thinking=11)
    assert said(answer(run, service, thinking_token_budget=5))[0]["reasoning"] == "\naaaa\n"
    assert len(said(answer(run, service, thinking_token_budget=20))[0]["reasoning"]) == 12
    assert said(answer(run, service, reasoning_effort="none"))[0]["reasoning"] is None


def test_an_effort_is_a_cap_or_the_templates(run: Run[Any]) -> None:
    # The longest solution of 160 tokens leaves 40 and the end's marks for the answer.
    long = service_of(thinking_models(thinker(1000)))
    for effort in ("minimal", "high"):
        receipt = answer(run, long, reasoning_effort=effort)["ttc"]["receipt"]
        assert receipt["thinking_cap"] == (512 if effort == "minimal" else None)
        assert receipt["forced_thoughts"] == (effort == "minimal")
    told = served(EFFORTFUL)
    sizes = {
        effort: answer(run, told, reasoning_effort=effort)["usage"]["prompt_tokens"]
        for effort in ("low", "medium")
    }
    assert sizes["medium"] - sizes["low"] == len("medium") - len("low")
    reply = answer(run, told, reasoning_effort="low")
    assert reply["ttc"]["receipt"]["thinking_cap"] is None
    assert reply["ttc"]["notes"] == [
        "the chat template was given reasoning_effort; the table was calibrated with none set"
    ]


def test_reasoning_is_left_out_where_that_is_requested(run: Run[Any], service: Service) -> None:
    whole, without = (answer(run, service, include_reasoning=kept) for kept in (True, False))
    assert said(without) == [{n: v for n, v in said(whole)[0].items() if n != "reasoning"}]
    assert without["usage"] == whole["usage"]


def test_a_thought_that_has_not_ended_has_no_content(run: Run[Any], service: Service) -> None:
    reply = answer(run, service, max_tokens=20)
    (choice,) = reply["choices"]
    assert choice["message"]["content"] is None
    assert choice["message"]["reasoning"] == "\n" + "a" * 18
    assert choice["finish_reason"] == "length"
    assert choice["ttc"]["answer"] is None


def test_a_stop_text_within_a_thought_ends_nothing(run: Run[Any], service: Service) -> None:
    (message,) = said(answer(run, service, stop=["aa", "0"]))
    assert (message["reasoning"], message["content"]) == (THOUGHT, "\n\n#3")


def streamed(run: Run[Any], service: Service, **fields: Any) -> dict[int, list[dict[str, Any]]]:
    """The deltas of each choice that say something."""
    body = chat("?", stream=True, **ONE | fields)
    deltas: dict[int, list[dict[str, Any]]] = {}
    for chunk in chunks_of(run(asked(service, body))):
        for choice in chunk["choices"]:
            if choice["delta"] and "role" not in choice["delta"]:
                deltas.setdefault(choice["index"], []).append(choice["delta"])
    return deltas


def test_a_stream_gives_the_thought_before_the_content(run: Run[Any], service: Service) -> None:
    (deltas,) = streamed(run, service).values()
    kinds = [next(iter(delta)) for delta in deltas]
    assert kinds == sorted(kinds, reverse=True)
    assert {len(delta) for delta in deltas} == {1}
    (message,) = said(answer(run, service))
    for name in ("reasoning", "content"):
        assert "".join(delta.get(name, "") for delta in deltas) == message[name]
    (quiet,) = streamed(run, service, include_reasoning=False).values()
    assert quiet == [delta for delta in deltas if "content" in delta]
    (cut,) = streamed(run, service, max_tokens=20).values()
    assert {name for delta in cut for name in delta} == {"reasoning"}


def test_usage_of_a_stream_counts_thoughts(run: Run[Any], service: Service) -> None:
    fields = {"stream": True, "stream_options": {"include_usage": True}}
    *_, last = chunks_of(run(asked(service, chat("?", **ONE | fields))))
    assert last["usage"] == answer(run, service)["usage"]
    assert last["usage"]["completion_tokens_details"] == {"reasoning_tokens": NATURAL}


def test_every_choice_has_its_thought(run: Run[Any], service: Service) -> None:
    fields = {"n": 3, "ttc": {"budget": 8}, "thinking_token_budget": 11}
    reply = answer(run, service, **fields)
    assert [message["reasoning"] for message in said(reply)] == [f"\n{'a' * 10}\n"] * 3
    assert reply["usage"]["completion_tokens_details"]["reasoning_tokens"] == 80  # of all eight
    deltas = streamed(run, service, **fields)
    assert sorted(deltas) == [0, 1, 2]
    for index in deltas:
        thought = "".join(delta.get("reasoning", "") for delta in deltas[index])
        assert thought == f"\n{'a' * 10}\n"


def test_completions_keep_the_whole_text(run: Run[Any], service: Service) -> None:
    body = {"prompt": "U:?A:", "thinking_token_budget": 11} | ONE
    reply = run(asked(service, body)).json()
    assert reply["choices"][0]["text"] == f"<think>\n{'a' * 10}\n</think>\n\n#10\n{END}"
    assert reply["usage"]["completion_tokens_details"] == {"reasoning_tokens": 10}
    chunks = chunks_of(run(asked(service, body | {"stream": True})))
    text = "".join(chunk["choices"][0]["text"] for chunk in chunks)
    assert text == reply["choices"][0]["text"]


def test_models_without_thoughts_reply_as_ever(run: Run[Any], transformers_models: Models) -> None:
    service = service_of(transformers_models)
    body = chat("81+54", **ONE)
    reply = run(asked(service, body)).json()
    assert set(reply["choices"][0]["message"]) == {"role", "content", "refusal"}
    assert "completion_tokens_details" not in reply["usage"]
    chunks = chunks_of(run(asked(service, body | {"stream": True})))
    names = {name for chunk in chunks for name in chunk["choices"][0]["delta"]}
    assert names == {"role", "content"}


@pytest.mark.parametrize(
    ("fields", "field", "hint"),
    [
        ({"thinking_token_budget": -2}, "thinking_token_budget", "greater than or equal to -1"),
        ({"thinking_token_budget": "9"}, "thinking_token_budget", "valid integer"),
        ({"reasoning_effort": "much"}, "reasoning_effort", "'none', 'minimal', 'low', 'medium'"),
        (
            {"chat_template_kwargs": {"reasoning_effort": "much"}},
            "chat_template_kwargs.reasoning_effort",
            "the chat template does not read it",
        ),
        ({"include_reasoning": "no"}, "include_reasoning", "valid boolean"),
    ],
)
def test_what_cannot_be_honoured_is_refused(
    run: Run[Any], service: Service, fields: dict[str, Any], field: str, hint: str
) -> None:
    begun = engine_of(service).begun
    response = run(asked(service, chat("?", **ONE | fields)))
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["param"] == field
    assert hint in error["message"]
    assert engine_of(service).begun == begun


def test_thinking_tokens_are_counted(run: Run[Any]) -> None:
    service = served()
    log = StringIO()

    async def asked_and_read() -> Any:
        async with client_of(service, log) as client:
            await client.post("/v1/chat/completions", json=chat("?", **ONE))
            return (await client.get("/metrics")).text

    assert f"ttc_thinking_tokens_total {float(NATURAL)}" in run(asked_and_read())
    (view,) = service.live_store.views()
    assert view.to_full_json(0)["whole"]["receipt"]["thinking_tokens"] == NATURAL
    assert service.live_store.totals()["today"]["thinking_tokens"] == NATURAL
    (line,) = logged(log)
    assert line["thinking_tokens"] == NATURAL
