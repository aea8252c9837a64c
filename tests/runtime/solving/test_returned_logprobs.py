"""Log-probabilities that are read once a prompt is answered."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from allocator.errors import ModelError
from runtime.artifact import Artifact
from runtime.engines.base import encode_prompt
from runtime.request import Request
from runtime.result import Failure, Result, Spend
from runtime.solving.solve import Solver
from tests.support.artifacts import BentCoins, bent_models, bent_prompts
from tests.support.fakes import COIN_SETTINGS

PROMPTS, BAD = bent_prompts(5, seed=2), 3


class Reads(BentCoins):
    """Gives the log-probabilities of all prompts but one."""

    max_logprobs, vocabulary_size = 5, 21

    async def text_logprobs(self, token_ids: Any, likeliest: int) -> Any:
        if tuple(token_ids) == encode_prompt(self, PROMPTS[BAD]):
            raise ModelError("engine", "it has failed")
        return (None, *({} for _ in token_ids[1:]))


@pytest.mark.parametrize("spend", [Spend(budget=8), Spend(average=3), Spend(total=40)], ids=str)
def test_a_prompt_of_which_they_cannot_be_read_leaves_the_others_unharmed(
    bent: Artifact, tokenizer: Any, spend: Spend
) -> None:
    solving = Solver(bent_models(tokenizer, engine=Reads(tokenizer)), bent)
    settings = replace(COIN_SETTINGS, prompt_logprobs=0)
    requests = [Request(text, settings=settings) for text in PROMPTS]
    results = asyncio.run(solving.solve_all(requests, spend))
    assert results[BAD] == Failure(prompt=PROMPTS[BAD], error="engine: it has failed")
    assert sum(isinstance(result, Result) for result in results) == len(PROMPTS) - 1
