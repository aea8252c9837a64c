"""Answers, their comparison, and selection against cases computed by hand."""

from dataclasses import replace
from math import nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allocator.errors import InputError
from runtime.answers import answers_for
from runtime.answers.selection import ranked, select, tied_answers, weights
from tests.support.equivalent import equivalent
from tests.support.samples import make_sample


def test_weighted_sums_scores_by_answer() -> None:
    # 7: 0.5 + 0.4 = 0.9 beats 9: 0.8 and 5: 3 x 0.2 = 0.6, though 9 has the best single score
    # and 5 the most votes.
    samples = [
        make_sample("7", 0.5),
        make_sample("9", 0.8),
        make_sample("5", 0.2),
        make_sample("7", 0.4),
        make_sample("5", 0.2),
        make_sample("5", 0.2),
    ]
    assert select(samples, "weighted").answer == "7"
    assert select(samples, "weighted").score == 0.5
    assert select(samples, "best").answer == "9"
    assert select(samples, "majority").answer == "5"


def test_no_answer_loses_to_any_answer() -> None:
    assert select([make_sample(None, 0.9), make_sample("1", 0.1)]).answer == "1"
    assert select([make_sample(None, 0.9)]).answer is None


def test_ties_go_to_the_score_then_to_the_earlier() -> None:
    samples = [make_sample("1", 0.3), make_sample("2", 0.6), make_sample("1", 0.4)]
    assert select(samples[:2], "majority").answer == "2"
    assert select([make_sample("1", 0.5), make_sample("2", 0.5)], "weighted").answer == "1"


def test_where_all_scores_are_0_the_answer_of_most_samples_is_chosen() -> None:
    samples = [make_sample("1", 0.0), make_sample("2", 0.0), make_sample("2", 0.0)]
    assert select(samples).answer == "2"


def test_nothing_to_select_from_is_an_error() -> None:
    with pytest.raises(InputError, match="at least one sample"):
        select([])
    with pytest.raises(InputError, match="weighted, best, majority"):
        select([make_sample("1", 0.5)], "median")


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0.01, 1)), min_size=1, max_size=9))
def test_weighted_wins_by_mass(pairs: list[tuple[str, float]]) -> None:
    samples = [make_sample(answer, score) for answer, score in pairs]
    mass = {a: sum(s for b, s in pairs if b == a) for a in "abc"}
    chosen = select(samples).answer
    assert mass[str(chosen)] == pytest.approx(max(mass.values()))


def test_a_sample_without_an_answer_is_no_other_answer() -> None:
    samples = [
        make_sample("7", 0.9),
        make_sample(None, 0.8),
        make_sample(None, 0.05),
        make_sample("7", 0.8),
        make_sample("9", 0.3),
        make_sample("7", 0.7),
    ]
    assert [(s.answer, s.score) for s in ranked(samples)] == [
        ("7", 0.9),
        ("9", 0.3),
        ("7", 0.8),
        (None, 0.8),
        ("7", 0.7),
        (None, 0.05),
    ]
    unscored = [replace(sample, score=nan) for sample in samples]
    assert [s.answer for s in ranked(unscored, "majority")] == ["7", "9", "7", "7", None, None]
    lost = [make_sample(None, 0.1), make_sample(None, 0.2)]
    assert [s.score for s in ranked(lost)] == [0.2, 0.1]


def test_every_attempt_of_a_chain_is_ranked_once() -> None:
    attempts = [("7", 0.5, 0), ("7", 0.6, 0), ("9", 0.2, 1), ("9", 0.1, 1), ("5", 0.3, 2)]
    samples = [replace(make_sample(answer, score), chain=c) for answer, score, c in attempts]
    assert [(s.answer, s.score) for s in ranked(samples)] == [
        ("7", 0.6),
        ("5", 0.3),
        ("9", 0.2),
        ("7", 0.5),
        ("9", 0.1),
    ]


def letters(answer: str) -> str:
    """The parts of an answer: its letters."""
    return answer


def test_parts_are_voted_on_each_by_itself() -> None:
    # All have p, and nothing else has more than half. Voted on whole, "pa" has the most votes.
    votes = [make_sample(answer, 0.5) for answer in ("pb", "pa", "pa", "pa", "pc", "pd", "pb", "p")]
    assert select(votes, "majority").answer == "pa"
    assert select(votes, "majority", letters).answer == "p"
    # Without a solution that has p alone: the one whose other part is the most frequent.
    assert select(votes[:-1], "majority", letters).answer == "pa"
    # p: 8 of 8 for it; a: 3 for it, 5 against it; the others likewise.
    expected = {"p": 8, "pa": 8 - 2, "pb": 8 - 4, "pc": 8 - 6, "pd": 8 - 6}
    assert weights(votes, "majority", letters) == expected
    assert [s.answer for s in ranked(votes, "majority", letters)[:3]] == ["p", "pa", "pb"]


def test_parts_weigh_what_their_samples_score() -> None:
    # b: 0.9 of 1.3 for it; a and c: 0.5 of 1.3.
    samples = [make_sample("ac", 0.2), make_sample("ac", 0.2), make_sample("b", 0.9)]
    assert select(samples, "weighted", letters).answer == "b"
    assert select(samples, "majority", letters).answer == "ac"
    assert select(samples, "best", letters).answer == "b"
    tied = [make_sample("a", 0.4), make_sample("b", 0.5), make_sample(None, 0.9)]
    assert tied_answers(tied, "majority", letters) == {"a", "b"}
    assert select(tied, "majority", letters).answer == "b"
    assert select([make_sample(None, 0.9)], "majority", letters).answer is None


SETS = st.lists(st.sets(st.sampled_from("abcd"), min_size=1), min_size=1, max_size=9)


@given(SETS)
def test_the_chosen_parts_differ_least_from_all(sets: list[set[str]]) -> None:
    votes = [make_sample("".join(sorted(each)), 0.5) for each in sets]
    chosen = set(str(select(votes, "majority", letters).answer))

    def difference(one: set[str]) -> int:
        return sum(len(one ^ other) for other in sets)

    assert difference(chosen) == min(map(difference, sets))


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 9)), min_size=1, max_size=9))
def test_answers_of_one_part_are_voted_on_as_whole_ones(pairs: list[tuple[str, int]]) -> None:
    samples = [make_sample(answer, score / 16) for answer, score in pairs]
    for how in ("weighted", "best", "majority"):
        assert select(samples, how, letters) is select(samples, how)


def test_the_weights_are_what_select_compares() -> None:
    samples = [make_sample("7", 0.5), make_sample("9", 0.8), make_sample("7", 0.4)]
    samples.append(make_sample(None, 0.9))
    assert weights(samples, "weighted") == pytest.approx({"7": 0.9, "9": 0.8})
    assert weights(samples, "best") == {"7": 0.5, "9": 0.8}
    assert weights(samples, "majority") == {"7": 2, "9": 1}
    # Of a chain only the chosen attempt counts.
    chain = [replace(sample, chain=0) for sample in samples]
    assert weights(chain, "weighted") == {"7": 0.5}


def test_pattern_answers() -> None:
    answers = answers_for(r"pattern:^#(\d+)$")
    assert answers.extract("1+2=3\n#3") == "3"
    assert answers.extract("1+2=3\n3") is None
    assert not equivalent(answers, "3", "03")


def test_math_answers_compare_as_mathematics() -> None:
    answers = answers_for("math")
    half = answers.extract(r"So the answer is $\boxed{\frac{1}{2}}$.")
    assert half is not None
    assert equivalent(answers, half, "0.5")
    assert not equivalent(answers, half, "0.25")
    assert answers.canonicalize(["1/2", None, "0.5", "2"]) == ["1/2", None, "1/2", "2"]


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"\boxed{1}, no: $\boxed{\frac{1}{2}}$, I think.", r"\frac{1}{2}"),
        (r"\boxed{1} or \boxed{2", "1"),
        (r"$\boxed 5$", "5"),
        (r"\fbox{5}", "5"),
        (r"\boxed{\boxed{5}}", "5"),
        ("2 * 9 = 18\n#### 1,018\nThe end.", "1018"),
        ("#### Step 2\n" r"\boxed{6}", "6"),
        ("The answer is 7.", "7"),
        ("I do not know.", None),
        (r"\boxed{} and nothing", None),
        ("", None),
    ],
)
def test_where_a_mathematical_answer_stands(text: str, answer: str | None) -> None:
    assert answers_for("math").extract(text) == answer


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answer", "other", "same"),
    [
        ("6p^4+5p^2-4", "-4+5p^2+6p^4", True),
        ("6p^4+5p^2-4", "6", False),
        (r"\text{A, C}", "A,C", True),
        (r"\left(1, \! 2\right)", "(1,2)", True),
        (r"45^\circ, 135^{\circ}", "45,135", True),
        (r"\text{4:30 p.m.}", "4:30p.m.", True),
        (r"5\text{ dollars}", "5", True),
        ("1 1/2", "11/2", False),
        ("7,-2", "7", False),
    ],
)
def test_answers_set_otherwise_are_the_same(answer: str, other: str, same: bool) -> None:
    assert equivalent(answers_for("math"), answer, other) == same
    assert equivalent(answers_for("math"), other, answer) == same


@pytest.mark.parametrize("name", ["latex", "pattern:(", "pattern:x"])
def test_unusable_answers_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="answers"):
        answers_for(name)
