"""Thoughts under a cap."""

from dataclasses import replace

import numpy as np
import pytest

from allocator.errors import InputError
from calibration.data.thoughts import Thoughts, joined

# One question, three thoughts: of 25, 12 and 40 tokens, probed after 10, 20 and 30.
THOUGHTS = Thoughts(
    np.array([[0, 2, 1]]),
    np.array([[25.0, 12.0, 40.0]]),
    np.array([10, 20, 30]),
    np.array([[[1, 0, 9], [2, 9, 9], [0, -1, 0]]]),
)


def test_a_cap_forces_the_answer_of_thoughts_that_it_cuts_off() -> None:
    found = THOUGHTS.at_cap(20)
    assert found.answer.tolist() == [[0, 2, -1]]
    assert found.depth.tolist() == [[20, 12, 20]]
    assert found.finished.tolist() == [[False, True, False]]
    # The answer came up at the second probe, at the first, and never.
    assert found.first.tolist() == [[20, 10, 20]]
    assert found.cost.tolist() == [[20 + 40, 12 + 20, 20 + 40]]


def test_without_a_cap_probes_tell_when_the_answer_came_up() -> None:
    found = THOUGHTS.at_cap(None)
    assert found.answer.tolist() == [[0, 2, 1]]
    assert found.finished.all()
    assert found.first.tolist() == [[20, 10, 40]]  # what lies beyond an end was not probed
    assert found.cost.tolist() == [[25 + 40, 12 + 20, 40 + 60]]
    plain = THOUGHTS.unprobed().at_cap(None)
    assert plain.first.tolist() == plain.depth.tolist() == plain.cost.tolist() == [[25, 12, 40]]


def test_an_answer_after_a_thought_costs_its_tokens() -> None:
    answered = replace(THOUGHTS, answer_tokens=np.array([[5.0, 6.0, 7.0]]))
    assert answered.at_cap(None, probed=False).cost.tolist() == [[25 + 5, 12 + 6, 40 + 7]]
    # Where a thought is cut off, its answer is the probe there.
    assert answered.at_cap(20, probed=False).cost.tolist() == [[20 + 20, 12 + 6, 20 + 20]]
    assert answered.at_cap(20).cost.tolist() == [[20 + 40, 12 + 20 + 6, 20 + 40]]
    (one,) = answered.take(np.array([0])).at_cap(None).cost.tolist()
    assert one == [25 + 40 + 5, 12 + 20 + 6, 40 + 60 + 7]


def test_fewer_probes_cost_less_and_tell_later() -> None:
    found = THOUGHTS.every(20)
    assert found.probes.tolist() == [20]
    assert found.at_cap(None).first.tolist() == [[20, 12, 40]]
    assert found.at_cap(None).cost.tolist() == [[45, 12, 60]]


def test_probes_may_be_fewer_and_cost_otherwise() -> None:
    found = THOUGHTS.probed_at([20, 40], 5)
    assert found.at_cap(None).first.tolist() == [[20, 12, 40]]
    # Nobody knows what was forced after 40, and it costs its tokens.
    assert found.at_cap(None).cost.tolist() == [[30, 12, 50]]
    assert THOUGHTS.probed_at([], 5).probes.tolist() == []
    for depths, missing in (([10, 15], 15), ([40], 40), ([5], 5)):
        with pytest.raises(InputError, match=rf"probes: {missing}: .* as at \[10, 20, 30\]"):
            THOUGHTS.probed_at(depths, 5)


def test_where_sampling_cut_a_thought_off_the_answer_forced_there_counts() -> None:
    # The first thought was cut off at 20 tokens, where it had no answer; the second ended there.
    forced = np.array([[[1, 0], [2, 9], [0, 3]]])
    tokens, cut = np.array([[20.0, 20.0, 12.0]]), np.array([[True, False, True]])
    thoughts = Thoughts(np.array([[-1, 2, -1]]), tokens, np.array([10, 20]), forced, cut=cut)
    found = thoughts.at_cap(20, probed=False)
    # How the third would have gone on is not known.
    assert found.answer.tolist() == [[0, 2, -1]]
    assert found.finished.tolist() == [[False, True, True]]
    assert found.cost.tolist() == [[20 + 20, 20, 12]]
    assert thoughts.at_cap(20).first.tolist() == [[20, 10, 12]]
    assert thoughts.at_cap(20).cost.tolist() == [[20 + 40, 20 + 40, 12 + 20]]
    whole = thoughts.take(np.array([0])).at_cap(None, probed=False)
    assert whole.answer.tolist() == [[-1, 2, -1]]
    assert whole.cost.tolist() == [[20, 20, 12]]
    assert joined([thoughts, thoughts]).at_cap(20).answer.tolist() == [[0, 2, -1]] * 2
    assert joined([thoughts, replace(thoughts, cut=None)]).at_cap(20).finished.tolist() == [
        [False, True, True],
        [True, True, True],
    ]


def test_a_cap_must_have_been_probed() -> None:
    with pytest.raises(InputError, match=r"one of \[10, 20, 30\]"):
        THOUGHTS.at_cap(15)


def test_logs_are_joined_over_the_samples_that_both_have() -> None:
    other = Thoughts(
        np.array([[0, 0]]), np.array([[11.0, 12.0]]), np.array([10]), np.array([[[0], [1]]])
    )
    both = joined([THOUGHTS, other])
    assert both.answer.tolist() == [[0, 2], [0, 0]]
    assert both.forced[1].tolist() == [[0, -1, -1], [1, -1, -1]]
    with pytest.raises(InputError, match="must begin"):
        joined([THOUGHTS, other.every(10), Thoughts(*_with_probes(other, [15]))])


def test_what_cannot_be_thoughts_is_refused() -> None:
    answer, tokens, probes, forced = _with_probes(THOUGHTS, [10, 20, 30])
    with pytest.raises(InputError, match="one per probe"):
        Thoughts(answer, tokens, probes[:2], forced)
    with pytest.raises(InputError, match="ascending"):
        Thoughts(answer, tokens, probes[::-1], forced)
    with pytest.raises(InputError, match="1 or more"):
        Thoughts(answer, tokens * 0, probes, forced)


def _with_probes(
    thoughts: Thoughts, probes: list[int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    return thoughts.answer, thoughts.tokens, np.array(probes), thoughts.forced
