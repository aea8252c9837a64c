"""Thoughts read from logs: probes in a column, or several rows per sample."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from allocator.errors import InputError
from calibration.data.sample_log import read_log
from calibration.fitting.thinking import candidates
from calibration.from_logs import fit_log
from predictors.thinking_state import PROBE_TOKENS
from tests.support.logs import write

# Each sample: its answer, its tokens, and the answers forced after 10 and 20 tokens.
SAMPLES: list[tuple[str | None, int, list[str | None]]] = [
    ("7", 25, ["5", "7"]),
    ("5", 12, ["5"]),
    ("7", 30, [None, "5"]),
    (None, 22, ["9", None]),
]


def probed() -> list[dict[str, Any]]:
    """A row per sample."""
    return [
        {
            "question": question,
            "gold": "7",
            "answer": answer,
            "tokens": tokens,
            "probes": probes,
            "probe_every": 10,
        }
        for question in ("a", "b")
        for answer, tokens, probes in SAMPLES
    ]


def capped(whole: object = None) -> list[dict[str, Any]]:
    """A row per sample and cap; caps that a thought does not reach have no row."""
    rows = []
    for question in ("a", "b"):
        for number, (answer, tokens, probes) in enumerate(SAMPLES):
            common: dict[str, Any] = {"question": question, "gold": "7", "sample_index": number}
            for cap, forced in zip((10, 20), probes, strict=False):
                row: dict[str, Any] = {"answer": forced, "tokens": cap, "thinking_tokens": cap}
                rows.append(common | row)
            row = {"answer": answer, "tokens": tokens, "thinking_tokens": whole}
            rows.append(common | row)
    return rows


def answers(path: Path, cap: int | None) -> list[list[tuple[int, ...]]]:
    """The answers under a cap, in an order that does not depend on the file's."""
    found = read_log(path).thoughts
    assert found is not None
    under = found.at_cap(cap)
    pairs = np.stack([under.answer, under.depth.astype(int)], axis=-1)
    return [sorted(map(tuple, question)) for question in pairs.tolist()]


@pytest.mark.parametrize("cap", [10, 20, None])
@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_both_ways_of_writing_thoughts_read_the_same(
    tmp_path: Path, cap: int | None, ending: str
) -> None:
    by_probes = write(tmp_path / f"probes.{ending}", probed())
    by_caps = write(tmp_path / f"caps.{ending}", capped())
    expected = {
        10: [(-1, 10), (1, 10), (1, 10), (2, 10)],
        20: [(-1, 20), (0, 20), (1, 12), (1, 20)],
        None: [(-1, 22), (0, 25), (0, 30), (1, 12)],
    }[cap]
    assert answers(by_probes, cap) == answers(by_caps, cap) == [expected] * 2


@pytest.mark.parametrize("off", [0, "off"])
def test_answers_without_a_thought_stand_apart(tmp_path: Path, off: object) -> None:
    rows = capped("full")
    for number, row in enumerate([row for row in rows if row["thinking_tokens"] == "full"]):
        tokens = 3 + number % 4
        answer = {"answer": "7" if number % 2 else "8", "tokens": tokens, "thinking_tokens": off}
        rows.append(row | answer)
    found = read_log(write(tmp_path / "log.jsonl", rows)).thoughts
    assert found is not None
    assert found.probes.tolist() == [10, 20]
    assert found.direct is not None
    pairs = np.stack([found.direct.answer, found.direct.tokens.astype(int)], axis=-1)
    for question in pairs.tolist():
        right = {tokens for answer, tokens in question if answer == 0}
        assert right == {4, 6}
        assert {tokens for _, tokens in question} == {3, 4, 5, 6}
    assert not found.direct.nll.any()
    without = read_log(write(tmp_path / "without.jsonl", capped("full"))).thoughts
    assert without is not None
    assert without.direct is None
    assert np.array_equal(np.sort(without.tokens), np.sort(found.tokens))
    with pytest.raises(InputError, match="must be 0 in a row of this sample too"):
        read_log(write(tmp_path / "missing.jsonl", rows[:-1]))
    more = rows[-1] | {"sample_index": 99}
    with pytest.raises(InputError, match="the sample needs a row with a thought too"):
        read_log(write(tmp_path / "more.jsonl", [*rows, more]))


def answered() -> list[dict[str, Any]]:
    """A row per sample and cap; tokens are of thought and answer.

    Of each question two thoughts end after 900 tokens, their answers have 300; two go on to 5000.
    """
    rows: list[dict[str, Any]] = []
    for question in ("a", "b"):
        for number in range(4):
            common: dict[str, Any] = {"question": question, "gold": "7", "sample_index": number}
            ended = number < 2
            at_cap = {"answer": "7", "tokens": 1200} if ended else {"answer": "5", "tokens": 1310}
            whole = at_cap if ended else {"answer": "7", "tokens": 5300}
            rows.append(common | {"thinking_tokens": 1000} | at_cap)
            rows.append(common | {"thinking_tokens": "full"} | whole)
    return rows


@pytest.mark.parametrize("left_out", [[], [0], [0, 2, 8, 10]])
def test_a_thought_has_ended_where_its_rows_are_the_same(
    tmp_path: Path, left_out: list[int]
) -> None:
    rows = [row for number, row in enumerate(answered()) if number not in left_out]
    found = read_log(write(tmp_path / "log.jsonl", rows)).thoughts
    assert found is not None
    under = found.at_cap(1000, probed=False)
    assert under.finished.sum(axis=1).tolist() == [2, 2]
    # Each one costs what its row says.
    assert np.sort(under.cost).tolist() == [[1200, 1200, 1310, 1310]] * 2
    assert np.sort(found.at_cap(None, probed=False).cost).tolist() == [[1200, 1200, 5300, 5300]] * 2
    assert found.probe_tokens == 310


def test_a_thought_that_ended_below_its_cap_has_ended(tmp_path: Path) -> None:
    rows = answered()
    # The answer to the same thought was sampled again, in fewer tokens.
    rows[0] = rows[0] | {"tokens": 950, "answer": "8"}
    found = read_log(write(tmp_path / "log.jsonl", rows)).thoughts
    assert found is not None
    assert found.at_cap(1000).finished.sum() == 4


def test_without_whole_thoughts_the_largest_cap_is_the_last(tmp_path: Path) -> None:
    rows = answered()
    for row in rows:
        if row["thinking_tokens"] == "full":
            row["thinking_tokens"] = 4000
            row["tokens"] = min(row["tokens"], 4300)
    found = read_log(write(tmp_path / "log.jsonl", rows)).thoughts
    assert found is not None
    assert (found.probes.tolist(), found.limit) == ([1000, 4000], 4000)
    under = found.at_cap(4000, probed=False)
    assert under.finished.sum(axis=1).tolist() == [2, 2]
    assert np.sort(under.depth).tolist() == [[1000, 1000, 4000, 4000]] * 2
    assert np.sort(under.cost).tolist() == [[1200, 1200, 4305, 4305]] * 2  # 310 and 300 on average
    assert candidates(found) == [1000, 4000]
    with pytest.raises(InputError, match=r"cap: None: must be one of \[1000, 4000\]"):
        found.at_cap(None)


def test_a_sample_without_the_row_of_its_whole_thought_is_refused(tmp_path: Path) -> None:
    rows = answered()
    assert rows[5]["thinking_tokens"] == "full"
    with pytest.raises(InputError, match="must be full in a row of this sample too"):
        read_log(write(tmp_path / "log.jsonl", rows[:5] + rows[6:]))
    with pytest.raises(InputError, match="must be 1000 in a row of this sample too"):
        read_log(write(tmp_path / "log.jsonl", rows[:4] + rows[5:]))


def limited() -> list[dict[str, Any]]:
    """A row per sample; thoughts were cut off after 20 tokens, where answers were forced too."""
    samples: list[tuple[str | None, int, list[str | None]]] = [
        ("7", 20, ["5", "7"]),
        (None, 20, ["5", "7"]),
        (None, 20, ["7", "8"]),
        (None, 13, ["7"]),
    ]
    common: dict[str, Any] = {"gold": "7", "probe_every": 10}
    return [
        common | {"question": question, "answer": answer, "tokens": tokens, "probes": probes}
        for question in ("a", "b")
        for answer, tokens, probes in samples
    ]


def as_caps(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same with a row per sample and cap; a forced answer has 3 tokens."""
    found = []
    for number, row in enumerate(rows):
        common = {key: value for key, value in row.items() if "probe" not in key}
        common["sample_index"] = number % 4
        for cap, forced in zip((10, 20), row["probes"], strict=False):
            ended = row["answer"] is not None and row["tokens"] <= cap
            at_cap = {} if ended else {"answer": forced, "tokens": cap + 3}
            found.append(common | {"thinking_tokens": cap} | at_cap)
        found.append(common | {"thinking_tokens": "full"})
    return found


@pytest.mark.parametrize("finished", [False, True])
@pytest.mark.parametrize("by_caps", [False, True])
def test_a_thought_that_sampling_cut_off_has_the_answer_forced_there(
    tmp_path: Path, finished: bool, by_caps: bool
) -> None:
    rows = limited()
    if finished:
        rows = [row | {"finished": row["answer"] is not None} for row in rows]
    if by_caps:
        rows = as_caps(rows)
    found = read_log(write(tmp_path / "log.jsonl", rows)).thoughts
    assert found is not None
    under = found.at_cap(20, probed=False)
    pairs = np.stack([under.answer, under.finished], axis=-1)
    for question in pairs.tolist():
        assert sorted(map(tuple, question)) == [(-1, 1), (0, 0), (0, 1), (2, 0)]
    each = found.probe_tokens
    assert np.sort(under.cost).tolist() == [[13, 20, 20 + each, 20 + each]] * 2
    whole = found.at_cap(None, probed=False)
    assert np.sort(whole.answer).tolist() == [[-1, -1, -1, 0]] * 2
    assert np.sort(whole.cost).tolist() == [[13, 20, 20, 20]] * 2


def test_a_thought_that_ended_without_an_answer_has_none(tmp_path: Path) -> None:
    rows = [row | {"finished": True} for row in limited()]
    found = read_log(write(tmp_path / "log.jsonl", rows)).thoughts
    assert found.at_cap(20).finished.all()
    assert (found.at_cap(20).answer == -1).sum(axis=1).tolist() == [3, 3]


def test_a_log_that_does_not_count_forced_answers(tmp_path: Path) -> None:
    found = read_log(write(tmp_path / "log.jsonl", capped("full"))).thoughts
    assert found is not None
    assert found.probe_tokens == PROBE_TOKENS


def test_rows_without_a_thought_are_judged_by_themselves(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = []
    for question in ("a", "b"):
        for number in range(4):
            own = {"question": question, "sample_index": number, "logprob": -2.0 - number}
            rows.append(own | {"answer": "9", "tokens": 50, "thinking_tokens": "full"})
            rows.append(own | {"answer": str(number % 2), "tokens": 5, "thinking_tokens": "0"})
            for row in rows[-2:]:
                row["correct"] = row["answer"] == "1"
    found = read_log(write(tmp_path / "log.jsonl", rows)).thoughts
    assert found is not None
    assert found.direct is not None
    assert (found.direct.answer == 0).sum(axis=1).tolist() == [2, 2]
    assert (found.answer == 0).sum() == 0
    assert np.sort(found.direct.nll).tolist() == [[2.0, 3.0, 4.0, 5.0]] * 2
    assert found.nll is not None
    assert np.sort(found.nll).tolist() == [[2.0, 3.0, 4.0, 5.0]] * 2


def test_a_row_per_cap_counts_each_sample_once(tmp_path: Path) -> None:
    log = read_log(write(tmp_path / "caps.jsonl", capped("full")))
    plain = read_log(write(tmp_path / "probes.jsonl", probed()))
    assert log.answer.shape == (2, 4)
    assert np.sort(log.answer).tolist() == np.sort(plain.answer).tolist()
    assert log.thoughts.probes.tolist() == [10, 20]


def test_correct_tells_which_forced_answers_are_correct(tmp_path: Path) -> None:
    rows = [
        {key: value for key, value in row.items() if key != "gold"}
        | {"correct": row["answer"] == "7"}
        for row in probed()
    ]
    log = read_log(write(tmp_path / "log.jsonl", rows))
    assert (log.thoughts.at_cap(20).answer == 0).sum(axis=1).tolist() == [1, 1]


def marked(gold: object = "7", **changes: Any) -> list[dict[str, Any]]:
    """A row per sample, with both columns; no whole thought is right, and forced ones are."""
    samples: list[tuple[str | None, bool, list[str | None]]] = [
        ("5", False, ["5", "7"]),
        (None, False, ["7", "7"]),
        ("9", False, [None, "9"]),
        ("5", False, ["5", "8"]),
    ]
    return [
        {"question": question, "answer": answer, "correct": correct, "gold": gold, "tokens": 25}
        | {"probes": probes, "probe_every": 10}
        | changes
        for question in ("a", "b")
        for answer, correct, probes in samples
    ]


def test_gold_grades_the_forced_answers_that_no_row_has(tmp_path: Path) -> None:
    both = read_log(write(tmp_path / "both.jsonl", marked()))
    alone = read_log(write(tmp_path / "gold.jsonl", without(marked(), "correct")))
    assert not both.notes
    for cap, right in ((10, 1), (20, 2), (None, 0)):
        found, expected = both.thoughts.at_cap(cap), alone.thoughts.at_cap(cap)
        assert (found.answer == 0).sum(axis=1).tolist() == [right, right]
        assert np.array_equal(found.answer, expected.answer)


def test_an_answer_counts_as_its_rows_say_wherever_it_was_forced(tmp_path: Path) -> None:
    # The log's own grader takes 5 for right and 9, the gold answer, for wrong.
    rows = [row | {"gold": "9", "correct": row["answer"] == "5"} for row in marked()]
    found = read_log(write(tmp_path / "log.jsonl", rows)).thoughts
    assert (found.at_cap(None).answer == 0).sum(axis=1).tolist() == [2, 2]
    assert (found.at_cap(10).answer == 0).sum(axis=1).tolist() == [2, 2]
    assert (found.at_cap(20).answer == 0).sum(axis=1).tolist() == [0, 0]


def test_gold_answers_of_true_or_false_grade_forced_ones_by_any_spelling(tmp_path: Path) -> None:
    rows = [row | {"probes": ["True", "true"]} for row in marked(gold=True)]
    found = read_log(write(tmp_path / "log.jsonl", rows)).thoughts
    assert (found.forced == 0).all()


def test_forced_answers_that_nothing_grades_are_counted(tmp_path: Path) -> None:
    rows = without(marked(), "gold")
    rows[2]["correct"] = True  # of question a
    (note,) = read_log(write(tmp_path / "log.jsonl", rows)).notes
    assert note.startswith("1 questions have forced answers, but no row that is marked correct")
    # Of question b alone the gold answer is known.
    rows = [row | {"gold": "7" if row["question"] == "b" else None} for row in marked()]
    (note,) = read_log(write(tmp_path / "some.jsonl", rows)).notes
    assert "1 questions have forced answers" in note
    rows[0]["gold"], rows[1]["gold"] = "7", "8"
    with pytest.raises(InputError, match="must be '7', as in the question's first row"):
        read_log(write(tmp_path / "two.jsonl", rows))


def test_answers_are_compared_by_value_with_a_reader(tmp_path: Path) -> None:
    rows = [row | {"probes": ["7.0" if p == "7" else p for p in row["probes"]]} for row in probed()]
    path = write(tmp_path / "log.jsonl", rows)
    exact, by_value = read_log(path), read_log(path, answers="math")
    assert (exact.thoughts.at_cap(20).answer == 0).sum() == 0
    assert (by_value.thoughts.at_cap(20).answer == 0).sum() == 2


def test_a_log_without_thoughts_has_none(tmp_path: Path) -> None:
    kept = ("question", "gold", "answer", "tokens")
    rows = [{key: row[key] for key in kept} for row in probed()]
    assert read_log(write(tmp_path / "log.jsonl", rows)).thoughts is None


def changed(rows: list[dict[str, Any]], number: int, **cells: Any) -> list[dict[str, Any]]:
    return [row | cells if place == number else row for place, row in enumerate(rows)]


def without(rows: list[dict[str, Any]], column: str) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key != column} for row in rows]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (without(probed(), "probe_every"), "probe_every"),
        (without(probed(), "tokens"), "tokens"),
        (changed(probed(), 2, probe_every=20), "the same in all rows"),
        (changed(probed(), 2, probe_every=0), "line 3.*whole number of tokens"),
        (changed(probed(), 1, probes="5"), "line 2.*must be a list"),
        (without(capped(), "sample_index"), "sample"),
        (changed(capped(), 1, thinking_tokens=10), "line 2.*must differ"),
        (capped()[1:], r"must be 10 in a row of this sample too: it has 25 tokens"),
        (changed(capped(), 1, thinking_tokens=-5), "line 2.*whole number of tokens"),
    ],
)
def test_thoughts_that_cannot_be_used_are_refused(
    tmp_path: Path, rows: list[dict[str, Any]], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        read_log(write(tmp_path / "log.jsonl", rows))


def test_a_thought_may_have_no_probes(tmp_path: Path) -> None:
    rows = probed()
    rows[1] = rows[1] | {"tokens": 8, "probes": []}
    empty = read_log(write(tmp_path / "empty.jsonl", rows)).thoughts
    rows[1] = rows[1] | {"probes": None, "finished": "stop"}
    rows = [{"finished": "length" if row["answer"] is None else "stop"} | row for row in rows]
    missing = read_log(write(tmp_path / "missing.jsonl", rows)).thoughts
    assert empty is not None
    assert missing is not None
    assert np.array_equal(empty.forced, missing.forced)
    assert missing.cut is not None
    assert missing.cut.sum() == 2


def test_rows_of_samples_and_caps_that_are_written_again_count_once(tmp_path: Path) -> None:
    log = read_log(write(tmp_path / "log.jsonl", capped() * 2))
    assert log.sizes.tolist() == [4, 4]
    assert log.notes[0].startswith(f"{len(capped())} rows are written again")


@pytest.mark.slow
def test_a_log_whose_thoughts_were_all_cut_off_is_refused_with_what_to_give(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    rows: list[dict[str, Any]] = [
        {"question": f"q{q}", "gold": "7", "answer": None, "tokens": 20, "probe_every": 10}
        | {"probes": [None, "7" if (q + n) % 3 else "5"]}
        for q in range(20)
        for n in range(4)
    ]
    fit = {"budgets": [1, 2], "pilots": [1], "n_bins": 1, "n_jobs": 1}
    why = r"no thought ended with an answer, but forced .* and false in a column finished"
    with pytest.raises(InputError, match=why):
        fit_log(read_log(write(path, rows)), **fit)
    given = [row | {"answer": row["probes"][-1], "finished": False} for row in rows]
    log = read_log(write(path, given))
    assert log.thoughts is not None
    assert log.thoughts.cut is not None
    assert log.thoughts.cut.all()
    assert fit_log(log, **fit).calibration.table.rows
    wrong = [row | {"answer": "5"} for row in rows]
    with pytest.raises(InputError, match="no thought ended with a right answer"):
        fit_log(read_log(write(path, wrong)), **fit)
