"""vLLM's AsyncLLM with the compute each prompt deserves, on the session's vLLM engine."""

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from typing import Any

import pytest
from vllm import SamplingParams
from vllm.sampling_params import RequestOutputKind

from allocator.errors import InputError
from benchmarks.testbed.paths import ARTIFACT
from runtime.artifact import Artifact
from runtime.dropin.async_llm import AsyncComputeOptimalLLM
from runtime.models import Models, open_models
from runtime.request import Event, Request
from runtime.result import Result
from runtime.solving.solve import Solver
from tests.support.prompts import RAW
from tests.support.waiting import eventually_in_loop

LONG = SamplingParams(max_tokens=150, seed=3)


@pytest.fixture
def llm(run: Any, theirs: Any) -> Iterator[AsyncComputeOptimalLLM]:
    async def opened() -> AsyncComputeOptimalLLM:
        return AsyncComputeOptimalLLM.wrap(theirs, ARTIFACT, budget=4, seed=5)

    llm = run(opened())
    yield llm
    llm.shutdown()
    llm.shutdown()


async def collected(llm: AsyncComputeOptimalLLM, *asked: Any, **options: Any) -> list[Any]:
    return [output async for output in llm.generate(*asked, **options)]


def test_outputs_tell_of_the_work_and_then_the_answer(
    run: Any, llm: AsyncComputeOptimalLLM, vllm_models: Models
) -> None:
    artifact, events = Artifact.load(ARTIFACT), list[Event]()
    ids = tuple(llm.get_tokenizer().encode(RAW[0]))

    async def solved() -> Result:
        async with open_models(artifact.settings, artifact.folder, vllm_models.engine) as models:
            request = Request(RAW[0], token_ids=ids, on_event=events.append)
            return await Solver(models, artifact, seed=5).solve(request, 4)

    *before, last = run(collected(llm, RAW[0], None, "one"))
    result = run(solved())
    assert [output.event.kind for output in before] == [event.kind for event in events]
    assert "decision" in {event.kind for event in events}
    assert not any(output.finished or output.outputs[0].text for output in before)
    assert last.finished
    assert last.event is None
    assert last.outputs[0].text == result.solution
    assert last.receipt.generations == result.receipt.generations
    assert {output.request_id for output in (*before, last)} == {"one"}


def test_the_final_output_alone(run: Any, llm: AsyncComputeOptimalLLM) -> None:
    final = SamplingParams(max_tokens=150, n=2, output_kind=RequestOutputKind.FINAL_ONLY)
    (output,) = run(collected(llm, RAW[0], final, "one", deadline=60.0))
    assert [completion.index for completion in output.outputs] == [0, 1]
    assert output.receipt.deadline == 60


def unfinished(theirs: Any) -> int:
    return int(theirs.get_num_unfinished_requests())


def test_an_aborted_request_ends_and_leaves_nothing_behind(
    run: Any, llm: AsyncComputeOptimalLLM, theirs: Any
) -> None:
    async def aborting() -> list[Any]:
        one, other = (
            asyncio.create_task(collected(llm, RAW[0], LONG, name, budget=16))
            for name in ("one", "other")
        )
        await eventually_in_loop(lambda: unfinished(theirs))
        await llm.abort("one")
        await llm.abort(["one", "never"])
        return [await one, await other]

    one, other = run(aborting())
    assert one[-1].finished
    assert one[-1].outputs[0].finish_reason == "abort"
    assert one[-1].receipt is None
    assert other[-1].outputs[0].finish_reason == "stop"
    assert unfinished(theirs) == 0


def test_who_stops_listening_ends_the_work(
    run: Any, llm: AsyncComputeOptimalLLM, theirs: Any
) -> None:
    async def leaves() -> int:
        async with aclosing(llm.generate(RAW[0], LONG, "one", budget=16)) as outputs:
            async for _ in outputs:
                break
        return unfinished(theirs)

    async def cancelled() -> int:
        task = asyncio.create_task(collected(llm, RAW[0], LONG, "one", budget=16))
        await eventually_in_loop(lambda: unfinished(theirs))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return unfinished(theirs)

    assert run(leaves()) == 0
    assert run(cancelled()) == 0


def test_many_at_once_are_answered_as_alone(run: Any, llm: AsyncComputeOptimalLLM) -> None:
    async def at_once() -> list[list[Any]]:
        work = (collected(llm, prompt, LONG, str(n)) for n, prompt in enumerate(RAW * 3))
        return list(await asyncio.gather(*work))

    found = [outputs[-1].outputs[0].text for outputs in run(at_once())]
    alone = [run(collected(llm, prompt, LONG, "0"))[-1].outputs[0].text for prompt in RAW]
    assert found == alone * 3


@pytest.mark.parametrize(
    ("asked", "options", "field"),
    [
        ((RAW, None, "one"), {}, "prompt"),
        ((RAW[0], SamplingParams(bad_words=["1"]), "one"), {}, "bad_words"),
        ((RAW[0], SamplingParams(n=3), "one"), {"budget": 2}, "n"),
        ((RAW[0], None, "one"), {"budget": 0}, "budget"),
        ((RAW[0], None, "one"), {"deadline": 0}, "deadline"),
        ((RAW[0], None, "one"), {"lora_request": 1}, "lora_request"),
        ((RAW[0], None, "one"), {"trace_headers": {"a": "b"}}, "trace_headers"),
    ],
)
def test_what_cannot_be_honoured_is_refused(
    run: Any, llm: AsyncComputeOptimalLLM, asked: Any, options: dict[str, Any], field: str
) -> None:
    with pytest.raises(InputError) as refused:
        run(collected(llm, *asked, **options))
    assert refused.value.field == field


def test_vllms_other_arguments_may_stand_at_their_defaults(
    run: Any, llm: AsyncComputeOptimalLLM
) -> None:
    outputs = run(collected(llm, RAW[0], LONG, "one", lora_request=None, priority=0))
    assert outputs[-1].finished
