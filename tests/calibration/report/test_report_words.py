"""What the report says of a result, and what it advises."""

from pathlib import Path

import pytest

from benchmarks.testbed.paths import SETTINGS
from calibration.report.advice import steps
from calibration.report.artifact_files import Contents
from calibration.report.summary import Gain, Summary
from calibration.report.words import count, interval, percent, subtitle, title
from tests.support.summaries import (
    artifact,
    minimal_summary,
    minimal_table,
    no_gain_summary,
    rich_summary,
    rich_table,
)


def heads(folder: Path) -> list[str]:
    contents = Contents.load(folder)
    assert contents.summary is not None
    return [step.head for step in steps(contents, contents.summary)]


def gain(times: float, low: float) -> Gain:
    return Gain(
        accuracy=0.738, generations=16 / times, baseline=16, times=times, low=low, high=times + 5
    )


@pytest.mark.parametrize(
    ("summary", "first", "second"),
    [
        (
            rich_summary(gain=gain(4, 2)),
            "Compute-optimal reaches 73.8% with 4 generations per prompt; best-of-N needs 16",
            "That is 4.0 times fewer; the 95% interval of the saving is 2.0 to 9.0 times.",
        ),
        (
            rich_summary(gain=gain(4, 1)),
            "Compute-optimal reaches 73.8% with 4 generations per prompt; best-of-N needs 16",
            "That is 4.0 times fewer, but it is not certain: the 95% interval of the saving is 1.0 "
            "to 9.0 times, where 1 is no saving.",
        ),
        (
            rich_summary(gain=gain(0.5, 0)),
            "No saving: for 73.8% compute-optimal spends 32 generations per prompt, best-of-N 16",
            "The baseline is the cheaper one here; the 95% interval of the saving is 0.0 to 5.5 "
            "times, where 1 is no saving.",
        ),
        (
            no_gain_summary(),
            "No saving found: best-of-N weighted reaches 78.4% with 64 generations per prompt; "
            "compute-optimal reaches 61.7% with 1.7 generations per prompt",
            "A saving is counted where both reach the same accuracy; none was found.",
        ),
    ],
)
def test_titles(summary: Summary, first: str, second: str) -> None:
    assert title(summary) == first
    assert subtitle(summary) == second


def test_advice_follows_from_what_was_found(tmp_path: Path) -> None:
    rich = heads(artifact(tmp_path / "rich", rich_summary(), rich_table(), SETTINGS))
    assert rich == [
        "Answer prompts with budget 8",
        "Do not pay for more than budget 16",
        "Add prompts to tell plans apart within a bin",
        "Better prediction of difficulty would pay",
        "The hardest prompts need another model",
    ]
    none = heads(artifact(tmp_path / "none", no_gain_summary(), rich_table(), SETTINGS))
    assert none[0] == "Use best-of-N at budget 64"
    predictor = rich_summary().predictor
    assert predictor is not None
    weak = rich_summary(
        gain=gain(4, 0.9), predictor=predictor.model_copy(update={"rank_correlation": 0.4})
    )
    found = heads(artifact(tmp_path / "weak", weak, rich_table(), SETTINGS))
    assert "Add prompts to be sure of the saving" in found
    assert "Improve the prediction of difficulty" in found
    rising = rich_table(rows=rich_table().rows[:4])
    assert "Try larger budgets" in heads(
        artifact(tmp_path / "rising", rich_summary(), rising, SETTINGS)
    )
    assert "Give it something to predict difficulty from" in heads(
        artifact(tmp_path / "minimal", minimal_summary(), minimal_table())
    )


@pytest.mark.parametrize(("pilots", "advice"), [(2, "--pilots 4"), (32, "Use a better verifier")])
def test_more_pilots_are_advised_below_the_top_budget(
    tmp_path: Path, pilots: int, advice: str
) -> None:
    predictor = rich_summary().predictor
    assert predictor is not None
    weak = predictor.model_copy(update={"rank_correlation": 0.4, "pilots": pilots})
    folder = artifact(tmp_path / "a", rich_summary(predictor=weak), rich_table(), SETTINGS)
    contents = Contents.load(folder)
    assert contents.summary is not None
    texts = {step.head: step.text for step in steps(contents, contents.summary)}
    assert advice in texts["Improve the prediction of difficulty"]


def test_nearly_as_good_for_less_is_not_sent_back_to_best_of_n(tmp_path: Path) -> None:
    summary = no_gain_summary()
    everyone = summary.groups[0]
    top = max(p.accuracy for c in everyone.curves if c.name == summary.baseline for p in c.points)
    near = [
        c.model_copy(update={"points": (c.points[1].model_copy(update={"accuracy": top - 0.005}),)})
        if "predicted" in c.name
        else c
        for c in everyone.curves
    ]
    group = everyone.model_copy(update={"curves": tuple(near)})
    folder = artifact(
        tmp_path / "a", summary.model_copy(update={"groups": (group,)}), rich_table(), SETTINGS
    )
    assert heads(folder)[0] == "Answer prompts with budget 2"


def test_figures_in_words() -> None:
    assert [count(n, "pilot") for n in (0, 1, 1.04, 4.2, 12800)] == [
        "0 pilots",
        "1 pilot",
        "1 pilot",
        "4.2 pilots",
        "12,800 pilots",
    ]
    assert [percent(share) for share in (1.0, 0.738)] == ["100.0%", "73.8%"]
    assert interval(0.684, 0.79) == "68–79%"
