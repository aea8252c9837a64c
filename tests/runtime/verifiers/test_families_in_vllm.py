"""Every family that vLLM serves scores there as in transformers: with a cached prefix, and beyond
the model's context.
"""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from allocator.errors import InputError
from runtime.verifiers.base import Context, TooLongError
from runtime.verifiers.families import FAMILIES
from runtime.verifiers.loading import VerifierEngine, open_verifier
from runtime.verifiers.model_verifier import ModelVerifier
from tests.support.checkpoints import make_verifier, solution

NOT_SERVED = {"likelihood"}
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


@pytest.mark.vllm
@pytest.mark.slow
@pytest.mark.parametrize("family", sorted(FAMILIES.keys() - NOT_SERVED))
def test_a_family_scores_the_same_in_both_engines(
    family: Any, tokenizer: Any, tmp_path: Path
) -> None:
    folder = make_verifier(family, tmp_path, tokenizer, 1024)

    async def scores(engine: VerifierEngine) -> list[tuple[float, ...]]:
        verifier = open_verifier(folder, tokenizer, family, engine)
        try:
            return await grown_scores(verifier, tokenizer)
        finally:
            verifier.close()

    expected = asyncio.run(scores("transformers"))
    for there, here in zip(asyncio.run(scores("vllm")), expected, strict=True):
        assert there == pytest.approx(here, abs=1e-3)
    assert len({score for scored in expected for score in scored}) > len(LINES)


@pytest.mark.parametrize("family", sorted(NOT_SERVED))
def test_a_family_that_vllm_does_not_serve_is_refused_there(
    family: Any, tokenizer: Any, tmp_path: Path
) -> None:
    folder = make_verifier(family, tmp_path, tokenizer, 1024)
    with pytest.raises(InputError, match=f"vLLM does not serve {family}"):
        open_verifier(folder, tokenizer, family, "vllm")
