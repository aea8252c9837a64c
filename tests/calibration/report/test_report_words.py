"""What the report says of a result, and what it advises."""

import ast
from pathlib import Path

import pytest

import ttc_allocator
from allocator.price import PriceList, PricePoint
from allocator.schedule import schedule_of
from benchmarks.testbed.paths import SETTINGS
from calibration.replay.ways import CHOSEN, Way
from calibration.report.advice import Recommendation, recommendations
from calibration.report.artifact_files import Contents
from calibration.report.bench_page import chosen as chosen_by
from calibration.report.methods import leading_way
from calibration.report.page import page
from calibration.report.summary import CostSaving, Saving, Summary
from calibration.report.words import chosen, count, flops, interval, percent, subtitle, title
from predictors.gain_model import COLUMNS, GainModel
from predictors.scoring import Scoring
from runtime.result import Spend
from runtime.settings import Settings
from tests.support.summaries import (
    artifact,
    bench_result,
    beyond_summary,
    minimal_summary,
    minimal_table,
    no_gain_summary,
    rich_summary,
    rich_table,
)


def heads(folder: Path) -> list[str]:
    contents = Contents.load(folder)
    assert contents.summary is not None
    return [each.head for each in recommendations(contents, contents.summary)]


def cost(times: float | None) -> CostSaving | None:
    if times is None:
        return None
    return CostSaving(spent=900 / times, baseline=900, times=times, low=times / 2, high=times + 5)


def saving_of(
    times: float,
    low: float,
    way: Way = "bins",
    tokens: float | None = None,
    flops: float | None = None,
) -> Saving:
    return Saving(
        way=way,
        accuracy=0.738,
        generations=16 / times,
        baseline=16,
        times=times,
        low=low,
        high=times + 5,
        tokens=cost(tokens),
        flops=cost(flops),
    )


def test_flops_are_written_short() -> None:
    assert [flops(value) for value in (1.24e9, 96e9, 4200, 0)] == [
        "1.2e9",
        "9.6e10",
        "4.2e3",
        "0.0e0",
    ]


@pytest.mark.parametrize(
    ("summary", "first", "second"),
    [
        (
            rich_summary(gain=saving_of(4, 2)),
            "Compute-optimal reaches 73.8% with 4 generations per prompt; best-of-N needs 16",
            "That is 4.0 [2.0, 9.0] times fewer generations, with 95% intervals over prompts.",
        ),
        (
            rich_summary(gain=saving_of(4, 2, "price", tokens=3)),
            "Stopping early by price reaches 73.8% with 4 generations per prompt; best-of-N needs "
            "16",
            "That is 4.0 [2.0, 9.0] times fewer generations and 3.0 [1.5, 8.0] times fewer tokens, "
            "with 95% intervals over prompts.",
        ),
        (
            rich_summary(gain=saving_of(4, 2, "total", tokens=0.8), baseline="majority"),
            "Stopping early within one total reaches 73.8% with 4 generations per prompt; majority "
            "needs 16",
            "That is 4.0 [2.0, 9.0] times fewer generations but no fewer tokens (0.8 [0.4, 5.8] "
            "times), with 95% intervals over prompts.",
        ),
        (
            rich_summary(gain=saving_of(4, 2, tokens=3, flops=2)),
            "Compute-optimal reaches 73.8% with 4 generations per prompt; best-of-N needs 16",
            "That is 4.0 [2.0, 9.0] times fewer generations, 3.0 [1.5, 8.0] times fewer tokens and "
            "2.0 [1.0, 7.0] times fewer FLOPs, with 95% intervals over prompts.",
        ),
        (
            rich_summary(gain=saving_of(4, 2, tokens=0.8, flops=0.6)),
            "Compute-optimal reaches 73.8% with 4 generations per prompt; best-of-N needs 16",
            "That is 4.0 [2.0, 9.0] times fewer generations but no fewer tokens (0.8 [0.4, 5.8] "
            "times) and FLOPs (0.6 [0.3, 5.6] times), with 95% intervals over prompts.",
        ),
        (
            beyond_summary(),
            "Stopping early by price reaches 94.2% with 27.9 generations per prompt; majority "
            "never more than 60.0%",
            "The 95% interval of its accuracy is 88.4% to 100.0%. More solutions hardly help "
            "majority, so savings at its accuracy say little.",
        ),
        (
            rich_summary(gain=saving_of(4, 1)),
            "Compute-optimal reaches 73.8% with 4 generations per prompt; best-of-N needs 16",
            "That is 4.0 [1.0, 9.0] times fewer generations, with 95% intervals over prompts. The "
            "saving is not certain: its interval includes 1, no saving.",
        ),
        (
            rich_summary(gain=saving_of(0.5, 0)),
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
        (
            rich_summary(gain=None, ways=()),
            "No saving found: best-of-N weighted reaches 78.4% with 64 generations per prompt; "
            "stopping early by price reaches 94.2% with 27.9 generations per prompt",
            "A saving is counted where both reach the same accuracy; none was found.",
        ),
    ],
)
def test_titles(summary: Summary, first: str, second: str) -> None:
    assert title(summary) == first
    assert subtitle(summary) == second


def test_the_title_names_the_curve_that_the_gain_is_of() -> None:
    assert title(rich_summary(gain=saving_of(4, 2, "price")), CHOSEN) == (
        "Each calibration's cheapest way reaches 73.8% with 4 generations per prompt; best-of-N "
        "needs 16"
    )
    result = bench_result(policy=CHOSEN, way="price")
    assert chosen_by(result) == (
        "Generations are spent in the way that each calibration found the cheapest; it was not "
        "chosen on these prompts."
    )


def test_the_page_says_which_way_it_is() -> None:
    assert chosen(rich_summary()) == (
        "Generations are spent by difficulty bins (--budget), the cheapest of this artifact's ways."
    )
    assert chosen(rich_summary(gain=saving_of(4, 2, "total"))) == (
        "Generations are spent as one total over all prompts (--total-budget), the cheapest of "
        "this artifact's ways."
    )
    # As an older version wrote it.
    assert chosen(rich_summary(ways=())) == (
        "Generations are spent by difficulty bins (--budget). Other ways were not compared; "
        "calibrate again for that."
    )
    assert chosen(no_gain_summary()) == ""
    assert chosen(beyond_summary()) == (
        "Generations are spent by price (--average-budget), the most accurate of this artifact's "
        "ways."
    )


def used(folder: Path, summary: Summary, settings: Settings | None = SETTINGS) -> Recommendation:
    """The first recommended first."""
    made = artifact(folder, summary, rich_table(), settings)
    return recommendations(Contents.load(made), summary)[0]


@pytest.mark.parametrize(
    ("way", "head", "option", "spend"),
    [
        ("bins", "Answer prompts with budget 16", "--budget 16 'your prompt'", Spend(16)),
        (
            "price",
            "Answer prompts at an average budget of 3.8",
            "--average-budget 3.8 'your prompt'",
            Spend(average_budget=3.8),
        ),
        (
            "total",
            "Answer prompts together, within one total of 3.7 for each",
            "--total-budget 12 'first prompt' 'second prompt' 'third prompt'",
            Spend(total_budget=12),
        ),
    ],
)
def test_the_snippet_uses_the_way_of_the_headline(
    tmp_path: Path, way: Way, head: str, option: str, spend: Spend
) -> None:
    # 3.72 generations: an average is rounded up to 3.8, the total of three prompts to 12.
    first = used(tmp_path / "a", rich_summary(gain=saving_of(16 / 3.72, 2, way)))
    assert first.head == head
    assert first.command == f"ttc solve --artifact {tmp_path / 'a'} {option}"
    calls: list[ast.Call] = [
        node for node in ast.walk(ast.parse(first.code)) if isinstance(node, ast.Call)
    ]
    (written,) = (ast.unparse(c) for c in calls if ast.unparse(c.func) == "Spend")
    assert eval(written, {"Spend": Spend}) == spend
    names = [n for n in ast.walk(ast.parse(first.code)) if isinstance(n, ast.ImportFrom)]
    exported = {alias.name for n in names if n.module == "ttc_allocator" for alias in n.names}
    assert exported <= set(ttc_allocator.__all__)


def test_what_is_beyond_the_baseline_is_advised(tmp_path: Path) -> None:
    summary = beyond_summary()
    first = used(tmp_path / "a", summary)
    assert first.head == "Answer prompts at an average budget of 27.9"
    assert leading_way(tmp_path / "a") == "price"


def test_without_models_the_price_is_used_in_a_program_of_ones_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    summary = rich_summary(gain=saving_of(4, 2, "price"))
    first = used(tmp_path / "a", summary, settings=None)
    assert "Stop early in your own program" in first.head
    assert first.code == ""
    schedule = schedule_of(4)
    points = tuple(
        PricePoint(price=price, generations=spent, accuracy=0.5)
        for price, spent in ((1e-4, 4.0), (0.3, 1.0))
    )
    PriceList(schedule=schedule, points=points).save(tmp_path / "a" / "prices.json")
    # What is gained depends on nothing but the constant: about 0.05 up to the last stage.
    weights = (-3.0, *(0.0 for _ in COLUMNS[1:]))
    GainModel(weights=weights, rho=1.0).save(tmp_path / "a" / "gain_model.json")
    exec(first.command, {})
    assert capsys.readouterr().out == "42\n"
    Scoring(scores={"score": 1.0}, log_tokens=-0.1).save(tmp_path / "a" / "scoring.json")
    first = recommendations(Contents.load(tmp_path / "a"), summary)[0]
    assert "votes.add(\"42\", {'score': 0.9}, tokens=200)" in first.command
    exec(first.command, {})
    assert capsys.readouterr().out == "42\n"


@pytest.mark.parametrize(
    ("scoring", "verifier"),
    [(Scoring(scores={"score": 1.0}), True), (Scoring(log_tokens=1.0), False), (None, False)],
)
def test_without_models_attaching_them_is_advised(
    tmp_path: Path, scoring: Scoring | None, verifier: bool
) -> None:
    folder = artifact(tmp_path / "a", minimal_summary(), minimal_table())
    if scoring is not None:
        scoring.save(folder / "scoring.json")
    _, first, *_ = recommendations(Contents.load(folder), minimal_summary())
    assert first.head == "Attach models to solve and serve with it"
    assert first.command.startswith(f"ttc attach {folder} --out {folder}-served --model MODEL")
    assert ("--verifier VERIFIER" in first.command) == verifier


def test_a_way_that_comes_close_for_less_is_advised(tmp_path: Path) -> None:
    summary = rich_summary(gain=saving_of(0.9, 0.5))
    first = used(tmp_path / "a", summary)
    # Of all ways, price is within a point of best-of-N at its best (78.4%) for the least.
    assert "--average-budget" in first.command
    assert "within a point of best-of-N at its best (78.4%" in first.text


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
    by_votes = no_gain_summary().model_copy(update={"baseline": "majority"})
    first = used(tmp_path / "votes", by_votes)
    assert first.head.startswith("Use majority at budget ")
    assert ":majority" in first.command
    predictor = rich_summary().predictor
    assert predictor is not None
    weak = rich_summary(
        gain=saving_of(4, 0.9), predictor=predictor.model_copy(update={"rank_correlation": 0.4})
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
    texts = {each.head: each.text for each in recommendations(contents, contents.summary)}
    assert advice in texts["Improve the prediction of difficulty"]


@pytest.mark.parametrize(("samples", "advised"), [(7, False), (8, True), (None, True)])
def test_a_correlation_with_a_rough_measure_is_not_held_against_the_predictor(
    tmp_path: Path, samples: int | None, advised: bool
) -> None:
    predictor = rich_summary().predictor
    assert predictor is not None
    weak = predictor.model_copy(update={"rank_correlation": 0.4, "measured_by": samples})
    summary = rich_summary(predictor=weak)
    folder = artifact(tmp_path / "a", summary, rich_table(), SETTINGS)
    assert ("Improve the prediction of difficulty" in heads(folder)) == advised
    shown = page(Contents.load(folder), summary, [])
    assert (f"Pass@1 is measured by {samples} samples of each prompt" in shown) == bool(samples)


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
