"""The proof: a script made for vLLM runs the same when only its import is changed."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.testbed.paths import ARTIFACT, BASE
from tests.support.fork_server import ForkedScript
from tests.support.paths import SCRIPTS

pytestmark = pytest.mark.vllm

USES = SCRIPTS / "uses_vllm.py"
IMPORT = "from vllm import LLM, SamplingParams"
CHANGED = """\
from ttc_allocator import LLM
from vllm import SamplingParams"""


def started(script: Path, **environment: str) -> ForkedScript:
    users = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_ENABLE_V1_MULTIPROCESSING": "1"}
    return ForkedScript(
        SCRIPTS / "uses_it_on.py", str(script), str(BASE), environment=users | environment
    )


def told(script: ForkedScript) -> list[dict[str, Any]]:
    done = script.completed(300)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """What the script told as it is, and with its import changed; side by side."""
    source = USES.read_text()
    assert source.count(IMPORT) == 1
    changed = tmp_path_factory.mktemp("dropin") / "uses_ours.py"
    changed.write_text(source.replace(IMPORT, CHANGED))
    ours = started(changed, TTC_ARTIFACT=str(ARTIFACT), TTC_BUDGET="1")
    with started(USES) as before, ours as after:
        return told(before), told(after)


def same(theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    """That outputs agree but for what sampling decides."""
    assert theirs.keys() == ours.keys()
    for name in theirs:
        assert len(theirs[name]) == len(ours[name]), name
        for before, after in zip(theirs[name], ours[name], strict=True):
            assert after["kinds"][1:] == before["kinds"]
            assert type(after["num_cached_tokens"]) is type(before["num_cached_tokens"])
            for field in before.keys() - {"kinds", "num_cached_tokens", "outputs"}:
                assert after[field] == before[field], (name, field)
            assert len(after["outputs"]) == len(before["outputs"])
            for one, other in zip(before["outputs"], after["outputs"], strict=True):
                assert one.keys() == other.keys()
                for field in ("kind", "index", "logprobs", "finished"):
                    assert one[field] == other[field]
                assert type(one["text"]) is type(other["text"]) is str
                # vLLM's is None unless it is asked for; ours, where solutions were not compared.
                logprob = other["cumulative_logprob"]
                assert logprob is None if len(after["outputs"]) == 1 else logprob < 0
    for name in ("greedy", "ids", "lists", "text", "chat", "chats"):  # nothing left to chance
        for before, after in zip(theirs[name], ours[name], strict=True):
            for one, other in zip(before["outputs"], after["outputs"], strict=True):
                for field in ("text", "token_ids", "finish_reason", "stop_reason"):
                    assert one[field] == other[field], (name, field)


def test_only_the_import_is_changed(runs: tuple[Any, Any]) -> None:
    (before, _), (after, *_) = runs
    same(before, after)


def test_at_a_budget_of_one_solutions_look_like_vllms(
    runs: tuple[Any, Any], tokenizer: Any
) -> None:
    (before, _), (after, *_) = runs
    assert after["many"][0]["outputs"] == after["again"][0]["outputs"], "the seed decides"
    for name in ("many", "pairs", "short", "default"):
        for output in after[name]:
            for found in output["outputs"]:
                ids = found["token_ids"]
                assert tokenizer.decode(ids, skip_special_tokens=True) == found["text"]
                assert (ids[-1] == tokenizer.eos_token_id) == (found["finish_reason"] == "stop")
                first = output["prompt"].removeprefix("<user>")[0]
                assert found["text"].startswith(first), "it works on what was asked"
    assert [o["outputs"][0]["finish_reason"] for o in after["short"]] == ["length"] * 3
    assert all(len(o["outputs"][0]["token_ids"]) == 2 for o in before["short"] + after["short"])


def test_an_llm_that_is_open_is_wrapped_and_stays_open(runs: tuple[Any, Any]) -> None:
    (before, wrapped), _ = runs
    for outputs in before.values():  # names of requests count up in each
        for output in outputs:
            output.pop("request_id")
    for outputs in wrapped["used"].values():
        for output in outputs:
            output.pop("request_id")
    same(before, wrapped["used"])
    assert wrapped["afterwards"].startswith("12+7=19")


def test_a_cancelled_request_of_a_wrapped_llm_leaves_the_others_alone(
    runs: tuple[Any, Any],
) -> None:
    (_, wrapped), _ = runs
    alone, beside, again = wrapped["tokens"]
    assert 0 < alone == beside == again
    assert wrapped["left"] == 0


def test_requests_whose_loop_has_ended_leave_a_wrapped_llm_at_work(runs: tuple[Any, Any]) -> None:
    (_, wrapped), _ = runs
    assert wrapped["steps_on"]


def test_lm_evaluation_harness_runs_its_vllm_model_on_it(runs: tuple[Any, Any]) -> None:
    _, (_, evaluated, _) = runs
    found = evaluated["answers"]
    assert found == [text.rpartition("#")[2] for text in evaluated["alone"]]
    assert evaluated["accuracy"] == evaluated["right"] / len(found) > 0.4


def test_after_an_interrupt_the_engine_is_usable(runs: tuple[Any, Any]) -> None:
    _, (*_, interrupted) = runs
    assert interrupted["text"].startswith("0+7")
