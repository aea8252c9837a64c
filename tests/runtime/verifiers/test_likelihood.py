"""The verifier that reads likelihoods, against the language model and the head by hand."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from allocator.errors import InputError
from benchmarks.testbed.paths import BASE
from runtime.engines.checkpoint import parameter_count
from runtime.verifiers import likelihood
from runtime.verifiers.base import Context, Verdict
from runtime.verifiers.families import recognise
from runtime.verifiers.likelihood import HEAD_FILE, LikelihoodModel
from runtime.verifiers.loading import open_verifier
from tests.support.checkpoints import grown, solution

TEXTS = (
    "12+7*3\n12+7=19\n19*3=57\n#57",
    "5-9\n5-9=996\n#996",
    "3+10+11+12\n3+10=13\n13+11=24\n24+12=36\n#36",
    "12+7*3\n12+7=19\n19*3=58\n#58",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tokenizer: Any) -> Path:
    """The base model as a verifier, its head untrained."""
    torch.manual_seed(0)
    made = tmp_path_factory.mktemp("likelihood")
    LikelihoodModel.untrained(BASE).save_pretrained(made)
    tokenizer.save_pretrained(made)
    return made


@torch.no_grad()
def by_hand(folder: Path, context: Context, steps: Sequence[tuple[int, ...]]) -> list[float]:
    """The head on the whole text's hidden states, its surprises summed token by token."""
    head = LikelihoodModel.from_pretrained(folder).head
    model = AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.float32)
    ids = [*context.token_ids, *(token for step in steps for token in step)]
    output = model(torch.tensor([ids]), output_hidden_states=True)
    likely = output.logits[0].log_softmax(-1)
    ends = torch.tensor([len(step) for step in steps]).cumsum(0) + len(context.token_ids) - 1
    surprises = [-float(likely[at - 1, ids[at]]) for at in range(len(context.token_ids), len(ids))]
    scores = []
    for end in ends.tolist():
        until = torch.tensor(surprises[: end + 1 - len(context.token_ids)])
        read = torch.stack([until[-1], until.sum(), until.max()])
        logit = head(torch.cat([output.hidden_states[-1][0, end], read]))
        scores.append(float(logit.sigmoid()))
    return scores


@pytest.mark.parametrize("at_once", [likelihood.TOKENS_AT_ONCE, 7])
def test_a_growing_solution_is_read_as_a_whole_one_is(
    folder: Path, tokenizer: Any, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(likelihood, "TOKENS_AT_ONCE", at_once)
    solutions = [solution(tokenizer, text) for text in TEXTS]
    verifier = open_verifier(folder, tokenizer, engine="transformers")
    found = grown(verifier, solutions)
    verifier.close()
    for (context, steps), verdicts in zip(solutions, found, strict=True):
        assert verdicts[-1].step_scores == pytest.approx(by_hand(folder, context, steps), abs=1e-4)
    # Besides the new tokens the last known one is run over: the likelihood of the first is there.
    for (context, steps), verdicts in zip(solutions[:3], found, strict=False):
        spent = [verdict.processed_tokens for verdict in verdicts]
        assert spent == [len(context.token_ids) + len(steps[0]), *(len(s) + 1 for s in steps[1:])]
    assert found[3][0].processed_tokens == 0  # the first solution's


def test_whole_solutions_of_one_batch_are_read_as_each_alone(folder: Path, tokenizer: Any) -> None:
    verifier = open_verifier(folder, tokenizer, engine="transformers")
    solutions = [solution(tokenizer, text) for text in TEXTS]

    async def together() -> list[Verdict]:
        return list(await asyncio.gather(*(verifier.score(*s) for s in solutions)))

    for verdict, (context, steps) in zip(asyncio.run(together()), solutions, strict=True):
        assert verdict.step_scores == pytest.approx(by_hand(folder, context, steps), abs=1e-4)
    verifier.close()


def test_an_attempt_before_a_revision_is_context_and_no_surprise(
    folder: Path, tokenizer: Any
) -> None:
    prompt, attempt = solution(tokenizer, TEXTS[3])
    again, revision = solution(tokenizer, TEXTS[0])
    before = (*prompt.token_ids, *(token for step in attempt for token in step), *again.token_ids)
    chained = Context(prompt.prompt, before)
    verifier = open_verifier(folder, tokenizer, engine="transformers")

    async def both() -> list[Verdict]:
        # The first is remembered, and the second's text begins with it.
        return [await verifier.score(prompt, attempt), await verifier.score(chained, revision)]

    first, second = asyncio.run(both())
    verifier.close()
    assert first.step_scores == pytest.approx(by_hand(folder, prompt, attempt), abs=1e-3)
    assert second.step_scores == pytest.approx(by_hand(folder, chained, revision), abs=1e-3)
    assert second.processed_tokens < len(before), "what is known is not read again"


def test_it_is_recognised_and_its_head_counts(folder: Path) -> None:
    assert recognise(folder) == "likelihood"
    base, whole = parameter_count(BASE), parameter_count(folder)
    head = LikelihoodModel.untrained(BASE).head
    assert base is not None
    assert whole == base + sum(weight.numel() for weight in head.parameters())


def test_a_plain_language_model_is_refused(tokenizer: Any) -> None:
    with pytest.raises(InputError, match="no likelihood_head"):
        open_verifier(BASE, tokenizer, "likelihood", "transformers")
    with pytest.raises(InputError, match="vLLM does not serve likelihood"):
        open_verifier(BASE, tokenizer, "likelihood", "vllm")


def test_the_head_lies_beside_an_ordinary_model(folder: Path) -> None:
    assert (folder / HEAD_FILE).is_file()
    own, other = (AutoModelForCausalLM.from_pretrained(f).state_dict() for f in (BASE, folder))
    assert all(torch.equal(own[name], other[name]) for name in own)
