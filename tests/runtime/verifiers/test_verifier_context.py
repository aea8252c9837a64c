"""A verifier never reads beyond its context: what is too long is read in windows, refused, or not
sampled.
"""

import asyncio
import json
import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from transformers import (
    BloomConfig,
    Gemma3Config,
    GPT2Config,
    LlamaConfig,
    MambaConfig,
    MistralConfig,
)

from allocator.errors import InputError, ModelError
from allocator.plan import Plan
from benchmarks.testbed.paths import PRM, REQUEST_SETTINGS, SETTINGS
from calibration.sampling.collect import Work, collect
from calibration.sampling.collectors import LocalCollector
from calibration.sampling.resume import SampleStore
from predictors.sample import Sample
from predictors.scoring import alone
from runtime.artifact import Artifact
from runtime.engines.checkpoint import context_length
from runtime.models import Models, load_models
from runtime.prompt_run import PromptRun
from runtime.request import RequestSettings
from runtime.result import Result, Spend
from runtime.reviser import Reviser
from runtime.solving.solve import Solver
from runtime.verifiers.base import Context, TooLongError
from runtime.verifiers.layout import Layout
from runtime.verifiers.loading import open_verifier
from runtime.verifiers.model_verifier import ModelVerifier
from tests.support.artifacts import bent_models
from tests.support.checkpoints import make_verifier, solution
from tests.support.fakes import COIN_SETTINGS, StepUp, SumVerifier, coin_run
from tests.support.samples import make_sample

SHARED = ("token-classification", "sequence-classification", "likelihood")
TOO_LONG = r"prompt and {} take \d+ tokens, and its context is {}; sample shorter"


def long_solution(tokenizer: Any, tokens: int) -> tuple[Context, list[tuple[int, ...]]]:
    """Prompt and solution of so many tokens together."""
    context = Context("1", tuple(tokenizer.encode("<user>1<assistant>")))
    step = tuple(tokenizer.encode("1+1=2\n"))
    steps = [step] * ((tokens - len(context.token_ids)) // len(step))
    missing = tokens - len(context.token_ids) - len(step) * len(steps)
    return context, [*steps, step[:missing]] if missing else steps


@pytest.mark.slow
@pytest.mark.parametrize("family", SHARED)
def test_families_of_the_models_tokens_refuse_what_is_longer(
    family: str, tokenizer: Any, tmp_path: Path
) -> None:
    folder = make_verifier(family, tmp_path, tokenizer, positions=200)
    verifier = open_verifier(folder, tokenizer, family, engine="transformers")
    fitting, longer = solution(tokenizer), long_solution(tokenizer, 260)

    async def score() -> None:
        before = await verifier.score(*fitting)
        with pytest.raises(TooLongError, match=TOO_LONG.format("solution", 200)):
            await verifier.score(*longer)
        assert (await verifier.score(*fitting)).step_scores == before.step_scores

    asyncio.run(score())
    verifier.close()


@pytest.fixture(params=["vllm", "transformers"])
def verifier(request: pytest.FixtureRequest) -> ModelVerifier:
    """The classifier through both backends; its context is 256."""
    found: ModelVerifier = request.getfixturevalue(f"{request.param}_verifier")
    return found


def test_both_backends_read_up_to_their_last_token(
    run: Any, verifier: ModelVerifier, tokenizer: Any
) -> None:
    assert verifier.context_length == 256
    assert run(verifier.score(*long_solution(tokenizer, 256))).step_scores
    with pytest.raises(ModelError, match="take 257 tokens, and its context is 256"):
        run(verifier.score(*long_solution(tokenizer, 257)))


def test_what_vllm_itself_refuses_is_a_models_error(run: Any, vllm_models: Models) -> None:
    async def beyond() -> None:
        await vllm_models.engine.complete(
            [5] * 300, settings=SETTINGS.sampling, max_tokens=1, seed=1
        )

    with pytest.raises(ModelError, match=r"vLLM refused the request: .*length 300"):
        run(beyond())


def test_what_vllm_refuses_a_verifier_leaves_it_at_work(
    run: Any, vllm_verifier: ModelVerifier, tokenizer: Any
) -> None:
    with pytest.raises(ModelError, match=r"vLLM refused the request: .*length 300"):
        run(vllm_verifier._backend.read(Layout((5,) * 300, (299,))))
    assert run(vllm_verifier.score(*solution(tokenizer))).step_scores


def shorter(folder: Path, positions: int) -> Path:
    """The testbed's PRM with a shorter context."""
    shutil.copytree(PRM, folder)
    path = folder / "config.json"
    path.write_text(
        json.dumps(json.loads(path.read_text()) | {"max_position_embeddings": positions})
    )
    return folder


@pytest.mark.slow
def test_solutions_are_not_longer_than_the_verifier_reads(
    run: Any, transformers_models: Models, tokenizer: Any, tmp_path: Path
) -> None:
    verifier = open_verifier(shorter(tmp_path / "prm", 40), tokenizer, engine="transformers")
    models = replace(transformers_models, verifier=verifier)
    prompts = [("12+7*3", "57"), ("3+10+11+12+13", "49")]
    searches = (Plan(strategy="beam_search", n=4, beam_width=2),)
    work = Work(8, searches, models.scoring, seed=0)
    records = run(collect(models, REQUEST_SETTINGS, prompts, work))
    verifier.close()
    for record, ended in zip(records, (True, False), strict=True):
        room = 40 - record.prompt_tokens
        for found in (record.independent, *record.repeats[0].values()):
            assert any(sample.ended for sample in found.samples) is ended
            assert (max(sample.tokens for sample in found.samples) == room) is not ended


def test_a_prompt_that_leaves_no_room_is_refused(
    transformers_models: Models, tokenizer: Any, tmp_path: Path
) -> None:
    verifier = open_verifier(shorter(tmp_path / "prm", 40), tokenizer, engine="transformers")
    models = replace(transformers_models, verifier=verifier)
    with pytest.raises(InputError, match="no room in the verifier's context of 40; shorten it"):
        PromptRun(models, REQUEST_SETTINGS, "1" + "+1" * 20, 0)
    verifier.close()


def test_solutions_that_can_never_be_read_whole_are_refused_at_once(tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"verifier": str(shorter(tmp_path / "prm", 100))})
    with ExitStack() as stack:
        opened = stack.enter_context(ExitStack())
        with pytest.raises(InputError, match="max_tokens: 160: the context of the verifier prm is"):
            load_models(opened, settings, Path(), "transformers", "transformers")


class Short(SumVerifier):
    """One with a short context."""

    shares_tokens, context_length = True, 40

    def room(self, context: Context) -> int:
        return self.context_length - len(context.token_ids)


def test_what_a_revision_is_made_in_view_of_fits_its_verifier(tokenizer: Any) -> None:
    engine = StepUp(tokenizer)
    attempts: list[Sample] = [make_sample("1", 0.5, steps=[(5, 6, 7, 8)]) for _ in range(4)]
    models = coin_run(tokenizer).models
    settings = RequestSettings(COIN_SETTINGS.sampling.model_copy(update={"max_tokens": 20}))
    for verifier in (SumVerifier(tokenizer), Short(tokenizer)):
        reviser = Reviser(engine, verifier)
        run = PromptRun(replace(models, reviser=reviser), settings, "1", 0)
        asyncio.run(run.revise(attempts))
    whole, short = (len(tokenizer.encode(context)) for context in engine.contexts)
    assert whole > 20 >= short


def test_a_solution_too_long_costs_itself_alone(
    bent: Artifact, tokenizer: Any, tmp_path: Path
) -> None:
    # In tokens of its own, only the solution itself tells how long it is.
    folder = make_verifier("rlhflow", tmp_path, tokenizer, positions=47)
    verifier = open_verifier(folder, tokenizer, "rlhflow", engine="transformers")
    assert verifier.context_length is None
    solver = Solver(bent_models(tokenizer, verifier=verifier), bent)
    prompts = ["90*7", "90*" + "7" * 40, "80*7"]
    results = asyncio.run(solver.solve_all(prompts, Spend(budget=2)))
    verifier.close()
    receipts = [result.receipt for result in results if isinstance(result, Result)]
    assert [(receipt.unscored, receipt.windowed) for receipt in receipts] == [
        (0, 0),
        (2, 0),
        (0, 0),
    ]
    long = results[1]
    assert isinstance(long, Result)
    assert all(set(sample.step_scores) == {0.0} for sample in long.ranked)


@pytest.mark.slow
def test_no_solution_ends_a_calibration_for_its_length(
    run: Any, transformers_models: Models, tokenizer: Any, tmp_path: Path
) -> None:
    folder = make_verifier("skywork-prm", tmp_path, tokenizer, positions=40)
    verifier = open_verifier(folder, tokenizer, engine="transformers")
    models = replace(transformers_models, verifier=verifier)
    prompts = [("3+10+11+12+13", "49"), ("90*7+14*2+13", "671")]
    beams = (Plan(strategy="beam_search", n=4, beam_width=2),)
    work = Work(4, beams, models.scoring, seed=0)
    records = run(collect(models, REQUEST_SETTINGS, prompts, work))
    costs = []
    for prompt, _ in prompts:
        run_of = PromptRun(models, REQUEST_SETTINGS, prompt, 0)
        run(run_of.samples(0, 4))
        costs.append(run_of.cost)
    verifier.close()
    found = [s for r in records for s in (*r.independent.samples, *r.repeats[0][beams[0]].samples)]
    assert len(found) == 2 * (4 + 4)
    assert all(len(sample.step_scores) == len(sample.steps) for sample in found)
    assert all(cost.windowed > 0 for cost in costs)


def test_a_calibration_that_it_ends_says_what_is_kept(tokenizer: Any, tmp_path: Path) -> None:
    class Refuses(SumVerifier):
        async def score(self, context: Context, steps: Sequence[tuple[int, ...]]) -> Any:
            if context.prompt == "4":
                raise ModelError("verifier", "prompt and solution take too many tokens")
            return await super().score(context, steps)

    models = coin_run(tokenizer, verifier=Refuses(tokenizer)).models
    store = SampleStore(tmp_path / "samples", {})
    prompts = [(str(number), "3") for number in range(5)]
    filling = store.fill(
        LocalCollector(models, COIN_SETTINGS), prompts, Work(1, (), alone("last"), 0)
    )
    with pytest.raises(ModelError, match=r"too many tokens; the samples of (\d) of 5") as raised:
        asyncio.run(filling)
    kept = SampleStore(tmp_path / "samples", {}).done
    assert f"the samples of {len(kept)} of 5 prompts are kept in {tmp_path}" in str(raised.value)


def test_contexts_are_read_as_vllm_reads_them() -> None:
    linear = {"rope_type": "linear", "factor": 4.0, "rope_theta": 1e4}
    yarn = linear | {"rope_type": "yarn", "original_max_position_embeddings": 1024}
    llama = {"max_position_embeddings": 4096}
    assert context_length(LlamaConfig(**llama)) == 4096
    assert context_length(LlamaConfig(**llama, rope_parameters=linear)) == 16384
    assert context_length(LlamaConfig(**llama, rope_parameters=yarn)) == 4096
    assert context_length(GPT2Config()) == 1024
    sliding = MistralConfig(max_position_embeddings=32768, sliding_window=4096)
    assert context_length(sliding) == 32768
    assert context_length(Gemma3Config()) == 131072
    assert context_length(MambaConfig()) is None
    assert context_length(BloomConfig()) is None


def test_a_text_of_its_own_limits_the_prompt_alone(tokenizer: Any, tmp_path: Path) -> None:
    folder = make_verifier("qwen-prm", tmp_path, tokenizer, positions=200)
    verifier = open_verifier(folder, tokenizer, engine="transformers")
    assert (verifier.context_length, verifier.shares_tokens) == (None, False)
    assert verifier.room(solution(tokenizer)[0]) is None
    with pytest.raises(InputError, match="no room in the verifier's context of 200; shorten it"):
        verifier.room(Context("1" * 200, ()))
    verifier.close()
