"""LangChain's models against the real server."""

import asyncio
from typing import Any

import openai
import pytest

from tests.support.serving import PROMPTS, Api


# LangChain, whose import takes seconds, is imported only where these tests run.
def model_of(api: Api, name: str = "ChatOpenAI", **options: Any) -> Any:
    import langchain_openai

    cls = getattr(langchain_openai, name)
    defaults = {"model": "base", "max_retries": 0, "extra_body": {"ttc": {"budget": 2}}}
    return cls(base_url=f"{api.url}/v1", api_key="none", **defaults | options)


@pytest.fixture(params=["ChatOpenAI", "OpenAI"])
def model(request: pytest.FixtureRequest, api: Api) -> Any:
    return model_of(api, request.param)


SUM = {"title": "sum", "type": "object", "properties": {"sum": {"type": "integer"}}}


def text(said: Any) -> Any:
    return said if isinstance(said, str) else said.content


@pytest.mark.slow
def test_every_way_to_ask_gets_the_same_answer(model: Any) -> None:
    said = text(model.invoke(PROMPTS[0]))
    pieces = [text(chunk) for chunk in model.stream(PROMPTS[0])]
    assert said == "".join(pieces)
    assert sum(map(bool, pieces)) == len(said.splitlines()) > 1

    async def asked() -> Any:
        whole = await model.ainvoke(PROMPTS[0])
        return text(whole), "".join([text(chunk) async for chunk in model.astream(PROMPTS[0])])

    assert asyncio.run(asked()) == (said, said)


@pytest.mark.slow
def test_a_chat_goes_on_with_what_was_answered(api: Api) -> None:
    from langchain_core.messages import HumanMessage

    model = model_of(api)
    reply = model.invoke(PROMPTS[0])
    again = model.invoke([HumanMessage(PROMPTS[0]), reply, HumanMessage(PROMPTS[1])])
    assert again.usage_metadata["input_tokens"] > reply.usage_metadata["input_tokens"]


@pytest.mark.slow
def test_a_batch_is_answered_in_order(model: Any) -> None:
    several = [text(said) for said in model.batch(PROMPTS[:4])]
    assert several == [text(model.invoke(prompt)) for prompt in PROMPTS[:4]]
    assert len(set(several)) == 4


@pytest.mark.slow
def test_texts_that_go_in_one_request_keep_their_order(api: Api) -> None:
    model = model_of(api, "OpenAI", n=2, best_of=2)
    generations = model.generate(PROMPTS[:3]).generations
    alone = [model.generate([prompt]).generations[0] for prompt in PROMPTS[:3]]
    assert [[one.text for one in of_prompt] for of_prompt in generations] == [
        [one.text for one in of_prompt] for of_prompt in alone
    ]


@pytest.mark.parametrize(
    ("options", "most"), [({}, 2), ({"extra_body": None, "model": "base-ttc-1"}, 1)]
)
def test_the_budget_is_kept_and_the_tokens_are_told(api: Api, options: Any, most: int) -> None:
    begun = api.engine.begun
    said = model_of(api, **options, max_tokens=30, seed=1).invoke(PROMPTS[0])
    used = said.usage_metadata
    assert used["total_tokens"] == used["input_tokens"] + used["output_tokens"]
    # A search drops steps that are longer than those it keeps.
    assert 0 < used["output_tokens"] <= 30 * most * most
    assert (api.engine.begun == begun + 1) == (most == 1)


@pytest.mark.slow
def test_a_conversation_and_a_chain(api: Api) -> None:
    from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
    from langchain_core.output_parsers import StrOutputParser
    from langchain_core.prompts import ChatPromptTemplate

    model = model_of(api)
    before = [SystemMessage("Add."), HumanMessage("1+2"), AIMessage("1+2=3\n#3")]
    alone = model.invoke([*before[:1], HumanMessage(PROMPTS[0])])
    several = model.invoke([*before, HumanMessage(PROMPTS[0])])
    assert several.usage_metadata["input_tokens"] > alone.usage_metadata["input_tokens"]
    chain = ChatPromptTemplate([("user", "{problem}")]) | model | StrOutputParser()
    assert chain.invoke({"problem": PROMPTS[0]}) == model.invoke(PROMPTS[0]).content


def test_what_cannot_be_served_is_refused_by_name(api: Api) -> None:
    model = model_of(api)
    with pytest.raises(openai.BadRequestError, match=r"response_format: .*must be vLLM"):
        model.with_structured_output(SUM).invoke(PROMPTS[0])
    tool = {"type": "function", "function": {"name": "add", "parameters": {}}}
    with pytest.raises(openai.BadRequestError, match=r"tools: .*does not show tools"):
        model.bind_tools([tool]).invoke(PROMPTS[0])
    with pytest.raises(openai.NotFoundError, match="ask for base"):
        list(model_of(api, model="gpt-4o").stream(PROMPTS[0]))
