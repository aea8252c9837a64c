"""Log-probabilities that are read once a prompt is answered."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from allocator.errors import InputError, ModelError
from runtime.artifact import Artifact
from runtime.engines.base import encode_prompt
from runtime.engines.token_options import TokenOptions
from runtime.request import Request, RequestSettings
from runtime.result import Failure, Result, Spend
from runtime.solving.solve import Solver
from tests.support.artifacts import BentCoins, bent_models, bent_prompts
from tests.support.fakes import COIN_SETTINGS
from tests.support.thinking import SETTINGS, ScriptedThinker, thinking_run

PROMPTS, BAD = bent_prompts(5, seed=2), 3


class Reads(BentCoins):
    """Gives the log-probabilities of all prompts but one."""

    max_logprobs, vocabulary_size = 5, 21

    async def text_logprobs(self, token_ids: Any, likeliest: int) -> Any:
        if tuple(token_ids) == encode_prompt(self, PROMPTS[BAD]):
            raise ModelError("engine", "it has failed")
        return (None, *({} for _ in token_ids[1:]))


def test_a_solution_that_may_be_read_again_leaves_room_for_it() -> None:
    long = SETTINGS.sampling.model_copy(update={"max_tokens": 5000})
    plain = RequestSettings(long)
    told = RequestSettings(long, tokens=TokenOptions(logprobs=0))
    engine = ScriptedThinker(30)
    room = engine.context_length - len(thinking_run(engine, plain).context.token_ids)
    assert thinking_run(engine, plain).max_tokens == room
    assert thinking_run(engine, told).max_tokens == room - 1  # vLLM refuses texts that fill it


def test_named_tokens_are_refused_where_a_solution_may_be_read_again() -> None:
    named = replace(SETTINGS, tokens=TokenOptions(logprobs=1, logprob_token_ids=(3,)))
    with pytest.raises(InputError, match=r"logprob_token_ids: \(3,\): where thoughts are capped"):
        thinking_run(ScriptedThinker(30), named)


@pytest.mark.parametrize(
    "spend", [Spend(budget=8), Spend(average_budget=3), Spend(total_budget=40)], ids=str
)
def test_a_prompt_of_which_they_cannot_be_read_leaves_the_others_unharmed(
    bent: Artifact, tokenizer: Any, spend: Spend
) -> None:
    solving = Solver(bent_models(tokenizer, engine=Reads(tokenizer)), bent)
    settings = replace(COIN_SETTINGS, prompt_logprobs=0)
    requests = [Request(text, settings=settings) for text in PROMPTS]
    results = asyncio.run(solving.solve_all(requests, spend))
    assert results[BAD] == Failure(prompt=PROMPTS[BAD], error="engine: it has failed")
    assert sum(isinstance(result, Result) for result in results) == len(PROMPTS) - 1
