"""``ttc bench``: what it measures, on known truth and on the testbed; what it refuses."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from allocator.errors import InputError
from allocator.flops import ModelSizes
from allocator.plan import Plan
from allocator.table import BudgetRow, Cell, LookupTable
from benchmarks.testbed.paths import ARTIFACT, TEST_PROMPTS
from calibration.bench import (
    BASELINE,
    baseline_notes,
    baselines,
    beam_plan,
    measure,
    sample,
    schedule_within,
    table_for,
    work_of,
)
from calibration.cli import bench_prompts
from calibration.data.questions import CalibratedOn
from calibration.replay.curve_summary import CurveSummary
from calibration.replay.replay import Replay
from calibration.replay.ways import PREDICTED, PRICE, TOTAL
from calibration.report.bench_page import page
from calibration.report.bench_result import BenchResult, Findings
from calibration.report.summarise import NAMES
from calibration.report.targets import Target
from calibration.sampling.collect import PlanRun, PromptRecord
from calibration.sampling.resume import SampleStore, made_with
from calibration.sampling.store import sampled_prompts, write_records
from calibration.unseen import unseen
from runtime.answers.selection import select
from runtime.artifact import QUESTIONS, SAMPLES, Artifact
from runtime.models import Models
from tests.support.artifacts import RIGHT, bent_models, bent_prompts
from tests.support.cli import copied_artifact, invoke, refused
from tests.support.fakes import COIN_SETTINGS
from tests.support.samples import make_sample, run_of
from tests.support.summaries import FINGERPRINT, bench_result

ONE, PAIR = Plan(strategy="best_of_n", n=1), Plan(strategy="beam_search", n=2, beam_width=2)
WIDE = Plan(strategy="beam_search", n=4, beam_width=4)


def record(number: int, right: bool, by_pair: bool) -> PromptRecord:
    """A prompt that sampling alone always answers right or always wrong; searches of two beams
    may do otherwise. Three tokens a solution.
    """
    searches = {PAIR: run_of([by_pair] * 2), WIDE: run_of([right] * 4)}
    return PromptRecord(f"prompt {number}", "1", 7, run_of([right] * 4), (searches,))


# Six prompts are right however they are answered, two by the pair of beams alone, two never.
KNOWN = [record(n, right=n < 6, by_pair=n < 8) for n in range(10)]


def row(budget: int, plan: Plan) -> BudgetRow:
    cell = Cell(plan=plan, accuracy=0.5, low=0, high=1, generations=1, tokens=1, prompts=9)
    return BudgetRow(budget=budget, pilots=0, edges=(), cells=(cell,))


def table_of(*rows: BudgetRow) -> LookupTable:
    return LookupTable(fingerprint=FINGERPRINT, difficulty="predicted", rows=rows)


TABLE = table_of(row(1, ONE), row(4, PAIR))


@pytest.fixture(scope="module")
def known(bent: Artifact) -> Findings:
    """The table that takes the pair of beams at a budget of four, measured."""
    return measure(Replay(KNOWN, 4, sizes=ModelSizes(model=1, verifier=2)), bent, TABLE)


def by_name(found: Findings) -> dict[str, CurveSummary]:
    return {curve.name: curve for curve in found.curves}


@pytest.mark.slow
def test_what_is_known_of_the_samples_is_what_is_measured(known: Findings) -> None:
    curves = by_name(known)
    assert list(curves) == [
        "majority",
        "best-of-N, greatest score",
        "best-of-N weighted",
        "beam search, M = 4",
        "compute-optimal, predicted bins",
        "price, stopping early",
        "one total, stopping early",
    ]
    assert [p.budget for p in curves[PRICE].points] == [1, 1.19, 1.41, 1.68, 2, 2.38, 2.83, 3.36, 4]
    accuracies = {name: [p.accuracy for p in c.points] for name, c in curves.items()}
    assert accuracies.pop(PREDICTED) == pytest.approx([0.6, 0.8])
    for name, values in accuracies.items():
        assert values == pytest.approx([0.6] * len(values)), name
    for curve in curves.values():
        assert [p.budget for p in curve.points if p.budget in known.budgets] == [1, 4]
        assert all(p.low < p.accuracy < p.high for p in curve.points)
        assert all(p.tokens == pytest.approx(3 * p.generations) for p in curve.points)
    # Three tokens a solution, each 2 FLOPs to sample and 4 to score; a single one is not scored.
    flops = {name: [p.flops for p in c.points] for name, c in curves.items()}
    assert flops["majority"] == pytest.approx([6, 4 * 6])
    assert flops[BASELINE] == pytest.approx([6, 4 * 18])
    assert flops["best-of-N, greatest score"] == pytest.approx([6, 4 * 18])
    assert flops[PREDICTED] == pytest.approx([6, 2 * 18])
    for name in (PRICE, TOTAL):
        spent = [18 * point.generations for point in curves[name].points]
        assert flops[name] == pytest.approx(spent)
    spent = [p.generations for p in curves[PREDICTED].points]
    assert spent == [1, 2], "what the plan costs, not the budget"
    assert [p.generations for p in curves[BASELINE].points] == [1, 4]
    assert all(p.generations <= p.budget for p in curves[TOTAL].points)
    assert (known.prompts, known.easiest, known.hardest) == (10, 1, 0)


def test_gains_are_counted_at_the_baselines_own_accuracy(known: Findings) -> None:
    assert {r.budget for r in known.gains} == {4}, "at the least budget there is nothing to save"
    assert {r.share for r in known.gains} == {1.0, 0.95}
    gained = {(r.method, r.unit): (r.value, r.low, r.high) for r in known.gains if r.share == 1}
    assert len(gained) == 3 * len(known.curves) == len(known.gains) / 2
    # One generation gets as far as four do, whatever the resampled prompts are.
    for unit in ("generations", "tokens"):
        assert gained[PREDICTED, unit] == pytest.approx((4, 4, 4))
        assert gained["majority", unit] == pytest.approx((4, 4, 4))
    # At its least budget the method does not score; best-of-4 and majority do, or do not.
    assert gained[PREDICTED, "flops"] == pytest.approx((72 / 6,) * 3)
    assert gained["majority", "flops"] == pytest.approx((72 / 6,) * 3)
    assert (known.policy, known.way) == (PREDICTED, None), "bins, if calibration chose no way"
    assert known.saving is None, "no saving is counted on what one generation reaches"
    first, second = known.differences
    assert (first.value, first.low, first.high) == (0, 0, 0)
    assert second.value == pytest.approx(0.2)
    assert 0 <= second.low < 0.2 < second.high


def test_the_greatest_score_of_an_unanswered_sample_does_not_win() -> None:
    samples = (make_sample(None, 0.9), make_sample("1", 0.5), make_sample("2", 0.3))
    independent = PlanRun(samples, (False, True, False), 9)
    silent = PromptRecord("p", "1", 7, independent, ({PAIR: run_of([True] * 2)},))
    (found,) = [c for c in baselines(Replay([silent], 3), [1, 2]) if c.name == NAMES["best"]]
    chosen = [select(pair, "best").answer == "1" for pair in combinations(samples, 2)]
    assert chosen == [True, False, True]
    assert found.correct[:, 0] == pytest.approx([1 / 3, 2 / 3])


@pytest.mark.slow
def test_an_accuracy_that_is_never_reached_gains_nothing(bent: Artifact) -> None:
    wrong = [record(n, right=n < 6, by_pair=n < 3) for n in range(10)]
    found = measure(Replay(wrong, 4), bent, table_of(row(2, PAIR), row(4, PAIR)))
    gained = {(r.method, r.unit): r.value for r in found.gains}
    assert gained[PREDICTED, "generations"] == 0
    assert found.saving is None
    assert "not reached" in page(result_of(found))


@pytest.mark.slow
def test_prompts_that_are_all_right_are_no_certainty(bent: Artifact) -> None:
    found = measure(Replay(KNOWN[:6], 4), bent, TABLE)
    for curve in found.curves:
        for p in curve.points:
            assert (p.accuracy, p.high) == (1, 1)
            assert 0.5 < p.low < 1


@pytest.mark.slow
def test_budgets_that_are_no_multiple_of_four_beams(bent: Artifact) -> None:
    assert [beam_plan(b).n for b in (1, 2, 3, 6, 7, 8)] == [1, 2, 3, 4, 4, 8]
    three = Plan(strategy="beam_search", n=3, beam_width=3)
    records = [
        PromptRecord(
            "p",
            "1",
            7,
            run_of([True] * 6),
            ({three: run_of([True] * 3), WIDE: KNOWN[0].repeats[0][WIDE]},),
        )
    ]
    found = measure(Replay(records, 6), bent, table_of(row(3, ONE), row(6, ONE)))
    points = by_name(found)["beam search, M = 4"].points
    # The first is where the way to the baseline's accuracy begins, whatever the table's budgets.
    assert [(p.budget, p.generations) for p in points] == [(1, 1), (3, 3), (6, 4)]


def test_every_figure_is_among_the_targets(known: Findings) -> None:
    targets = known.as_targets()
    rows = json.loads(json.dumps([target.model_dump() for target in targets]))
    for line in rows:
        assert list(line) == ["name", "value", "low", "high", "target", "met"]
        assert line["target"] is None
        assert line["met"] is None
        assert line["low"] <= line["value"] <= line["high"]
    names = [line["name"] for line in rows]
    assert len(set(names)) == len(names) == 7 * 2 + 7 * 3 + 2
    values = dict(zip(names, (line["value"] for line in rows), strict=True))
    assert values[f"{PREDICTED}: accuracy at 4"] == pytest.approx(0.8)
    assert values[f"{PREDICTED}: saving at 4, in tokens"] == pytest.approx(4)
    assert values[f"{PREDICTED}: saving at 4, in FLOPs"] == pytest.approx(12)
    assert values[f"{PREDICTED} less {BASELINE} at 4, in points"] == pytest.approx(20)


def test_the_baseline_is_that_of_calibration(bent: Artifact) -> None:
    by_votes = measure(Replay(KNOWN, 4), bent, TABLE, baseline="majority")
    assert (by_votes.baseline, baseline_notes(by_votes)) == ("majority", ())
    # Three samples of four are right, and the score of the other one is above all of theirs.
    samples = (*[make_sample("1", 0.1)] * 3, make_sample("0", 0.9))
    run = PlanRun(samples, (True, True, True, False), 0)
    misled = [replace(one, independent=run) for one in KNOWN]
    found = measure(Replay(misled, 4), bent, TABLE)
    (note,) = baseline_notes(found)
    assert found.baseline == BASELINE
    assert "majority is more accurate than best-of-N weighted here, 100.0% to 0.0%" in note


def test_the_way_is_that_of_calibration_whatever_is_measured(bent: Artifact) -> None:
    found = measure(Replay(KNOWN, 4), bent, TABLE, "price")
    assert (found.policy, found.way) == (PRICE, "price")
    # By bins two more of ten are right at a budget of four; by price none.
    assert [line.value for line in found.differences] == pytest.approx([0, 0])
    text = page(result_of(found))
    assert "Generations are spent by price (--average-budget), the way that the artifact" in text
    unknown = page(result_of(measure(Replay(KNOWN, 4), bent, TABLE)))
    assert "calibration did not compare ways to spend" in unknown


def result_of(found: Findings) -> BenchResult:
    """Findings in a result that is otherwise invented."""
    return bench_result().model_copy(update=dict(found) | {"targets": found.as_targets()})


def test_prompts_it_was_calibrated_on_are_left_out(tmp_path: Path) -> None:
    pairs = [(r.prompt, r.gold) for r in KNOWN]
    assert unseen(pairs, tmp_path) == (pairs, None), "an artifact without samples cannot tell"
    CalibratedOn.of({"prompt": [prompt for prompt, _ in pairs[:2]]}).save(tmp_path / QUESTIONS)
    assert unseen(pairs, tmp_path) == (pairs[2:], 2)
    write_records(KNOWN[:7], tmp_path / SAMPLES)
    assert unseen(pairs, tmp_path) == (pairs[7:], 3 + 4)
    with pytest.raises(InputError, match=r"prompts: 7: .*calibrated on every one.*has not seen"):
        unseen(pairs[:7], tmp_path)
    (tmp_path / SAMPLES).write_bytes(b"PAR1")
    with pytest.raises(InputError, match="no sample store"):
        unseen(pairs, tmp_path)


def test_a_table_for_some_budgets() -> None:
    assert table_for(TABLE, []) == TABLE
    assert [r.budget for r in table_for(TABLE, [4]).rows] == [4]
    with pytest.raises(InputError, match=r"budgets: 2: the artifact was calibrated for 1, 4"):
        table_for(TABLE, [4, 2])


def test_all_that_the_curves_ask_for_is_sampled(bent: Artifact) -> None:
    artifact = Artifact.load(ARTIFACT)
    table = table_for(artifact.policy.table, [1, 4])
    schedule = schedule_within(artifact.prices.schedule, 4)
    assert max(stage.samples for stage in schedule.stages) == 4
    work = work_of([table], artifact.settings.scoring, 3, schedule)
    assert (work.samples, work.seed, work.scoring) == (4, 3, artifact.settings.scoring)
    asked = {cell.plan for r in table.rows for cell in r.cells} | {WIDE}
    asked |= {*schedule.searches}
    assert set(work.plans) == {plan for plan in asked if plan.strategy != "best_of_n"}


class CountedModels:
    """Bent coins that count how often they are opened and how much they sample."""

    def __init__(self, models: Models) -> None:
        self.models = models
        self.opened = 0

    @property
    def generations(self) -> int:
        return int(self.models.engine.generations)  # type: ignore[attr-defined]

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Models]:
        self.opened += 1
        yield self.models


@pytest.fixture
def opened() -> list[CountedModels]:
    """The models of each sampling, the latest last."""
    return []


@pytest.fixture
def coins(
    bent: Artifact, tokenizer: Any, tmp_path: Path, opened: list[CountedModels]
) -> Callable[..., tuple[Replay, CountedModels]]:
    """Samples ten prompts of bent coins into one folder, with models of their own each time."""
    table = table_for(bent.policy.table, [1, 4])
    pairs = [(prompt, RIGHT) for prompt in bent_prompts(10, seed=7)]
    work = work_of([table], bent.settings.scoring, 5, schedule_within(bent.prices.schedule, 4))

    def sampled(done: Callable[[object], None] = lambda _: None) -> tuple[Replay, CountedModels]:
        opened.append(models := CountedModels(bent_models(tokenizer)))
        store = SampleStore(tmp_path / "samples", made_with(FINGERPRINT, "coins", pairs, work))
        return asyncio.run(
            sample(table, pairs, work, store, models.open, COIN_SETTINGS, done)
        ), models

    return sampled


@pytest.mark.slow
def test_what_was_sampled_is_not_sampled_again(
    coins: Callable[..., tuple[Replay, CountedModels]], bent: Artifact, opened: list[CountedModels]
) -> None:
    told: list[object] = []

    def interrupted(record: object) -> None:
        told.append(record)
        if len(told) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        coins(interrupted)
    rest: list[object] = []
    replay, models = coins(rest.append)
    assert len(rest) == 10
    assert sum(known is None for known in rest) >= 4
    spent = sum(models.generations for models in opened)
    assert spent == 10 * (4 + 4), "independent solutions and beams of every prompt, each once"
    again, models = coins(told.append)
    assert (models.opened, models.generations) == (0, 0)
    assert told[-10:] == [None] * 10
    assert again.records == replay.records
    table = table_for(bent.policy.table, [1, 4])
    assert measure(again, bent, table) == measure(replay, bent, table)


@pytest.mark.slow
def test_fair_measurement_of_bent_coins(
    coins: Callable[..., tuple[Replay, CountedModels]], bent: Artifact
) -> None:
    replay, _ = coins()
    found = measure(replay, bent, table_for(bent.policy.table, [1, 4]))
    right = [np.mean(r.independent.correct) for r in replay.records]
    first = by_name(found)[BASELINE].points[0]
    assert first.accuracy == pytest.approx(np.mean(right))
    assert (found.easiest, found.hardest) == (max(right), min(right))
    # By price the budget was kept on the calibration prompts.
    kept = [curve for curve in found.curves if curve.name != PRICE]
    assert all(p.generations <= p.budget for c in kept for p in c.points)


@pytest.mark.slow
def test_the_page_holds_the_numbers() -> None:
    result = bench_result()
    text = page(result)
    for curve in result.curves:
        assert curve.name in text
        for point in curve.points:
            if point.budget not in result.budgets:
                continue
            assert f"{point.accuracy:.1%}" in text
            assert f"{point.tokens:,.0f} tokens" in text
    for times in result.gains:
        assert f"{times.value:.1f}×" in text
    for line in result.differences:
        assert f"{100 * line.value:+.1f}" in text
    for word in (
        result.source,
        result.machine,
        result.date,
        FINGERPRINT.model,
        "Left out: 7 prompts that",
    ):
        assert word in text
    assert "<h1>Compute-optimal reaches" in text


def test_the_page_needs_nothing_else() -> None:
    hostile = "<script>alert(1)</script> & 'x'"
    text = page(bench_result(source=hostile, artifact=hostile, foreign=(hostile,)))
    assert not re.findall(r"https?://|<script|@import|\bsrc=", text)
    assert text.count("&lt;script&gt;alert(1)") >= 4
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:href="|url\()#([^")]+)', text)) <= set(ids)
    assert set(re.findall(r'aria-labelledby="([^"]+)"', text)) <= set(ids)


def bench(out: Path, *options: object, artifact: Path = ARTIFACT) -> list[object]:
    command = ["bench", TEST_PROMPTS, "--artifact", artifact, "--engine", "transformers"]
    return [*command, "--out", out, *options]


@pytest.fixture
def no_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever loads a model fails."""

    def loaded(*_: object) -> None:
        pytest.fail("a model is loaded")

    monkeypatch.setattr(bench_prompts, "open_models", loaded)


@pytest.mark.usefixtures("no_models")
@pytest.mark.parametrize(
    ("options", "hint"),
    [
        (
            ["--budgets", "1,5"],
            "budgets: 5: the artifact was calibrated for 1, 2, 3, 4, 6, 8, 12, 16",
        ),
        (["--budgets", "1,x"], "give whole numbers, comma-separated"),
        (["--prompts", "1"], "choose from 2 to 220"),
        (["--prompts", "221"], "choose from 2 to 220"),
        (["--engine", "tensorrt"], "choose auto, vllm or transformers"),
        (["--artifact", "nowhere"], "make one with ttc calibrate"),
        (["--columns", "prompt=question"], "no 'question' in"),
    ],
)
def test_bad_input_is_refused_before_a_model_is_loaded(
    tmp_path: Path, options: list[str], hint: str
) -> None:
    assert hint in " ".join(refused(*bench(tmp_path / "out", *options)).split())
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("no_models")
def test_an_output_that_is_a_file_and_an_empty_data_set(tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_text("")
    assert "it is a file; give a folder" in refused(*bench(path))
    (tmp_path / "full" / "bench.json").mkdir(parents=True)
    assert "bench.json': it is a folder" in " ".join(refused(*bench(tmp_path / "full")).split())
    command = bench(tmp_path / "out")
    command[1] = path
    assert "it is empty" in refused(*command)
    path.write_text(TEST_PROMPTS.read_text().splitlines()[0])
    assert "give at least 2 prompts to measure" in refused(*command)


@pytest.mark.slow
def test_on_the_testbed_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, artifact = tmp_path / "out", copied_artifact(tmp_path)
    prompts = [json.loads(line)["prompt"] for line in TEST_PROMPTS.read_text().splitlines()]
    seen = PromptRecord(prompts[0], "1", 7, run_of([True]), ({},))
    write_records([seen], artifact / SAMPLES)
    command = bench(out, "--prompts", "5", "--budgets", "1,3", artifact=artifact)
    status, shown, message = invoke(*command)
    assert status == 0, message
    assert "Left out: 1 prompt that the artifact was calibrated on." in message
    assert "Measured on 5 prompts: intervals over fewer than 20" in " ".join(message.split())
    assert "compute-optimal" in shown
    assert "Stopping early by price" in " ".join(shown.split())
    assert {path.name for path in out.iterdir()} == {"bench.json", "bench.html", "samples"}

    result = BenchResult.load(out / "bench.json")
    assert (result.prompts, result.left_out, result.resumed, result.seed) == (5, 1, 0, 0)
    assert (result.engine, result.budgets, result.samples) == ("transformers", (1, 3), 3)
    assert result.fingerprint == Artifact.load(ARTIFACT).policy.table.fingerprint
    assert result.versions["torch"]
    assert re.fullmatch(r"\d+ cores of .+", result.machine)
    written = json.loads((out / "bench.json").read_text())
    assert [Target.model_validate(line) for line in written["targets"]] == [*result.as_targets()]
    text = (out / "bench.html").read_text()
    assert all(
        f"{p.accuracy:.1%}" in text for c in result.curves for p in c.points if p.budget in (1, 3)
    )
    parts = (out / "samples").glob("part-*.parquet")
    sampled = set().union(*map(sampled_prompts, parts))
    assert sampled < set(prompts[1:])
    assert sampled != set(prompts[1:6]), "drawn: the first in a file may be the easiest"

    # Again: the same figures, and no model is loaded. With another seed: refused, likewise.
    with monkeypatch.context() as patched:
        patched.setattr(bench_prompts, "open_models", lambda *_: pytest.fail("a model is loaded"))
        status, _, message = invoke(*command)
        assert status == 0, message
        again = BenchResult.load(out / "bench.json")
        assert again.targets == result.targets
        assert again.resumed == 5
        message = refused(*command, "--seed", "1")
        assert "made with other prompts, seed; remove them" in message
