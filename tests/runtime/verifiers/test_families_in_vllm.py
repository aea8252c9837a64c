"""Every family that vLLM serves scores there as in transformers: with a cached prefix, and beyond
the model's context.
"""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from allocator.errors import InputError
from runtime.verifiers.families import FAMILIES
from runtime.verifiers.loading import VerifierEngine, open_verifier
from tests.support.checkpoints import make_verifier
from tests.support.grown_scores import LINES, grown_scores

NOT_SERVED = {"likelihood"}


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
