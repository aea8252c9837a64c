"""Prompts with wishes of their own: token ids, sampling, stop texts, seeds, how many solutions."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from allocator.errors import InputError
from allocator.plan import Plan
from benchmarks.testbed.paths import REQUEST_SETTINGS, SETTINGS
from benchmarks.testbed.task import distinct_problems
from predictors.sample import Sample
from runtime.answers.selection import ranked
from runtime.artifact import Artifact
from runtime.engines.base import encode_prompt
from runtime.models import Models
from runtime.prompt_run import PromptRun
from runtime.request import Event, Request
from runtime.solving.solve import Solver
from runtime.strategies import STRATEGIES
from tests.support.artifacts import bent_models, bent_prompts, with_row
from tests.support.samples import make_sample

PROBLEMS = [problem.text for problem in distinct_problems("test", 6, seed=21)]
PLANS = [Plan(strategy="best_of_n", n=4), Plan(strategy="beam_search", n=4, beam_width=2)]


@pytest.fixture(params=["transformers", "vllm"])
def models(request: pytest.FixtureRequest) -> Models:
    """Every test that takes this runs through both engines."""
    found: Models = request.getfixturevalue(f"{request.param}_models")
    return found


def searched(run: Any, models: Models, plan: Plan, prompt: str, **changes: Any) -> list[Sample]:
    settings = replace(REQUEST_SETTINGS, **changes)

    async def search() -> list[Sample]:
        return await STRATEGIES[plan.strategy](PromptRun(models, settings, prompt, 5), plan, ())

    found: list[Sample] = run(search())
    return found


@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_a_stop_text_ends_a_solution_which_is_cut_before_it(
    run: Any, models: Models, plan: Plan
) -> None:
    for sample in searched(run, models, plan, PROBLEMS[0], stops=("=",)):
        assert sample.ended
        assert "=" not in sample.text
        assert models.engine.tokenizer.decode(sample.token_ids).endswith("=")


@pytest.mark.slow
@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_a_stop_text_may_begin_in_one_step_and_end_in_the_next(
    run: Any, models: Models, plan: Plan
) -> None:
    whole = searched(run, models, plan, "12+7*3")
    second = {sample.text.split("\n")[1][:1] for sample in whole}
    stops = tuple(f"\n{first}" for first in second)
    for sample in searched(run, models, plan, "12+7*3", stops=stops):
        assert sample.ended
        assert "\n" not in sample.text


def test_the_step_end_itself_may_be_a_stop_text(run: Any, models: Models) -> None:
    for plan in PLANS:
        for sample in searched(run, models, plan, PROBLEMS[1], stops=("\n",)):
            assert sample.ended
            assert len(sample.steps) == 1


@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_a_stop_token_ends_a_solution_which_is_cut_before_it(
    run: Any, models: Models, plan: Plan
) -> None:
    (equals,) = models.engine.tokenizer.encode("=")
    by_token = searched(run, models, plan, PROBLEMS[0], stop_token_ids=(equals,))
    by_text = searched(run, models, plan, PROBLEMS[0], stops=("=",))
    assert [sample.text for sample in by_token] == [sample.text for sample in by_text]
    for sample in by_token:
        assert sample.ended
        assert sample.token_ids[-1] == equals


def test_the_step_end_itself_may_be_a_stop_token(run: Any, models: Models) -> None:
    (newline,) = models.engine.tokenizer.encode("\n")
    for plan in PLANS:
        for sample in searched(run, models, plan, PROBLEMS[1], stop_token_ids=(newline,)):
            assert sample.ended
            assert len(sample.steps) == 1
            assert "\n" not in sample.text


@pytest.mark.slow
def test_the_models_own_end_as_a_stop_token_changes_nothing(run: Any, models: Models) -> None:
    ends = (models.engine.tokenizer.eos_token_id,)
    for plan in PLANS:
        assert searched(run, models, plan, PROBLEMS[2], stop_token_ids=ends) == searched(
            run, models, plan, PROBLEMS[2]
        )


@pytest.mark.slow
@pytest.mark.parametrize("alone", [{"top_k": 1}, {"min_p": 1.0}])
def test_one_token_to_choose_from_is_greedy(
    run: Any, models: Models, alone: dict[str, Any]
) -> None:
    def sampled(**how: Any) -> list[tuple[int, ...]]:
        sampling = SETTINGS.sampling.model_copy(update=how)
        hardest = max(PROBLEMS, key=len)
        found = searched(run, models, PLANS[0], hardest, sampling=sampling)
        return [sample.token_ids for sample in found]

    greedy = sampled(temperature=0.0)
    assert sampled(**alone) == greedy
    assert sampled() != greedy


def test_top_k_keeps_the_likeliest(run: Any, transformers_models: Models) -> None:
    engine = transformers_models.engine
    ids = encode_prompt(engine, PROBLEMS[3])

    async def first_tokens(top_k: int) -> set[int]:
        settings = SETTINGS.sampling.model_copy(update={"temperature": 3.0, "top_k": top_k})
        drawn = await asyncio.gather(
            *(
                engine.complete(ids, settings=settings, max_tokens=1, seed=seed)
                for seed in range(200)
            )
        )
        return {completion.token_ids[0] for completion in drawn}

    three = run(first_tokens(3))
    assert len(three) == 3
    assert three < run(first_tokens(6))


@pytest.mark.slow
def test_a_prompt_may_come_as_token_ids(bent: Artifact, tokenizer: Any) -> None:
    models = bent_models(tokenizer)
    solver, (prompt,) = Solver(models, bent), bent_prompts(1, seed=3)
    ids = encode_prompt(models.engine, prompt)
    as_text = asyncio.run(solver.solve(prompt, 8))
    as_ids = asyncio.run(solver.solve(Request(prompt, token_ids=ids), 8))
    assert as_ids.solution == as_text.solution
    assert as_ids.receipt.prompt_tokens == len(ids)
    for bad in [(), ids * 40]:
        with pytest.raises(InputError, match="prompt"):
            solver.start(Request(prompt, token_ids=bad))


@pytest.mark.slow
def test_a_request_has_its_own_seed(bent: Artifact, tokenizer: Any) -> None:
    solver = Solver(bent_models(tokenizer), bent, seed=1)
    other = Solver(bent_models(tokenizer), bent, seed=2)
    prompts = bent_prompts(8, seed=5)

    def solutions(solving: Solver, seed: int | None) -> list[str]:
        requests = [Request(prompt, seed=seed) for prompt in prompts]
        return [asyncio.run(solving.solve(request, 4)).solution for request in requests]

    assert solutions(solver, 2) == solutions(other, None) != solutions(solver, None)


def test_a_lone_solution_is_not_scored(bent: Artifact, tokenizer: Any) -> None:
    lone = with_row(bent, 0, (), [PLANS[0].model_copy(update={"n": 1})])
    solver, (prompt,) = Solver(bent_models(tokenizer), lone), bent_prompts(1, seed=6)
    result = asyncio.run(solver.solve(prompt, 8))
    assert (result.score, result.receipt.verifier_tokens) == (None, 0)
    assert result.receipt.generations == 1
    assert '"score":null' in result.model_dump_json()
    several = asyncio.run(solver.solve(Request(prompt, solutions=3), 8))
    assert several.receipt.generations == 3 == len(several.ranked)
    assert several.ranked[0].score >= 0
    assert several.receipt.verifier_tokens > 0


def test_more_solutions_are_drawn_only_as_far_as_the_budget_goes(
    bent: Artifact, tokenizer: Any
) -> None:
    solver = Solver(bent_models(tokenizer), with_row(bent, 0, (), [PLANS[1]]))
    result = asyncio.run(solver.solve(Request(bent_prompts(1, seed=9)[0], solutions=20), 8))
    assert len(result.ranked) == result.receipt.generations == 8


def test_every_event_is_reported(bent: Artifact, tokenizer: Any) -> None:
    events: list[Event] = []
    searching = with_row(bent, 1, (0.5,), [PLANS[1]] * 2)
    solver, (prompt,) = Solver(bent_models(tokenizer), searching), bent_prompts(1, seed=2)
    result = asyncio.run(solver.solve(Request(prompt, on_event=events.append), 8))
    assert next(e.sample for e in events if e.kind == "solution") == 0
    (decision,) = [event.decision for event in events if event.kind == "decision"]
    assert decision is not None
    assert decision["plan"]["beam_width"] == 2
    assert decision["predicted_pass_at_1"] == result.receipt.predicted_pass_at_1
    steps = [event for event in events if event.kind == "step"]
    places = [event.step for event in steps if event.step is not None]
    assert len(places) == len(steps)
    assert {(step.search, step.beams, step.lookahead) for step in places} == {("beam_search", 4, 0)}
    assert all((e.parent_place is None) == (e.step is None or e.step.round == 0) for e in steps)
    assert all(event.score is not None and 0 <= event.score <= 1 for event in steps)
    ends = [event.step for event in events if event.kind == "solution" and event.sample is None]
    assert len(ends) == 4
    assert set(ends) <= set(places)


def test_ranked_has_one_of_every_answer_first_and_loses_nothing() -> None:
    samples = [make_sample(a, s) for a, s in zip("77955", (0.5, 0.4, 0.8, 0.2, 0.2), strict=True)]
    samples.append(make_sample(None, 0.99))
    best = ranked(samples)
    assert [sample.answer for sample in best[:4]] == ["7", "9", "5", None]
    assert sorted(map(id, best)) == sorted(map(id, samples))
    assert [sample.score for sample in best[4:]] == [0.4, 0.2]
