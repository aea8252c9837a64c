"""From a log of the testbed's samples to answers of the testbed's models."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from allocator.errors import InputError
from benchmarks.allocation.pool import read_pool
from benchmarks.testbed.paths import ARTIFACT, BASE, CALIBRATION_PROMPTS, PRM, SETTINGS
from calibration.attaching.attach import LogArtifact
from calibration.report.summary import Summary
from calibration.sampling.collect import PromptRecord
from runtime.artifact import (
    LOGGED_FIGURES,
    SCORING,
    Artifact,
    read_oracle_table,
    read_scoring,
    read_table,
)
from runtime.dropin.transformers import ComputeOptimalModel
from runtime.engines.base import encode_prompt
from runtime.models import open_models
from runtime.server.service import Service
from runtime.server.settings import ServeSettings
from runtime.solving.stop_rule import StopRule
from runtime.verifiers.base import Context, all_aggregations
from tests.support.cli import TASK, invoke, refused
from tests.support.logs import write
from tests.support.serving import Loaded, asked, chat

pytestmark = pytest.mark.slow

POOL = ARTIFACT.parent / "pools" / "calibration.parquet"
QUESTIONS, SAMPLES = 60, 12
ATTACHED = ["--model", BASE, "--engine", "transformers", *TASK]
SCORED = [*ATTACHED, "--verifier", PRM]
PROMPT = "347+58*7-91"


@pytest.fixture(scope="module")
def records() -> list[PromptRecord]:
    return read_pool(POOL)[:QUESTIONS]


def calibrated(folder: Path, records: list[PromptRecord], scored: bool) -> Path:
    """An artifact made from the samples as a log, with or without their scores."""
    rows = [
        {"question": record.prompt, "answer": sample.answer, "gold": record.gold}
        | {
            "score": list(map(float, sample.step_scores)),
            "logprob": float(sample.logprob),
            "tokens": sample.tokens,
            "finished": sample.ended,
        }
        for record in records
        for sample in record.independent.samples[:SAMPLES]
    ]
    if not scored:
        rows = [{name: row[name] for name in ("question", "answer", "gold")} for row in rows]
    log, out = write(folder / "log.parquet", rows), folder / "from_logs"
    options = ["--budgets", "1,4", "--pilots", "1", "--bins", "2"]
    status, _, message = invoke("calibrate", "--from-logs", log, "--out", out, *options)
    assert status == 0, message
    return out


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory, records: list[PromptRecord]) -> Path:
    return calibrated(tmp_path_factory.mktemp("scored"), records, scored=True)


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory, records: list[PromptRecord]) -> Path:
    return calibrated(tmp_path_factory.mktemp("counted"), records, scored=False)


@pytest.fixture(scope="module")
def attached(scored: Path) -> tuple[Path, str]:
    """The artifact with the models that the log is of, and what was said."""
    out = scored.parent / "attached"
    status, _, message = invoke(
        *("attach", scored, "--out", out, *SCORED, "--check", CALIBRATION_PROMPTS)
    )
    assert status == 0, message
    return out, message


def test_the_models_of_the_log_are_like_the_log(attached: tuple[Path, str]) -> None:
    out, said = attached
    assert "check: pass@1 here" in said
    assert "check: tokens per sample here" in said
    assert "check: pilot scores" in said
    assert "no clear difference (no p below 0.002)" in said
    assert Summary.load(out).warnings == Summary.load(out.parent / "from_logs").warnings


def test_the_artifact_is_one_of_the_models(attached: tuple[Path, str], scored: Path) -> None:
    out, _ = attached
    artifact = Artifact.load(out)
    assert artifact.foreign == ()
    assert read_oracle_table(out).fingerprint == artifact.policy.table.fingerprint
    assert artifact.policy.table.rows == read_table(scored).rows
    assert artifact.prices == LogArtifact(scored).policy.prices
    assert not (out / SCORING).exists(), "settings say how samples are scored"
    assert set(artifact.settings.scoring.scores) <= {"last", "min", "product", "mean"}
    features = np.full((1, 19), 0.5)
    before = LogArtifact(scored).policy.difficulty[1].predictor.predict(features)
    assert artifact.difficulty[1].predictor.predict(features) == before
    status, shown, _ = invoke("inspect", out)
    assert status == 0
    assert "base" in "".join(shown.split()), "a long path is wrapped"


def test_scores_of_the_attached_models_are_the_logs(
    attached: tuple[Path, str], scored: Path, records: list[PromptRecord], run: Any
) -> None:
    artifact, logged = Artifact.load(attached[0]), read_scoring(scored)
    assert logged is not None

    async def compare() -> None:
        async with open_models(artifact.settings, artifact.folder, "transformers") as models:
            engine = models.engine
            assert models.scoring == artifact.settings.scoring
            for record in records[:8]:
                context = Context(record.prompt, encode_prompt(engine, record.prompt))
                for sample in record.independent.samples[:3]:
                    verdict = await models.verifier.score(context, sample.steps)
                    # The pool keeps scores in half precision.
                    assert verdict.step_scores == pytest.approx(sample.step_scores, abs=2e-3)
                    read = await models.answers.extract_async(
                        engine.tokenizer.decode(sample.token_ids, skip_special_tokens=True)
                    )
                    assert read == sample.answer
                    here = models.scoring.score(
                        all_aggregations(verdict.step_scores),
                        sample.logprob,
                        sample.tokens,
                        sample.ended,
                    )
                    of_log = {
                        f"score.{how}": value
                        for how, value in all_aggregations(sample.step_scores).items()
                    }
                    there = logged.score(of_log, sample.logprob, sample.tokens, sample.ended)
                    assert float(here) == pytest.approx(float(there), abs=5e-3)

    run(compare())


def test_the_attached_artifact_answers_prompts(attached: tuple[Path, str]) -> None:
    for spend in (["--average-budget", "3"], ["--budget", "4"], ["--total-budget", "6"]):
        command = ["solve", "--artifact", attached[0], "--engine", "transformers", *spend]
        status, out, message = invoke(*command, PROMPT, "12+7")
        assert status == 0, message
        first, second = map(json.loads, out.splitlines())
        assert second["answer"] == "19"
        assert first["receipt"]["generations"] >= 1
    assert "not timed" in refused(
        *("solve", "--artifact", attached[0], "--budget", "4", "--deadline", "1"),
        *("--engine", "transformers", "12+7"),
    )


def test_the_stop_rule_is_the_same_before_and_after(
    attached: tuple[Path, str], scored: Path, records: list[PromptRecord]
) -> None:
    before = StopRule.load(scored, average_budget=2)
    after = StopRule.load(attached[0], average_budget=2)
    taken = []
    for record in records:
        both = before.start(), after.start()
        for votes, form in zip(both, ("score.{}", "{}"), strict=True):
            samples = iter(record.independent.samples)
            while more := votes.more():
                for _ in range(more):
                    sample = next(samples)
                    scores = all_aggregations(sample.step_scores)
                    votes.add(
                        sample.answer,
                        {form.format(how): float(value) for how, value in scores.items()},
                        logprob=float(sample.logprob),
                        tokens=sample.tokens,
                        finished=sample.ended,
                    )
        assert both[0].samples == both[1].samples
        assert both[0].answer == both[1].answer
        taken.append(both[0].samples)
    assert len(set(taken)) > 1
    assert np.mean(taken) == pytest.approx(2, abs=0.6)


@pytest.fixture
def other_answers(tmp_path: Path) -> Path:
    """Prompts whose right answers are others: as if the model were far worse."""
    rows = [json.loads(line) for line in CALIBRATION_PROMPTS.read_text().splitlines()]
    return write(tmp_path / "other.jsonl", [row | {"answer": "1000"} for row in rows[:24]])


def test_models_unlike_the_log_are_refused_unless_forced(
    scored: Path, other_answers: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    command = ["attach", scored, "--out", out, *SCORED, "--check", other_answers]
    message = refused(*command, "--check-samples", "2")
    assert "pass@1 here 0% [0%, 4%], in the log" in message
    assert "--force" in message
    assert list(tmp_path.iterdir()) == [other_answers], "nothing is written"
    status, _, message = invoke(*command, "--check-samples", "2", "--force")
    assert status == 0, message
    assert "warning: the models are unlike the log: pass@1 here 0%" in message
    assert Summary.load(out).warnings[-1].startswith("the models are unlike the log: pass@1")


def test_without_a_check_it_says_so(scored: Path, tmp_path: Path) -> None:
    status, _, message = invoke("attach", scored, "--out", tmp_path / "out", *SCORED)
    assert status == 0, message
    assert "nothing was checked" in message
    assert "nothing was checked" in Summary.load(tmp_path / "out").warnings[-1]
    again = ["attach", tmp_path / "out", "--out", tmp_path / "again", *SCORED]
    assert "it names its models already" in refused(*again)


def test_what_cannot_be_attached_is_refused(scored: Path, counted: Path, tmp_path: Path) -> None:
    out = ["--out", tmp_path / "out"]
    for command, what in (
        (["attach", scored, *out, *ATTACHED], "verifier: None: must be given"),
        (["attach", counted, *out, *SCORED], "leave it out"),
        (["attach", scored, *out, "--verifier", PRM], "model: None"),
        (["attach", scored, "--out", scored, *SCORED], "exists already"),
        (["attach", tmp_path / "none", *out, *SCORED], "ttc calibrate --from-logs has made"),
        (["attach", scored, *out, *SCORED, "--scores", "prm=last"], "that have a weight are"),
        (["attach", scored, *out, "--model", tmp_path / "m", "--verifier", PRM], "model"),
    ):
        assert what in refused(*command)
    assert not (tmp_path / "out").exists()


def test_an_artifact_without_figures_cannot_be_checked(scored: Path, tmp_path: Path) -> None:
    older = shutil.copytree(scored, tmp_path / "older")
    (older / LOGGED_FIGURES).unlink()
    command = ["attach", older, "--out", tmp_path / "out", *SCORED]
    assert "calibrate from the log again" in refused(*command, "--check", CALIBRATION_PROMPTS)
    assert invoke(*command)[0] == 0


def test_answers_must_be_compared_as_the_logs_were(scored: Path, tmp_path: Path) -> None:
    graded = shutil.copytree(scored, tmp_path / "graded")
    for name in ("table.json", "oracle_table.json"):
        table = json.loads((graded / name).read_text())
        table["fingerprint"]["answers"] = "choices:4"
        (graded / name).write_text(json.dumps(table))
    made = LogArtifact(graded)
    with pytest.raises(InputError, match="must be as the log's were: choices:4"):
        made.check(SETTINGS, tmp_path / "out")
    models = ["--model", BASE, "--verifier", PRM, "--step-end", r"\n"]
    status, _, message = invoke("attach", graded, "--out", tmp_path / "out", *models)
    assert status == 0, message
    assert "answers are read by 'choices:4'" in message
    assert Artifact.load(tmp_path / "out").settings.answers == "choices:4"


@pytest.fixture(scope="module")
def unscored(counted: Path) -> Path:
    """The artifact of answers alone, with the model of the log."""
    out = counted.parent / "attached"
    check = ["--check", CALIBRATION_PROMPTS, "--check-prompts", "24"]
    status, _, message = invoke("attach", counted, "--out", out, *ATTACHED, *check)
    assert status == 0, message
    return out


@pytest.mark.parametrize("needs_verifier", [True, False])
def test_the_attached_artifact_is_served_and_dropped_in(
    needs_verifier: bool, attached: tuple[Path, str], unscored: Path, run: Any, tokenizer: Any
) -> None:
    out = attached[0] if needs_verifier else unscored
    artifact = Artifact.load(out)

    async def reply() -> Any:
        async with open_models(artifact.settings, out, "transformers") as models:
            service = Service(ServeSettings(artifact=out, port=0), artifact)
            service.open(Loaded(models))
            return await asked(service, chat("12+7", ttc={"budget": 4}))

    response = run(reply())
    assert response.status_code == 200, response.text
    assert response.json()["choices"][0]["message"]["content"].endswith("#19")
    with ComputeOptimalModel.from_pretrained(out, budget=4) as model:
        ids = torch.tensor([tokenizer.encode("<user>12+7<assistant>")])
        sequences = model.generate(ids, max_new_tokens=160)
        assert isinstance(sequences, torch.Tensor)
        assert "#19" in tokenizer.decode(sequences[0])


def test_a_log_of_answers_alone_needs_no_verifier(unscored: Path) -> None:
    artifact = Artifact.load(unscored)
    assert artifact.settings.verifier is None
    # One answer says nothing of difficulty: all prompts are in one bin.
    assert artifact.drift_baseline.signals["bin"].edges == (1.0,)
    solve = ["solve", "--artifact", unscored, "--engine", "transformers"]
    for spend in (["--average-budget", "2"], ["--budget", "4"]):
        status, answers, message = invoke(*solve, *spend, "12+7")
        assert status == 0, message
        result = json.loads(answers)
        assert result["answer"] == "19"
        assert result["receipt"]["verifier_tokens"] == 0
    beam = [*solve, "--budget", "4", "--plan", "beam_search:4:2", "12+7"]
    assert "a search needs a verifier" in refused(*beam)
