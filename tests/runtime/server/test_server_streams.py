"""Streamed answers, and clients that go away."""

import asyncio
from typing import Any

import httpx
import pytest
from openai import APIError, AsyncOpenAI

from runtime.models import Models
from runtime.server import events
from runtime.server.app import create_app
from runtime.server.service import Service
from tests.support.running import Run
from tests.support.serving import (
    LONG,
    PROMPTS,
    asked,
    chat,
    chunks_of,
    connected,
    engine_of,
    has_stopped,
    log_to,
    service_of,
)
from tests.support.waiting import eventually_in_loop


@pytest.fixture(scope="module")
def service(transformers_models: Models) -> Any:
    return service_of(transformers_models)


def openai_of(service: Service) -> Any:
    transport = httpx.ASGITransport(create_app(service.settings, service, log_to()))
    client = httpx.AsyncClient(transport=transport)
    return AsyncOpenAI(base_url="http://server/v1", api_key="none", http_client=client)


@pytest.mark.slow
@pytest.mark.parametrize("body", [chat(PROMPTS[0]), {"prompt": PROMPTS[:3]}], ids=["chat", "text"])
def test_a_stream_says_what_a_whole_answer_says(run: Run[Any], service: Service, body: Any) -> None:
    body = body | {"n": 2, "ttc": {"budget": 4}}
    whole = run(asked(service, body)).json()
    options = {"stream": True, "stream_options": {"include_usage": True}}
    *chunks, last = chunks_of(run(asked(service, body | options)))
    said = [""] * len(whole["choices"])
    ends, receipts = {}, {}
    for chunk in chunks:
        assert chunk["usage"] is None
        (choice,) = chunk["choices"]
        assert choice["index"] not in ends
        text = choice["delta"].get("content", "") if "delta" in choice else choice["text"]
        said[choice["index"]] += text
        if choice["finish_reason"] is not None:
            ends[choice["index"]] = choice["finish_reason"]
            receipts[choice["index"]] = chunk["ttc"]["receipt"]
    assert said == [
        c["message"]["content"] if "message" in c else c["text"] for c in whole["choices"]
    ]
    assert ends == {c["index"]: c["finish_reason"] for c in whole["choices"]}
    assert last["choices"] == []
    assert last["usage"]["completion_tokens"] == whole["usage"]["completion_tokens"]
    assert (
        sum(receipts[i]["sampled_tokens"] for i in range(0, len(said), 2))
        == (last["usage"]["completion_tokens"])
    )


@pytest.mark.parametrize("body", [chat(PROMPTS[0]), {"prompt": PROMPTS[:2]}], ids=["chat", "text"])
def test_choices_that_were_not_found_end_too(run: Run[Any], service: Service, body: Any) -> None:
    late = {"budget": 4, "deadline": 1e-6}  # there is time for one solution
    chunks = chunks_of(run(asked(service, body | {"n": 3, "stream": True, "ttc": late})))
    ends = [chunk for chunk in chunks if chunk["choices"][0]["finish_reason"] is not None]
    ended = sorted(chunk["choices"][0]["index"] for chunk in ends)
    assert ended == list(range(6 if "prompt" in body else 3))
    for chunk in ends:
        (choice,) = chunk["choices"]
        assert "the search found 1 solutions" in chunk["ttc"]["notes"][-1]
        if choice["index"] % 3:
            assert not choice.get("text")
            assert not choice.get("delta")
            assert choice["finish_reason"] == "stop"
            assert chunk["ttc"]["answer"] is None


@pytest.mark.slow
def test_progress_is_told_before_the_answer_if_wanted(run: Run[Any], service: Service) -> None:
    body = chat(PROMPTS[1], stream=True)
    chunks = chunks_of(run(asked(service, body | {"ttc": {"budget": 16}})))
    kinds = [chunk["ttc"]["event"]["kind"] for chunk in chunks if "event" in chunk.get("ttc", {})]
    assert kinds.count("decision") == 1
    assert kinds[-1] == "solution"
    listed = [i for i, chunk in enumerate(chunks) if "event" in chunk.get("ttc", {})]
    answer = [i for i, c in enumerate(chunks) if c["choices"][0]["delta"].get("content")]
    assert max(listed) < min(answer)
    quiet = chunks_of(run(asked(service, body | {"ttc": {"budget": 16, "progress": False}})))
    assert [c["choices"] for i, c in enumerate(chunks) if i not in listed] == [
        c["choices"] for c in quiet
    ]


@pytest.mark.slow
def test_openais_client_reads_answers_and_streams(run: Run[Any], service: Service) -> None:
    client = openai_of(service)
    messages = chat(PROMPTS[2])["messages"]
    extra = {"ttc": {"budget": 4}}

    async def streamed() -> Any:
        stream = await client.chat.completions.create(
            model="base", messages=messages, stream=True, extra_body=extra
        )
        chunks = [chunk async for chunk in stream]
        return "".join(c.choices[0].delta.content or "" for c in chunks), chunks[-1]

    async def listed() -> Any:
        return [model.id async for model in client.models.list()]

    whole = run(client.chat.completions.create(model="base", messages=messages, extra_body=extra))
    text, last = run(streamed())
    assert text == whole.choices[0].message.content
    assert last.ttc["receipt"]["budget"] == whole.ttc["receipt"]["budget"] == 4
    # An answer goes back as it came.
    again = [*messages, whole.choices[0].message, messages[0]]
    run(client.chat.completions.create(model="base", messages=again, extra_body=extra))
    completion = run(client.completions.create(model="base", prompt=PROMPTS[2], n=2))
    assert len(completion.choices) == 2
    assert "base-ttc-16" in run(listed())


@pytest.mark.slow
def test_a_silent_stream_sends_comments_that_openais_client_skips(
    run: Run[Any], service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "HEARTBEAT", 0.001)
    body = chat(PROMPTS[1], stream=True, ttc={"budget": 16, "progress": False})
    response = run(asked(service, body))
    assert ": working\n\n" in response.text

    async def read() -> str:
        extra = {"ttc": body["ttc"]}
        stream = await openai_of(service).chat.completions.create(
            model="base", messages=body["messages"], stream=True, extra_body=extra
        )
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    said = [chunk["choices"][0]["delta"].get("content", "") for chunk in chunks_of(response)]
    assert run(read()) == "".join(said)


@pytest.mark.slow
def test_an_engine_that_dies_ends_the_stream_with_an_error(
    run: Run[Any], transformers_models: Models
) -> None:
    body = chat(PROMPTS[0], stream=True)
    chunks = chunks_of(run(asked(service_of(transformers_models, last=2), body)))
    assert chunks[-1]["error"]["message"] == "engine: it has died"
    assert all("error" not in chunk for chunk in chunks[:-1])
    assert {c["choices"][0]["finish_reason"] for c in chunks[:-1]} == {None}

    async def read() -> None:
        client = openai_of(service_of(transformers_models, last=2))
        async for _ in await client.chat.completions.create(**body):
            pass

    with pytest.raises(APIError, match="it has died"):
        run(read())


@pytest.mark.slow
def test_a_stream_that_cannot_be_is_refused_before_it_begins(
    run: Run[Any], service: Service
) -> None:
    response = run(asked(service, chat("1" * 300, stream=True)))
    assert response.status_code == 400


@pytest.mark.slow
@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "whole"])
def test_the_engine_stops_when_a_client_goes_away(
    run: Run[Any], service: Service, streamed: bool
) -> None:
    engine = engine_of(service)

    async def leave() -> None:
        async with connected(service) as client:
            if streamed:
                async with client.stream(
                    "POST", "/v1/completions", json=LONG | {"stream": True}
                ) as response:
                    async for line in response.aiter_lines():
                        if "event" in line:
                            break
            else:
                post = asyncio.create_task(client.post("/v1/completions", json=LONG))
                await eventually_in_loop(lambda: engine.running)
                post.cancel()
            assert service.gate.in_flight
            assert engine.running > 0
            assert await has_stopped(service)
            assert {view.to_json()["status"] for view in service.live_store.views()} == {
                "cancelled"
            }

    run(leave())
