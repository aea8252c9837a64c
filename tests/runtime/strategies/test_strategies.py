"""Best-of-N and the searches against what can be computed by hand."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from math import isnan
from typing import Any
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from allocator.errors import InputError
from allocator.plan import Plan
from predictors.sample import Sample
from predictors.scoring import VERIFIER_ALONE
from runtime.answers.selection import select
from runtime.engines.base import Completion
from runtime.request import RequestSettings
from runtime.reviser import Reviser, revision_context
from runtime.solutions.beam import Beam
from runtime.strategies import STRATEGIES
from runtime.strategies.beam_search import beam_search
from runtime.strategies.best_of_n import best_of_n
from runtime.strategies.early_stop import min_to_settle
from runtime.verifiers.base import Context, Verdict
from tests.support.fakes import COIN_SETTINGS, STEPS, CoinEngine, StepUp, SumVerifier, coin_run
from tests.support.samples import make_sample
from tests.support.waiting import turns

# Sums of three fair coins, in eighths.
EXPECTED = {"0": 1, "1": 3, "2": 3, "3": 1}


def search(tokenizer: Any, plan: Plan, seed: int = 0) -> list[Sample]:
    return asyncio.run(STRATEGIES[plan.strategy](coin_run(tokenizer, seed), plan, ()))


def answer_counts(samples: list[Sample]) -> Counter[str]:
    return Counter(str(sample.answer) for sample in samples)


@pytest.mark.slow
def test_beam_search_of_width_1_is_independent_sampling(tokenizer: Any) -> None:
    n = 800
    samples = search(tokenizer, Plan(strategy="beam_search", n=n, beam_width=1))
    assert len(samples) == n
    counts = answer_counts(samples)
    expected = [n * EXPECTED[a] / 8 for a in "0123"]
    assert chisquare([counts[a] for a in "0123"], expected).pvalue > 0.001
    run = coin_run(tokenizer)
    asyncio.run(beam_search(run, Plan(strategy="beam_search", n=n, beam_width=1), ()))
    assert isinstance(run.models.engine, CoinEngine)
    assert len(set(run.models.engine.seeds)) == len(run.models.engine.seeds)
    independent = answer_counts(search(tokenizer, Plan(strategy="best_of_n", n=n)))
    assert chisquare([independent[a] for a in "0123"], expected).pvalue > 0.001


def test_beam_search_follows_the_verifier(tokenizer: Any) -> None:
    samples = search(tokenizer, Plan(strategy="beam_search", n=32, beam_width=8))
    # 32 first steps surely hold four ones, and so on: after two rounds all kept beams are ones.
    assert answer_counts(samples)["3"] >= 8
    assert set(answer_counts(samples)) <= {"2", "3"}


def test_beams_that_score_alike_are_ranked_by_their_probabilities(tokenizer: Any) -> None:
    run = coin_run(tokenizer, scoring=VERIFIER_ALONE.model_copy(update={"top": 0.01, "power": 2.0}))
    samples = asyncio.run(beam_search(run, Plan(strategy="beam_search", n=32, beam_width=8), ()))
    assert min(sample.score for sample in samples) > 1 - 1e-6
    assert set(answer_counts(samples)) <= {"2", "3"}


def test_beams_are_as_many_as_planned_and_costed(tokenizer: Any) -> None:
    run = coin_run(tokenizer)
    plan = Plan(strategy="beam_search", n=12, beam_width=4)
    samples = asyncio.run(beam_search(run, plan, ()))
    assert len(samples) == 12
    assert run.cost.generations == 12
    # Four rounds of twelve requests: three lines of two tokens, then the answer's three.
    assert isinstance(run.models.engine, CoinEngine)
    assert len(run.models.engine.requests) == 12 * (STEPS + 1)
    assert run.cost.sampled_tokens == 12 * (STEPS * 2 + 3)
    assert all(len(sample.steps) == len(sample.step_scores) == STEPS + 1 for sample in samples)


STEPWISE = [
    Plan(strategy="beam_search", n=8, beam_width=4),
    Plan(strategy="beam_search", n=4, beam_width=4, lookahead=1),
    Plan(strategy="dvts", n=8, beam_width=4),
    Plan(strategy="rebase", n=8),
    Plan(strategy="dora", n=8),
    Plan(strategy="beam_revisions", n=8, beam_width=4, length=1),
]


@pytest.mark.parametrize("plan", STEPWISE, ids=str)
def test_all_that_the_last_round_sampled_are_solutions(tokenizer: Any, plan: Plan) -> None:
    class Distinct(CoinEngine):
        """No two sums of its steps' log-probabilities are equal."""

        async def complete(self, *args: Any, **kwargs: Any) -> Completion:
            number = len(self.requests)
            return replace(await super().complete(*args, **kwargs), logprob=-(2.0**number))

    settings = RequestSettings(COIN_SETTINGS.sampling.model_copy(update={"max_steps": 2}))
    reviser = Reviser(StepUp(tokenizer), SumVerifier(tokenizer))
    run = coin_run(tokenizer, engine=Distinct(tokenizer), settings=settings, reviser=reviser)
    samples = asyncio.run(STRATEGIES[plan.strategy](run, plan, ()))
    assert len(samples) == plan.n
    assert len({sample.logprob for sample in samples}) == plan.n
    assert run.cost.generations == plan.cost(0)


@pytest.mark.parametrize("plan", STEPWISE, ids=str)
def test_a_search_that_fails_has_spent_its_generations(tokenizer: Any, plan: Plan) -> None:
    run = coin_run(tokenizer, engine=CoinEngine(tokenizer, fails_after=plan.n + 1))
    with pytest.raises(RuntimeError, match="has failed"):
        asyncio.run(STRATEGIES[plan.strategy](run, plan, ()))
    assert run.cost.generations == plan.cost(0)


def test_pilots_are_reused_and_not_paid_twice(tokenizer: Any) -> None:
    run = coin_run(tokenizer)
    pilots = asyncio.run(run.samples(0, 4))
    samples = asyncio.run(best_of_n(run, Plan(strategy="best_of_n", n=10), pilots))
    assert run.cost.generations == 10
    assert samples[:4] == pilots
    assert samples == search(tokenizer, Plan(strategy="best_of_n", n=10))


def test_a_seed_determines_everything_and_another_changes_it(tokenizer: Any) -> None:
    plan = Plan(strategy="beam_search", n=16, beam_width=2)
    assert search(tokenizer, plan, 3) == search(tokenizer, plan, 3)
    assert search(tokenizer, plan, 3) != search(tokenizer, plan, 4)


@pytest.mark.parametrize("width", [1, 2, 4, 8])
def test_any_divisor_is_a_width(tokenizer: Any, width: int) -> None:
    samples = search(tokenizer, Plan(strategy="beam_search", n=8, beam_width=width))
    assert len(samples) == 8
    assert all(sample.ended for sample in samples)


@pytest.mark.parametrize("width", [1, 2, 4])
def test_beams_that_end_early_are_still_among_the_n(tokenizer: Any, width: int) -> None:
    engine = CoinEngine(tokenizer, ragged=True)
    run = coin_run(tokenizer, engine=engine)
    plan = Plan(strategy="beam_search", n=16, beam_width=width)
    samples = asyncio.run(beam_search(run, plan, ()))
    assert len(samples) == run.cost.generations == 16
    assert all(sample.ended for sample in samples)
    assert len({len(sample.steps) for sample in samples}) > 2


def test_an_error_stops_everything_that_runs_beside_it(tokenizer: Any) -> None:
    engine = CoinEngine(tokenizer, fails_after=20)

    async def search_and_wait() -> int:
        plan = Plan(strategy="best_of_n", n=8)
        with pytest.raises(RuntimeError, match="has failed"):
            await beam_search(coin_run(tokenizer, engine=engine), plan, ())
        at_once = len(engine.requests)
        await turns()  # those in which another could be sent
        return len(engine.requests) - at_once

    assert asyncio.run(search_and_wait()) == 0


def test_lookahead_0_is_beam_search_and_lookahead_ranks_by_what_follows(tokenizer: Any) -> None:
    plain = Plan(strategy="beam_search", n=16, beam_width=4)
    assert search(tokenizer, plan=plain) == search(
        tokenizer, Plan(strategy="beam_search", n=16, beam_width=4, lookahead=0)
    )

    class LastLine(SumVerifier):
        """Only at the third line does it tell ones from zeros, and it tells the first line's."""

        async def score(self, context: Context, steps: Sequence[tuple[int, ...]]) -> Verdict:
            first = tokenizer.decode(steps[0]).strip() == "1"
            known = [0.5] * min(len(steps), STEPS - 1) + [0.9 if first else 0.1] * max(
                0, len(steps) - STEPS + 1
            )
            return Verdict(tuple(known), 0, 0)

    def first_lines(lookahead: int) -> list[str]:
        plan = Plan(strategy="beam_search", n=8, beam_width=8, lookahead=lookahead)
        run = coin_run(tokenizer, verifier=LastLine(tokenizer))
        samples = asyncio.run(beam_search(run, plan, ()))
        assert run.cost.generations == plan.cost(0) == 8 * (lookahead + 1)
        return [tokenizer.decode(sample.steps[0]).strip() for sample in samples]

    # One beam of eight is kept after the first round: with a look two lines ahead it is one that
    # began with 1; without, all look the same and the first of them is kept.
    assert set(first_lines(2)) == {"1"}
    assert set(first_lines(0)) == {first_drawn(tokenizer)}


def first_drawn(tokenizer: Any) -> str:
    """The first line of the first beam of a search over 8."""
    engine = CoinEngine(tokenizer)
    run = coin_run(tokenizer, engine=engine)
    path = ("beam_search", 8, 8, 0, 0, 0)
    return str(tokenizer.decode(asyncio.run(run.extend(Beam(), path)).steps[0]).strip())


def test_dvts_subtrees_are_beam_searches_of_their_own(tokenizer: Any) -> None:
    run = coin_run(tokenizer)
    plan = Plan(strategy="dvts", n=24, beam_width=4)
    samples = asyncio.run(STRATEGIES["dvts"](run, plan, ()))
    assert len(samples) == run.cost.generations == plan.cost(0) == 24
    # Each subtree keeps one beam a round: all four of its solutions share their first line.
    trees = [samples[i : i + 4] for i in range(0, 24, 4)]
    assert all(len({sample.steps[0] for sample in tree}) == 1 for tree in trees)
    # One search over all 24 keeps ones; of six subtrees, each kept one with a 1 if it drew any.
    assert isinstance(run.models.engine, CoinEngine)
    assert len(set(run.models.engine.seeds)) == len(run.models.engine.seeds)


def revised(tokenizer: Any, plan: Plan, pilots: Sequence[Sample] = ()) -> tuple[Any, list[Sample]]:
    verifier = SumVerifier(tokenizer)
    reviser = Reviser(StepUp(tokenizer), verifier)
    run = coin_run(tokenizer, verifier=verifier, reviser=reviser)
    return run, asyncio.run(STRATEGIES[plan.strategy](run, plan, pilots))


def test_chains_of_length_1_are_best_of_n(tokenizer: Any) -> None:
    _, chains = revised(tokenizer, Plan(strategy="revisions", n=12, length=1))
    independent = search(tokenizer, Plan(strategy="best_of_n", n=12))
    assert [replace(sample, chain=None) for sample in chains] == independent
    assert select(chains).answer == select(independent).answer


@pytest.mark.parametrize(("length", "pilots"), [(1, 4), (4, 2), (8, 3), (2, 4)])
def test_chains_are_as_many_and_as_long_as_planned(
    tokenizer: Any, length: int, pilots: int
) -> None:
    plan = Plan(strategy="revisions", n=8, length=length)
    first = asyncio.run(coin_run(tokenizer).samples(0, pilots))
    run, samples = revised(tokenizer, plan, first)
    spare = max(0, pilots - plan.beams)
    assert len(samples) == 8 + spare
    # The pilots were paid for before; the plan's cost counts them.
    assert run.cost.generations + pilots == plan.cost(pilots)
    chains = Counter(sample.chain for sample in samples)
    assert chains.pop(None, 0) == spare
    assert set(chains.values()) == {length}
    starts = [sample for sample in samples if sample.chain is not None][::length]
    assert [s.steps for s in starts[:pilots]] == [p.steps for p in first[: plan.beams]]


def test_a_revision_sees_the_last_four_attempts(tokenizer: Any) -> None:
    run, samples = revised(tokenizer, Plan(strategy="revisions", n=7, length=7))
    first = tokenizer.decode(samples[0].token_ids)
    ones = "1\n1\n1\n#3<end>"
    prompt = "<user>1<assistant>"
    expected = [f"{prompt}{first}{prompt}"]
    expected += [f"{prompt}{first}{prompt}" + f"{ones}{prompt}" * k for k in (1, 2, 3)]
    expected += [prompt + f"{ones}{prompt}" * 4] * 2
    assert run.models.reviser.engine.contexts == expected


def test_a_context_too_long_for_four_attempts_takes_fewer() -> None:
    prompt, again, attempts = (1, 2), (9, 1, 2), [(i, i, i) for i in range(10, 16)]
    whole = revision_context(prompt, again, attempts, room=100)
    assert whole == (1, 2, *(t for a in attempts[-4:] for t in (*a, *again)))
    assert revision_context(prompt, again, attempts, room=len(whole) - 1) == (
        1, 2, *(t for a in attempts[-3:] for t in (*a, *again)),
    )  # fmt: skip
    assert revision_context(prompt, again, attempts, room=2) == prompt
    # An attempt that ended itself bears the mark of its end already.
    assert revision_context(prompt, again, [(5, 9)], room=100) == (1, 2, 5, 9, 1, 2)


def test_a_caller_who_allows_any_length_keeps_the_chains_attempts(tokenizer: Any) -> None:
    engine = StepUp(tokenizer)
    prompt = coin_run(tokenizer).context
    attempts = [(5, 6, 7)] * 4
    calibrated = Reviser(engine, SumVerifier(tokenizer), longest=20)
    within = calibrated.context(prompt, attempts, 20)
    assert len(within.token_ids) > 4 * 3
    assert calibrated.context(prompt, attempts, engine.context_length) == within
    # A caller may allow less.
    plain = Reviser(engine, SumVerifier(tokenizer))
    assert calibrated.context(prompt, attempts, 5) == plain.context(prompt, attempts, 5)
    assert plain.context(prompt, attempts, engine.context_length) == prompt


def test_beam_search_whose_beams_are_revised(tokenizer: Any) -> None:
    plan = Plan(strategy="beam_revisions", n=16, beam_width=2, length=4)
    run, samples = revised(tokenizer, plan)
    assert len(samples) == run.cost.generations == plan.cost(0) == 16
    assert Counter(sample.chain for sample in samples) == dict.fromkeys(range(4), 4)
    assert all(sample.answer == "3" for i, sample in enumerate(samples) if i % 4)


def test_a_plan_that_revises_needs_a_reviser(tokenizer: Any) -> None:
    with pytest.raises(InputError, match="there is no reviser"):
        search(tokenizer, Plan(strategy="revisions", n=4, length=2))


@pytest.mark.slow
@pytest.mark.parametrize("how", ["majority", "weighted"])
def test_early_stop_gives_the_same_answer_for_less(tokenizer: Any, how: Any) -> None:
    plan = Plan(strategy="best_of_n", n=40, selection=how)
    spent = []
    for seed in range(30):
        full = asyncio.run(best_of_n(coin_run(tokenizer, seed), plan, ()))
        run = coin_run(tokenizer, seed, settings=replace(COIN_SETTINGS, early_stop=1.0))
        pilots = asyncio.run(run.samples(0, 3))
        stopped = asyncio.run(best_of_n(run, plan, pilots))
        # The coin task's two middle answers tie for the lead: an early lead is no safe one.
        assert select(stopped, how).answer == select(full, how).answer
        assert len(stopped) == run.cost.generations
        spent.append(run.cost.generations)
    assert min(spent) < 40


@pytest.mark.parametrize("pilots", [0, 4])
def test_after_the_minimum_twice_the_minimum_is_sampled(
    tokenizer: Any, monkeypatch: pytest.MonkeyPatch, pilots: int
) -> None:
    plan = Plan(strategy="best_of_n", n=40, selection="majority")
    rounds = []
    for seed in range(5):
        run = coin_run(tokenizer, seed, settings=replace(COIN_SETTINGS, early_stop=0.95))
        first = asyncio.run(run.samples(0, pilots))
        sampled = Mock(side_effect=run.samples)
        monkeypatch.setattr(run, "samples", sampled)
        samples = asyncio.run(best_of_n(run, plan, first))
        for start, stop, *_ in (call.args for call in sampled.call_args_list):
            least = min_to_settle(samples[:start], plan.n - start, "majority", 0.95)
            assert stop - start == min(plan.n - start, least if start == pilots else 2 * least)
        assert stop == len(samples)
        rounds.append(sampled.call_count)
    assert max(rounds) > 2


def test_no_more_are_sampled_than_it_takes_at_least() -> None:
    votes = [make_sample("7", 0.9), make_sample("7", 0.8), make_sample("8", 0.5)]
    assert min_to_settle(votes, 1, "majority") == 1  # 2 to 1, and one to come: 8 may draw level
    assert min_to_settle([*votes, make_sample("7", 0.1)], 1, "majority") == 0
    assert min_to_settle(votes, 1, "weighted") == 0  # 1.7 to 0.5
    assert min_to_settle(votes, 2, "weighted") == 1
    assert (
        min_to_settle([], 16, "majority")
        == min_to_settle([make_sample(None, 0.9)], 16, "majority")
        == 9
    )
    assert min_to_settle([], 1, "majority") == 1
    assert min_to_settle(votes, 0, "best") == 0
    assert min_to_settle(votes, 3, "best") == 3  # a greater one may always come
    assert min_to_settle([*votes, make_sample("9", 1.0)], 3, "best") == 0


def test_a_lead_that_will_last_settles_it_too() -> None:
    def votes(*answers: str) -> list[Sample]:
        return [make_sample(answer, 0.5) for answer in answers]

    # Of 4 alike the chance that less than half of all are so is 1 / 32, of 3 it is 1 / 16.
    assert min_to_settle([], 16, "majority", 0.95) == 4
    assert min_to_settle(votes(*"7777"), 12, "majority", 0.95) == 0
    assert min_to_settle(votes(*"777"), 13, "majority", 0.95) == 1
    # 4 to 1: with 6 to 1 it is 29 / 256 + ..., below 0.05 from 7 to 1 on.
    assert min_to_settle(votes(*"77778"), 11, "majority", 0.95) == 2
    # Equal scores weigh as votes do, whatever they are.
    assert min_to_settle(votes(*"77778"), 11, "weighted", 0.95) == 2
    # What is certain is not left to chance.
    assert min_to_settle(votes(*"778"), 1, "majority", 0.99) == 1
    assert min_to_settle(votes(*"7778"), 1, "majority", 0.99) == 0


@given(st.lists(st.sampled_from("789"), max_size=30), st.integers(1, 30), st.floats(0.51, 0.999))
def test_less_confidence_never_asks_for_more(
    answers: list[str], remaining: int, confidence: float
) -> None:
    votes = [make_sample(answer, 0.5) for answer in answers]
    for how in ("majority", "weighted"):
        assert (
            0
            <= min_to_settle(votes, remaining, how, confidence)
            <= min_to_settle(votes, remaining, how)
        )


@given(
    st.lists(st.sampled_from(("p", "pa", "pb", "ab")), max_size=9),
    st.lists(st.sampled_from(("p", "pa", "pb", "ab", "c", "abc")), min_size=1, max_size=9),
)
def test_what_later_votes_on_parts_may_change_is_not_settled(
    answers: list[str], later: list[str]
) -> None:
    votes = [make_sample(answer, 0.5) for answer in answers]
    more = min_to_settle(votes, len(later), "majority", whole=False)
    assert more >= min_to_settle(votes, len(later), "majority")
    if not more:
        every = votes + [make_sample(answer, 0.5) for answer in later]
        chosen = (select(each, "majority", list).answer for each in (votes, every))
        assert len(set(chosen)) == 1


def test_parts_are_settled_once_more_than_half_is_for_one_answer() -> None:
    votes = [make_sample(answer, 0.5) for answer in ("p", "p", "p", "pa", "b")]
    assert min_to_settle(votes, 1, "majority") == 0
    assert min_to_settle(votes, 1, "majority", whole=False) == 1  # 3 to 2, and one to come
    assert min_to_settle([*votes, votes[0]], 1, "majority", whole=False) == 0


@given(st.lists(st.sampled_from("789"), max_size=30), st.integers(1, 30))
def test_a_vote_fewer_could_not_settle_it(answers: list[str], remaining: int) -> None:
    def stands(votes: list[str], left: int) -> bool:
        counts = Counter(votes).most_common()
        second = counts[1][1] if len(counts) > 1 else 0
        return not left or (bool(counts) and counts[0][1] - second > left)

    more = min_to_settle([make_sample(a, 0.5) for a in answers], remaining, "majority")
    leader = Counter(answers).most_common(1)[0][0] if answers else "7"
    # Were all of them for the leader, that many settle it, and one fewer do not.
    assert stands([*answers, *[leader] * more], remaining - more)
    if more:
        assert not stands([*answers, *[leader] * (more - 1)], remaining - more + 1)


def test_votes_are_not_scored_unless_they_tie(tokenizer: Any) -> None:
    plan = Plan(strategy="best_of_n", n=12, selection="majority")
    tied = 0
    for seed in range(40):
        run = coin_run(tokenizer, seed)
        votes = asyncio.run(best_of_n(run, plan, ()))
        counts = Counter(vote.answer for vote in votes)
        leading = {a for a in counts if counts[a] == max(counts.values())}
        judged = {vote.answer for vote in votes if not isnan(vote.score)}
        assert judged == (leading if len(leading) > 1 else set())
        assert all(isnan(vote.logprob) for vote in votes)
        scored = search(tokenizer, Plan(strategy="best_of_n", n=12), seed)
        assert [s.answer for s in scored] == [s.answer for s in votes]
        if judged:
            tied += 1
            best = max((v for v in votes if v.answer in leading), key=lambda v: v.score)
            assert select(votes, "majority").score == best.score
        else:
            assert select(votes, "majority").answer in leading
    assert 0 < tied < 40
