"""The thinking model in real vLLM, by OpenAI's client and by the drop-in, from end to end."""

from collections.abc import Awaitable, Callable
from typing import Any

import openai
import pytest
from vllm import SamplingParams

from benchmarks.thinking.paths import ARTIFACT
from benchmarks.thinking.task import problems
from runtime.artifact import Artifact
from runtime.dropin.async_llm import AsyncComputeOptimalLLM
from runtime.models import Models
from runtime.server.service import Service
from runtime.server.settings import ServeSettings
from tests.support.running import Run
from tests.support.serving import Loaded, listening_on

EASY, HARD = (next(p for p in problems("test", 7) if len(p.operations) == n) for n in (2, 8))
TOKENS = 400  # a budget for which the artifact's table has a row


@pytest.fixture
def ask(run: Run[Any], thinking_models: Models) -> Callable[..., Any]:
    """A chat completion by the real client over a real socket; of a stream, its chunks."""
    service = Service(ServeSettings(artifact=ARTIFACT, port=0), Artifact.load(ARTIFACT))
    service.open(Loaded(thinking_models))

    async def answered(text: str, extra: dict[str, Any], **fields: Any) -> Any:
        async with (
            listening_on(service) as port,
            openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none") as client,
        ):
            messages: Any = [{"role": "user", "content": text}]
            create: Callable[..., Awaitable[Any]] = client.chat.completions.create
            reply = await create(model="base", messages=messages, extra_body=extra, **fields)
            return [chunk async for chunk in reply] if fields.get("stream") else reply

    return lambda text, extra, **fields: run(answered(text, extra, **fields))


def test_the_thought_is_read_apart_from_the_content(ask: Callable[..., Any]) -> None:
    reply = ask(EASY.text, {"ttc": {"budget": 1}})
    message, usage = reply.choices[0].message, reply.usage
    assert message.reasoning.startswith(f"\n{EASY.text}\n")
    assert "think>" not in message.reasoning + message.content
    assert message.content.strip().startswith("#")
    thought = usage.completion_tokens_details.reasoning_tokens
    assert 0 < thought < usage.completion_tokens
    assert (
        ask(EASY.text, {"ttc": {"budget": 1}}, reasoning_effort="none").choices[0].message.reasoning
        is None
    )


def test_a_cap_is_kept(ask: Callable[..., Any]) -> None:
    reply = ask(HARD.text, {"ttc": {"budget": 1}, "thinking_token_budget": 50})
    receipt = reply.model_extra["ttc"]["receipt"]
    assert receipt["thinking_cap"] == 50
    assert receipt["forced_thoughts"] == 1
    # A token is a character here; what cuts the thought off begins with a newline.
    assert len(reply.choices[0].message.reasoning) == 50 + 1


def test_a_stream_has_it_too(ask: Callable[..., Any]) -> None:
    chunks = ask(EASY.text, {"ttc": {"budget": 1}}, stream=True)
    deltas = [choice.delta for chunk in chunks for choice in chunk.choices]
    thought = "".join(getattr(delta, "reasoning", None) or "" for delta in deltas)
    content = "".join(delta.content or "" for delta in deltas)
    assert thought.startswith(f"\n{EASY.text}\n")
    assert content.strip().startswith("#")


def test_budgets_in_tokens_are_kept_over_http(ask: Callable[..., Any]) -> None:
    easy, hard = (
        ask(problem.text, {"ttc": {"average_tokens": TOKENS}}).model_extra["ttc"]["receipt"]
        for problem in (EASY, HARD)
    )
    assert easy["sampled_tokens"] < hard["sampled_tokens"]
    receipt = ask(EASY.text, {"ttc": {"budget_tokens": TOKENS}}).model_extra["ttc"]["receipt"]
    assert receipt["budget_tokens"] == TOKENS
    assert 0 < receipt["sampled_tokens"] < 4 * TOKENS


def test_the_drop_in_thinks_by_the_same_budgets(run: Run[Any], thinking_models: Models) -> None:
    async def answered(**budget: Any) -> Any:
        llm = AsyncComputeOptimalLLM.wrap(thinking_models.engine, ARTIFACT)
        params = SamplingParams(max_tokens=800)
        prompt = f"<user>{HARD.text}<assistant>"
        return [output async for output in llm.generate(prompt, params, "one", **budget)][-1]

    for budget in ({"budget": 4}, {"budget_tokens": TOKENS}, {"average_tokens": TOKENS}):
        output = run(answered(**budget))
        assert output.finished
        assert output.receipt.generations >= 1
        if output.receipt.plan.thinking is None:
            assert output.reasoning[0].startswith(f"\n{HARD.text}\n")
