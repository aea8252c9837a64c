"""Files of other programs as logs: recognised, graded response by response, refused by row."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from allocator.errors import InputError
from calibration.data.log_formats import recognise
from calibration.data.log_rows import COLUMNS
from calibration.data.sample_log import read_log
from calibration.data.table_io import open_rows
from tests.support.cli import invoke, refused
from tests.support.log_files import (
    batch_row,
    failed_batch_row,
    lm_eval_file,
    search_and_learn_row,
)
from tests.support.logs import rows_of, write
from tests.support.paths import ROOT, SHARED

WRONG = ["It is 7.", "It must be 8, so 8."]
NONE = "I cannot say."


def sums(question: int, right: int) -> list[str]:
    """Six solutions of a sum; the first ones are right."""
    spellings = [rf"So \boxed{{{question}}}.", f"Adding.\n#### {question}", f"It is {question}.0"]
    return [(spellings * 2)[i] if i < right else [*WRONG, NONE][i % 3] for i in range(6)]


def lm_eval_rows(questions: int = 2, **changes: Any) -> list[dict[str, Any]]:
    return [
        {
            "doc_id": q,
            "doc": {"question": f"q{q}"},
            "target": f"Adding.\n#### {100 + q}",
            "resps": [sums(100 + q, 1 + q)],
            "filtered_resps": ["7"],
            "filter": kind,
            "doc_hash": f"hash{q}",
            "exact_match": 0.0,
        }
        | changes
        for kind in ("strict-match", "flexible-extract")
        for q in range(questions)
    ]


def sal_rows(questions: int = 2, **changes: Any) -> list[dict[str, Any]]:
    scores = [[0.9, 0.1 * i + 0.2] for i in range(6)]
    return [
        search_and_learn_row(f"p{q}", str(100 + q), sums(100 + q, 1 + q), scores) | changes
        for q in range(questions)
    ]


def batch_rows(questions: int = 2, **how: Any) -> list[dict[str, Any]]:
    """A request for each sample."""
    return [
        batch_row(f"sum-{q}-{i}", [text], tokens=10 + i, **how)
        for q in range(questions)
        for i, text in enumerate(sums(100 + q, 1 + q))
    ]


def gold_file(folder: Path, questions: int = 2) -> str:
    rows = [{"custom_id": f"sum-{q}", "answer": str(100 + q)} for q in range(questions)]
    return str(write(folder / "gold.jsonl", rows))


@pytest.mark.slow
def test_what_lm_eval_itself_writes(tmp_path: Path) -> None:
    docs = [{"question": f"sum {q}", "answer": f"Adding.\n#### {100 + q}"} for q in range(4)]
    path = lm_eval_file(tmp_path, docs, [sums(100 + q, 1 + q) for q in range(4)])
    written = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["filter"] for row in written] == ["score-first"] * 4 + ["maj@8"] * 4
    # The harness grades one answer of each document; every repeat is graded here.
    assert {row["exact_match"] for row in written} == {0.0}
    log = read_log(path)
    assert log.correct.sum(1).tolist() == [1, 2, 3, 4]
    assert (log.answer == -1).sum(1).tolist() == [2, 2, 1, 1]
    assert (log.scores.first, log.tokens, log.answers) == (None, None, "math")


def test_repeats_are_graded_and_other_filters_read_once(tmp_path: Path) -> None:
    path = write(tmp_path / "samples_sums.jsonl", lm_eval_rows())
    log = read_log(path)
    # The first: right, 8, none, 7, 8, none. The second: right in two spellings, none, 7, 8, none.
    assert sorted(log.answer[0].tolist()) == [-1, -1, 0, 1, 1, 2]
    assert sorted(log.answer[1].tolist()) == [-1, -1, 0, 0, 1, 2]
    chosen = read_log(path, where={"filter": "flexible-extract"})
    assert chosen.answer.tolist() == log.answer.tolist()
    # Older versions wrote one array.
    array = tmp_path / "samples_sums.json"
    array.write_text(json.dumps(lm_eval_rows()))
    assert read_log(array).answer.tolist() == log.answer.tolist()


CUT = "Perhaps the answer is \\boxed{100}. Hmm, wait"


@pytest.mark.parametrize(
    ("whole", "cut", "noted"),
    [
        ("It is 7.</think>So 100.", CUT, 2),
        ("<think>It is 7.</think>So 100.", f"<think>{CUT}", 0),
        ("[THINK]It is 7.[/THINK]So 100.", f"[THINK]{CUT}", 0),
        (
            "<|channel|>analysis<|message|>7<|end|><|start|>assistant<|channel|>final<|message|>100",
            f"<|channel|>analysis<|message|>{CUT}",
            0,
        ),
    ],
)
def test_nothing_is_read_within_a_thought(tmp_path: Path, whole: str, cut: str, noted: int) -> None:
    rows = lm_eval_rows(1, resps=[[whole, cut] * 2])
    log = read_log(write(tmp_path / "samples_sums.jsonl", rows))
    assert sorted(log.answer[0].tolist()) == [-1, -1, 0, 0]
    notes = [note for note in log.notes if "unfinished thoughts" in note]
    assert len(notes) == (noted > 0)
    assert all(f": {noted} solutions without </think>" in note for note in notes)


def test_a_thought_that_was_cut_off_is_no_content_of_a_batch(tmp_path: Path) -> None:
    # Some servers take it for content, for they see no end of it.
    ended, cut = batch_row("sum-0-0", ["It is 100."]), batch_row("sum-0-1", [CUT], reason="length")
    path, gold = tmp_path / "output.jsonl", gold_file(tmp_path, 1)
    log = read_log(write(path, [ended, cut] * 2), gold=gold)
    assert log.correct.all()  # without any thought apart, it is an answer as it was before
    ended["response"]["body"]["choices"][0]["message"]["reasoning_content"] = "It is 7."
    log = read_log(write(path, [ended, cut] * 2), gold=gold)
    assert sorted(log.answer[0].tolist()) == [-1, -1, 0, 0]
    assert "unfinished thoughts, without an answer: 2 that were cut off" in log.notes


def test_a_stray_end_of_a_thought_says_nothing_of_others(tmp_path: Path) -> None:
    begun = "<think>It is 7.</think>So 100."
    rows = lm_eval_rows(1, resps=[[begun, begun, "So </think> 100.", "It is 100."]])
    log = read_log(write(tmp_path / "samples_sums.jsonl", rows))
    assert log.correct.all()
    assert not log.notes


def test_runs_of_one_task_join_their_samples_and_tasks_do_not(tmp_path: Path) -> None:
    runs = lm_eval_rows() * 2
    assert read_log(write(tmp_path / "runs.jsonl", runs)).answer.shape == (2, 12)
    tasks = lm_eval_rows() + lm_eval_rows(doc_hash="another task")
    assert read_log(write(tmp_path / "tasks.jsonl", tasks)).answer.shape == (4, 6)


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_search_and_learn(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"best_of_n_completions.{suffix}"
    if suffix == "jsonl":  # as its save_dataset does
        import datasets

        datasets.Dataset.from_list(sal_rows()).to_json(path, lines=True)
    else:
        write(path, sal_rows())
    log = read_log(path)
    assert log.correct.sum(1).tolist() == [1, 2]
    assert log.tokens is not None
    assert log.tokens.sum(1).tolist() == [sum(r["completion_tokens"]) for r in sal_rows()]
    last = log.scores.values["scores.last"]
    np.testing.assert_allclose(np.sort(last[0]), [0.2, 0.3, 0.4, 0.5, 0.6, 0.7])
    # The first completion is the right one, and its steps' scores are 0.9 and 0.2.
    np.testing.assert_allclose(last[0][log.correct[0]], [0.2])
    product = read_log(path, aggregation="product").scores.first
    assert product is not None
    np.testing.assert_allclose(product[0][log.correct[0]], [0.18])


def test_gold_from_the_solution_where_there_is_no_answer(tmp_path: Path) -> None:
    rows = [{k: v for k, v in row.items() if k != "answer"} for row in sal_rows()]
    assert read_log(write(tmp_path / "a.jsonl", rows)).correct.sum(1).tolist() == [1, 2]
    rows[1]["solution"] = "It is 101."
    with pytest.raises(InputError, match=r"line 2: .*its 'solution' must have a .boxed"):
        read_log(write(tmp_path / "b.jsonl", rows))


def test_real_solutions_are_right_by_their_own_gold_answers(tmp_path: Path) -> None:
    path = SHARED / "math_test.jsonl"
    if not path.is_file():
        pytest.skip(f"no real solutions at {path}; made ones are tested above")
    problems = [json.loads(line) for line in path.read_text().splitlines()[:60]]
    rows = [
        {"problem": p["problem"], "solution": p["solution"], "completions": [p["solution"]] * 4}
        for p in problems
    ]
    assert read_log(write(tmp_path / "log.jsonl", rows)).correct.all()


def test_an_openai_batch(tmp_path: Path) -> None:
    log = read_log(write(tmp_path / "b.jsonl", batch_rows()), gold=gold_file(tmp_path))
    assert log.correct.sum(1).tolist() == [1, 2]
    assert log.tokens is not None
    assert sorted(log.tokens[0].tolist()) == [10, 11, 12, 13, 14, 15]
    assert log.tokens[0][log.correct[0]].tolist() == [10]
    assert log.notes == ()
    # The gold answers belong to what was read.
    (tmp_path / "gold.jsonl").write_text(
        '{"custom_id": "sum-0", "answer": 7}\n{"custom_id": "sum-1", "answer": 7}\n'
    )
    other = read_log(tmp_path / "b.jsonl", gold=str(tmp_path / "gold.jsonl"))
    assert other.correct.sum(1).tolist() == [1, 1]
    assert other.digest != log.digest


def test_choices_of_one_request_do_not_each_have_all_its_tokens(tmp_path: Path) -> None:
    rows = [batch_row(f"sum-{q}", sums(100 + q, 1 + q), tokens=600) for q in range(2)]
    log = read_log(write(tmp_path / "b.jsonl", rows), gold=gold_file(tmp_path))
    assert log.correct.sum(1).tolist() == [1, 2]
    assert log.tokens is None
    assert log.notes == (
        "numbers of tokens are left out: usage counts the choices of a request together",
    )


def test_failed_requests_are_left_out_and_counted(tmp_path: Path) -> None:
    failures = [failed_batch_row("sum-0-9"), failed_batch_row("sum-1-9", 500)]
    path, gold = tmp_path / "b.jsonl", gold_file(tmp_path)
    log = read_log(write(path, [failures[0], *batch_rows(), failures[1]]), gold=gold)
    assert log.answer.shape == (2, 6)
    assert log.notes == ("failed requests, left out: 2",)
    with pytest.raises(InputError, match="all 2 requests failed"):
        read_log(write(path, failures), gold=gold)


def test_no_answer_without_text_and_texts_of_other_servers(tmp_path: Path) -> None:
    rows = batch_rows()
    # A thought that was cut off has no content.
    rows[0]["response"]["body"]["choices"][0]["message"]["content"] = None
    # Together writes no status of success, and vLLM's completions have texts.
    del rows[6]["response"]["status_code"], rows[6]["error"]
    rows[7]["response"]["body"]["choices"] = [{"index": 0, "text": "So 101."}]
    log = read_log(write(tmp_path / "b.jsonl", rows), gold=gold_file(tmp_path))
    assert log.correct.sum(1).tolist() == [0, 2]
    assert (log.answer[0] == -1).sum() == 3


def test_the_gold_file_says_which_requests_are_of_one_question(tmp_path: Path) -> None:
    rows = [batch_row(f"req{i}", [text]) for i, text in enumerate(sums(100, 2))]
    gold = [{"custom_id": f"req{i}", "question": "50 + 50", "gold": 100} for i in range(6)]
    path = write(tmp_path / "b.jsonl", rows)
    log = read_log(path, gold=str(write(tmp_path / "gold.parquet", gold)))
    assert log.correct.sum(1).tolist() == [2]
    # req1 is not the beginning of req10: a number goes on.
    rows.append(batch_row("req10", ["8"]))
    with pytest.raises(InputError, match="line 7: 'req10': its 'custom_id' must be in"):
        read_log(write(path, rows), gold=str(tmp_path / "gold.parquet"))


def test_answers_are_read_from_solutions_by_any_reader(tmp_path: Path) -> None:
    path = write(tmp_path / "log.jsonl", lm_eval_rows())
    log = read_log(path, answers=r"pattern:#### (\d+)")
    # One of the spellings has such a line, in the second question's second solution.
    assert log.correct.sum(1).tolist() == [0, 1]
    assert (log.answer == -1).sum(1).tolist() == [6, 5]


def test_a_table_stays_a_table(tmp_path: Path) -> None:
    rows = [
        row | {"completions": ["x"], "custom_id": "y", "resps": [["z"]]} for row in rows_of(4, 8)
    ]
    path = write(tmp_path / "log.jsonl", rows)
    assert recognise(open_rows(str(path)), {}, None) is None
    assert read_log(path).answer.shape == (4, 8)
    # So does a file whose columns are named.
    named = {"question": "problem", "answer": "completions", "gold": "answer"}
    log = read_log(write(tmp_path / "sal.jsonl", sal_rows()), named)
    assert not log.correct.any()


LM_EVAL, SAL, BATCH = lm_eval_rows(), sal_rows(), batch_rows()
BODY = BATCH[0]["response"]["body"]
CHOICES = lm_eval_rows(resps=[[["-1.5", "False"]], [["-2.5", "True"]]])
INPUT = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {}}


def without(rows: list[dict[str, Any]], field: str) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != field} for row in rows]


@pytest.mark.parametrize(
    ("rows", "hint"),
    [
        (without(LM_EVAL, "target"), "lm-evaluation-harness samples, but has no 'target'"),
        (without(LM_EVAL, "resps"), "lm-evaluation-harness samples, but has no 'resps'"),
        (CHOICES, "line 1: .*'resps' must be one list of generated texts"),
        ([*LM_EVAL, LM_EVAL[0] | {"resps": [[]]}], "line 5: .*'resps' must be"),
        ([*LM_EVAL, *SAL], "line 5: .*no 'doc_id'; the file begins as lm-evaluation-harness"),
        ([*SAL, *LM_EVAL], "line 3: .*no 'problem'; the file begins as search-and-learn"),
        ([*LM_EVAL, LM_EVAL[0] | {"target": "#### 5"}], "line 5: .*'target' must be"),
        (without(without(SAL, "answer"), "solution"), "neither 'answer' nor 'solution'"),
        (without(SAL, "problem"), "search-and-learn results, but has no 'problem'"),
        ([SAL[0], SAL[1] | {"scores": [[0.5]] * 5}], "line 2: .*'scores' must be a list of 6"),
        ([SAL[0], SAL[1] | {"scores": [[2.5]] + [[0.5]] * 5}], "line 2: .*'scores' must lie in"),
        ([SAL[0], SAL[1] | {"completions": "one"}], "line 2: .*'completions' must be a list"),
        ([SAL[0], SAL[1] | {"completion_tokens": -1}], "line 2: .*that of DVTS"),
        (BATCH, "gold: None: .* is OpenAI batch output, which has no gold answers"),
        ([INPUT], "OpenAI batch output, but has no 'response'"),
    ],
)
def test_files_that_are_almost_one(tmp_path: Path, rows: list[dict[str, Any]], hint: str) -> None:
    with pytest.raises(InputError, match=hint):
        read_log(write(tmp_path / "log.jsonl", rows))


@pytest.mark.parametrize("search", ["beam_search", "dvts"])
def test_completions_of_a_search_are_no_samples(tmp_path: Path, search: str) -> None:
    with pytest.raises(InputError, match="calibrate on the file of best_of_n"):
        read_log(write(tmp_path / f"{search}_completions.jsonl", sal_rows()))


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        ({"body": {"object": "response", "output": []}}, "'response.body' must have choices"),
        ({"body": {"choices": []}}, "'response.body' must have choices"),
        ({"body": BODY | {"choices": [{"message": {}}]}}, "'choices' must each have a message"),
        ({"body": BODY | {"model": "b"}}, "'response.body.model' must be"),
    ],
)
def test_replies_that_cannot_be_used(tmp_path: Path, change: dict[str, Any], hint: str) -> None:
    rows = [*BATCH, BATCH[0] | {"response": BATCH[0]["response"] | change}]
    with pytest.raises(InputError, match=f"line 13: .*{hint}"):
        read_log(write(tmp_path / "b.jsonl", rows), gold=gold_file(tmp_path))


@pytest.mark.parametrize(
    ("gold", "hint"),
    [
        ([{"custom_id": "sum-0", "answer": 1}] * 2, "line 2: .*'custom_id' occurs twice"),
        ([{"custom_id": "sum-0", "answer": " "}], "line 1: .*'answer' must not be blank"),
        ([{"custom_id": "sum-0", "level": 1}], "gold or answer; it has custom_id, level"),
        ([{"question": "sum-0", "answer": 1}], "give it custom_id or question_id or id"),
    ],
)
def test_gold_files_that_cannot_be_used(
    tmp_path: Path, gold: list[dict[str, Any]], hint: str
) -> None:
    path = write(tmp_path / "b.jsonl", BATCH)
    with pytest.raises(InputError, match=hint):
        read_log(path, gold=str(write(tmp_path / "gold.jsonl", gold)))


def test_gold_answers_go_with_a_batch_alone(tmp_path: Path) -> None:
    for rows in (rows_of(4, 8), lm_eval_rows()):
        path = write(tmp_path / "log.jsonl", rows)
        message = refused("calibrate", "--from-logs", path, "--gold", "g.jsonl", "--out", "none")
        assert "leave it out" in message
    sampled = ["calibrate", "p.jsonl", "--out", tmp_path / "a", "--gold", "g.jsonl"]
    assert "goes with --from-logs" in refused(*sampled)


def test_help_and_guide_name_every_format_and_column() -> None:
    _, shown, _ = invoke("calibrate", "--help")
    words = re.sub(r"[\s│]+", "", shown)
    guide = (ROOT / "docs/logs.md").read_text()
    for name in ("lm-evaluation-harness", "search-and-learn", "OpenAI batches"):
        assert name.replace(" ", "") in words
        assert f"### {name}" in guide
    for columns in COLUMNS.values():
        for column in columns:
            assert f"`{column}`" in guide


@pytest.mark.slow
def test_the_command(tmp_path: Path) -> None:
    rows = [*batch_rows(24), failed_batch_row("sum-0-9")]
    path, gold = write(tmp_path / "batch.jsonl", rows), gold_file(tmp_path, 24)
    logged = ["calibrate", "--from-logs", path, "--gold", gold, "--out", tmp_path / "a"]
    status, _, message = invoke(*logged, "--bins", 2, "--budgets", "1,2,4", "--pilots", 2)
    assert status == 0, message
    assert "Note: failed requests, left out: 1" in message
    report = (tmp_path / "a" / "report.html").read_text()
    assert "batch.jsonl" in report
    assert "failed requests, left out: 1" in report
