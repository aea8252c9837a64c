"""Both real engines on the testbed's base model, and the step splitter."""

import asyncio
import json
import shutil
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import torch

from allocator.errors import InputError
from benchmarks.testbed.paths import BASE, SETTINGS
from runtime.engines import vllm_requests
from runtime.engines.base import Completion, Engine, SamplingSettings, derive_seed, encode_prompt
from runtime.engines.steps import StepSplitter
from runtime.engines.token_options import TokenOptions
from runtime.engines.transformers import MAX_STOPS, TransformersEngine
from runtime.models import Models
from runtime.prompt_run import PromptRun
from runtime.request import RequestSettings
from runtime.solutions.beam import Beam
from tests.support.fakes import SOON

PROMPT = "12+7*3"


@pytest.fixture(params=["vllm", "transformers"])
def models(request: pytest.FixtureRequest) -> Models:
    """Every test here runs through both engines."""
    found: Models = request.getfixturevalue(f"{request.param}_models")
    return found


async def complete(
    engine: Engine, seed: int, stop: Sequence[str] = (), **settings: Any
) -> Completion:
    return await engine.complete(
        encode_prompt(engine, PROMPT),
        settings=SETTINGS.sampling.model_copy(update=settings),
        max_tokens=100,
        seed=seed,
        stop=stop,
    )


def test_a_seed_samples_the_same_alone_and_in_company(run: Any, models: Models) -> None:
    async def both() -> tuple[Completion, list[Completion]]:
        alone = await complete(models.engine, 7)
        company = await asyncio.gather(*(complete(models.engine, s) for s in range(40)))
        return alone, list(company)

    alone, company = run(both())
    assert company[7].token_ids == alone.token_ids
    assert len({c.token_ids for c in company}) > 1


def written(models: Models, completion: Completion) -> str:
    return str(models.engine.tokenizer.decode(completion.token_ids, skip_special_tokens=True))


def test_greedy_is_the_same_for_every_seed(run: Any, models: Models) -> None:
    first, second = (run(complete(models.engine, seed, temperature=0.0)) for seed in (1, 2))
    assert first.token_ids == second.token_ids
    assert first.ended
    assert written(models, first).splitlines()[0].startswith("12+7=")


def test_a_step_ends_at_its_mark_and_can_be_continued(run: Any, models: Models) -> None:
    async def two_steps() -> tuple[Completion, Completion]:
        engine = models.engine
        first = await complete(engine, 1, stop=("\n",), temperature=0.0)
        second = await engine.complete(
            [*encode_prompt(engine, PROMPT), *first.token_ids],
            settings=SETTINGS.sampling.model_copy(update={"temperature": 0.0}),
            max_tokens=100,
            seed=1,
        )
        return first, second

    first, second = run(two_steps())
    whole = run(complete(models.engine, 1, temperature=0.0))
    assert written(models, first).endswith("\n")
    assert written(models, first).count("\n") == 1
    assert not first.ended
    assert first.token_ids + second.token_ids == whole.token_ids
    assert first.logprob + second.logprob == pytest.approx(whole.logprob, abs=1e-3)


def test_the_token_limit_holds(run: Any, models: Models) -> None:
    engine = models.engine
    cut = run(
        engine.complete(
            encode_prompt(engine, PROMPT), settings=SETTINGS.sampling, max_tokens=3, seed=1
        )
    )
    assert len(cut.token_ids) == 3
    assert not cut.ended


def test_a_prompt_longer_than_the_context_is_refused(models: Models) -> None:
    with pytest.raises(InputError, match="no room in the context of 256; shorten it"):
        encode_prompt(models.engine, "1" + "+1" * 200)
    with pytest.raises(InputError, match="prompt is empty"):
        encode_prompt(models.engine, " ")


def test_both_engines_give_a_solution_the_same_probability(
    run: Any, vllm_models: Models, transformers_models: Models
) -> None:
    # Greedy solutions are equal unless two tokens tie, and then so are their probabilities.
    ours, theirs = (
        run(complete(d.engine, 1, temperature=0.0)) for d in (vllm_models, transformers_models)
    )
    assert ours.token_ids == theirs.token_ids
    assert ours.logprob == pytest.approx(theirs.logprob, abs=1e-2)


def test_a_short_completion_does_not_wait_for_the_longest_of_its_batch(
    transformers_engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, forward, calls = Event(), transformers_engine._forward, count()

    def held(*arguments: Any) -> Any:
        if next(calls):  # the first reads the prompt
            assert go_on.wait(SOON)
        return forward(*arguments)

    monkeypatch.setattr(transformers_engine, "_forward", held)
    ids = encode_prompt(transformers_engine, PROMPT)

    async def both() -> int:
        short, long = (
            asyncio.create_task(
                transformers_engine.complete(
                    ids, settings=SamplingSettings(), max_tokens=most, seed=0
                )
            )
            for most in (1, 20)
        )
        await asyncio.wait_for(short, SOON)
        assert not long.done()
        go_on.set()
        return len((await long).token_ids)

    assert asyncio.run(both()) > 1


@pytest.mark.slow
def test_requests_with_the_same_tokens_are_read_as_one(
    transformers_engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward, rows = transformers_engine._forward, []

    def counted(inputs: Any, mask: Any, cache: Any) -> Any:
        rows.append(len(inputs))
        return forward(inputs, mask, cache)

    async def many(**settings: Any) -> list[Completion]:
        rows.clear()
        requests = (complete(transformers_engine, s, **settings) for s in range(12))
        return list(await asyncio.gather(*requests))

    monkeypatch.setattr(transformers_engine, "_forward", counted)
    assert len({c.token_ids for c in asyncio.run(many(temperature=0.0))}) == 1
    assert set(rows) == {1}
    distinct = {c.token_ids for c in asyncio.run(many(temperature=1.5))}
    assert 1 < max(rows) <= len(distinct)


def test_top_p_keeps_to_the_nucleus(transformers_engine: TransformersEngine) -> None:
    async def several(top_p: float) -> set[tuple[int, ...]]:
        found = await asyncio.gather(
            *(complete(transformers_engine, s, top_p=top_p) for s in range(30))
        )
        return {completion.token_ids for completion in found}

    assert len(asyncio.run(several(1e-6))) == 1
    assert len(asyncio.run(several(1.0))) > 1


@pytest.mark.slow
def test_a_solution_ends_where_tokenizer_or_generation_config_says_as_in_vllm(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "base"
    shutil.copytree(BASE, folder)
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [0, 13]}))

    async def sample() -> list[Completion]:
        engine = TransformersEngine(folder)
        assert engine.end_ids == {0, 13, engine.tokenizer.eos_token_id}
        found = await asyncio.gather(*(complete(engine, seed) for seed in range(100)))
        engine.close()
        return list(found)

    ended = {found.token_ids[-1] for found in asyncio.run(sample()) if found.ended}
    assert ended == {4, 13}


def test_what_is_too_much_for_memory_together_is_sampled_in_parts(
    transformers_engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def sampled() -> list[Completion]:
        seeds = (complete(transformers_engine, seed) for seed in range(16))
        return list(await asyncio.gather(*seeds))

    expected = asyncio.run(sampled())
    forward, failed_at = transformers_engine._forward, []

    def limited(inputs: Any, mask: Any, cache: Any) -> Any:
        # A batch fails midway, when its rows have some tokens and are no longer alike.
        if len(mask) > 2:
            failed_at.append(mask.shape[1])
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(inputs, mask, cache)

    monkeypatch.setattr(transformers_engine, "_forward", limited)
    found = asyncio.run(sampled())
    assert [c.token_ids for c in found] == [c.token_ids for c in expected]
    assert [c.logprob for c in found] == pytest.approx([c.logprob for c in expected], abs=1e-3)
    assert failed_at


def test_of_all_texts_at_which_to_stop_the_last_used_are_kept(
    transformers_engine: TransformersEngine,
) -> None:
    async def stopped(*numbers: int) -> None:
        await asyncio.gather(
            *(complete(transformers_engine, 0, stop=(f"{number}",)) for number in numbers)
        )

    async def kept() -> tuple[int, int]:
        await stopped(*range(MAX_STOPS + 10))
        found = transformers_engine._splitter.cache_info()
        await stopped(MAX_STOPS)
        return found.currsize, transformers_engine._splitter.cache_info().hits - found.hits

    assert asyncio.run(kept()) == (MAX_STOPS, 1)


def test_steps_split_where_the_mark_is(tokenizer: Any) -> None:
    ids = tokenizer.encode("1+2=3\n3+4=7\n#7")
    steps = StepSplitter(tokenizer, "\n").split(ids)
    assert [tokenizer.decode(step) for step in steps] == ["1+2=3\n", "3+4=7\n", "#7"]
    assert [t for step in steps for t in step] == ids


def test_a_mark_may_span_tokens(tokenizer: Any) -> None:
    ids = tokenizer.encode("1\n2\n\n3\n\n")
    steps = StepSplitter(tokenizer, "\n\n").split(ids)
    assert [tokenizer.decode(step) for step in steps] == ["1\n2\n\n", "3\n\n"]


def test_derived_seeds_are_stable_and_distinct() -> None:
    # The value is fixed on purpose: a change of it would change everybody's results.
    assert derive_seed(0, 5, "sample", 1) == 3202927356122922968
    assert len({derive_seed(0, 5, "sample", i) for i in range(1000)}) == 1000
    assert 0 <= derive_seed(1) < 2**63


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="temperature"):
        SamplingSettings(temperature=-1)


def test_a_burst_of_seeded_requests_is_served(run: Any, vllm_models: Models) -> None:
    # More prompt tokens at once than one step takes: with prefills split over steps, this ended
    # vLLM 0.32 on CPU (a seeded request's generator cannot be rewound there).
    engine = vllm_models.engine
    prompt = encode_prompt(engine, "1" + "+1" * 90)

    async def burst() -> list[Completion]:
        return list(
            await asyncio.gather(
                *(
                    engine.complete(prompt, settings=SETTINGS.sampling, max_tokens=2, seed=seed)
                    for seed in range(150)
                )
            )
        )

    assert len(run(burst())) == 150


def test_a_solution_without_a_thought_may_repeat_itself(
    run: Any, vllm_models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vllm_requests, "LONG", 100)
    (one,) = vllm_models.engine.tokenizer.encode("1", add_special_tokens=False)
    settings = RequestSettings(SETTINGS.sampling, tokens=TokenOptions(allowed_token_ids=(one,)))
    prompt_run = PromptRun(vllm_models, settings, PROMPT, 0)
    beam = run(prompt_run.extend(Beam(), ("beam", 0)))
    assert prompt_run.max_tokens > 100
    assert beam.steps == ((one,) * prompt_run.max_tokens,)
