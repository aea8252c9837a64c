"""LiteLLM against the real server, as one of the OpenAI-compatible ones it knows."""

import asyncio
from typing import Any

import pytest

from tests.support.serving import PROMPTS, Api

pytestmark = pytest.mark.filterwarnings("ignore:.*ReadOnly:UserWarning")  # LiteLLM's own

MESSAGES = [{"role": "user", "content": PROMPTS[0]}]
TWO = {"extra_body": {"ttc": {"budget": 2}}}


@pytest.fixture(scope="module")
def litellm() -> Any:
    """The package, whose import takes seconds; imported only where these tests run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # or it downloads prices
        import litellm

    return litellm


def asking(api: Api, **options: Any) -> Any:
    defaults = {"model": "openai/base", "api_key": "none", "num_retries": 0}
    return {"api_base": f"{api.url}/v1"} | defaults | options


def said(chunks: Any) -> Any:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)


@pytest.mark.slow
def test_every_way_to_chat_gets_the_same_answer(api: Api, litellm: Any) -> None:
    asked = asking(api, messages=MESSAGES, **TWO)
    whole = litellm.completion(**asked).choices[0].message.content
    assert len(whole.splitlines()) > 1
    assert said(litellm.completion(**asked, stream=True)) == whole

    async def both() -> Any:
        answer = await litellm.acompletion(**asked)
        stream = await litellm.acompletion(**asked, stream=True)
        return answer.choices[0].message.content, said([chunk async for chunk in stream])

    assert asyncio.run(both()) == (whole, whole)


@pytest.mark.slow
def test_a_chat_goes_on_with_what_was_answered(api: Api, litellm: Any) -> None:
    reply = litellm.completion(**asking(api, messages=MESSAGES, **TWO))
    for message in (reply.choices[0].message, reply.choices[0].message.model_dump()):
        messages = [*MESSAGES, message, *MESSAGES]
        again = litellm.completion(**asking(api, messages=messages, **TWO))
        assert again.usage.prompt_tokens > reply.usage.prompt_tokens


@pytest.mark.slow
def test_a_text_is_continued(api: Api, litellm: Any) -> None:
    asked = asking(api, model="text-completion-openai/base", prompt=PROMPTS[1], **TWO)
    whole = litellm.text_completion(**asked).choices[0].text
    streamed = litellm.text_completion(**asked, stream=True)
    assert "".join(chunk.choices[0].text or "" for chunk in streamed) == whole != ""


@pytest.mark.parametrize(("options", "most"), [(TWO, 2), ({"model": "openai/base-ttc-1"}, 1)])
def test_the_budget_is_kept_and_the_receipt_is_there(
    api: Api, litellm: Any, options: Any, most: int
) -> None:
    answer = litellm.completion(**asking(api, messages=MESSAGES, **options))
    assert answer.ttc["receipt"]["budget"] == most
    assert 0 < answer.ttc["receipt"]["generations"] <= most
    assert answer.usage.completion_tokens == answer.ttc["receipt"]["sampled_tokens"] > 0


def test_what_is_refused_says_so(api: Api, litellm: Any) -> None:
    with pytest.raises(Exception, match="it is not served"):
        litellm.completion(**asking(api, model="openai/other", messages=MESSAGES))
