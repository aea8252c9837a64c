"""``ttc calibrate --confidence`` on the testbed, from sampling to an artifact that solves."""

import json
from math import isfinite
from pathlib import Path

import numpy as np
import pytest

from benchmarks.testbed.task import distinct_problems
from calibration.fitting.abort_threshold import abort_threshold
from calibration.report.words import confidence_words
from calibration.sampling.store import read_records
from predictors.confidence import ConfidenceSettings
from runtime.artifact import SAMPLES, Artifact
from tests.support.cli import MODELS, TASK, copied_artifact, invoke, rendered, solve

WINDOW = 8


@pytest.mark.slow
def test_calibrate_reads_it_and_solve_uses_it(tmp_path: Path) -> None:
    graded, artifact = tmp_path / "graded.jsonl", tmp_path / "artifact"
    problems = distinct_problems("calibration", 24, 31)
    rows = [json.dumps({"prompt": p.text, "answer": p.answer}) for p in problems]
    graded.write_text("\n".join(rows) + "\n")
    options = ["--budgets", "1,4", "--pilots", "1", "--runs", "1", "--bins", "2"]
    options += ["--confidence", "--confidence-window", str(WINDOW)]
    status, _, message = invoke("calibrate", graded, "--out", artifact, *MODELS, *TASK, *options)
    assert status == 0, message

    settings = Artifact.load(artifact).settings
    records = read_records(artifact / SAMPLES)
    samples = [sample for record in records for sample in record.independent.samples]
    assert all(isfinite(sample.confidence) for sample in samples)
    assert settings.scoring.confidence != 0
    assert settings.confidence == abort_threshold(records, ConfidenceSettings(window=WINDOW))
    assert confidence_words(settings.confidence)[:30] in " ".join(message.split())

    # Searches were scored by it, too.
    beams = [s for record in records for run in record.repeats[0].values() for s in run.samples]
    assert all(isfinite(sample.confidence) for sample in beams)

    status, out, message = invoke(*solve("--budget", "4", "12+7*3", artifact=artifact))
    assert status == 0, message
    assert np.isfinite(json.loads(out)["score"])


def test_inspect_says_what_it_does(tmp_path: Path) -> None:
    folder = copied_artifact(tmp_path)
    _, without, _ = invoke("inspect", folder)
    assert "windows of" not in without
    path = folder / "settings.json"
    ending = ConfidenceSettings(window=64, threshold=7.5, saved=0.125)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"confidence": ending.model_dump()}))
    _, shown, _ = invoke("inspect", folder)
    for words in ("windows of 64", "below 7.5", "at least 12.5%"):
        assert words in " ".join(shown.replace("│", " ").split())


def test_words() -> None:
    assert rendered(confidence_words(None)).startswith("not read")
    assert "ends no solution" in confidence_words(ConfidenceSettings())
