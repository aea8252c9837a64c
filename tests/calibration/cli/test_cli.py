"""The command line: what it makes, and how it refuses bad input."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from allocator.table import LookupTable
from benchmarks.testbed.paths import ARTIFACT, BASE, PRM
from benchmarks.testbed.task import distinct_problems
from calibration.replay.replay import Replay
from calibration.sampling.resume import UNFINISHED
from calibration.sampling.store import read_records
from runtime.artifact import SAMPLES, TABLE, Artifact, load_settings
from runtime.verifiers.likelihood import HEAD_FILE
from tests.support.cli import MODELS, TASK, copied_artifact, invoke, refused, solve
from tests.support.waiting import eventually


@pytest.fixture
def graded(tmp_path: Path) -> Path:
    path = tmp_path / "graded.jsonl"
    rows = [
        {"prompt": p.text, "answer": p.answer} for p in distinct_problems("calibration", 24, 31)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.slow
def test_calibrate_then_solve_then_explain(graded: Path, tmp_path: Path) -> None:
    artifact = tmp_path / "artifact"
    status, _, message = invoke(
        "calibrate",
        graded,
        "--out",
        artifact,
        *MODELS,
        *TASK,
        "--budgets",
        "1,4,8",
        "--pilots",
        "0,1,2",
        "--runs",
        "2",
        "--bins",
        "2",
    )
    assert status == 0, message
    assert sorted(path.name for path in tmp_path.iterdir()) == ["artifact", graded.name]
    assert {path.name for path in artifact.iterdir()} >= {
        *("settings.json", "table.json", "oracle_table.json", "summary.json", "samples.parquet"),
        *("curves.json", "prices.json", "gain_model.json", "latency.json", "drift_baseline.json"),
        *("difficulty-0.safetensors", "difficulty-1.txt", "difficulty-2.txt"),
        *(f"difficulty-{pilots}.json" for pilots in (0, 1, 2)),
        *("README.md", "report.html", "report-accuracy.png"),
    }
    loaded = Artifact.load(artifact)
    assert [row.budget for row in loaded.policy.table.rows] == [1, 4, 8]
    assert (
        list(loaded.difficulty) == [curves.pilots for curves in loaded.curves.curves] == [0, 1, 2]
    )
    assert loaded.drift_baseline.pilots == 1
    assert loaded.prices.schedule.costs[-1] >= 8
    for curves in loaded.curves.curves:
        for plan in curves.plans:
            assert (loaded.latency.seconds(plan) or 0) > 0, f"{plan} was not timed"

    # What was sampled is there to be looked at again, and says the same as the table.
    replay = Replay(read_records(artifact / SAMPLES), window=8)
    first = loaded.policy.table.rows[0].cells[0]
    assert first.accuracy == pytest.approx(replay.outcome(first.plan, 0).correct.mean())
    sizes = loaded.settings.sizes(artifact)
    assert sizes is not None
    assert first.flops == pytest.approx(sizes.sampling(first.tokens)), "a single one, not scored"

    status, out, message = invoke(*solve("--budget", "8", "12+7*3", "5-9", artifact=artifact))
    assert status == 0, message
    answers = [json.loads(line) for line in out.splitlines()]
    assert [answer["prompt"] for answer in answers] == ["12+7*3", "5-9"]
    assert answers[0]["receipt"]["generations"] <= 8
    assert answers[0]["receipt"]["flops"] > sizes.sampling(answers[0]["receipt"]["sampled_tokens"])

    status, _, message = invoke(
        "explain", "--artifact", artifact, "--engine", "transformers", "--budget", "8", "12+7*3"
    )
    assert status == 0, message
    assert "pass@1" in message
    assert "Budget 8" in message


def test_a_prompt_longer_than_the_context(tmp_path: Path) -> None:
    out = tmp_path / "answers.jsonl"
    message = refused(*solve("--budget", "4", "--out", out, "1+1", "1" + "+1" * 200))
    assert "no room in the context of 256; shorten it" in message
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        ("", "it is empty; give one JSON object a line"),
        ("\n\n", "it is empty; give one JSON object a line"),
        ("12+7\n", "not JSON"),
        ("12\n", "give one JSON object a line"),
        ("{\n", "not JSON"),
        ('{"text": "1+1"}\n', "no 'prompt' among its columns"),
        ('{"prompt": ""}\n', "give it a 'prompt' field"),
    ],
)
def test_an_unusable_prompts_file(tmp_path: Path, content: str, hint: str) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_text(content)
    assert hint in refused(*solve("--budget", "4", "--file", path))


def test_no_prompts_file_and_no_prompts() -> None:
    assert "No such file" in refused(*solve("--budget", "4", "--file", "nowhere.jsonl"))
    assert "give prompts on the command line" in refused(*solve("--budget", "4"))


def test_a_missing_artifact(tmp_path: Path) -> None:
    message = refused(*solve("--budget", "4", "1+1", artifact=tmp_path / "none"))
    assert "make one with ttc calibrate" in message


def test_a_foreign_artifact(tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(BASE, other)
    weights = load_file(other / "model.safetensors")
    weights["model.norm.weight"] += 0.5
    save_file(weights, other / "model.safetensors", metadata={"format": "pt"})
    message = refused(
        *solve("--budget", "4", "1+1", artifact=copied_artifact(tmp_path, model=str(other)))
    )
    assert "artifact model" in message
    assert "run ttc calibrate for this one" in message


def test_a_verifier_that_returns_nan(tmp_path: Path) -> None:
    broken = tmp_path / "prm"
    shutil.copytree(PRM, broken)
    weights = load_file(broken / HEAD_FILE)
    weights["likelihood_head.outer.weight"].fill_(float("nan"))
    save_file(weights, broken / HEAD_FILE, metadata={"format": "pt"})
    folder = copied_artifact(tmp_path, verifier=str(broken))
    table = LookupTable.load(folder / TABLE)
    fingerprint = load_settings(folder).fingerprint(folder)
    table.model_copy(update={"fingerprint": fingerprint}).save(folder / TABLE)
    out = tmp_path / "answers.jsonl"
    status, _, message = invoke(*solve("--budget", "4", "--out", out, "1+1", artifact=folder))
    assert status == 1
    assert "nan: scores lie in [0, 1]; check its weights" in message
    assert "nan: scores lie in" in json.loads(out.read_text())["error"]
    assert not list(tmp_path.glob("*.partial"))


def test_an_unknown_strategy() -> None:
    message = refused(*solve("--budget", "8", "--plan", "mcts:8", "1+1"))
    assert "strategy: 'mcts': choose one of best_of_n, beam_search" in message


def test_a_plan_over_the_budget() -> None:
    message = refused(*solve("--budget", "8", "--plan", "best_of_n:16", "1+1"))
    assert "costs 16; allow that" in message


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "hint"),
    [
        (["--budgets", "1,x"], "give whole numbers, comma-separated"),
        (["--budgets", "0,4"], "budgets of at least 1"),
        (["--pilots", "64"], "below the top budget"),
        (["--pilots", "0"], "and 0 beside others"),
        (["--pilots", "-1,1"], "choose from 1 to"),
        (["--pilots", "0,1,x"], "give whole numbers, comma-separated"),
        (["--bins", "0"], "give at least 1"),
        (["--max-beams", "0"], "max-beams: 0"),
        (["--race", "0"], "race: 0"),
        (["--race", "2"], "race: 2: give at least 3"),
        (["--lookahead", "1,0"], "lookahead: 0"),
        (["--lookahead", "1", "--strategies", "dvts"], "it goes with beam_search"),
        (["--temperature", "-1"], "temperature"),
        (["--answers", "latex"], "must be math, choices, choices:NUMBER, pattern: and"),
        (["--answers", "python:none.py"], "cannot be read: No such file"),
        (["--answer-timeout", "0"], "answer_timeout: 0.0: Input should be greater than 0"),
        (["--columns", "prompt"], "give NAME=VALUE"),
        (["--strategies", "best_of_n,mcts"], "choose from best_of_n, beam_search, dvts"),
        (["--strategies", "revisions"], "name one with --reviser"),
        (["--engine", "tensorrt"], "choose auto, vllm or transformers"),
        (["--engine", "http://127.0.0.1:9"], "no OpenAI-compatible server answers there"),
        (["--confidence-window", "64"], "together with --confidence"),
        (["--confidence", "--confidence-window", "0"], "give at least 1 token"),
        (["--model", "/nowhere/at/all"], "no such folder, and not on the hub"),
    ],
)
def test_calibration_refuses_bad_options(
    graded: Path, tmp_path: Path, options: list[str], hint: str
) -> None:
    out = tmp_path / "artifact"
    message = refused("calibrate", graded, "--out", out, *MODELS, *TASK, *options)
    assert hint in message
    assert [p.name for p in tmp_path.iterdir()] == [graded.name]


def test_calibration_never_overwrites(graded: Path, tmp_path: Path) -> None:
    message = refused("calibrate", graded, "--out", tmp_path, *MODELS, *TASK)
    assert "choose another folder" in message


def test_calibration_needs_prompts_enough_and_each_once(tmp_path: Path) -> None:
    few = tmp_path / "few.jsonl"
    few.write_text('{"prompt": "1+1", "answer": "2"}\n')
    message = refused("calibrate", few, "--out", tmp_path / "a", *MODELS, *TASK)
    assert "needs at least 20" in message
    few.write_text('{"prompt": "1+1", "answer": "2"}\n' * 30)
    message = refused("calibrate", few, "--out", tmp_path / "a", *MODELS, *TASK)
    assert "list each once" in message


@pytest.mark.parametrize(
    "command",
    [
        ["solve", "--artifact", ARTIFACT, "--budget", "4", "--file"],
        ["calibrate", "--out", "o", *MODELS],
        ["train", "prm", "--out", "o", "--model", BASE],
        ["train", "reviser", "--out", "o", "--model", BASE],
    ],
)
def test_commands_that_read_data_map_its_columns(tmp_path: Path, command: list[object]) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text('{"question": "1+1", "gold": 2}\n')
    columns = ["--columns", "prompt=question,answer=right"]
    assert "no 'right' in" in refused(*command, path, *columns)
    assert "math has problem" in refused(
        *command, path, "--format", "math", columns[0], "prompt=gold"
    )


@pytest.mark.slow
def test_train_prm_then_score_with_it(graded: Path, tmp_path: Path) -> None:
    out = tmp_path / "prm"
    numbers = ["--samples", "2", "--rollouts", "1", "--max-epochs", "1", "--batch", "8"]
    model = ["--model", str(BASE), "--engine", "transformers"]
    status, _, message = invoke("train", "prm", graded, "--out", out, *model, *TASK, *numbers)
    assert status == 0, message
    assert "epoch 1: training loss" in message
    left = {"prm", "prm.samples.jsonl"}
    assert {path.name for path in tmp_path.iterdir() if path.name.startswith("prm")} == left
    assert load_settings(ARTIFACT).model_copy(update={"verifier": str(out)}).fingerprint(ARTIFACT)
    # With other numbers the samples beside it are not what was asked for.
    other = ["--samples", "3", *numbers[2:]]
    assert "it was begun with" in refused(
        "train", "prm", graded, "--out", out, *model, *TASK, *other
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "hint"),
    [
        (["--samples", "0"], "greater than or equal to 1"),
        (["--learning-rate", "0"], "greater than 0"),
        (["--explored", "1", "--rollouts", "0"], "only rollouts label them"),
        (["--extra-layers", "-1"], "greater than or equal to 0"),
        (["--seed", "-1"], "seed: -1: Input should be greater than or equal to 0"),
    ],
)
def test_training_refuses_bad_options(
    graded: Path, tmp_path: Path, options: list[str], hint: str
) -> None:
    model = ["--model", str(BASE), "--engine", "transformers"]
    message = refused("train", "prm", graded, "--out", tmp_path / "o", *model, *TASK, *options)
    assert hint in message
    assert not (tmp_path / "o").exists()


@pytest.mark.slow
def test_early_stop_answers_the_same(tmp_path: Path) -> None:
    plan = ["--budget", "32", "--plan", "best_of_n:32:majority"]
    prompt = distinct_problems("test", 1, 33)[0].text
    found = []
    for options in ([], ["--early-stop", "1"], ["--early-stop", "0.9"]):
        status, out, message = invoke(*solve(*plan, *options, prompt))
        assert status == 0, message
        found.append(json.loads(out))
    whole, stopped, sooner = found
    assert stopped["answer"] == whole["answer"]
    spent = [each["receipt"]["generations"] for each in (sooner, stopped, whole)]
    assert spent == sorted(spent)
    assert spent[0] < spent[-1] == 32


@pytest.mark.slow
def test_a_calibration_killed_on_its_way_ends_in_the_same_artifact(
    graded: Path, tmp_path: Path
) -> None:
    def command(out: Path) -> list[str]:
        parts = ["calibrate", graded, "--out", out, *MODELS, *TASK]
        small = ["--budgets", "1,2", "--bins", "2", "--runs", "1", "--seed", "9"]
        return [str(p) for p in [*parts, *small]]

    def made(out: Path) -> dict[str, bytes]:
        # How long it took is not the same again, and report and card name its folder.
        others = ("latency.json", "samples.parquet", "report.html", "README.md")
        files = [path for path in out.iterdir() if path.name not in others]
        return {path.name: path.read_bytes() for path in files}

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    status, _, message = invoke(*command(whole))
    assert status == 0, message
    assert "--budget 2 'your prompt'" in message, "the greatest budget within 16"
    samples = tmp_path / "killed.samples"
    process = subprocess.Popen(
        [sys.executable, "-m", "calibration.cli", *command(killed)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    # Long before the first prompt is complete.
    eventually(
        lambda: list(samples.glob(f"{UNFINISHED}/*.jsonl")) or process.poll() is not None, 180
    )
    process.kill()
    process.wait()
    # It may have been through already, on a quick machine; it was not, if its samples are there.
    if not killed.exists():
        assert list(samples.glob(f"{UNFINISHED}/*.jsonl"))
        status, _, message = invoke(*command(killed))
        assert status == 0, message
    assert made(killed) == made(whole)
    assert not samples.exists()
    # Of the pilots that are chosen among by default, those that leave something of the budget.
    assert {name for name in made(whole) if name.startswith("difficulty")} == {
        *("difficulty-0.json", "difficulty-0.safetensors"),
        *("difficulty-1.json", "difficulty-1.txt"),
    }
