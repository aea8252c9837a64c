"""vLLM's LLM with the compute each prompt deserves, through the transformers engine."""

import asyncio
import json
import signal
import threading
from array import array
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from openai.types.chat import ChatCompletionMessage
from tqdm import tqdm
from vllm import CompletionOutput, RequestOutput, SamplingParams, TextPrompt, TokensPrompt
from vllm.sampling_params import RequestOutputKind

from allocator.errors import InputError, ModelError
from benchmarks.testbed.paths import ARTIFACT, BASE, TEST_PROMPTS
from runtime.artifact import Artifact
from runtime.dropin.llm import ComputeOptimalLLM
from runtime.dropin.outputs import answered
from runtime.dropin.unanswered import UnansweredError
from runtime.dropin.vllm_params import PromptParams, vllm_options
from runtime.engines.base import Completion
from runtime.engines.transformers import TransformersEngine
from runtime.frontend.prompt_request import EncodedPrompt
from runtime.models import open_models
from runtime.result import Result
from runtime.solving.solve import Solver
from tests.support.prompts import CHATS, PROBLEMS, RAW
from tests.support.samples import make_sample


class Failing(TransformersEngine):
    """Fails on prompts that hold a token, and calls `begun` with every request."""

    token = -1
    begun = staticmethod(lambda: None)

    async def complete(self, token_ids: Any, **options: Any) -> Completion:
        self.begun()
        if self.token in token_ids:
            raise ModelError("engine", "it broke")
        return await super().complete(token_ids, **options)


@pytest.fixture(scope="module")
def engine() -> Iterator[Failing]:
    engine = Failing(BASE)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def llm(engine: Failing) -> Iterator[ComputeOptimalLLM]:
    with ComputeOptimalLLM.wrap(engine, ARTIFACT, budget=4, seed=5) as llm:
        yield llm


def texts(outputs: list[Any]) -> list[str]:
    return [output.outputs[0].text for output in outputs]


@pytest.mark.slow
def test_a_users_message_is_answered_as_the_solver_answers_the_prompt(
    llm: ComputeOptimalLLM, engine: Failing
) -> None:
    artifact = Artifact.load(ARTIFACT)

    async def solved() -> list[Result]:
        async with open_models(artifact.settings, artifact.folder, engine) as models:
            solver = Solver(models, artifact, seed=5)
            return [await solver.solve(problem, 4) for problem in PROBLEMS]

    outputs, results = llm.chat(CHATS, use_tqdm=False), asyncio.run(solved())
    for output, result in zip(outputs, results, strict=True):
        assert output.outputs[0].text == result.solution
        assert tuple(output.outputs[0].token_ids) == result.ranked[0].token_ids
        assert output.receipt.plan == result.receipt.plan
        assert 1 < output.receipt.generations == result.receipt.generations <= 4


def test_outputs_are_vllms_with_a_receipt(llm: ComputeOptimalLLM) -> None:
    output = llm.generate(RAW[0], SamplingParams(max_tokens=100), use_tqdm=False)[0]
    assert isinstance(output, RequestOutput)
    assert isinstance(output.outputs[0], CompletionOutput)
    assert output.finished
    assert output.prompt == RAW[0]
    assert output.prompt_token_ids == llm.get_tokenizer().encode(RAW[0])
    assert output.num_cached_tokens == output.receipt.cached_tokens
    assert output.receipt.budget == 4
    assert output.notes == ()
    assert output.outputs[0].cumulative_logprob < 0


@pytest.mark.slow
def test_prompts_of_all_kinds_are_read(llm: ComputeOptimalLLM) -> None:
    ids = llm.get_tokenizer().encode(RAW[0])
    (text,) = llm.generate(RAW[0], use_tqdm=False)
    one = [{"prompt": RAW[0]}, ids, {"prompt_token_ids": ids}]
    for prompt in one:
        assert texts(llm.generate(prompt, use_tqdm=False)) == texts([text])
    many = llm.generate([RAW[0], *one], use_tqdm=False)
    assert texts(many) == texts([text]) * 4
    assert [output.prompt for output in many] == [RAW[0], RAW[0], None, None]
    named = llm.generate({"prompt_token_ids": ids, "prompt": "as it was"}, use_tqdm=False)
    assert named[0].prompt == "as it was"
    assert llm.generate([], use_tqdm=False) == []


@pytest.mark.slow
def test_prompts_come_in_arrays_series_and_other_sequences(llm: ComputeOptimalLLM) -> None:
    ids = llm.get_tokenizer().encode(RAW[0])
    expected = texts(llm.generate(RAW, use_tqdm=False, budget=1))
    several = [np.array(RAW), np.array(RAW, dtype=object), pd.Series(RAW), tuple(RAW), deque(RAW)]
    for prompts in several:
        assert texts(llm.generate(prompts, use_tqdm=False, budget=1)) == expected
    as_ids = [
        tuple(ids),
        np.array(ids),
        np.array(ids, np.uint16),
        torch.tensor(ids),
        pd.Series(ids),
    ]
    for prompt in [*as_ids, [np.int64(token) for token in ids], array("q", ids)]:
        for given in (prompt, [prompt], {"prompt_token_ids": prompt}):
            (output,) = llm.generate(given, use_tqdm=False, budget=1)
            assert output.prompt_token_ids == ids
            assert {type(token) for token in output.prompt_token_ids} == {int}
            assert texts([output]) == expected[:1]
    (counted,) = llm.generate(range(5, 9), use_tqdm=False, budget=np.int64(1))
    assert counted.prompt_token_ids == [5, 6, 7, 8]
    assert counted.receipt.budget == 1
    for stacked in (np.array([ids, ids]), torch.tensor([ids, ids]), pd.Series([ids, ids])):
        assert texts(llm.generate(stacked, use_tqdm=False, budget=1)) == expected[:1] * 2
    assert llm.generate(np.array([]), use_tqdm=False, budget=1) == []


def test_vllms_prompts_may_have_fields_that_say_nothing(llm: ComputeOptimalLLM) -> None:
    ids, expected = (
        llm.get_tokenizer().encode(RAW[0]),
        texts(llm.generate(RAW[0], use_tqdm=False, budget=1)),
    )
    nothing: Any = {"multi_modal_data": {}, "mm_processor_kwargs": None, "multi_modal_uuids": {}}
    prompts: list[Any] = [
        TokensPrompt(prompt_token_ids=ids, token_type_ids=[], **nothing),
        TextPrompt(prompt=RAW[0], **nothing),
        {"prompt": None, "prompt_token_ids": tuple(ids), "prompt_embeds": None},
    ]
    assert texts(llm.generate(prompts, use_tqdm=False, budget=1)) == expected * 3


def test_a_chat_goes_on_with_a_clients_answer(llm: ComputeOptimalLLM) -> None:
    said = ChatCompletionMessage(role="assistant", content="12+7=19")
    expected = llm.chat(
        [*CHATS[0], {"role": "assistant", "content": "12+7=19"}, *CHATS[1]], budget=1
    )
    assert expected[0].prompt == (
        f"<user>{PROBLEMS[0]}<assistant>12+7=19<end><user>{PROBLEMS[1]}<assistant>"
    )
    for message in (said, said.model_dump()):
        messages = [*CHATS[0], message, *CHATS[1]]
        for given in (messages, tuple(messages), [messages], np.array([messages], dtype=object)):
            (output,) = llm.chat(given, use_tqdm=False, budget=1)
            assert output.prompt == expected[0].prompt
            assert texts([output]) == texts(expected)


@pytest.mark.slow
def test_conversations_go_through_the_template(llm: ComputeOptimalLLM) -> None:
    told = [
        {"role": "system", "content": "1"},
        {"role": "user", "content": [{"type": "text", "text": "2"}, {"type": "text", "text": "3"}]},
    ]
    (output,) = llm.chat(told, use_tqdm=False)
    assert output.prompt == "<system>1<user>2\n3<assistant>"
    (other,) = llm.chat(
        CHATS[0],
        use_tqdm=False,
        chat_template="{% for m in messages %}{{ mark }}{{ m.content }}{% endfor %}",
        chat_template_kwargs={"mark": "<user>"},
    )
    assert other.prompt == f"<user>{PROBLEMS[0]}"
    assert other.notes == (
        "the chat template was given mark; the table was calibrated with none set",
    )
    assert output.notes == ()
    (bare,) = llm.chat(CHATS[0], use_tqdm=False, add_generation_prompt=False)
    assert bare.prompt == f"<user>{PROBLEMS[0]}"


@pytest.mark.slow
def test_a_template_is_given_as_text_or_as_a_file(engine: Failing, tmp_path: Path) -> None:
    (tmp_path / "template").write_text("<user>{{ messages[0].content }}<assistant>")
    for template in (tmp_path / "template", (tmp_path / "template").read_text()):
        with ComputeOptimalLLM.wrap(engine, ARTIFACT, budget=1, chat_template=template) as llm:
            assert llm.chat(CHATS[0], use_tqdm=False)[0].prompt == RAW[0]
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"chat_template: .*must be a template or a file"):
        ComputeOptimalLLM.wrap(engine, ARTIFACT, chat_template=tmp_path / "binary")
    with pytest.raises(InputError, match="chat_template: 'nowhere'"):
        ComputeOptimalLLM.wrap(engine, ARTIFACT, chat_template="nowhere")


@pytest.mark.slow
def test_n_is_the_best_answer_and_the_best_others(llm: ComputeOptimalLLM) -> None:
    known = [json.loads(line) for line in TEST_PROMPTS.read_text().splitlines()]
    # Of easy prompts all solutions of a search have one answer.
    hard = [f"<user>{row['prompt']}<assistant>" for row in known if row["pass_at_1"] < 0.2][:8]
    outputs = llm.generate(hard, SamplingParams(n=3, max_tokens=100, seed=2), use_tqdm=False)
    answers = []
    for output in outputs:
        assert [completion.index for completion in output.outputs] == [0, 1, 2]
        found = [completion.text.rpartition("#")[2] for completion in output.outputs]
        answers.append(found)
        distinct = list(dict.fromkeys(found))
        assert found[: len(distinct)] == distinct, "one of each answer, then the others"
    assert any(len(set(found)) > 1 for found in answers)


def test_more_outputs_than_the_default_budget_raise_it(llm: ComputeOptimalLLM) -> None:
    six = SamplingParams(n=6, max_tokens=100)
    (output,) = llm.generate(RAW[0], six, use_tqdm=False)
    assert len(output.outputs) == 6
    assert output.receipt.budget == 6
    assert output.notes == ("the budget was 6, not 4, because 6 solutions were requested",)
    with pytest.raises(InputError, match="n: 6: it is more than the budget of 5"):
        llm.generate(RAW[0], six, budget=5)
    with pytest.raises(InputError, match="a shared total allows one solution per prompt"):
        llm.generate(RAW[0], six, total_budget=60)


def test_every_prompt_may_have_params_of_its_own(llm: ComputeOptimalLLM) -> None:
    short, seeded = SamplingParams(max_tokens=2), SamplingParams(max_tokens=100, seed=9)
    outputs = llm.generate(RAW[:2], [short, seeded], use_tqdm=False)
    assert [len(output.outputs[0].token_ids) > 2 for output in outputs] == [False, True]
    assert outputs[0].outputs[0].finish_reason == "length"
    assert texts(outputs[1:]) == texts(llm.generate(RAW[1], seeded, use_tqdm=False))
    with pytest.raises(InputError, match="sampling_params: 2: give one for all prompts, or 3"):
        llm.generate(RAW, [short, seeded])


@pytest.mark.slow
def test_seeds_decide(llm: ComputeOptimalLLM) -> None:
    def sampled(seed: int | None) -> list[str]:
        params = SamplingParams(max_tokens=100, seed=seed)
        return texts(llm.generate(RAW * 2, params, use_tqdm=False, budget=1))

    assert sampled(3) == sampled(3)
    assert len({tuple(sampled(seed)) for seed in (None, 0, 1, 2, -7)}) > 1


def test_temperature_0_is_greedy_for_one_solution_and_noted_for_several(
    llm: ComputeOptimalLLM,
) -> None:
    greedy = [SamplingParams(temperature=0, max_tokens=100, seed=seed) for seed in (1, 2)]
    one = llm.generate([RAW[0]] * 2, greedy, use_tqdm=False, budget=1)
    assert texts(one[:1]) == texts(one[1:])
    assert one[0].notes == ()
    (many,) = llm.generate(RAW[0], greedy[0], use_tqdm=False)
    assert "sampled at the calibrated temperature 1.0" in many.notes[0]
    (warm,) = llm.generate(RAW[0], SamplingParams(temperature=0.7), use_tqdm=False)
    assert warm.notes == ("temperature is 0.7; the table was calibrated at temperature 1.0",)


def test_a_solution_is_cut_before_a_stop_text(llm: ComputeOptimalLLM) -> None:
    for stop in ("7=", ["!", "7="]):
        params = SamplingParams(temperature=0, max_tokens=100, stop=stop)
        (output,) = llm.generate(RAW[0], params, use_tqdm=False, budget=1)
        found = output.outputs[0]
        assert (found.text, found.finish_reason, found.stop_reason) == ("12+", "stop", "7=")


def test_a_solution_is_cut_before_a_stop_token(llm: ComputeOptimalLLM) -> None:
    tokenizer = llm.get_tokenizer()
    (equals,), end = tokenizer.encode("="), tokenizer.eos_token_id

    def found(**params: Any) -> Any:
        greedy = SamplingParams(temperature=0, max_tokens=100, **params)
        return llm.generate(RAW[0], greedy, use_tqdm=False, budget=1)[0].outputs[0]

    stopped, whole = found(stop_token_ids=[equals]), found()
    assert (stopped.text, stopped.finish_reason, stopped.stop_reason) == ("12+7", "stop", equals)
    assert stopped.token_ids[-1] == equals
    assert list(stopped.token_ids) == list(whole.token_ids)[: len(stopped.token_ids)]
    ended = found(stop_token_ids=[end])
    assert (ended.text, ended.stop_reason) == (whole.text, None)
    assert ended.token_ids == whole.token_ids


@pytest.mark.slow
def test_special_tokens_are_shown_if_the_caller_asks(llm: ComputeOptimalLLM) -> None:
    shown = {"skip_special_tokens": False, "spaces_between_special_tokens": False}

    def found(prompt: str, **params: Any) -> Any:
        greedy = SamplingParams(temperature=0, max_tokens=100, **params)
        return llm.generate(prompt, greedy, use_tqdm=False, budget=1)[0].outputs[0]

    for stop in ([], ["<end>"], ["7=", "<end>"], ["</s>"]):
        plain, special = found(RAW[0], stop=stop), found(RAW[0], stop=stop, **shown)
        assert special == plain, "the token that ends a solution is no part of its text"


def test_special_tokens_amid_a_solution(llm: ComputeOptimalLLM) -> None:
    """The testbed's model writes none, so a solution that has some is made here."""
    tokenizer, models = llm.get_tokenizer(), llm._thread.solver.models
    (user,), ids = tokenizer.encode("<user>"), tuple(tokenizer.encode("1<assistant>2<user>"))
    shown = SamplingParams(stop=["<user>", "7="], skip_special_tokens=False)
    (output,) = llm.generate(RAW[0], use_tqdm=False, budget=1)
    sample = replace(make_sample("2", nan), steps=(ids,), text="12", ended=True)
    result = Result(
        prompt="", answer=None, solution="", score=None, receipt=output.receipt, ranked=(sample,)
    )
    calibrated, prompt = llm.artifact.settings.sampling, EncodedPrompt("", ids)
    options = vllm_options(PromptParams(shown), calibrated, models, 1)
    assert (options.request.settings.stops, options.stop_reasons) == (("7=",), {user: "<user>"})
    found = answered("0", prompt, options, result, tokenizer).outputs[0]
    assert (found.text, found.stop_reason) == ("1<assistant>2", "<user>")
    without = vllm_options(PromptParams(), calibrated, models, 1)
    plain = answered("0", prompt, without, result, tokenizer).outputs[0]
    assert (plain.text, plain.stop_reason) == ("12", None)


@pytest.mark.slow
def test_without_params_solutions_are_sampled_as_calibrated(llm: ComputeOptimalLLM) -> None:
    default = llm.get_default_sampling_params()
    assert (default.temperature, default.max_tokens) == (1.0, 160)
    given, left = (llm.generate(RAW, p, use_tqdm=False) for p in (default, None))
    assert texts(given) == texts(left)
    endless = llm.generate(RAW, SamplingParams(max_tokens=None), use_tqdm=False)
    assert texts(endless) == texts(left), "none is as long as that"


@pytest.mark.slow
def test_kinds_of_output_are_one(llm: ComputeOptimalLLM) -> None:
    found = [
        texts(llm.generate(RAW, SamplingParams(max_tokens=50, output_kind=kind), use_tqdm=False))
        for kind in RequestOutputKind
    ]
    assert found[0] == found[1] == found[2]


@pytest.mark.slow
def test_calls_have_budgets_totals_and_deadlines(llm: ComputeOptimalLLM) -> None:
    def receipts(**limits: Any) -> list[Any]:
        return [output.receipt for output in llm.generate(RAW, use_tqdm=False, **limits)]

    assert [receipt.generations for receipt in receipts(budget=2)] == [2, 2, 2]
    shared = receipts(total_budget=10)
    assert 3 <= sum(receipt.generations for receipt in shared) <= 10
    assert {receipt.budget for receipt in shared} == {None}
    assert {receipt.deadline for receipt in receipts(deadline=9.0)} == {9.0}


def test_progress_is_shown_by_whatever_shows_it(
    llm: ComputeOptimalLLM, capsys: pytest.CaptureFixture[str]
) -> None:
    bars: list[Any] = []

    def bar(**options: Any) -> Any:
        bars.append(tqdm(**options))
        return bars[-1]

    llm.generate(RAW, use_tqdm=bar, budget=1)
    assert (bars[0].n, bars[0].total) == (3, 3)
    assert "Processed prompts: 100%" in capsys.readouterr().err
    llm.generate(RAW, use_tqdm=False, budget=1)
    assert capsys.readouterr().err == ""


def test_where_a_model_fails_the_other_outputs_are_kept(
    llm: ComputeOptimalLLM, engine: Failing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "token", llm.get_tokenizer().encode("-")[0])  # the last one's
    with pytest.raises(UnansweredError, match="1 of 3 prompts: engine: it broke") as failed:
        llm.generate(RAW, use_tqdm=False)
    assert [output.prompt for output in failed.value.outputs] == RAW[:2]
    assert list(failed.value.failed.values()) == ["engine: it broke"]


@pytest.mark.slow
def test_an_interrupt_ends_the_call_and_nothing_else(
    llm: ComputeOptimalLLM, engine: Failing, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, interrupted_at = 0, 0
    here = threading.get_ident()

    def begun() -> None:
        nonlocal asked
        asked += 1
        if asked == interrupted_at:
            signal.pthread_kill(here, signal.SIGINT)

    monkeypatch.setattr(engine, "begun", begun)
    before = texts(llm.generate(RAW, use_tqdm=False))
    alone, interrupted_at = asked, asked + 20
    with pytest.raises(KeyboardInterrupt):
        llm.generate(RAW * 100, use_tqdm=False, budget=16)
    assert asked < 300 * 16
    ended = asked
    assert texts(llm.generate(RAW, use_tqdm=False)) == before
    assert asked == ended + alone


@pytest.mark.slow
def test_it_is_called_from_several_threads_and_from_a_running_loop(llm: ComputeOptimalLLM) -> None:
    alone = texts(llm.generate(RAW, use_tqdm=False))

    async def at_once() -> list[list[Any]]:
        llm.generate(RAW, use_tqdm=False)
        calls = (asyncio.to_thread(llm.generate, RAW, use_tqdm=False) for _ in range(4))
        return list(await asyncio.gather(*calls))

    assert [texts(outputs) for outputs in asyncio.run(at_once())] == [alone] * 4


@pytest.mark.slow
def test_after_it_is_closed_it_says_so(engine: Failing) -> None:
    llm = ComputeOptimalLLM.wrap(engine, ARTIFACT, budget=1)
    llm.generate(RAW, use_tqdm=False)
    llm.close()
    llm.close()
    with pytest.raises(InputError, match="closed"):
        llm.generate(RAW, use_tqdm=False)
    with ComputeOptimalLLM.wrap(engine, ARTIFACT, budget=1) as again:
        assert again.generate(RAW, use_tqdm=False), "the engine was not its own"
