"""The stop rule alone decides as the solver does, and loads nothing heavy."""

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from allocator.errors import InputError
from allocator.price import PriceList, PricePoint
from allocator.schedule import schedule_of
from benchmarks.testbed.paths import ARTIFACT
from predictors.gain_model import COLUMNS, GainModel
from predictors.sample import Sample
from predictors.scoring import Scoring
from runtime.artifact import GAIN_MODEL, PRICES, SCORING, Artifact
from runtime.prompt_run import PromptRun
from runtime.result import Spend
from runtime.solving.solve import Solver
from runtime.solving.stop_rule import PromptVotes, StopRule
from runtime.verifiers.base import all_aggregations
from tests.support.artifacts import bent_models, bent_prompts
from tests.support.fakes import COIN_SETTINGS
from tests.support.paths import ROOT

# Each sample more gains e^-3 (1 - k/n), whatever the votes.
FLAT = GainModel(weights=(-3.0, *[0.0] * (len(COLUMNS) - 1)), rho=1.0)
POINTS = tuple(
    PricePoint(price=price, generations=cost, accuracy=0.5)
    for price, cost in ((0.001, 8.0), (0.01, 4.0), (0.1, 1.0))
)
PRICE_LIST = PriceList(schedule=schedule_of(8), points=POINTS)
MAJORITY = StopRule(PRICE_LIST, FLAT, None, price=0.001)


def answered(votes: PromptVotes, samples: list[Sample]) -> int:
    """Feed a prompt the samples it requests; how many it took."""
    left = iter(samples)
    while (more := votes.more()) > 0:
        for _ in range(more):
            sample = next(left)
            votes.add(
                sample.answer,
                all_aggregations(sample.step_scores),
                logprob=sample.logprob,
                tokens=sample.tokens,
                finished=sample.ended,
            )
    return votes.samples


def drawn(tokenizer: Any, artifact: Artifact, prompt: str) -> tuple[int, list[Sample]]:
    """The prompt's length, and the independent samples that a solver draws of it."""
    models = bent_models(tokenizer, scoring=artifact.settings.scoring)
    run = PromptRun(models, COIN_SETTINGS, prompt, seed=0)
    top = artifact.prices.schedule.stages[-1].samples
    samples = asyncio.run(run.canonicalize(asyncio.run(run.samples(0, top))))
    return len(run.context.token_ids), samples


@pytest.fixture
def one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.solving.solve.PROMPTS_IN_FLIGHT", 1)


def rule_of(artifact: Artifact, **spend: float) -> StopRule:
    return StopRule(artifact.prices, artifact.gain_model, artifact.scoring, **spend)


@pytest.mark.slow
@pytest.mark.parametrize("average", [1.5, 3.0])
def test_it_takes_the_samples_that_the_solver_takes(
    tokenizer: Any, bent: Artifact, average: float, one_at_a_time: None
) -> None:
    prompts = bent_prompts(24, seed=5)
    models = bent_models(tokenizer, scoring=bent.settings.scoring)
    solver = Solver(models, bent)
    served = asyncio.run(solver.solve_all(prompts, Spend(average_budget=average)))
    rule = rule_of(bent, average_budget=average)
    found = []
    for prompt in prompts:
        length, samples = drawn(tokenizer, bent, prompt)
        votes = rule.start(length)
        found.append((answered(votes, samples), votes.answer, votes.why))
    expected = [(r.receipt.generations, r.answer, r.receipt.why) for r in served]
    assert found == expected
    assert len({generations for generations, _, _ in found}) > 1, "they differ between prompts"


@pytest.mark.slow
@pytest.mark.parametrize("price", [0.002, 0.02])
def test_a_price_is_kept(tokenizer: Any, bent: Artifact, price: float) -> None:
    solver = Solver(bent_models(tokenizer, scoring=bent.settings.scoring), bent)
    rule = rule_of(bent, price=price)
    for prompt in bent_prompts(6, seed=6):
        served = asyncio.run(solver.solve_at_price(prompt, price))
        length, samples = drawn(tokenizer, bent, prompt)
        votes = rule.start(length)
        assert answered(votes, samples) == served.receipt.generations
        assert votes.answer == served.answer
    assert rule.price == price


def test_what_is_gained_is_weighed_against_the_price() -> None:
    # From 1 to 2 samples: e^-3 / 2 = 2.5 points for one sample.
    for price, taken in ((0.026, 1), (0.024, 2)):
        votes = StopRule(PRICE_LIST, FLAT, None, price=price).start()
        assert votes.more() == 1
        votes.add("a")
        more = votes.more()
        assert (more > 0) == (taken > 1)
        assert votes.ended == (taken == 1)


def test_what_is_missing_is_requested_again_and_no_more_is_taken() -> None:
    votes = MAJORITY.start()
    requested = []
    while votes.more():
        requested.append(votes.more())
        votes.add("a")
    # Stages of 1, 2, 3, 4, 6 and 8 samples, added one by one.
    assert requested == [1, 1, 1, 1, 2, 1, 2, 1]
    assert votes.why == "8 samples: the last stage of the schedule"
    with pytest.raises(InputError, match="more\\(\\) requested no more"):
        votes.add("b")
    assert (votes.samples, votes.answer, votes.more()) == (8, "a", 0)


def test_without_a_scoring_votes_are_counted() -> None:
    votes = MAJORITY.start()
    for answer in ("b", "a", None, "a"):
        votes.more()
        votes.add(answer)
    assert votes.answer == "a"
    votes.more()
    assert votes.reached.state.tolist() == [4, 2, 1, 1, 1, 1, 0.5, 0.25, 0]


def test_scores_weigh_votes() -> None:
    scoring = Scoring(scores={"score": 1.0, "reward": 1.0}, logits=("reward",))
    votes = StopRule(PRICE_LIST, FLAT, scoring, price=0.001).start()
    for answer, score, reward in (("a", 0.6, -1.0), ("a", 0.6, -1.0), ("b", 0.9, 4.0)):
        votes.more()
        votes.add(answer, {"score": score, "reward": reward})
    assert votes.answer == "b"
    votes.more()
    scores: list[tuple[Any, str]] = [
        ({"score": 0.5}, "'reward', which has weight"),
        ({"score": 1.5, "reward": 3.0}, "score: 1.5"),
        ({"score": float("nan"), "reward": 3.0}, "score: nan"),
        ({"score": "0.5", "reward": 3.0}, "score: '0.5'"),
        ({"score": 0.5, "reward": float("inf")}, "reward: inf"),
        (None, "'score', which has weight"),
    ]
    for given, what in scores:
        with pytest.raises(InputError, match=what):
            votes.add("a", given)
    assert votes.samples == 3


def test_the_price_follows_what_prompts_cost() -> None:
    rule = StopRule(PRICE_LIST, FLAT, None, average_budget=4)
    assert rule.price == pytest.approx(0.01)
    votes = rule.start()
    while votes.more():
        votes.add("a")
    moved = 0.05 * (votes.samples - 4) / 4
    assert rule.price == pytest.approx(0.01 * 2.718281828**moved)
    assert votes.more() == 0, "a prompt is counted once"
    assert rule.price == pytest.approx(0.01 * 2.718281828**moved)


@pytest.mark.parametrize(
    ("spend", "what"),
    [
        ({}, "give one of the two"),
        ({"price": 0.1, "average_budget": 4}, "give one of the two"),
        ({"price": 0.0}, "price: 0.0: must"),
        ({"price": float("nan")}, "price: nan: must"),
        ({"average_budget": 0.5}, "average_budget: 0.5: must be 1 or more"),
        ({"price": "x"}, "price: 'x': must"),
        ({"average_budget": "4"}, "'4': must be 1 or more"),
    ],
)
def test_a_spend_that_is_not_possible_is_refused(spend: dict[str, Any], what: str) -> None:
    with pytest.raises(InputError, match=what):
        StopRule(PRICE_LIST, FLAT, None, **spend)


def test_a_schedule_with_a_search_is_refused_by_name() -> None:
    with pytest.raises(InputError, match=r"beam search N=8.*--strategies best_of_n"):
        StopRule.load(ARTIFACT, average_budget=4)


def test_the_length_of_the_prompt_is_needed_where_gains_depend_on_it() -> None:
    weights = [*FLAT.weights]
    weights[COLUMNS.index("log_prompt_tokens")] = 0.1
    rule = StopRule(PRICE_LIST, GainModel(weights=tuple(weights), rho=1.0), None, price=0.01)
    with pytest.raises(InputError, match="prompt_tokens"):
        rule.start()
    assert rule.start(40).more() == 1


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What the rule reads of an artifact made from logs."""
    PRICE_LIST.save(tmp_path / PRICES)
    FLAT.save(tmp_path / GAIN_MODEL)
    Scoring(scores={"score": 1.0}).save(tmp_path / SCORING)
    return tmp_path


HEAVY = (
    *("torch", "transformers", "vllm", "sklearn", "lightgbm", "pandas", "pyarrow", "sympy"),
    *("huggingface_hub", "aiohttp", "httpx", "typer", "calibration"),
)


@pytest.mark.slow
def test_a_decision_loads_nothing_heavy(folder: Path) -> None:
    code = f"""
import sys
from ttc_allocator import StopRule
votes = StopRule.load({str(folder)!r}, average_budget=4).start()
while more := votes.more():
    for _ in range(more):
        votes.add("7", {{"score": 0.9}})
print(votes.answer, votes.samples, [name for name in {HEAVY} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "7 4 []\n", done.stderr
