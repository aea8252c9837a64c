"""The `openai` package and a model that thinks: `reasoning` in messages and in deltas."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import openai
import pytest

from runtime.server.service import Service
from tests.support.http_server import LoopThread
from tests.support.serving import listening_on, service_of
from tests.support.thinking import END, SWITCHED, thinker, thinking_models

# A thought of 30 letters has 32 tokens: a newline stands before and after them.
LETTERS, NATURAL = 30, 32
THOUGHT = f"\n{'a' * LETTERS}\n"
MESSAGES = [{"role": "user", "content": "?"}]


@contextmanager
def openai_client(service: Service) -> Iterator[Any]:
    """OpenAI's client of a service behind a real socket."""
    thread = LoopThread()
    try:
        with (
            thread.entered(listening_on(service)) as port,
            openai.OpenAI(
                base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0
            ) as client,
        ):
            yield client
    finally:
        thread.close()


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with openai_client(service_of(thinking_models(thinker(LETTERS, SWITCHED)))) as client:
        yield client


def create(client: Any, messages: Any = MESSAGES, extra: Any = None, **fields: Any) -> Any:
    body = {"ttc": {"budget": 1}} | (extra or {})
    return client.chat.completions.create(
        model="base", messages=messages, extra_body=body, **fields
    )


def test_a_message_has_its_thought_as_an_attribute(client: Any) -> None:
    reply = create(client)
    message = reply.choices[0].message
    assert (message.reasoning, message.content) == (THOUGHT, f"\n\n#30\n{END}")
    assert reply.usage.completion_tokens_details.reasoning_tokens == NATURAL
    assert create(client, reasoning_effort="none").choices[0].message.reasoning is None
    quiet = create(client, extra={"include_reasoning": False})
    assert not hasattr(quiet.choices[0].message, "reasoning")


def test_deltas_of_a_stream_have_it_too(client: Any) -> None:
    extra = {"thinking_token_budget": 11, "ttc": {"budget": 8}}
    thoughts, contents = ["", ""], ["", ""]
    for chunk in create(client, extra=extra, stream=True, n=2):
        (choice,) = chunk.choices
        thoughts[choice.index] += getattr(choice.delta, "reasoning", None) or ""
        contents[choice.index] += choice.delta.content or ""
    assert thoughts == [f"\n{'a' * 10}\n"] * 2
    assert contents == [f"\n\n#10\n{END}"] * 2


def test_an_answer_goes_back_as_it_came(client: Any) -> None:
    message = create(client).choices[0].message
    for sent in (message, message.model_dump()):
        again = create(client, [*MESSAGES, sent, *MESSAGES])
        assert again.choices[0].message.reasoning is not None


def test_a_budget_that_is_none_is_a_bad_request(client: Any) -> None:
    with pytest.raises(openai.BadRequestError, match="thinking_token_budget: -2") as error:
        create(client, extra={"thinking_token_budget": -2})
    assert error.value.param == "thinking_token_budget"
