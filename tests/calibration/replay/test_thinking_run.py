"""Runs over logged thoughts, against the policy that decides online from the same thoughts."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from allocator.errors import InputError
from calibration.data.thoughts import Capped, Thoughts
from calibration.replay.cap_table import cap_table
from calibration.replay.thinking_curve import policy_runs, price_curve, votes_of
from calibration.replay.thinking_run import ends_at, outlooks, spent, thinking_runs
from predictors.branches import Branch, BranchScoring
from predictors.thinking_policy import DepthGain, SampleGain, ThinkingPolicy
from predictors.thinking_state import state_of
from runtime.solving.thinking_rule import ThinkingRule
from tests.support.thoughts import made_thoughts, with_direct_answers

SCORING = BranchScoring(intercept=2.0, log_depth=-0.6, unfinished=-1.0, log_first=0.4)
STAGES = (1, 2, 3, 4, 6, 8)
POLICY = ThinkingPolicy(
    scoring=SCORING,
    probes=tuple(range(10, 90, 10)),
    caps=(20, 40, None),
    stages=STAGES,
    sampling=(SampleGain(weights=(-0.5, 0.7, -0.2), rho=0.5, tokens=70),) * 3,
    deepening=(DepthGain(weights=(-3, 0.2, -0.2, 2, 0.2), tokens=30),) * 2,
)
DIRECT = 3
AFTER_DIRECT = POLICY.model_copy(
    update={
        "scoring": SCORING.model_copy(update={"direct": -1.0, "direct_sqrt_nll": -0.4}),
        "direct": DIRECT,
        "direct_gain": SampleGain(weights=(-0.3, 0.6, -0.4), rho=0.3, tokens=6),
    }
)
PRICES = np.geomspace(1e-5, 1e-2, 7).tolist()


def order_of(question: int, samples: int, shuffles: int) -> NDArray[np.int64]:
    """The orders in which a question's samples are replayed."""
    tiled = np.tile(np.arange(samples), (shuffles, 1))
    return np.random.default_rng(question).permuted(tiled, axis=1)


def direct_branch(thoughts: Thoughts, question: int, sample: int) -> Branch:
    """A direct answer, as it would be served."""
    assert thoughts.direct is not None
    answer = int(thoughts.direct.answer[question, sample])
    tokens = int(thoughts.direct.tokens[question, sample])
    nll = float(thoughts.direct.nll[question, sample])
    return Branch(str(answer), tokens, tokens, "direct", nll)


def branch(under: Capped, question: int, sample: int) -> Branch:
    """A thought under a cap, as it would be served."""
    answer = int(under.answer[question, sample])
    return Branch(
        None if answer == -1 else str(answer),
        int(under.depth[question, sample]),
        int(under.first[question, sample]),
        "finished" if under.finished[question, sample] else "capped",
    )


def test_a_vote_of_two_answers_by_hand() -> None:
    thoughts = Thoughts(
        np.array([[0, 1, -1, 1]]),
        np.full((1, 4), 10.0),
        np.zeros(0, dtype=np.int64),
        np.zeros((1, 4, 0), dtype=np.int64),
    )
    votes = [np.array([[2.0, 1.0, 5.0, 1.0]])]
    runs = thinking_runs([thoughts.at_cap(None)], votes, (1, 4), shuffles=400)
    # At the end 2 votes against 2, half of the time right; the first is right one time in four.
    assert runs.correct[:, :, 0, 1] == pytest.approx(0.5)
    assert runs.correct[0, :, 0, 0].mean() == pytest.approx(0.25, abs=0.07)
    # Thoughts, leader, rival, votes, squared votes, tokens, unfinished. The unanswered has no vote.
    assert runs.states[0, 0, 0, 1].tolist() == [4, 2, 2, 4, 6, 40, 0]


def test_a_question_never_answered_right_is_never_right() -> None:
    thoughts = made_thoughts(3, 8)
    wrong = Thoughts(
        np.where(thoughts.answer == 0, 7, thoughts.answer),
        thoughts.tokens,
        thoughts.probes,
        np.where(thoughts.forced == 0, 7, thoughts.forced),
    )
    assert policy_runs(POLICY, wrong, 5).correct.max() == 0


def test_states_are_those_of_the_branches_so_far() -> None:
    thoughts, shuffles = made_thoughts(4, 10), 3
    runs = policy_runs(POLICY, thoughts, shuffles)
    for level, cap in enumerate(POLICY.caps):
        under = thoughts.at_cap(cap)
        for question in range(4):
            orders = order_of(question, 10, shuffles)
            for shuffle in range(shuffles):
                for place, stage in enumerate(STAGES):
                    taken = [branch(under, question, s) for s in orders[shuffle, :stage]]
                    online = state_of(taken, SCORING, POLICY.probes)
                    assert runs.states[question, shuffle, level, place] == pytest.approx(online)


@pytest.mark.parametrize("price", PRICES)
def test_replay_ends_where_the_rule_ends_online(price: float) -> None:
    thoughts, shuffles = made_thoughts(6, 10, seed=1), 4
    runs = policy_runs(POLICY, thoughts, shuffles)
    ends = ends_at(outlooks(POLICY, runs), [price])
    (caps,), (stages,), _ = ends
    (correct,), (samples,), (tokens,) = spent(runs, ends)
    capped = {cap: thoughts.at_cap(cap) for cap in POLICY.caps}
    for question in range(6):
        orders = order_of(question, 10, shuffles)
        for shuffle in range(shuffles):
            run, taken = ThinkingRule(POLICY, price=price).start(), orders[shuffle].tolist()
            while (step := run.next()) is not None:
                for _ in range(step.sample):
                    sample = taken[len(run.branches)]
                    run.add(branch(capped[step.cap], question, sample))
                for number in step.deepen:
                    run.replace(number, branch(capped[step.cap], question, taken[number]))
            at = question, shuffle
            assert run.cap == POLICY.caps[caps[at]]
            assert len(run.branches) == STAGES[stages[at]] == samples[at]
            state = state_of(run.branches, SCORING, POLICY.probes)
            assert state[5] == pytest.approx(tokens[at])
            assert (run.answer == "0") == (correct[at] == 1)  # weighted votes do not tie here


def test_the_probes_are_the_policys_whatever_those_of_the_log() -> None:
    rng, questions, samples, every = np.random.default_rng(0), 6, 8, 5
    tokens = rng.integers(5, 100, (questions, samples)).astype(float)
    depths = every * np.arange(1, 20)
    forced = rng.integers(0, 3, (questions, samples, len(depths)))
    dense = Thoughts(rng.integers(0, 3, tokens.shape), tokens, depths, forced, probe_tokens=7)
    sparse = replace(dense.every(2 * every), probe_tokens=POLICY.probe_tokens)
    ones, others = (policy_runs(POLICY, thoughts, 4) for thoughts in (dense, sparse))
    np.testing.assert_array_equal(ones.states, others.states)
    with pytest.raises(InputError, match="probes: 10: answers must have been forced"):
        policy_runs(POLICY, dense.every(4 * every), 4)


def test_thoughts_that_are_shorter_than_the_caps_need_no_probes_there() -> None:
    made = made_thoughts(6, 8)
    short = replace(made, tokens=np.minimum(made.tokens, 15.0))
    few = replace(short, probes=short.probes[:1], forced=short.forced[:, :, :1])
    runs = policy_runs(POLICY, few, 4)
    np.testing.assert_array_equal(runs.states, policy_runs(POLICY, short, 4).states)
    np.testing.assert_array_equal(runs.states[:, :, 0], runs.states[:, :, 2])
    # A log's own limit says nothing where it has cut off none.
    limited = policy_runs(POLICY, replace(short, limit=int(short.probes[-1])), 4)
    np.testing.assert_array_equal(runs.states, limited.states)
    with pytest.raises(InputError, match="cap: None: must be one of"):
        policy_runs(POLICY, replace(made, limit=int(made.probes[-1])), 4)
    cut = replace(few, tokens=made.tokens)
    with pytest.raises(InputError, match=r"cap: 20: must be one of \[10\]"):
        policy_runs(POLICY, cut, 4)


def test_a_cap_at_which_thoughts_were_cut_off_is_no_missing_cap() -> None:
    made = made_thoughts(6, 8)
    limit = int(made.probes[3])
    cut = made.tokens > limit
    sampled = replace(
        made, tokens=np.minimum(made.tokens, limit), answer=np.where(cut, -1, made.answer), cut=cut
    )
    policy = POLICY.model_copy(update={"caps": (20, limit), "deepening": POLICY.deepening[:1]})
    policy = policy.model_copy(update={"sampling": POLICY.sampling[:2]})
    runs, known = (policy_runs(policy, thoughts, 4) for thoughts in (sampled, made))
    np.testing.assert_array_equal(runs.states, known.states)
    np.testing.assert_array_equal(runs.correct, known.correct)


@pytest.mark.parametrize("price", PRICES)
def test_direct_answers_come_first_online_as_in_replay(price: float) -> None:
    thoughts, shuffles, ready = with_direct_answers(made_thoughts(6, 10, seed=1), 5), 4, 5
    runs = policy_runs(AFTER_DIRECT, thoughts, shuffles)
    ends = ends_at(outlooks(AFTER_DIRECT, runs), [price])
    (caps,), (stages,), _ = ends
    (correct,), (samples,), (tokens,) = spent(runs, ends)
    capped = {cap: thoughts.at_cap(cap) for cap in AFTER_DIRECT.caps}
    for question in range(6):
        rng = np.random.default_rng(question)
        deep = rng.permuted(np.tile(np.arange(10), (shuffles, 1)), axis=1)
        first = rng.permuted(np.tile(np.arange(ready), (shuffles, 1)), axis=1)
        for shuffle in range(shuffles):
            run = ThinkingRule(AFTER_DIRECT, price=price).start()
            while (step := run.next()) is not None:
                for _ in range(step.sample):
                    at = len(run.branches)
                    assert (step.cap == 0) == (at < DIRECT)
                    if step.cap == 0:
                        run.add(direct_branch(thoughts, question, first[shuffle, at]))
                    else:
                        run.add(branch(capped[step.cap], question, deep[shuffle, at - DIRECT]))
                for number in step.deepen:
                    sample = deep[shuffle, number - DIRECT]
                    run.replace(number, branch(capped[step.cap], question, sample))
            at_end = question, shuffle
            assert len(run.branches) == STAGES[stages[at_end]] == samples[at_end]
            state = state_of(run.branches, AFTER_DIRECT.scoring, AFTER_DIRECT.probes)
            online = runs.states[question, shuffle, caps[at_end], stages[at_end]]
            assert online == pytest.approx(state)
            assert state[5] == pytest.approx(tokens[at_end])
            assert (run.answer == "0") == (correct[at_end] == 1)


def test_an_answer_that_was_forced_in_vain_counts() -> None:
    thoughts = replace(made_thoughts(6, 10, seed=1), probe_tokens=7)
    policy = POLICY.model_copy(update={"probes": (), "probe_tokens": 7})
    runs = policy_runs(policy, thoughts, 4)
    price = PRICES[2]
    (tokens,) = spent(runs, ends_at(outlooks(policy, runs), [price]))[2]
    capped = {cap: thoughts.at_cap(cap, probed=False) for cap in policy.caps}
    dropped = 0
    for question in range(6):
        for shuffle, taken in enumerate(order_of(question, 10, 4).tolist()):
            run, sampled = ThinkingRule(policy, price=price).start(), 0.0
            while (step := run.next()) is not None:
                for _ in range(step.sample):
                    sample = taken[len(run.branches)]
                    run.add(branch(capped[step.cap], question, sample))
                    sampled += capped[step.cap].cost[question, sample]
                for number in step.deepen:
                    deeper = branch(capped[step.cap], question, taken[number])
                    # Only what follows the earlier thought is sampled: its end, and an answer.
                    sampled += deeper.depth - run.branches[number].depth
                    sampled += 7 * (deeper.state == "capped")
                    run.replace(number, deeper)
                    dropped += 1
            assert tokens[question, shuffle] == pytest.approx(sampled)
    assert dropped


def test_a_policy_needs_its_direct_answers() -> None:
    with pytest.raises(InputError, match="the policy needs 3 direct answers per question"):
        policy_runs(AFTER_DIRECT, made_thoughts(3, 8), 2)
    with pytest.raises(InputError, match="the policy needs 3 direct answers per question"):
        policy_runs(AFTER_DIRECT, with_direct_answers(made_thoughts(3, 8), 2), 2)


def test_votes_by_probability_need_the_probability() -> None:
    weighed = SCORING.model_copy(update={"sqrt_nll": -0.3})
    policy = POLICY.model_copy(update={"scoring": weighed})
    with pytest.raises(InputError, match=r"logprob: .*that of every whole thought"):
        policy_runs(policy, made_thoughts(3, 8), 2)
    with pytest.raises(InputError, match="nll: None: give that of a finished branch"):
        weighed.votes_of([Branch("1", 9, 9)])
    run = ThinkingRule(AFTER_DIRECT, price=1e-4).start()
    run.next()
    with pytest.raises(InputError, match="an answer without a thought"):
        run.add(Branch("1", 9, 9))


def test_the_runs_of_all_prices_are_different() -> None:
    runs = policy_runs(POLICY, made_thoughts(12, 10), 5)
    curve = price_curve("policy", POLICY, runs, PRICES)
    assert curve.correct.shape == (len(PRICES), 12)
    spending = curve.tokens.mean(axis=1)
    assert np.all(np.diff(spending) <= 0)
    assert spending[0] > 5 * spending[-1]
    assert curve.generations[-1].max() < curve.generations[0].max() == STAGES[-1]


def test_the_same_runs_for_any_number_of_jobs() -> None:
    thoughts = made_thoughts(7, 10)
    one, two = (policy_runs(POLICY, thoughts, 6, n_jobs) for n_jobs in (1, 2))
    assert np.array_equal(one.states, two.states)
    assert np.array_equal(one.correct, two.correct)


def test_caps_are_tabled_with_the_accuracy_of_their_answers() -> None:
    thoughts, caps = made_thoughts(50, 8), [20, None]
    capped = [thoughts.at_cap(cap, probed=False) for cap in caps]
    votes = [votes_of(SCORING, under) for under in capped]
    rows = {(row.cap, row.samples): row for row in cap_table(caps, capped, votes, 200)}
    assert set(rows) == {(cap, n) for cap in caps for n in (1, 2, 4, 8)}
    for cap, under in zip(caps, capped, strict=True):
        assert rows[cap, 1].majority == pytest.approx((under.answer == 0).mean(), abs=0.02)
        assert rows[cap, 1].majority == pytest.approx(rows[cap, 1].weighted)
        assert rows[cap, 4].tokens == pytest.approx(4 * under.cost.mean())
    assert rows[None, 8].majority > rows[20, 8].majority + 0.1
