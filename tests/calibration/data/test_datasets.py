"""Data sets: where rows come from, the formats' answer conventions, and real data read whole."""

import json
import sys
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from allocator.errors import InputError
from calibration.data.datasets import DataSettings, located_prompts, read_graded_prompts
from calibration.data.sample_log import read_log
from runtime.answers import MathAnswers
from tests.support.equivalent import equivalent
from tests.support.paths import SHARED

AUTO = DataSettings()
ROWS: list[dict[str, Any]] = [{"prompt": "1+1", "answer": 2}, {"prompt": "7-3", "answer": "4"}]
PAIRS = [("1+1", "2"), ("7-3", "4")]
GSM8K = {"question": "Ann has 1,000 eggs and lays 18.", "answer": "1000+18=<<1000+18>>\n#### 1,018"}
MATH = {"problem": "Half?", "solution": r"Not $\boxed{2}$ but $\boxed{\frac{1}{\sqrt{4}}}$."}

real_data = pytest.mark.skipif(
    not (SHARED / "gsm8k_test.jsonl").is_file(),
    reason="the GSM8K and MATH files are not there; name their folder in TTC_SHARED_DATA",
)

# Rows of the MATH file whose given answer is not that of their own reference solution, and why.
# A clean-up of the answers, before they came into the file, broke these eleven.
AFTER_TEXT = "what follows the first \\text was cut off as if it were a unit"
NUMBER_LOST = "the unit is there, the number is gone"
EMPTY_ROOT = r"\sqrt 2 became \sqrt{}2, the root of nothing"
BROKEN_ANSWERS = {
    530: ("9", "the boxed 9 a.m. lost its half of the day"),
    951: ("19", AFTER_TEXT),
    1141: (r"10\sqrt{}2", EMPTY_ROOT),
    1796: ("squareinches", NUMBER_LOST),
    1849: ("edges", NUMBER_LOST),
    1872: (r"\frac{\}{p}i4+2-\sqrt{2}", r"\frac \pi4 was taken apart letter by letter"),
    1959: ("km", NUMBER_LOST),
    2914: (r"\sqrt{}5", EMPTY_ROOT),
    2964: (r"1+\sqrt{}2,\1-\sqrt{}2,\2+\sqrt{}3,\2-\sqrt{}3", EMPTY_ROOT),
    4118: ("12", AFTER_TEXT),
    4371: (
        "thecorrectansweraswenormallydo,asthatwouldbeespeciallyconfusingforthisproblem.",
        "boxes are the exercise's own operation, and the last is no answer; nor is this, of prose",
    ),
    4698: ("7,-2,", AFTER_TEXT),
}


def lines(path: Path, rows: list[dict[str, object]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def refusal(source: str, data: DataSettings = AUTO) -> str:
    with pytest.raises(InputError) as caught:
        read_graded_prompts(source, data)
    return str(caught.value)


def texts(source: str) -> list[str]:
    return [text for _, text in located_prompts(source, AUTO)]


@pytest.fixture
def cached_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.mark.parametrize("suffix", ["jsonl", "json"])
def test_json_lines(tmp_path: Path, suffix: str) -> None:
    source = lines(tmp_path / f"data.{suffix}", ROWS)
    assert read_graded_prompts(source, AUTO) == PAIRS
    assert texts(source) == ["1+1", "7-3"]


def test_of_parquet_only_the_columns_asked_for_are_read(tmp_path: Path) -> None:
    path = tmp_path / "data.parquet"
    table = pa.table({"q": ["1+1", "7-3"], "junk": ["x" * 500, "y" * 500], "gold": [2, 4]})
    pq.write_table(table, path, compression="none", use_dictionary=False)
    junk = pq.ParquetFile(path).metadata.row_group(0).column(1)
    damaged = bytearray(path.read_bytes())
    start = junk.data_page_offset
    damaged[start : start + junk.total_compressed_size] = b"\xff" * junk.total_compressed_size
    path.write_bytes(damaged)

    named = DataSettings(columns="prompt=q,answer=gold")
    assert read_graded_prompts(str(path), named) == PAIRS
    broken = DataSettings(columns="prompt=junk,answer=gold")
    assert "data.parquet" in refusal(str(path), broken)
    path.write_bytes(b"PAR")
    assert "not Parquet" in refusal(str(path))
    pq.write_table(table.slice(0, 0), path)
    assert "it is empty" in refusal(str(path))


def test_hugging_face_folders(tmp_path: Path, cached_here: None) -> None:
    made = datasets.Dataset.from_list([{**row, "answer": str(row["answer"])} for row in ROWS])
    saved, splits = str(tmp_path / "saved"), str(tmp_path / "splits")
    made.save_to_disk(saved)
    assert read_graded_prompts(saved, AUTO) == PAIRS
    datasets.DatasetDict({"train": made, "test": made.select([1])}).save_to_disk(splits)
    assert read_graded_prompts(f"{splits}::test", AUTO) == PAIRS[1:]
    assert f"choose a split of train, test, as in {splits}::train" in refusal(splits)

    # The same layout as on the hub: Parquet files, and configurations named in the README.
    hub = tmp_path / "hub"
    hub.mkdir()
    made.to_parquet(hub / "main.parquet")
    made.select([1]).to_parquet(hub / "few.parquet")
    configs = [
        {"config_name": "main", "data_files": [{"split": "test", "path": "main.parquet"}]},
        {"config_name": "few", "data_files": [{"split": "test", "path": "few.parquet"}]},
    ]
    (hub / "README.md").write_text(f"---\nconfigs: {json.dumps(configs)}\n---\n")
    assert read_graded_prompts(f"{hub}:main:test", AUTO) == PAIRS
    assert read_graded_prompts(f"{hub}:main:test[:1]", AUTO) == PAIRS[:1]
    assert texts(f"{hub}:few") == ["7-3"]
    assert "main" in refusal(str(hub))
    assert "no data set that loads" in refusal(f"{hub}:main:train")


def test_a_log_may_be_a_hugging_face_folder(tmp_path: Path, cached_here: None) -> None:
    rows = [{"question": "q", "answer": n % 2, "gold": 1} for n in range(4)]
    saved = str(tmp_path / "saved")
    datasets.Dataset.from_list(rows).save_to_disk(saved)
    log = read_log(saved)
    assert sorted(log.correct[0].tolist()) == [False, False, True, True]
    assert log.digest != read_log(saved, where={"gold": "1"}).digest


def test_data_sets_that_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "data sets on the hub are OWNER/NAME[:CONFIG:SPLIT]" in refusal("prompts")
    assert "data sets on the hub are OWNER/NAME[:CONFIG:SPLIT]" in refusal("/no/where:main:test")
    (tmp_path / "data.csv").write_text("prompt,answer\n")
    assert "give a .jsonl, .json or .parquet file" in refusal(str(tmp_path / "data.csv"))
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    message = refusal("ttc-allocator/no-such-data:main:test")
    assert "no such file, and no data set that loads" in message
    assert "'ttc-allocator/no-such-data'" in message
    monkeypatch.setitem(sys.modules, "datasets", None)
    assert "pip install 'ttc-allocator[datasets]'" in refusal("openai/gsm8k:main:test")


def test_formats_are_recognised_by_their_columns(tmp_path: Path) -> None:
    gsm8k, math = lines(tmp_path / "g.jsonl", [GSM8K]), lines(tmp_path / "m.jsonl", [MATH])
    given = lines(tmp_path / "a.jsonl", [{**MATH, "answer": "0.5"}])
    assert read_graded_prompts(gsm8k, AUTO) == [(GSM8K["question"], "1018")]
    assert read_graded_prompts(math, AUTO) == [("Half?", r"\frac{1}{\sqrt{4}}")]
    assert read_graded_prompts(given, AUTO) == [("Half?", "0.5")]
    assert texts(math) == ["Half?"]


def test_right_answers_have_no_space_around_them(tmp_path: Path) -> None:
    source = lines(tmp_path / "rows.jsonl", [{"prompt": "1+1 ", "answer": " 2\n"}])
    assert read_graded_prompts(source, AUTO) == [("1+1 ", "2")]


def test_columns_stand_for_the_formats_own(tmp_path: Path) -> None:
    source = lines(tmp_path / "d.jsonl", [{"question": "1+1", "answer": "no", "gold": "2"}])
    assert read_graded_prompts(source, DataSettings(columns="prompt=question,answer=gold")) == [
        ("1+1", "2")
    ]
    other = lines(tmp_path / "o.jsonl", [{"q": "1+1", "worked": "it is \n#### 2"}])
    data = DataSettings(format="gsm8k", columns="question=q,answer=worked")
    assert read_graded_prompts(other, data) == [("1+1", "2")]
    assert "no 'q' in" in refusal(source, DataSettings(columns="prompt=q"))
    assert "gsm8k has question, answer, no prompt" in refusal(
        source, DataSettings(format="gsm8k", columns="prompt=gold")
    )
    assert "no 'problem' among its columns" in refusal(source, DataSettings(format="math"))
    for bad in ("prompt", "prompt=", "prompt=question,prompt=gold"):
        assert "give NAME=VALUE" in refusal(source, DataSettings(columns=bad))
    assert "the formats have" in refusal(source, DataSettings(columns="text=question"))


@pytest.mark.parametrize(
    ("row", "hint"),
    [
        ({**GSM8K, "question": "again", "answer": "18"}, "does not end in '#### N'"),
        ({**GSM8K, "question": "again", "answer": "#### 18\nor 19"}, "does not end in '#### N'"),
        (
            {**GSM8K, "question": "again", "answer": ["18"]},
            "'answer' must not be a list; write one as a text of JSON",
        ),
        ({"question": "again"}, "give it a 'answer' field"),
        (GSM8K, "the prompt occurs twice"),
    ],
)
def test_a_row_that_does_not_fit(tmp_path: Path, row: dict[str, object], hint: str) -> None:
    source = lines(tmp_path / "d.jsonl", [GSM8K, row])
    message = refusal(source)
    assert message.startswith(f"{source}, line 2:")
    assert hint in message


def test_a_solution_without_an_answer(tmp_path: Path) -> None:
    source = lines(tmp_path / "d.jsonl", [MATH, {"problem": "x", "solution": r"so $\boxed{2$"}])
    assert r"line 2: 'so $\\boxed{2$': its solution has no \boxed{answer}" in refusal(source)


def not_graded_same(name: str, worked: str) -> dict[int, str]:
    """The right answers of rows whose reference solution is not graded correct."""
    source, answers = SHARED / name, MathAnswers()
    solutions = [json.loads(line)[worked] for line in source.read_text().splitlines()]
    pairs = read_graded_prompts(str(source), AUTO)
    assert len(pairs) == len(solutions)
    found = {}
    for number, (solution, (_, gold)) in enumerate(zip(solutions, pairs, strict=True)):
        answer = answers.extract(solution)
        if answer is None or not equivalent(answers, gold, answer):
            found[number] = gold
    return found


@real_data
def test_every_reference_solution_of_gsm8k_is_graded_correct() -> None:
    assert not_graded_same("gsm8k_test.jsonl", "answer") == {}


@pytest.mark.slow
@real_data
def test_every_reference_solution_of_math_is_graded_correct_but_for_broken_answers() -> None:
    found = not_graded_same("math_test.jsonl", "solution")
    assert found == {number: gold for number, (gold, _) in BROKEN_ANSWERS.items()}


@real_data
def test_every_box_of_math_is_its_answer_without_the_given_one(tmp_path: Path) -> None:
    rows = [json.loads(line) for line in (SHARED / "math_test.jsonl").read_text().splitlines()]
    for row in rows:
        del row["answer"]
    pairs, answers = read_graded_prompts(lines(tmp_path / "m.jsonl", rows), AUTO), MathAnswers()
    assert [gold for _, gold in pairs] == [answers.extract(row["solution"]) for row in rows]
