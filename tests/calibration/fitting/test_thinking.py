"""Fitting the policy over width and depth on thoughts of known truth."""

import numpy as np
import pytest

from allocator.errors import InputError
from calibration.data.thoughts import Thoughts
from calibration.fitting.branch_scoring import fit_branch_scoring
from calibration.fitting.thinking import candidates, fit_thinking
from calibration.fitting.thinking_gains import fit_depth_gain, fit_sample_gain
from calibration.fitting.thinking_search import CapSearch, Questions
from calibration.replay.thinking_run import ThinkingRuns
from predictors.branches import branch_columns
from predictors.thinking_state import STATE_NAMES, gain_columns
from tests.support.thoughts import EVERY, made_thoughts, with_direct_answers


def test_votes_are_fitted_to_what_makes_answers_correct() -> None:
    rng = np.random.default_rng(0)
    shape = (200, 60)
    tokens = np.exp(rng.normal(4, 0.7, shape)).round() + 1
    odds = 6 - 1.5 * np.log(tokens)
    answer = np.where(rng.random(shape) < 1 / (1 + np.exp(-odds)), 0, 1)
    empty = np.zeros((*shape, 0), dtype=np.int64)
    thoughts = Thoughts(answer, tokens, np.zeros(0, dtype=np.int64), empty)
    scoring = fit_branch_scoring([thoughts.at_cap(None)])
    assert scoring.log_depth == pytest.approx(-1.5, abs=0.15)
    assert scoring.unfinished == scoring.log_first == 0  # constant columns
    columns = branch_columns(tokens, tokens, np.ones(shape, dtype=bool), np.zeros(shape))
    assert np.array_equal(columns[..., 0], np.log(tokens))


def test_without_correct_and_incorrect_answers_all_votes_weigh_the_same() -> None:
    thoughts = made_thoughts(6, 5)
    right = Thoughts(thoughts.answer * 0, thoughts.tokens, thoughts.probes, thoughts.forced * 0)
    scoring = fit_branch_scoring([right.at_cap(None)])
    assert scoring.votes([5, 50], [5, 5], [True, False], [0, 0]).tolist() == [1, 1]


def known_runs() -> tuple[ThinkingRuns, np.ndarray]:
    """Runs under two caps whose accuracy follows the model of gains exactly."""
    rng, stages = np.random.default_rng(0), np.array([1.0, 2, 4, 8])
    states = np.zeros((40, 25, 2, 4, len(STATE_NAMES)))
    of = {name: states[..., number] for number, name in enumerate(STATE_NAMES)}
    of["samples"][:] = stages
    of["leader"][:] = np.exp(rng.normal(0, 1, states.shape[:-1]))
    of["rival"][:] = of["leader"] * rng.random(states.shape[:-1])
    of["votes"][:] = of["leader"] + of["rival"]
    of["squares"][:] = of["votes"] / 2
    of["tokens"][:] = 100 * stages * np.array([1, 1.5])[:, None]
    of["unfinished"][:] = stages
    gained = 0.2 * (1 - 1 / stages**0.7)
    correct = np.broadcast_to(gained, states.shape[:-1]).copy()
    correct[:, :, 1] += 0.05
    return ThinkingRuns(states, correct), stages


def test_gains_are_recovered() -> None:
    runs, stages = known_runs()
    # From k to n: 0.2 (k^-rho - n^-rho) = 0.2 k^-rho (1 - (k/n)^rho).
    lower = ThinkingRuns(runs.states[:, :, :1], runs.correct[:, :, :1])
    one = fit_sample_gain(lower, stages.astype(int).tolist())
    assert one.tokens == pytest.approx(100)
    columns = gain_columns(runs.states[:, :, 0, 0])[..., :3]
    found = np.exp(columns @ np.array(one.weights)) * (1 - (1 / 8) ** one.rho)
    assert found.mean() == pytest.approx(0.2 * (1 - 8**-0.7), abs=0.02)
    step = fit_depth_gain(runs)
    assert step.tokens == pytest.approx(50)
    # The answers that were forced at the lower cap, and are dropped, were paid for.
    assert fit_depth_gain(runs, dropped_tokens=20).tokens == pytest.approx(50 + 20)
    gains = np.exp(gain_columns(runs.states[:, :, 0]) @ np.array(step.weights))
    assert gains.mean() == pytest.approx(0.05, abs=0.002)


def test_deepening_costs_all_tokens_beyond_the_lower_cap() -> None:
    thoughts, cap = made_thoughts(10, 4), 20
    folds = [np.arange(fold, 10, 5) for fold in range(5)]
    questions = Questions(thoughts, folds, np.zeros(10, dtype=np.int64), n_jobs=1)
    beyond = (thoughts.tokens - cap)[thoughts.tokens > cap].mean()
    # Without probes the answer at the cap is dropped: its 20 tokens are not saved.
    search = CapSearch(questions, [cap, None], probed=False)
    policy = search.policy((cap, None), questions.everyone)
    assert policy.deepening[0].tokens == pytest.approx(beyond, rel=0.1)


def test_candidates_are_probed_depths_where_thoughts_have_ended() -> None:
    thoughts = made_thoughts(20, 10)
    found = candidates(thoughts)
    assert found[-1] is None
    assert set(found[:-1]) <= set(thoughts.probes.tolist())
    median = np.median(thoughts.tokens)
    assert min(abs(cap - median) for cap in found[:-1]) <= 5
    assert candidates(thoughts.unprobed()) == [None]


def test_probable_direct_answers_weigh_more() -> None:
    thoughts = with_direct_answers(made_thoughts(120, 12), 12)
    scoring = fit_branch_scoring([thoughts.at_cap(None)], thoughts.direct)
    assert scoring.direct_sqrt_nll < -0.5
    likely, unlikely = scoring.direct_votes([1.0, 9.0])
    assert likely > 2 * unlikely
    tempered = scoring.tempered(0.5).direct_votes([1.0, 9.0])
    assert tempered == pytest.approx(np.sqrt([likely, unlikely]), rel=1e-3)


@pytest.mark.slow
def test_the_table_of_caps_reads_no_probes_before_the_cap() -> None:
    made = made_thoughts(8, 3)
    before = ~np.isin(made.probes, [cap for cap in candidates(made) if cap])
    assert before.any()
    # Answers forced where no cap is: they would tell how long an answer has stood.
    other = Thoughts(made.answer, made.tokens, made.probes, np.where(before, 9, made.forced))
    assert fit_thinking(other, n_jobs=1).caps == fit_thinking(made, n_jobs=1).caps


@pytest.mark.slow
def test_cheap_direct_answers_come_first() -> None:
    made = made_thoughts(25, 6)
    long = Thoughts(made.answer, made.tokens * 100, made.probes * 100, made.forced).unprobed()
    fitted = fit_thinking(with_direct_answers(long, 4), n_jobs=1)
    assert fitted.policy.direct > 0
    assert fitted.policy.direct_gain is not None
    assert fitted.policy.direct_gain.tokens < 10 < fitted.policy.sampling[0].tokens
    without = max(choice.accuracy for choice in fitted.tried if not choice.direct)
    assert max(choice.accuracy for choice in fitted.tried) > without


@pytest.mark.slow
def test_a_policy_saves_tokens_on_held_out_questions() -> None:
    made = made_thoughts(20, 8)
    # Long thoughts, beside which the 20 tokens of a probe are few.
    long = Thoughts(made.answer, made.tokens * 100, made.probes * 100, made.forced)
    fitted = fit_thinking(long, n_jobs=1)
    assert fitted.policy.caps == max(fitted.tried, key=lambda choice: choice.accuracy).caps
    assert fitted.policy.stages[-1] == 8
    whole = next(row for row in fitted.caps if (row.cap, row.samples) == (None, 8))
    reached = [
        point.tokens for point in fitted.policy.prices if point.accuracy >= whole.majority - 1e-9
    ]
    assert min(reached) < whole.tokens / 2
    prices = [point.price for point in fitted.policy.prices]
    assert prices == sorted(prices)


@pytest.mark.slow
def test_rows_of_one_question_are_held_out_together_by_one_process_as_by_several() -> None:
    one = made_thoughts(10, 4).every(2 * EVERY)
    twice = one.take(np.tile(np.arange(10), 2))
    names, models = [f"q{n}" for n in range(10)] * 2, ["m"] * 10 + ["n"] * 10
    fitted, again = (fit_thinking(twice, names, models, n_jobs=n_jobs) for n_jobs in (1, 2))
    assert again.policy == fitted.policy
    assert np.array_equal(again.curve.correct, fitted.curve.correct)
    # Both models have the same thoughts, so the fit on the other folds is the same for both.
    assert fitted.curve.generations.shape[1] == 20
    with pytest.raises(InputError, match="at least 5"):
        fit_thinking(one, ["a", "b"] * 5)
