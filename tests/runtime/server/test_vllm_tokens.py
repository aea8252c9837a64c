"""Log-probabilities, ids and options of tokens, end to end: compared with vLLM's own numbers.

Real clients of a server, and the drop-in, on the session's vLLM engine; the server also in front of
a real `vllm serve`.
"""

from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from typing import Any

import openai
import pytest
from vllm import SamplingParams, TokensPrompt

from allocator.errors import InputError
from benchmarks.testbed.paths import ARTIFACT, BASE
from runtime.artifact import Artifact
from runtime.dropin.async_llm import AsyncComputeOptimalLLM
from runtime.engines.openai import OpenAIEngine
from runtime.models import Models
from runtime.server.service import Service
from runtime.server.settings import ServeSettings
from tests.support.prompts import RAW
from tests.support.serving import Loaded, asked, chunks_of, client_of, listening_on

GREEDY = {"temperature": 0.0, "max_tokens": 60}
CHAT = [{"role": "user", "content": "347+58*7-91"}]

Ask = Callable[[Callable[[Any], Coroutine[Any, Any, Any]]], Any]


@pytest.fixture
def llm(run: Any, theirs: Any) -> Iterator[AsyncComputeOptimalLLM]:
    async def opened() -> AsyncComputeOptimalLLM:
        return AsyncComputeOptimalLLM.wrap(theirs, ARTIFACT, budget=1)

    llm = run(opened())
    yield llm
    llm.shutdown()


@pytest.fixture(params=["in process", "over HTTP"])
def ask(request: pytest.FixtureRequest, run: Any, vllm_models: Models, server: str) -> Ask:
    """Runs what an openai client does to a server with a budget of 1."""
    settings = ServeSettings(artifact=ARTIFACT, port=0, default_budget=1)
    service = Service(settings, Artifact.load(ARTIFACT))

    async def asked(work: Callable[[Any], Coroutine[Any, Any, Any]]) -> Any:
        remote = OpenAIEngine([server], BASE) if request.param == "over HTTP" else None
        service.open(Loaded(replace(vllm_models, engine=remote or vllm_models.engine)))
        try:
            async with listening_on(service) as port:
                url, key = f"http://127.0.0.1:{port}/v1", "none"
                async with openai.AsyncOpenAI(base_url=url, api_key=key, max_retries=0) as client:
                    return await work(client)
        finally:
            if remote is not None:
                remote.close()

    return lambda work: run(asked(work))


async def plain(theirs: Any, prompt: Any, **fields: Any) -> Any:
    """vLLM's own output."""
    params = SamplingParams(**GREEDY | fields)
    outputs = theirs.generate(prompt, params, f"plain {prompt} {fields}")
    return [output async for output in outputs][-1]


async def ours(llm: AsyncComputeOptimalLLM, prompt: Any, budget: int = 1, **fields: Any) -> Any:
    params = SamplingParams(**GREEDY | fields)
    outputs = llm.generate(prompt, params, f"ours {prompt} {fields}", budget=budget)
    return [output async for output in outputs][-1]


@pytest.mark.parametrize(
    "fields",
    [
        {"logprobs": 3, "prompt_logprobs": 2},
        {"logprobs": 0},
        {"logprobs": 2, "ignore_eos": True},
        {"logprobs": 1, "min_tokens": 50},
        {"logprobs": 1, "logit_bias": {7: 5.0}},
        {"logprobs": 1, "allowed_token_ids": [6, 7, 8]},
        {"logprobs": 2, "logprob_token_ids": [3, 4]},
        {"logprobs": 1, "stop": ["="]},
    ],
    ids=lambda fields: " ".join(fields),
)
def test_of_one_sample_all_is_vllms_own(
    run: Any, llm: AsyncComputeOptimalLLM, theirs: Any, fields: dict[str, Any]
) -> None:
    mine, before = run(ours(llm, RAW[0], **fields)), run(plain(theirs, RAW[0], **fields))
    one, other = mine.outputs[0], before.outputs[0]
    assert (one.text, one.finish_reason) == (other.text, other.finish_reason)
    assert list(one.token_ids) == list(other.token_ids)
    assert one.logprobs == other.logprobs
    assert one.cumulative_logprob == other.cumulative_logprob
    assert mine.prompt_logprobs == before.prompt_logprobs


def test_of_a_search_they_are_those_of_the_solution_that_is_returned(
    run: Any, llm: AsyncComputeOptimalLLM, theirs: Any
) -> None:
    found = run(ours(llm, RAW[0], 16, temperature=1.0, logprobs=2))
    assert found.receipt.plan.strategy == "beam_search", "its solutions are of several requests"
    ids, prompt = list(found.outputs[0].token_ids), found.prompt_token_ids
    read = run(
        plain(
            theirs, TokensPrompt(prompt_token_ids=[*prompt, *ids]), max_tokens=1, prompt_logprobs=2
        )
    ).prompt_logprobs[len(prompt) :]
    told = found.outputs[0].logprobs
    assert len(told) == len(read) == len(ids) > 10
    for token, mine, other in zip(ids, told, read, strict=True):
        assert next(iter(mine)) == token
        assert mine.keys() == other.keys()
        assert mine[token].logprob == pytest.approx(other[token].logprob, abs=1e-4)
    assert found.outputs[0].cumulative_logprob == pytest.approx(
        sum(place[token].logprob for token, place in zip(ids, told, strict=True)), abs=1e-4
    )


def test_a_search_is_no_shorter_than_requested(run: Any, llm: AsyncComputeOptimalLLM) -> None:
    found = run(ours(llm, RAW[0], 16, temperature=1.0, min_tokens=45, n=3))
    assert all(len(one.token_ids) >= 45 for one in found.outputs)
    assert "without min_tokens" in " ".join(found.notes)


def test_what_vllm_would_refuse_is_refused_before_any_work(
    run: Any, llm: AsyncComputeOptimalLLM
) -> None:
    for fields in ({"logprobs": 21}, {"prompt_logprobs": 21}, {"logit_bias": {21: 1.0}}):
        with pytest.raises(InputError, match=next(iter(fields))):
            run(ours(llm, RAW[0], **fields))


def test_the_server_gives_a_chats_logprobs(ask: Ask, run: Any, theirs: Any) -> None:
    extra = {"return_token_ids": True, "prompt_logprobs": 1}

    async def work(client: Any) -> Any:
        return await client.chat.completions.create(
            model="base", messages=CHAT, logprobs=True, top_logprobs=3, extra_body=extra, **GREEDY
        )

    reply = ask(work)
    choice = reply.choices[0]
    prompt = TokensPrompt(prompt_token_ids=reply.prompt_token_ids)
    before = run(plain(theirs, prompt, logprobs=3, prompt_logprobs=1))
    assert choice.token_ids == list(before.outputs[0].token_ids)
    places = zip(choice.token_ids, choice.logprobs.content, before.outputs[0].logprobs, strict=True)
    for token, told, place in places:
        assert (told.token, told.logprob) == (place[token].decoded_token, place[token].logprob)
        assert [one.logprob for one in told.top_logprobs] == [p.logprob for p in place.values()][:3]
    assert reply.prompt_logprobs[0] is None
    for told, place in zip(reply.prompt_logprobs[1:], before.prompt_logprobs[1:], strict=True):
        assert {int(token): one["logprob"] for token, one in told.items()} == {
            token: one.logprob for token, one in place.items()
        }


def test_a_stream_of_a_text_counts_its_tokens(ask: Ask) -> None:
    fields = {"model": "base", "prompt": RAW[0], "logprobs": 1} | GREEDY
    options = {"include_usage": True, "continuous_usage_stats": True}

    async def work(client: Any) -> Any:
        whole = await client.completions.create(**fields)
        stream = await client.completions.create(**fields, stream=True, stream_options=options)
        return whole, [chunk async for chunk in stream]

    whole, (*chunks, last) = ask(work)
    assert "".join(chunk.choices[0].text for chunk in chunks) == whole.choices[0].text
    for name in ("tokens", "token_logprobs", "top_logprobs", "text_offset"):
        told = [one for chunk in chunks for one in getattr(chunk.choices[0].logprobs, name)]
        assert told == getattr(whole.choices[0].logprobs, name)
    counts = [chunk.usage.completion_tokens for chunk in chunks]
    assert counts == sorted(set(counts))
    assert counts[-1] == last.usage.completion_tokens == whole.usage.completion_tokens
    assert [chunk.choices[0].finish_reason for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_what_was_not_chosen_counts_with_the_last_chunk(ask: Ask) -> None:
    options = {"include_usage": True, "continuous_usage_stats": True}

    async def work(client: Any) -> Any:
        stream = await client.completions.create(
            model="base-ttc-8", prompt=RAW[0], stream=True, stream_options=options
        )
        return [chunk async for chunk in stream]

    *chunks, last = ask(work)
    counts = [chunk.usage.completion_tokens for chunk in chunks]
    assert counts[-1] == last.usage.completion_tokens > 4 * counts[-2] > 0


def test_an_echo_has_the_prompts_logprobs(ask: Ask, run: Any, theirs: Any) -> None:
    async def work(client: Any) -> Any:
        return await client.completions.create(
            model="base", prompt=RAW[0], echo=True, logprobs=1, **GREEDY
        )

    choice = ask(work).choices[0]
    before = run(plain(theirs, RAW[0], logprobs=1, prompt_logprobs=1))
    assert choice.text == RAW[0] + before.outputs[0].text
    ids = [*before.prompt_token_ids, *before.outputs[0].token_ids]
    places = [*before.prompt_logprobs[1:], *before.outputs[0].logprobs]
    assert choice.logprobs.token_logprobs == [
        None,
        *(place[token].logprob for token, place in zip(ids[1:], places, strict=True)),
    ]
    assert choice.logprobs.top_logprobs[0] is None


@pytest.mark.parametrize("fields", [{}, {"logprobs": 1}], ids=str)
def test_a_stream_echoes_the_prompt_once(ask: Ask, fields: dict[str, Any]) -> None:
    fields = {"model": "base", "prompt": RAW[0], "echo": True} | fields | GREEDY

    async def work(client: Any) -> tuple[Any, list[Any]]:
        whole = await client.completions.create(**fields)
        stream = await client.completions.create(**fields, stream=True)
        return whole.choices[0], [chunk.choices[0] async for chunk in stream]

    whole, chunks = ask(work)
    assert whole.text.startswith(RAW[0])
    assert "".join(chunk.text for chunk in chunks) == whole.text
    if "logprobs" in fields:
        streamed = [p for chunk in chunks for p in chunk.logprobs.token_logprobs]
        assert streamed == whole.logprobs.token_logprobs


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"logprobs": 21}, "logprobs"),
        ({"logprobs": -1}, "logprobs"),
        ({"extra_body": {"prompt_logprobs": -1}}, "prompt_logprobs"),
        ({"extra_body": {"prompt_logprobs": 1}, "stream": True}, "prompt_logprobs"),
        ({"extra_body": {"logprob_token_ids": [3]}}, "logprob_token_ids"),
        ({"extra_body": {"min_tokens": 61}}, "min_tokens"),
        ({"logit_bias": {"21": 1}}, "logit_bias"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
    ],
    ids=str,
)
def test_the_server_refuses_by_name(ask: Ask, body: dict[str, Any], field: str) -> None:
    async def work(client: Any) -> None:
        await client.completions.create(model="base", prompt=RAW[0], **GREEDY | body)

    with pytest.raises(openai.BadRequestError) as refused:
        ask(work)
    assert refused.value.param == field


def test_invocations_answers_as_the_two_paths_do(run: Any, vllm_models: Models) -> None:
    settings = ServeSettings(artifact=ARTIFACT, port=0, default_budget=1)
    service = Service(settings, Artifact.load(ARTIFACT))
    service.open(Loaded(vllm_models))

    async def both(body: dict[str, Any], path: str) -> list[Any]:
        async with client_of(service) as client:
            body = {"model": "base"} | GREEDY | body
            replies = [await client.post(where, json=body) for where in ("/invocations", path)]
            return [(reply.status_code, reply.json()) for reply in replies]

    for body, path in (
        ({"messages": CHAT}, "/v1/chat/completions"),
        ({"prompt": RAW[0]}, "/v1/completions"),
    ):
        (status, one), (_, other) = run(both(body, path))
        assert (status, one["choices"]) == (200, other["choices"])
        faults: tuple[dict[str, Any], ...] = ({"top_p": 7}, {"stream_options": {}})
        for wrong in faults:
            (status, one), (_, other) = run(both(body | wrong, path))
            assert (status, one) == (400, other)


def test_kept_ids_of_a_prompt_replace_its_messages(ask: Ask) -> None:
    ids = {"return_token_ids": True}

    async def work(client: Any) -> Any:
        create = client.chat.completions.create
        first = await create(model="base", messages=CHAT, extra_body=ids, **GREEDY)
        known = {"kv_transfer_params": {"prompt_token_ids": first.prompt_token_ids}}
        other = [{"role": "user", "content": "1+1"}]
        again = await create(model="base", messages=other, extra_body=ids | known, **GREEDY)
        return first, again

    first, again = ask(work)
    assert again.prompt_token_ids == first.prompt_token_ids
    assert again.choices[0].message.content == first.choices[0].message.content


@pytest.mark.parametrize(("side", "kept"), [("right", slice(4)), ("left", slice(-4, None))])
def test_a_prompt_is_cut_to_the_tokens_requested(ask: Ask, side: str, kept: slice) -> None:
    extra = {"return_token_ids": True, "truncate_prompt_tokens": 4, "truncation_side": side}
    ids = [2, 7, 8, 9, 15, 6, 3]

    async def work(client: Any) -> Any:
        return await client.completions.create(
            model="base", prompt=ids, max_tokens=1, extra_body=extra
        )

    assert ask(work).choices[0].prompt_token_ids == ids[kept]


def test_the_server_may_be_set_to_give_usage_and_ids(run: Any, vllm_models: Models) -> None:
    settings = ServeSettings(
        artifact=ARTIFACT,
        port=0,
        default_budget=1,
        return_tokens_as_token_ids=True,
        enable_force_include_usage=True,
    )
    service = Service(settings, Artifact.load(ARTIFACT))
    service.open(Loaded(vllm_models))
    body = {"prompt": RAW[0], "logprobs": 0, "stream": True} | GREEDY
    chunks = chunks_of(run(asked(service, body)))
    assert all(chunk["usage"] for chunk in chunks)
    names = [name for chunk in chunks[:-1] for name in chunk["choices"][0]["logprobs"]["tokens"]]
    assert {name.partition(":")[0] for name in names} == {"token_id"}
