"""The votes of branches, and the state that they make."""

import numpy as np
import pytest

from allocator.errors import InputError
from predictors.branches import Branch, BranchScoring
from predictors.thinking_state import STATE_NAMES, gain_columns, probed_tokens, state_of, tally

SCORING = BranchScoring(intercept=1.0, log_depth=-1.0, unfinished=-2.0, log_first=0.5)


def test_a_vote_is_the_odds_of_the_logistic_model() -> None:
    finished, capped = Branch("a", 100, 25), Branch("a", 100, 100, "capped")
    found = SCORING.votes_of([finished, capped])
    # log odds: 1 - log 100 + 0.5 log (1/4), and 1 - log 100 - 2.
    assert found == pytest.approx([np.e / 100 / 2, np.exp(-1) / 100])
    assert SCORING.votes_of([Branch(None, 100, 100)]) == 0
    assert SCORING.votes_of([Branch("a", 100, 25, "open")]) == pytest.approx(
        SCORING.votes_of([Branch("a", 100, 25, "capped")])
    )
    assert SCORING.votes_of([]).shape == (0,)


@pytest.mark.parametrize(("depth", "first"), [(0, 1), (10, 0), (10, 11)])
def test_a_branch_that_cannot_be_is_refused(depth: int, first: int) -> None:
    with pytest.raises(InputError, match="must be"):
        Branch("a", depth, first)


def test_the_state_sums_votes_and_tokens() -> None:
    equal = BranchScoring()  # each vote weighs 1
    branches = [
        Branch("a", 30, 10),
        Branch("b", 10, 10, "capped"),
        Branch("a", 5, 5),
        Branch(None, 10, 10, "capped"),
    ]
    assert tally(branches, equal) == {"a": 2.0, "b": 1.0}
    # 55 thinking tokens and 3 + 1 + 0 + 1 probes of 20 tokens.
    expected = [4, 2, 1, 3, 3, 55 + 5 * 20, 2]
    assert state_of(branches, equal, (10, 20, 30, 40)).tolist() == expected
    # The answer after a thought that has ended is counted, that of a direct answer is its depth.
    mixed = [Branch("a", 30, 10), Branch("b", 10, 10, "capped"), Branch("a", 4, 4, "direct")]
    tokens = state_of(mixed, equal, (), 20, 7.0)[STATE_NAMES.index("tokens")]
    assert tokens == 30 + 7 + 10 + 20 + 4
    assert probed_tokens(np.array([9.0, 10.0]), (10,)).tolist() == [9, 30]


def test_columns_say_whether_the_leader_may_be_overtaken() -> None:
    # Of one vote against none, the chance that the other answer is ahead is 1/4: Beta(2, 1).
    state = np.array([1.0, 1.0, 0.0, 1.0, 1.0, 50.0, 1.0])
    assert gain_columns(state) == pytest.approx([1, np.log(0.25), 0, 1, 0])
    # The same with votes of half the weight; then without any vote.
    half = np.array([1.0, 0.5, 0.0, 0.5, 0.25, 50.0, 0.0])
    assert gain_columns(half) == pytest.approx([1, np.log(0.25), np.log(0.5), 0, 0])
    none = np.array([2.0, 0.0, 0.0, 0.0, 0.0, 50.0, 2.0])
    assert gain_columns(none) == pytest.approx([1, np.log(0.5), np.log(1e-3), 1, np.log(2)])
