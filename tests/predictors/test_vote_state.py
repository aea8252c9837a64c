"""Progress of an answer: who leads, and by what, sample by sample."""

from random import Random

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from predictors.vote_state import VOTE_STATE_NAMES, VoteState
from runtime.answers.selection import select
from tests.support.samples import make_sample

Draws = list[tuple[str | None, float]]
answers = st.sampled_from(["7", "8", "9", None])
# Few scores, so that there are ties; in quarters, so that they are exact. And any at all.
tied = st.lists(st.tuples(answers, st.sampled_from([0.0, 0.25, 0.5])), min_size=1)
untied = st.lists(st.tuples(answers, st.floats(0, 1)), min_size=1)


@pytest.mark.slow
@given(st.one_of(tied, untied))
@example([("8", 0.0), ("7", 0.0), ("7", 0.0)])  # of scores that are all 0 the most are for 7
@example([("7", 0.5), ("8", 0.5), ("8", 0.5), ("7", 0.5)])  # 8 led, and 7 has come level with it
@settings(max_examples=200)
def test_the_leader_is_always_the_one_that_would_be_selected(draws: Draws) -> None:
    votes = VoteState(5)
    samples = []
    for answer, score in draws:
        votes.add(answer, score)
        samples.append(make_sample(answer, score))
        assert votes.leader == select(samples, "weighted").answer


def added(*draws: tuple[str | None, float]) -> VoteState:
    votes = VoteState(5)
    for draw in draws:
        votes.add(*draw)
    return votes


def test_features_worked_by_hand() -> None:
    votes = added(("7", 0.5), ("8", 0.6), (None, 0.1), ("7", 0.4), ("9", 0.2), ("8", 0.1))
    # 7 has 0.9 in sum, 8 has 0.7 and the better best, 9 has 0.2.
    assert votes.leader == "7"
    assert dict(zip(VOTE_STATE_NAMES, votes.features(), strict=True)) == pytest.approx(
        {
            "samples": 6,
            "leader_mass": 0.9,
            "other_mass": 0.7,
            "leader_best_score": 0.5,
            "other_best_score": 0.6,
            "score_mean": 0.317,  # 1.9 / 6, to three digits
            "distinct_share": 0.5,
            "unanswered_share": 0.167,
            "prompt_tokens": 5,
        }
    )


def test_without_any_answer_nothing_leads() -> None:
    votes = added((None, 0.4), (None, 0.2))
    assert votes.leader is None
    assert votes.features().tolist() == [2, 0, 0, 0, 0, 0.3, 0, 1, 5]


def test_an_answer_of_no_weight_leads_where_there_is_no_other() -> None:
    assert added(("7", 0.0)).leader == "7"
    assert added(("7", 0.0), ("8", 0.1)).leader == "8"


@given(tied, st.randoms())
def test_features_do_not_depend_on_the_order(draws: Draws, random: Random) -> None:
    shuffled = list(draws)
    random.shuffle(shuffled)
    np.testing.assert_allclose(added(*draws).features(), added(*shuffled).features(), atol=0.0011)
