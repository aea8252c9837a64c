"""Columns of answers: the samples' own, and how their texts are read and compared."""

from pathlib import Path
from typing import Any

import pytest

from allocator.errors import InputError
from calibration.data.sample_log import read_log
from calibration.from_logs import fit_log
from tests.support.logs import write


def predicted(questions: int) -> list[dict[str, Any]]:
    """Samples as Hugging Face data sets have them: ``answer`` is the gold one.

    Args:
        questions: how many; of six samples each, of which two are correct.
    """
    return [
        {"question": f"q{q}", "answer": str(q), "correct": n % 3 == 0}
        | {"prediction": str(q if n % 3 == 0 else q + n)}
        for q in range(questions)
        for n in range(6)
    ]


@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
def test_gold_answers_in_place_of_the_samples_are_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"log.{suffix}"
    rows = predicted(5)
    with pytest.raises(InputError) as refusal:
        read_log(write(path, rows))
    message = str(refusal.value)
    assert message.startswith("columns: 'answer=answer': ")
    assert "in 5 of 5 questions" in message
    assert "so it looks like the gold answer" in message
    assert "--columns answer=NAME,gold=answer" in message
    mapped = read_log(path, {"answer": "prediction", "gold": "answer"})
    assert mapped.correct.sum() == 10
    # Questions without a correct sample, or without a wrong one, tell nothing.
    always = [row | {"question": f"{row['question']}+", "correct": True} for row in rows]
    never = [row | {"question": f"{row['question']}-", "correct": False} for row in rows]
    with pytest.raises(InputError, match="in 5 of 5 questions"):
        read_log(write(path, rows + always + never))


def test_a_few_answers_marked_both_ways_are_a_graders_errors(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    assert "4 answers to a question are marked" in read_log(write(path, predicted(4))).notes[0]
    # As many questions whose samples differ: half is not most.
    own = [
        row | {"question": f"{row['question']}'", "answer": row["prediction"]}
        for row in predicted(6)
    ]
    assert read_log(write(path, predicted(6) + own)).answer.shape == (12, 6)
    with pytest.raises(InputError, match="in 7 of 13 questions"):
        read_log(write(path, predicted(7) + own))
    # Nor are samples gold answers of which some differ, however they are marked.
    mixed = predicted(8)
    for row in mixed[5::6]:
        row["answer"] = "other"
    assert read_log(write(path, mixed)).answer.shape == (8, 6)


def answers_of(path: Path, rows: list[dict[str, Any]], **how: Any) -> list[list[int]]:
    """The answers of each question, sorted: their order is shuffled."""
    return sorted(sorted(row) for row in read_log(write(path, rows), **how).answer.tolist())


@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
@pytest.mark.parametrize("gold", ["42", " 42\n"])
def test_white_space_at_the_ends_of_answers_is_ignored(
    tmp_path: Path, suffix: str, gold: str
) -> None:
    path = tmp_path / f"log.{suffix}"
    texts = [" 42", "42", "42\n", "7", "7 ", "4 2", " true", " "]
    rows = [{"question": "q", "answer": text, "gold": gold} for text in texts]
    assert answers_of(path, rows) == [[-1, 0, 0, 0, 1, 1, 2, 3]]
    # One gold answer, however it is written in each row.
    chosen = {"columns": {"question": "question"}}
    spaced = [row | {"gold": f"{' ' * n}42"} for n, row in enumerate(rows)]
    assert answers_of(path, spaced, **chosen) == [[-1, 0, 0, 0, 1, 1, 2, 3]]
    # Graded by the log, wrong ones vote together, and right ones have one spelling.
    graded = [{**row, "correct": row["answer"].strip() == "42"} for row in rows]
    log = read_log(write(path, graded))
    assert sorted(log.answer[0].tolist()) == [-1, 0, 0, 0, 1, 1, 2, 3]
    assert log.notes == ()


def test_white_space_at_the_ends_of_forced_answers_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    rows: list[dict[str, Any]] = [
        {"question": "q", "answer": " 42" if n else "7", "gold": "42 ", "tokens": 30}
        | {"probe_every": 10, "probes": ["7 ", "42\n"]}
        for n in range(4)
    ]
    for changed in (rows, [row | {"correct": row["answer"] != "7"} for row in rows]):
        thoughts = read_log(write(path, changed)).thoughts
        assert thoughts is not None
        assert thoughts.forced.tolist() == [[[1, 0]] * 4]
    capped = [
        {"question": "q", "sample": n // 2, "tokens": 20 + 20 * (n % 2), "gold": "42"}
        | {"thinking_tokens": None if n % 2 else 20, "answer": "42" if n % 2 else " 42 "}
        | {"correct": True}
        for n in range(8)
    ]
    thoughts = read_log(write(path, capped)).thoughts
    assert thoughts is not None
    assert thoughts.forced.tolist() == [[[0]] * 4]


SOLUTIONS = [
    "It is 6 times 7,\nso we get 42.",
    r"So \boxed{42}",
    "Six sevens.\n#### 42",
    "We add.\nThe answer is 7.",
    "Let me see.\nI do not know.",
    "The answer is 42.",
]


@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
def test_answers_are_read_out_of_a_column_of_whole_solutions(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"log.{suffix}"
    rows = [{"question": "q", "answer": text, "gold": "42"} for text in [*SOLUTIONS, None]]
    log = read_log(write(path, rows), answers="math")
    assert sorted(log.answer[0].tolist()) == [-1, -1, 0, 0, 0, 0, 1]
    assert log.notes == (
        "answers were read out of the whole solutions in 'answer': 1 of 6 have none",
    )
    # Half is not most: then all but those with a box or an answer line are bare answers.
    bare = ["x = 5, y = 6", "6", "42 ", "1, 2\n", "42.0"]
    mixed = [{"question": "q", "answer": text, "gold": "42"} for text in [*SOLUTIONS[:5], *bare]]
    half = read_log(write(path, mixed), answers="math")
    assert sorted(half.answer[0].tolist()) == [0, 0, 0, 0, *range(1, 7)]
    assert half.notes == ()


def test_bare_answers_stay_as_they_are(tmp_path: Path) -> None:
    texts = ["x = 5, y = 6", "x = 4, y = 6", r"so \boxed{x = 5, y = 6}", "y = 6", "no idea"]
    rows = [{"question": "q", "answer": text, "gold": "x = 5, y = 6"} for text in texts]
    assert answers_of(tmp_path / "log.jsonl", rows, answers="math") == [[0, 0, 1, 2, 3]]


def test_probes_are_bare_answers_beside_whole_solutions(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"question": "q", "answer": "Solved.\nSo $x = 5, y = 6$.", "gold": "x = 5, y = 6"}
        | {"tokens": 30, "probe_every": 10, "probes": ["x = 4, y = 6", "x = 5, y = 6"]}
        for _ in range(4)
    ]
    path = tmp_path / "log.jsonl"
    thoughts = read_log(write(path, rows), answers="math").thoughts
    assert thoughts is not None
    assert thoughts.answer.tolist() == [[0] * 4]
    assert thoughts.forced.tolist() == [[[1, 0]] * 4]
    # Under caps, they are rows of the same column.
    capped = [
        {"question": "q", "sample": n // 2, "tokens": 20 + 20 * (n % 2), "gold": "7"}
        | {"thinking_tokens": None if n % 2 else 20}
        | {"answer": "Solved.\nIt is 7." if n % 2 else "Cut off.\nPerhaps 7."}
        for n in range(8)
    ]
    thoughts = read_log(write(path, capped), answers="math").thoughts
    assert thoughts is not None
    assert thoughts.forced.tolist() == [[[0]] * 4]


@pytest.mark.parametrize(
    "forced",
    [
        "</think>\n\nThe final answer is 42.",
        "The answer is 42",
        "Final answer: 42",
        "42}.",
        "42}\n</think>\n\n**Final",
        "The final answer is 42}$.",
        "\\boxed{42}\n</think>",
        "42\n</think>\n\n",
        "**42**",
        "42",
    ],
)
def test_forced_answers_may_be_short_sentences(tmp_path: Path, forced: str) -> None:
    rows: list[dict[str, Any]] = [
        {"question": "q", "answer": "42", "gold": "42", "tokens": 30, "probe_every": 10}
        | {"probes": ["7", forced]}
        for _ in range(4)
    ]
    log = read_log(write(tmp_path / "log.jsonl", rows), answers="math")
    assert log.thoughts is not None
    assert log.thoughts.forced.tolist() == [[[1, 0]] * 4]


def test_forced_answers_that_are_gold_or_an_answer_are_kept(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"question": "q", "answer": "row 3, seat 9", "gold": "row 3, seat 4", "tokens": 30}
        | {"probe_every": 10, "probes": ["row 3, seat 4", "row 3, seat 9", r"\{1, 2\}"]}
        for _ in range(4)
    ]
    thoughts = read_log(write(tmp_path / "log.jsonl", rows), answers="math").thoughts
    assert thoughts is not None
    assert thoughts.answer.tolist() == [[1] * 4]
    assert thoughts.forced.tolist() == [[[0, 1, 2]] * 4]


@pytest.mark.parametrize(("answers", "noted"), [(None, True), ("math", False)])
def test_a_note_where_forced_answers_are_hardly_ever_the_final_ones(
    tmp_path: Path, answers: str | None, noted: bool
) -> None:
    rows: list[dict[str, Any]] = [
        {"question": f"q{n // 4}", "answer": "42", "gold": "42", "tokens": 30, "probe_every": 10}
        | {"probes": [None, "The answer is 42", None] if n else ["42"]}
        for n in range(24)
    ]
    log = read_log(write(tmp_path / "log.jsonl", rows), answers=answers)
    said = [
        note for note in log.notes if "the last forced answer equals the final one in 1" in note
    ]
    assert bool(said) == noted
    if noted:
        assert said[0].startswith("of 24 thoughts that ended")


def by_letter(answers: list[str], golds: list[str]) -> list[dict[str, Any]]:
    return [
        {"question": f"q{number}", "answer": answer, "gold": gold}
        for number, gold in enumerate(golds)
        for answer in answers
    ]


def test_a_note_where_answers_equal_the_gold_ones_by_value_alone(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    texts = ["0105", r"\frac{210}{2}", "7", "8"]
    log = read_log(write(path, by_letter(texts, ["105", "210/2", "0105", "9"])))
    # Of the third question a sample is the gold answer itself, and the fourth is not solved.
    assert log.correct.any(axis=1).tolist() == [False, False, True, False]
    (note,) = log.notes
    assert note.startswith("2 questions have answers that are never the gold one letter by letter")
    assert note.endswith("compare with --answers math")
    assert read_log(path, answers="math").notes == ()


def test_a_log_whose_answers_are_right_by_value_alone_is_refused_with_that_hint(
    tmp_path: Path,
) -> None:
    path = write(tmp_path / "log.jsonl", by_letter(["0105", "7", "8", "9"], ["105"] * 20))
    with pytest.raises(InputError, match=r"no sample .* correct; .* 20 questions .*--answers math"):
        fit_log(read_log(path), budgets=[1, 2], pilots=[1], n_bins=1)
