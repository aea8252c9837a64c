"""Stop texts and `min_tokens`: within the first tokens nothing ends a solution, nor cuts it."""

import asyncio
from dataclasses import replace

import pytest
from vllm import SamplingParams

from benchmarks.testbed.paths import ARTIFACT
from runtime.answers.thought import THINK, solution_reader
from runtime.artifact import Artifact
from runtime.dropin.llm import ComputeOptimalLLM
from runtime.engines.token_options import TokenOptions
from runtime.prompt_run import PromptRun
from runtime.solutions.beam import Beam
from tests.support.thinking import SETTINGS, thinking_models
from tests.support.tokenizers import byte_tokenizer
from tests.support.writer import Writer


def run_of(text: str, stop: str, least: int) -> PromptRun:
    settings = replace(SETTINGS, stops=(stop,), tokens=TokenOptions(min_tokens=least))
    return PromptRun(thinking_models(Writer(text)), settings, "?", 0)


@pytest.mark.parametrize(
    ("least", "stop", "text"),
    [
        (0, "=", "1"),
        (1, "=", "1"),
        (2, "=", "1=2"),
        (3, "=", "1=2"),
        (4, "=", "1=2=3"),
        (99, "=", "1=2=3"),
        (2, "=2", "1"),  # it begins within the first tokens and ends after them, as in vLLM
        (3, "=2", "1=2=3"),
    ],
)
def test_a_sample_is_cut_where_it_may_end(least: int, stop: str, text: str) -> None:
    sample = asyncio.run(run_of("1=2=3", stop, least).sample_unscored(0))
    assert sample.text == text


def test_a_step_of_a_search_ends_nothing_before() -> None:
    run = run_of("1=2\n3=4\n5=6", "=", 6)

    async def steps() -> tuple[Beam, Beam]:
        first = await run.extend(Beam(), ("x", 0))
        return first, await run.extend(first, ("x", 1))

    first, second = asyncio.run(steps())
    assert (sum(map(len, first.steps)), first.ended) == (8, False)
    assert (sum(map(len, second.steps)), second.ended) == (10, True)
    (sample,) = asyncio.run(run.finish([second]))
    assert sample.text == "1=2\n3=4\n5"


@pytest.mark.parametrize("special", [False, True])
def test_what_is_shown_with_special_tokens_is_cut_there_too(special: bool) -> None:
    tokenizer = byte_tokenizer("[CALL]", "<think>", "</think>", special=special)
    reader = solution_reader(tokenizer, (THINK,))
    ids = tokenizer.encode("<think>3</think>a;[CALL]5;6")
    for least, content in ((4, "a"), (5, "a;[CALL]5")):
        found = reader.read(ids, (";",), special_tokens=True, min_tokens=least)
        plain = content.replace("[CALL]", "") if special else content
        assert (found.content, found.raw_content) == (plain, content)


@pytest.mark.parametrize("special", [False, True])
def test_outputs_are_cut_there(special: bool) -> None:
    artifact = Artifact.load(ARTIFACT)
    settings = artifact.settings.model_copy(update={"verifier": None})
    params = SamplingParams(
        max_tokens=50, stop=["="], min_tokens=3, skip_special_tokens=not special
    )
    with ComputeOptimalLLM.wrap(Writer("1=2=3"), replace(artifact, settings=settings)) as llm:
        (output,) = llm.generate("?A:", params, use_tqdm=False, budget=1)
    (completion,) = output.outputs
    assert (completion.text, completion.stop_reason) == ("1=2", "=")
