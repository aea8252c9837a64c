"""Calibrating on answers that are JSON: from logs, and on a model that writes it."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from allocator.errors import InputError
from calibration.data.datasets import DataSettings, read_graded_prompts
from calibration.data.sample_log import read_log
from calibration.fitting.fit import Calibration
from runtime.answers import answers_for
from runtime.artifact.files import read_table
from runtime.engines.base import Completion
from runtime.engines.constraint import Constraint
from runtime.frontend.answer_form import structured_form
from runtime.models import Models
from runtime.request import Request, RequestSettings
from runtime.solving.solve import Solver
from tests.support.artifacts import RIGHT, BentCoins, artifact_of, bent_models, bent_prompts
from tests.support.artifacts import calibrated as calibrated_on
from tests.support.cli import invoke
from tests.support.equivalent import equivalent
from tests.support.fakes import COIN_SETTINGS, STEPS
from tests.support.logs import rows_of, write
from tests.support.structured import tooled_tokenizer

GOLD = {"sum": 0, "unit": "m"}


def written(answer: str, number: int) -> str:
    """An answer as JSON, written in one of several ways."""
    if not answer:
        return "no JSON"
    values = {"sum": float(answer) if number % 2 else int(answer), "unit": "m"}
    swapped = dict(reversed(values.items())) if number % 3 else values
    return json.dumps(swapped, indent=number % 4 or None)


@pytest.mark.parametrize("gold", [GOLD, json.dumps(GOLD)], ids=["object", "text"])
def test_logged_json_is_graded_by_value(tmp_path: Path, gold: Any) -> None:
    plain = rows_of(30, 8)
    rows = [
        row | {"answer": written(row["answer"], number), "gold": gold}
        for number, row in enumerate(plain)
    ]
    log = read_log(write(tmp_path / "json.jsonl", rows), answers="json")
    known = read_log(write(tmp_path / "plain.jsonl", plain), answers="pattern:^(.*)$")
    np.testing.assert_array_equal(log.answer == 0, known.answer == 0)
    assert 0 < (log.answer == 0).mean() < 1


def test_a_log_of_json_makes_an_artifact(tmp_path: Path) -> None:
    rows = [
        row | {"answer": written(row["answer"], number), "gold": GOLD}
        for number, row in enumerate(rows_of(60, 16))
    ]
    source = write(tmp_path / "log.jsonl", rows)
    out = tmp_path / "out"
    invoke("calibrate", "--from-logs", source, "--answers", "json:sum", "--out", out)
    assert read_table(out).fingerprint.answers == "json:sum"


def test_right_answers_of_a_data_set_may_be_objects(tmp_path: Path) -> None:
    source = write(tmp_path / "data.jsonl", [{"prompt": "1+2", "answer": GOLD}])
    ((prompt, gold),) = read_graded_prompts(str(source), DataSettings())
    assert (prompt, json.loads(gold)) == ("1+2", GOLD)


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_right_answers_may_be_true_and_false(tmp_path: Path, suffix: str) -> None:
    source = write(tmp_path / f"data.{suffix}", [{"prompt": "1<2", "answer": True}])
    ((_, gold),) = read_graded_prompts(str(source), DataSettings())
    reader = answers_for("json:less")
    assert equivalent(reader, str(reader.extract('{"less": true}')), gold)
    texts = ['{"less": true}', '{"less": false}', '{"less":true}', '{"less": 1}']
    rows = [{"question": "q", "gold": True, "answer": text} for text in texts]
    log = read_log(write(tmp_path / f"log.{suffix}", rows), answers="json:less")
    assert sorted(log.answer[0].tolist()) == [0, 0, 1, 2]


def test_true_and_false_in_pythons_spelling_are_the_same_as_exact_strings(tmp_path: Path) -> None:
    rows = [{"question": "q", "gold": True, "answer": text} for text in ("True", "true", "False")]
    log = read_log(write(tmp_path / "log.jsonl", [*rows, rows[0]]))
    assert sorted(log.correct[0].tolist()) == [False, True, True, True]


def test_a_right_answer_that_is_a_list_is_given_as_text(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"question": "q", "gold": [1, 2], "answer": '{"x": [1, 2]}'} for _ in range(4)
    ]
    with pytest.raises(InputError, match=r"line 1: \[1, 2\]: its 'gold' must not be a list"):
        read_log(write(tmp_path / "list.jsonl", rows), answers="json:x")
    rows = [row | {"gold": "[1, 2]"} for row in rows]
    assert read_log(write(tmp_path / "text.jsonl", rows), answers="json:x").correct.all()


class JsonCoins(BentCoins):
    """Bent coins whose sum is a field of JSON; their order in it, and its form, are chance."""

    def check_constraint(self, constraint: Constraint) -> None:
        pass

    async def complete(self, token_ids: Sequence[int], *, seed: int, **_: Any) -> Completion:
        await asyncio.sleep(0)
        rng = np.random.default_rng(seed)
        asked = self.tokenizer.decode(token_ids).partition("<assistant>")[0]
        chance = int(asked.split("<user>")[-1].split("*")[0]) / 100
        heads = int((rng.random(STEPS) < chance).sum())
        ids = tuple(self.tokenizer.encode(f"{written(str(heads), int(rng.integers(12)))}<end>"))
        self.generations += 1
        return Completion(ids, -0.7 * len(ids), ended=True)


@pytest.fixture(scope="module")
def models() -> Models:
    tokenizer = tooled_tokenizer()
    engine = JsonCoins(tokenizer)
    engine.context_length = 256
    return bent_models(tokenizer, engine=engine, answers=answers_for("json:sum"))


@pytest.fixture(scope="module")
def made(models: Models) -> Calibration:
    return calibrated_on(models, bent_prompts(60, seed=1))


def test_a_model_that_writes_json_is_calibrated(made: Calibration) -> None:
    by_cost = {estimate.generations: estimate.accuracy for estimate in made.curves.after(0).overall}
    assert 0.2 < by_cost[1] < by_cost[max(by_cost)]


def test_requested_json_is_read_as_the_artifact_reads_it(made: Calibration, models: Models) -> None:
    settings = COIN_SETTINGS.sampling.model_copy(update={"max_tokens": 100})
    form = structured_form("response_format", {"json_object": True})
    request = Request("95*7", settings=RequestSettings(settings, form=form))
    result = asyncio.run(Solver(models, artifact_of(made)).solve(request, 8))
    assert equivalent(answers_for("json"), str(result.answer), RIGHT)
    assert json.loads(result.solution)["sum"] == STEPS
