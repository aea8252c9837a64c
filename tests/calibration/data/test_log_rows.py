"""Rows of logs and prompts: what each cell may hold, and who is named where it may not."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer

from allocator.errors import InputError
from calibration.cli.app import app
from calibration.cli.calibrate import LOG_OPTIONS
from calibration.data.cells import as_scores, as_text, as_truth
from calibration.data.datasets import DataSettings, located_prompts, read_graded_prompts
from calibration.data.sample_log import Log, read_log
from runtime.answers import MathAnswers
from tests.support.cli import refused
from tests.support.equivalent import equivalent
from tests.support.logs import write

NAN, INF = float("nan"), float("inf")
BOM = "\N{ZERO WIDTH NO-BREAK SPACE}"
# Two questions of four samples each.
ROWS: list[dict[str, Any]] = [
    {
        "question": f"q{n // 4}",
        "answer": str(n % 3),
        "gold": "1",
        "score": 0.5,
        "tokens": 7,
    }
    for n in range(8)
]


def logged(path: Path, rows: list[dict[str, Any]], **how: Any) -> Log:
    return read_log(write(path, rows), **how)


def answers_of(log: Log) -> list[list[int]]:
    """The answers of each question, sorted: their order is shuffled."""
    return sorted(sorted(row) for row in log.answer.tolist())


@pytest.mark.parametrize("value", [True, 1, 1.0, "true", " Yes", "T", "y", "RIGHT", "correct", "1"])
def test_words_for_right(value: object) -> None:
    assert as_truth(value) is True


@pytest.mark.parametrize(
    "value", [False, 0, 0.0, "False", "no", "f", "N", "wrong", "incorrect", "0"]
)
def test_words_for_wrong(value: object) -> None:
    assert as_truth(value) is False


@pytest.mark.parametrize("suffix", ["parquet", "jsonl", "json"])
@pytest.mark.parametrize("value", [NAN, None, -1, 2, 0.5, "maybe", "", INF])
def test_what_is_neither_right_nor_wrong_is_refused_by_row(
    tmp_path: Path, suffix: str, value: object
) -> None:
    kind: Any = type(value) if value is not None else float
    rows = [{**row, "correct": kind(row["answer"] == "1")} for row in ROWS]
    if isinstance(value, str):
        rows = [{**row, "correct": "yes"} for row in ROWS]
    rows[5]["correct"] = value
    path = tmp_path / f"log.{suffix}"
    write(path, rows)
    if suffix == "json":
        path.write_text(json.dumps(rows, indent=1))
    with pytest.raises(InputError) as caught:
        read_log(path)
    unit = "line" if suffix == "jsonl" else "row"
    assert str(caught.value).startswith(f"{path}, {unit} 6: ")
    assert "its 'correct' must be true or false, 1 or 0" in str(caught.value)


@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
@pytest.mark.parametrize(
    ("column", "value", "hint"),
    [
        ("tokens", -1, "must not be negative"),
        ("tokens", NAN, "must be a finite number"),
        ("tokens", INF, "must be a finite number"),
        ("tokens", None, "must be a finite number"),
        ("score", NAN, "must be a finite number"),
        ("score", -INF, "must be a finite number"),
        ("score", None, "must be a finite number"),
        ("score", -0.1, "must lie in [0, 1]"),
        ("score", 1.5, "must lie in [0, 1]"),
        ("gold", NAN, "must not be blank"),
        ("gold", None, "must not be blank"),
        ("gold", "", "must not be blank"),
        ("gold", " ", "must not be blank"),
        ("gold", "2", "must be '1', as in the question's first row"),
        ("question", None, "must not be blank"),
        ("question", "", "must not be blank"),
        ("question", NAN, "must not be blank"),
        ("answer", INF, "must be text, a finite number, true, false or a JSON object"),
    ],
)
def test_a_cell_that_cannot_be_used_is_refused_by_row(
    tmp_path: Path, suffix: str, column: str, value: object, hint: str
) -> None:
    rows = [dict(row) for row in ROWS]
    if isinstance(value, float) and isinstance(rows[0][column], str):  # a column of one type
        rows = [{**row, column: 1.0} for row in rows]
    rows[6][column] = value
    path = tmp_path / f"log.{suffix}"
    with pytest.raises(InputError) as caught:
        logged(path, rows)
    unit = "line" if suffix == "jsonl" else "row"
    assert str(caught.value).startswith(f"{path}, {unit} 7: ")
    assert f"its {column!r} {hint}" in str(caught.value)


def test_a_sample_of_no_tokens_and_one_without_an_answer_are_taken(tmp_path: Path) -> None:
    rows = [dict(row) for row in ROWS]
    rows[0] |= {"tokens": 0, "answer": None}
    rows[1] |= {"tokens": "12", "answer": " "}
    log = logged(tmp_path / "log.jsonl", rows)
    assert log.tokens is not None
    assert sorted(log.tokens[0].tolist()) == [0, 7, 7, 12]
    assert answers_of(log)[0][:2] == [-1, -1]


@pytest.mark.parametrize(
    ("column", "value"),
    [("prompt", None), ("prompt", NAN), ("prompt", " "), ("answer", NAN), ("answer", "\n")],
)
@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
def test_a_blank_prompt_or_answer_of_a_data_set_is_refused_by_row(
    tmp_path: Path, suffix: str, column: str, value: object
) -> None:
    kind = float if isinstance(value, float) else str
    rows: list[dict[str, Any]] = [{"prompt": kind(n), "answer": kind(n)} for n in range(3)]
    rows[1][column] = value
    path = write(tmp_path / f"data.{suffix}", rows)
    unit = "line" if suffix == "jsonl" else "row"
    with pytest.raises(InputError) as caught:
        read_graded_prompts(str(path), DataSettings())
    assert str(caught.value).startswith(f"{path}, {unit} 2: ")
    assert f"give it a {column!r} field that is not blank" in str(caught.value)


@pytest.mark.parametrize(
    ("value", "text"),
    [(5.0, "5"), (-0.0, "0"), (5, "5"), ("5.0", "5.0"), (0.5, "0.5"), (1e300, "1e+300")],
)
def test_whole_numbers_are_written_without_a_fraction(
    tmp_path: Path, value: object, text: str
) -> None:
    assert as_text(value) == text
    for suffix in ("jsonl", "parquet"):
        data = write(tmp_path / f"data.{suffix}", [{"prompt": "p", "answer": value}])
        assert read_graded_prompts(str(data), DataSettings()) == [("p", text)]
        rows = [{"question": "q", "answer": text, "gold": value}] * 4
        assert logged(tmp_path / f"log.{suffix}", rows).correct.all()
        rows = [{"question": "q", "answer": value, "gold": text}] * 4
        assert logged(tmp_path / f"log.{suffix}", rows).correct.all()


def test_numbers_and_text_among_the_answers_of_json_lines(tmp_path: Path) -> None:
    rows = [{"question": 1, "answer": a, "gold": 5} for a in (5, "5", 5.0, "x", None, 0.5)]
    assert answers_of(logged(tmp_path / "log.jsonl", rows)) == [[-1, 0, 0, 0, 1, 2]]


@pytest.mark.parametrize("start", ["", BOM])
@pytest.mark.parametrize("array", [True, False])
def test_json_of_every_layout_is_read_alike_as_prompts_and_as_a_log(
    tmp_path: Path, start: str, array: bool
) -> None:
    def written(rows: list[dict[str, Any]]) -> Path:
        lines = "\n".join(map(json.dumps, rows))
        path = tmp_path / "rows.json"
        path.write_text(start + (json.dumps(rows, indent=1) if array else lines), encoding="utf-8")
        return path

    plain = read_log(write(tmp_path / "log.jsonl", ROWS))
    assert answers_of(read_log(written(ROWS))) == answers_of(plain)
    prompts = [{"prompt": "1+1", "answer": 2}, {"prompt": "7-3", "answer": "4"}]
    source = str(written(prompts))
    assert read_graded_prompts(source, DataSettings()) == [("1+1", "2"), ("7-3", "4")]
    assert [text for _, text in located_prompts(source, DataSettings())] == ["1+1", "7-3"]


GOOD = json.dumps({"prompt": "p", "answer": "1", "gold": "1"})


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        ("[]", "it is empty"),
        ("[1]", "row 1: '1': give one JSON object a line, or one array of them"),
        (f"[{GOOD}", "not JSON"),
        (f'{GOOD}\n{{"prompt": {"9" * 5000}}}', "line 2: .*number has more than 4300 digits"),
        (f"{GOOD}\n{'[' * 100_000}", "line 2: .*it is nested too deeply"),
        ("[" * 100_000, "it is nested too deeply"),
    ],
    ids=["empty", "number", "cut", "digits", "deep line", "deep array"],
)
def test_json_that_cannot_be_read_is_refused_in_one_line(
    tmp_path: Path, content: str, hint: str
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(content)
    reads: list[Callable[[], object]] = [
        lambda: located_prompts(str(path), DataSettings()),
        lambda: read_log(path),
    ]
    for read in reads:
        with pytest.raises(InputError, match=hint) as caught:
            read()
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 500


def test_a_column_that_only_later_rows_have_is_not_overlooked(tmp_path: Path) -> None:
    rows = [{key: row[key] for key in ("question", "answer", "gold")} for row in ROWS]
    rows[3]["score"] = 0.5
    with pytest.raises(InputError, match=r"line 4: 'score': the first row has no such column"):
        logged(tmp_path / "log.jsonl", rows)


STEPS = [0.9, 0.5, 0.8]


@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
@pytest.mark.parametrize(
    ("how", "scores"),
    [
        ("last", {"score": 0.8}),
        ("min", {"score": 0.5}),
        ("product", {"score": 0.36}),
        ("mean", {"score": 2.2 / 3}),
        (
            None,
            {
                "score.last": 0.8,
                "score.min": 0.5,
                "score.product": 0.36,
                "score.mean": 2.2 / 3,
            },
        ),
    ],
)
def test_step_scores_are_aggregated(
    tmp_path: Path, suffix: str, how: Any, scores: dict[str, float]
) -> None:
    rows = [{**row, "score": STEPS} for row in ROWS]
    log = logged(tmp_path / f"log.{suffix}", rows, aggregation=how)
    assert list(log.scores.values) == list(scores)
    for name, value in scores.items():
        assert log.scores.values[name] == pytest.approx(value)


@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
@pytest.mark.parametrize(("blank", "steps"), [(None, False), (NAN, False), (None, True)])
def test_a_sample_without_an_answer_needs_no_score(
    tmp_path: Path, suffix: str, blank: float | None, steps: bool
) -> None:
    given = [0.5, 0.25, 0.75, 0.5, 0.9, 0.5, 0.5, 0.5]
    rows = [
        {**row, "score": [1.0, score] if steps else score}
        for row, score in zip(ROWS, given, strict=True)
    ]
    rows[4] |= {"answer": None, "score": blank}
    log = logged(tmp_path / f"log.{suffix}", rows)
    scores = log.scores.values["score.last" if steps else "score"]
    # The lowest of the log.
    assert scores[log.answer == -1].tolist() == [0.25]
    assert sorted(scores.ravel().tolist()) == [0.25, 0.25, 0.5, 0.5, 0.5, 0.5, 0.5, 0.75]
    # Nor does one whose thought has not ended, once answers are read out of solutions.
    rows[4]["answer"] = "<think>Let me see"
    solved = logged(tmp_path / f"log.{suffix}", rows, answers="math")
    assert (solved.answer == -1).sum() == 1
    with pytest.raises(InputError) as refusal:
        logged(tmp_path / f"log.{suffix}", rows)
    assert "its 'score' must be a finite number wherever there is an answer" in str(refusal.value)
    assert "leave such rows out, give them the lowest score" in str(refusal.value)


def test_of_rows_that_all_lack_scores_the_first_is_refused(tmp_path: Path) -> None:
    rows = [{**row, "answer": None, "score": None} for row in ROWS]
    with pytest.raises(InputError, match="line 1: None: its 'score' must be a finite number"):
        logged(tmp_path / "log.jsonl", rows)


@pytest.mark.parametrize("value", [[], [0.5, None], [0.5, NAN], [[0.5]]])
def test_step_scores_that_cannot_be_used(value: object) -> None:
    with pytest.raises(ValueError, match="must"):
        as_scores(value)


def test_one_question_under_two_numbers_is_refused_until_a_column_is_chosen(tmp_path: Path) -> None:
    texts = ["1+1", "2+2", "1+1"]
    rows = [
        {"question_id": n // 4, "question": texts[n // 4], "answer": str(n % 3), "gold": "1"}
        for n in range(12)
    ]
    with pytest.raises(InputError) as refusal:
        logged(tmp_path / "log.jsonl", rows)
    assert "line 9" in refusal.value.field
    assert refusal.value.hint == (
        "its 'question' is that of question_id '0' too; say which column tells questions apart: "
        "--columns question=question, or question=question_id"
    )
    by_text = logged(tmp_path / "log.jsonl", rows, columns={"question": "question"})
    # Of the four samples that all questions have, those of the first are twice as many.
    assert (by_text.questions, by_text.sizes.tolist()) == (("1+1", "2+2"), [8, 4])
    by_number = logged(tmp_path / "log.jsonl", rows, columns={"question": "question_id"})
    assert by_number.questions == ("0", "1", "2")
    assert not by_number.aliases, "a text that two questions share names neither"
    # Blank texts are no texts.
    blank = [row | {"question": ""} for row in rows]
    assert logged(tmp_path / "log.jsonl", blank).questions == ("0", "1", "2")


def restarted(**columns: list[Any]) -> list[dict[str, Any]]:
    """Three subjects of two questions each, numbered 0 and 1 in every subject; four samples each.

    Args:
        columns: further columns, with a value for each of the six questions.
    """
    return [
        {
            "subject": f"s{q // 2}",
            "question_id": q % 2,
            "answer": "AB"[n % 2],
            "correct": n % 2 == q % 2,
            **{name: values[q] for name, values in columns.items()},
        }
        for q in range(6)
        for n in range(4)
    ]


TEXTS = [f"{'Choose the right one of the choices below. ' * 3}{q}" for q in range(6)]
CHATS = [[{"role": "user", "content": text}] for text in TEXTS]


@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
@pytest.mark.parametrize("column", ["question", "problem", "prompt"])
@pytest.mark.parametrize("values", [TEXTS, CHATS], ids=["text", "chat"])
def test_two_questions_under_one_number_are_refused_until_they_are_told_apart(
    tmp_path: Path, suffix: str, column: str, values: list[Any]
) -> None:
    path = tmp_path / f"log.{suffix}"
    rows = restarted(**{column: values})
    with pytest.raises(InputError) as refusal:
        logged(path, rows)
    message = str(refusal.value)
    unit = "line" if suffix == "jsonl" else "row"
    assert message.startswith(f"{path}, {unit} 9: ")
    assert f"its {column!r} differs from that of {unit} 1" in message
    assert "both have question_id '0'" in message
    for question in (0, 2):  # of the long texts, the parts that differ are shown
        assert f"choices below. {question}" in message
    assert f"--columns question={column}, or question=question_id" in message
    assert "--where COLUMN=VALUE" in message
    assert logged(path, rows, where={"subject": "s1"}).questions == ("0", "1")
    # Chosen, one name may have several wordings. None of them is then the name of all.
    chosen = logged(path, rows, columns={"question": "question_id"})
    assert (chosen.questions, chosen.aliases) == (("0", "1"), {})
    if values is TEXTS:
        by_text = logged(path, rows, columns={"question": column})
        assert sorted(by_text.questions) == TEXTS
        assert not by_text.aliases, "a number that several questions share names none"


def test_one_question_is_told_by_its_text_whatever_its_white_space(tmp_path: Path) -> None:
    texts = ["What is  1+1?", " What is 1+1?\n", "What is 1+1?", ""]
    contents = [[{"role": "user", "content": text}] for text in texts[:3]]
    swapped = [[{"content": "What is 1+1?", "role": "user"}]]
    golds = [2, "2", 2.0, " 2"]
    rows = [
        {"question_id": 7, "question": text, "prompt": chat, "gold": gold, "answer": "2"}
        for text, chat, gold in zip(texts, [*contents, *swapped], golds, strict=True)
    ]
    for row in rows:
        row["correct"] = True
    log = logged(tmp_path / "log.jsonl", rows)
    assert (log.questions, log.sizes.tolist()) == (("7",), [4])
    assert log.aliases.keys() == {"question", "prompt"}


def test_a_question_that_its_text_tells_may_be_prompted_in_several_ways(tmp_path: Path) -> None:
    rows = [
        {"question_id": n // 4, "question": TEXTS[n // 4], "prompt": f"{TEXTS[n // 4]} {n}"}
        | {"answer": str(n % 2), "gold": "1"}
        for n in range(8)
    ]
    log = logged(tmp_path / "log.jsonl", rows)
    assert log.aliases.keys() == {"question"}
    for row in rows:
        del row["question_id"]
    with pytest.raises(InputError, match="its 'prompt' differs from that of line 1"):
        logged(tmp_path / "log.jsonl", rows)


@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
def test_a_number_of_several_gold_answers_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"log.{suffix}"
    rows = restarted(gold=list("ABBAAB"))
    with pytest.raises(InputError) as refusal:
        logged(path, rows)
    unit = "line" if suffix == "jsonl" else "row"
    assert str(refusal.value).startswith(f"{path}, {unit} 9: 'B': ")
    assert "its 'gold' must be 'A', as in the question's first row" in str(refusal.value)
    assert "If question_id '0' is several questions" in str(refusal.value)
    assert "--columns question=NAME" in str(refusal.value)
    assert logged(path, rows, where={"subject": "s1"}).questions == ("0", "1")
    # Spellings of one answer, in a log that says what is correct.
    assert logged(path, rows, columns={"question": "question_id"}).questions == ("0", "1")


def programs(**of: Any) -> list[dict[str, Any]]:
    """Six programs for each of six tasks, some of which pass.

    Args:
        of: further columns, computed of whether a program passes.
    """
    return [
        {"task_id": f"t{q}", "passed": passed, **{name: f(passed) for name, f in of.items()}}
        for q in range(6)
        for passed in (n < q for n in range(6))
    ]


TASKS = {"question": "task_id", "correct": "passed"}


def test_what_says_whether_a_sample_is_correct_is_no_answer(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    with pytest.raises(InputError) as refusal:
        logged(path, programs(), columns=TASKS)
    assert "columns: 'answer': no such column" in str(refusal.value)
    assert "if one holds the samples' final answers: answer=NAME" in str(refusal.value)
    assert "not whether one is correct" in str(refusal.value)
    assert "no vote is possible" in str(refusal.value)
    with pytest.raises(InputError) as refusal:
        logged(path, programs(), columns=TASKS | {"answer": "passed"})
    assert "columns: 'answer=passed': it says whether a sample is correct" in str(refusal.value)
    assert "no vote is possible" in str(refusal.value)


@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
def test_an_answer_that_correct_determines_is_refused(tmp_path: Path, suffix: str) -> None:
    path, columns = tmp_path / f"log.{suffix}", TASKS | {"answer": "result"}
    rows = programs(result=lambda passed: "ok" if passed else "failed")
    with pytest.raises(InputError) as refusal:
        logged(path, rows, columns=columns)
    message = str(refusal.value)
    assert "columns: 'answer=result': " in message
    assert "it is 'ok' if 'passed' says correct and 'failed' if not, so it is no answer" in message
    # Answers may be as few: where the right one differs, and where there are few questions.
    turned = [{**row, "result": row["result"], "passed": not row["passed"]} for row in rows[:6]]
    assert logged(path, turned + rows[6:], columns=columns).correct.any()
    assert logged(path, rows[:24], columns=columns).correct.any()
    # Or where gold answers say that they are answers.
    assert logged(path, [row | {"gold": "ok"} for row in rows], columns=columns).correct.any()


def test_a_column_that_is_mapped_to_another_name_is_not_missed_under_its_own(
    tmp_path: Path,
) -> None:
    rows = [{**row, "correct": str(n % 2)} for n, row in enumerate(ROWS)]
    log = logged(tmp_path / "log.jsonl", rows, columns={"answer": "correct"})
    assert answers_of(log) == [[0, 0, 1, 1]] * 2


def test_a_row_may_hold_all_samples_of_a_question(tmp_path: Path) -> None:
    # As search-and-learn writes them: completions, and for each the scores of its steps.
    rows = [
        {
            "unique_id": f"p{n}",
            "answer": r"\frac{1}{2}",
            "completions": ["So \\boxed{0.5}", "\\boxed{1/2}.", "It is \\boxed{3}", "I give up"],
            "scores": [[0.1, 0.9], [0.8], [0.4, 0.3, 0.2], [0.5]],
            "completion_tokens": [11, 12, 13, 14],
        }
        for n in range(3)
    ]
    names = {"question": "unique_id", "answer": "completions", "gold": "answer"}
    names |= {"score": "scores", "tokens": "completion_tokens"}
    for suffix in ("jsonl", "parquet"):
        log = logged(tmp_path / f"log.{suffix}", rows, columns=names, answers="math")
        assert answers_of(log) == [[-1, 0, 0, 1]] * 3
        assert log.tokens is not None
        last = log.scores.values["scores.last"]
        drawn = zip(log.answer[0].tolist(), last[0].tolist(), log.tokens[0].tolist(), strict=True)
        assert set(drawn) == {(0, 0.9, 11), (0, 0.8, 12), (1, 0.2, 13), (-1, 0.5, 14)}
    rows[1]["scores"] = [[0.1]]
    with pytest.raises(InputError, match=r"line 2: .*its 'scores' must be a list of 4"):
        logged(tmp_path / "log.jsonl", rows, columns=names, answers="math")


def test_a_row_of_all_samples_may_have_a_number_and_one_ending(tmp_path: Path) -> None:
    rows = [
        {"question": f"q{n}", "sample": 0, "answer": ["1", "1", "2", "3"], "gold": "1"}
        | {"finished": n > 0}
        for n in range(3)
    ]
    for suffix in ("jsonl", "parquet"):
        path = tmp_path / f"log.{suffix}"
        log = logged(path, rows)
        assert answers_of(log) == [[0, 0, 1, 2]] * 3
        assert log.finished is not None
        assert log.finished.tolist() == [[n > 0] * 4 for n in range(3)]
        renamed = [row | {"sample_index": row["sample"]} for row in rows]
        assert answers_of(logged(path, renamed)) == [[0, 0, 1, 2]] * 3
        with pytest.raises(InputError, match=r"its 'finished' must be a list of 4"):
            logged(path, [row | {"finished": [True]} for row in rows])
    # Samples of several rows need their numbers, and what a row cannot have as a whole is refused.
    capped = [row | {"thinking_tokens": [None] * 4, "tokens": [9] * 4} for row in rows]
    with pytest.raises(InputError, match=r"its 'sample' must be a list of 4"):
        logged(tmp_path / "log.jsonl", capped)
    with pytest.raises(InputError, match=r"its 'tokens' must be a list of 4"):
        logged(tmp_path / "log.jsonl", [row | {"tokens": 9} for row in rows])


SPELLINGS = ["1/2", r"\frac{1}{2}", "0.5", "3", "3.0", None, "no idea", r"so \boxed{\frac12}"]


@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
def test_answers_are_compared_by_the_reader_that_is_named(tmp_path: Path, suffix: str) -> None:
    rows = [{"question": "q", "answer": a, "gold": "1/2"} for a in SPELLINGS]
    path = tmp_path / f"log.{suffix}"
    assert answers_of(logged(path, rows)) == [[-1, 0, 1, 2, 3, 4, 5, 6]]
    # Equal answers are one: those that are right, and the two threes.
    found = logged(path, rows, answers="math")
    assert answers_of(found) == [[-1, 0, 0, 0, 0, 1, 1, 2]]
    assert found.answers == "math"
    # `correct` is believed where answers are not compared, and only there.
    doubted = [{**row, "correct": False} for row in rows]
    assert not logged(path, doubted).correct.any()
    assert logged(path, doubted, answers="math").correct.sum() == 4


@pytest.mark.parametrize(
    ("line", "answer"),
    [("$18", "18"), ("18%", "18%"), ("3/4", "3/4"), ("1,000", "1000"), ("-5", "-5"), ("5", "5.0")],
)
def test_an_answer_line_is_read_alike_in_a_data_set_and_in_a_log(
    tmp_path: Path, line: str, answer: str
) -> None:
    worked = f"First this, then that.\n#### {line}"
    data = write(tmp_path / "data.jsonl", [{"question": "q", "answer": worked}])
    ((_, gold),) = read_graded_prompts(str(data), DataSettings())
    math = MathAnswers()
    assert gold == math.extract(worked)
    assert equivalent(math, gold, answer)
    texts = [worked, answer, gold, "77"]
    rows = [{"question": "q", "answer": text, "gold": worked} for text in texts]
    log = logged(tmp_path / "log.jsonl", rows, answers="math")
    assert answers_of(log) == [[0, 0, 0, 1]]


@pytest.mark.slow
def test_a_pattern_and_a_file_compare_answers_too(tmp_path: Path) -> None:
    rows = [
        {"question": "q", "answer": a, "gold": "#7"} for a in ("so #7", "7", "#8", "8", "#9", "")
    ]
    path = tmp_path / "log.jsonl"
    assert answers_of(logged(path, rows, answers=r"pattern:#(\d+)")) == [[-1, 0, 0, 1, 1, 2]]
    grader = tmp_path / "grader.py"
    grader.write_text(
        "def extract(text):\n    return text.strip('so #') or None\n"
        "def same(answer, other):\n    return int(answer) % 2 == int(other) % 2\n"
    )
    assert answers_of(logged(path, rows, answers=f"python:{grader}")) == [[-1, 0, 0, 0, 1, 1]]


COMMANDS: Any = typer.main.get_command(app)
OPTIONS = COMMANDS.get_command(typer.Context(COMMANDS), "calibrate").load().params


@pytest.mark.slow
@pytest.mark.parametrize(
    "option", [o for o in OPTIONS if o.name not in {*LOG_OPTIONS, "help"}], ids=lambda o: o.name
)
def test_an_option_that_does_not_apply_to_logs_is_refused_by_name(
    tmp_path: Path, option: Any
) -> None:
    value = "2" if option.default is None else str(option.default)
    arguments = [value] if option.param_type_name == "argument" else [option.opts[0], value]
    message = refused("calibrate", "--from-logs", "log.jsonl", "--out", tmp_path / "a", *arguments)
    name = option.name.replace("_", "-")
    assert f"{name}: " in message
    assert "does not apply to --from-logs; leave it out" in message


def test_what_applies_to_some_logs_is_refused_for_the_others(tmp_path: Path) -> None:
    path = write(tmp_path / "log.jsonl", [{**row, "correct": True} for row in ROWS])
    command = ["calibrate", "--from-logs", path, "--out", tmp_path / "a"]
    assert "aggregation: 'last': " in (message := refused(*command, "--aggregation", "last"))
    assert "no lists of step scores; leave it out" in message
    bare = [{k: v for k, v in row.items() if k != "gold"} | {"correct": True} for row in ROWS]
    write(path, bare)
    assert "no gold column; map one, or leave it out" in refused(*command, "--answers", "math")
    assert "pilots: 0: the prompts of a log are not read" in refused(*command, "--pilots", "0,1")


def test_parquet_holds_gold_answers_as_doubles(tmp_path: Path) -> None:
    # As pandas writes whole numbers beside a missing one.
    path = tmp_path / "log.parquet"
    table = pa.table({"question": ["q"] * 4, "answer": [5.0, 5.0, NAN, 7.0], "gold": ["5"] * 4})
    pq.write_table(table, path)
    assert answers_of(read_log(path)) == [[-1, 0, 0, 1]]


def numbered(count: int) -> list[dict[str, Any]]:
    """Rows of two questions, each sample with its number."""
    return [
        {"question": question, "sample_index": n, "answer": str(n % 3), "gold": "0", "tokens": n}
        for question in ("a", "b")
        for n in range(count)
    ]


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_a_sample_that_is_written_again_counts_once(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"log.{ending}"
    rows = numbered(4)
    log = read_log(write(path, rows + rows))
    assert log.sizes.tolist() == [4, 4]
    assert log.notes == (
        "8 rows are written again, with the same 'sample_index' of the same question, and left out",
    )
    # Another run's samples may have the same numbers.
    other = [row | {"tokens": row["tokens"] + 100} for row in rows]
    log = read_log(write(path, rows + other))
    assert (log.sizes.tolist(), log.notes) == ([8, 8], ())
    # Some of these may be alike by chance: without them the others would weigh more.
    log = read_log(write(path, rows + other[:1] + rows[1:]))
    assert log.sizes.tolist() == [8, 8]
    assert log.notes[0].startswith("7 rows are written again")
    assert log.notes[0].endswith("; they count, because others with the same one differ")


def test_samples_are_kept_where_their_numbers_do_not_tell_them_apart(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    for sample in (0, None):
        rows = [row | {"sample_index": sample, "tokens": 9} for row in numbered(4)]
        log = read_log(write(path, rows))
        assert (log.sizes.tolist(), log.notes) == ([4, 4], ())
    unnumbered = [{k: v for k, v in row.items() if k != "sample_index"} for row in numbered(4)]
    assert read_log(write(path, unnumbered * 2)).sizes.tolist() == [8, 8]


def test_a_row_with_all_samples_of_a_question_counts_once(tmp_path: Path) -> None:
    rows = [
        {"question": question, "sample": part, "answer": ["1", "1", "0", "0"], "gold": "0"}
        for question in ("a", "b")
        for part in range(2)
    ]
    log = read_log(write(tmp_path / "log.jsonl", rows + rows[:1]))
    assert log.sizes.tolist() == [8, 8]
    assert log.notes[0].startswith("1 row is written again")


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_a_sample_without_an_answer_needs_neither_mark_nor_scores(
    tmp_path: Path, ending: str
) -> None:
    path = tmp_path / f"log.{ending}"
    rows: list[dict[str, Any]] = [
        {"question": "q", "answer": str(n % 2) if n else None, "correct": n % 2 == 1 if n else None}
        | {"score": [0.5, n / 10] if n else []}
        for n in range(5)
    ]
    log = read_log(write(path, rows))
    assert sorted(log.answer[0].tolist()) == [-1, 0, 0, 1, 1]
    assert sorted(log.scores.values["score.last"][0].tolist()) == [0.1, 0.1, 0.2, 0.3, 0.4]
    for change, message in (
        ({"correct": None}, "'correct' must be true or false"),
        ({"score": []}, "'score' must hold the score of at least one step"),
    ):
        with pytest.raises(InputError, match=message):
            read_log(write(path, [*rows[:4], rows[4] | change]))


def test_finished_may_be_a_reason(tmp_path: Path) -> None:
    reasons = ["stop", "length", "EOS", "stop"]
    rows = [
        {"question": "q", "answer": "1", "gold": "1", "tokens": n, "finish_reason": reason}
        for n, reason in enumerate(reasons)
    ]
    path, columns = tmp_path / "log.jsonl", {"finished": "finish_reason"}
    log = read_log(write(path, rows), columns)
    assert log.finished is not None
    assert log.tokens is not None
    ended = dict(zip(log.tokens[0].tolist(), log.finished[0].tolist(), strict=True))
    assert ended == {0: True, 1: False, 2: True, 3: True}
    with pytest.raises(InputError, match="or a finish_reason: stop or length"):
        read_log(write(path, [*rows, rows[0] | {"finish_reason": "abort"}]), columns)
