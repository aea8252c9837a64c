"""Scores of solutions that grow, by which engines are compared."""

from typing import Any

import pytest

from runtime.verifiers.base import Context, TooLongError
from runtime.verifiers.model_verifier import ModelVerifier
from tests.support.checkpoints import solution

# Long enough for several of the cache's blocks of 32 tokens. The second shares its beginning.
LINES = [f"{n}+{n}={2 * n}" for n in range(10, 22)]
TEXTS = ["\n".join(["3+10*2", *LINES, "#7"]), "\n".join(["3+10*2", *LINES[:6], "#8"])]
BEYOND = "\n".join(["3+10*2", *(f"{n}+{n}={2 * n}" for n in range(10, 160)), "#7"])  # the context


async def grown_scores(verifier: ModelVerifier, tokenizer: Any) -> list[tuple[float, ...]]:
    """Scores of two solutions and another prompt's: step by step, then whole. At last of one longer
    than the context, which families that read the language model's tokens refuse.
    """
    found = []
    first, second = (solution(tokenizer, text) for text in TEXTS)
    context, steps = first
    for count in range(1, len(steps) + 1, 3):
        found.append((await verifier.score(context, steps[:count])).step_scores)
    found.append((await verifier.score(*second)).step_scores)
    another = Context("5*5", tuple(tokenizer.encode("<user>5*5<assistant>")))
    found.append((await verifier.score(another, steps)).step_scores)
    context, steps = solution(tokenizer, BEYOND)
    if verifier.shares_tokens:
        with pytest.raises(TooLongError):
            await verifier.score(context, steps)
        return found
    for count in (len(steps) - 20, len(steps)):
        verdict = await verifier.score(context, steps[:count])
        assert verdict.windowed
        found.append(verdict.step_scores)
    return found
