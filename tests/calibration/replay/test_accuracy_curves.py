"""Curves of accuracy against cost, and how long plans take."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from allocator.curves import NEGLIGIBLE, AccuracyCurves, BinCurves, PlanEstimate
from allocator.errors import InputError
from allocator.latency import Latency
from allocator.plan import Plan

ONE, FOUR = Plan(strategy="best_of_n", n=1), Plan(strategy="best_of_n", n=4)
BEAM = Plan(strategy="beam_search", n=4, beam_width=2)
LONG = Plan(strategy="revisions", n=4, length=4)


def option(plan: Plan, accuracy: float, pilots: int = 0) -> PlanEstimate:
    return PlanEstimate(plan=plan, generations=plan.cost(pilots), accuracy=accuracy, tokens=30)


def one_bin(*options: PlanEstimate, pilots: int = 0) -> BinCurves:
    return BinCurves(pilots=pilots, edges=(), bins=(options,))


TWO_BINS = BinCurves(
    pilots=2,
    edges=(0.4,),
    bins=(
        (option(FOUR, 0.9, 2), option(BEAM, 0.95, 2)),
        (option(FOUR, 0.2, 2), option(BEAM, 0.3, 2)),
    ),
)
CURVES = AccuracyCurves(curves=(one_bin(option(ONE, 0.5), option(BEAM, 0.7)), TWO_BINS))


def test_curves_as_arrays() -> None:
    assert TWO_BINS.plans == (FOUR, BEAM)
    assert TWO_BINS.costs.tolist() == [4, 6]  # beams come on top of the pilots
    assert TWO_BINS.accuracies.tolist() == [[0.9, 0.95], [0.2, 0.3]]


def test_over_all_prompts_bins_count_by_their_shares() -> None:
    alike = [option.accuracy for option in TWO_BINS.overall]
    assert alike == pytest.approx([0.55, 0.625]), "as in files of older versions"
    of_hard = TWO_BINS.model_copy(update={"shares": (0.25, 0.75)})
    assert [option.accuracy for option in of_hard.overall] == pytest.approx([0.375, 0.4625])
    with pytest.raises(ValidationError, match="one for each of 2 bins"):
        BinCurves.model_validate(TWO_BINS.model_dump() | {"shares": (1.0,)})


@pytest.mark.parametrize(
    ("edges", "bins", "words"),
    [
        ((0.4,), [(option(ONE, 0.5),)], "one fewer than the 1 bins"),
        ((), [(option(ONE, 0.5),)] * 2, "one fewer than the 2 bins"),
        ((0.4,), [(option(ONE, 0.5),), (option(FOUR, 0.5),)], "every bin the same plans"),
        ((), [()], "every bin the same plans"),
        ((), [], "at least 1 item"),
    ],
)
def test_bins_that_do_not_fit_together(
    edges: tuple[float, ...], bins: list[tuple[PlanEstimate, ...]], words: str
) -> None:
    with pytest.raises(ValidationError, match=words):
        BinCurves(pilots=0, edges=edges, bins=tuple(bins))


def test_curves_after_so_many_pilots() -> None:
    assert CURVES.after(2) is TWO_BINS
    assert CURVES.after(0).plans == (ONE, BEAM)
    with pytest.raises(InputError, match=r"pilots: 4: must be one of \[0, 2\]"):
        CURVES.after(4)


def test_curves_survive_saving_and_damage_is_named(tmp_path: Path) -> None:
    path = tmp_path / "curves.json"
    with pytest.raises(InputError, match="no such file"):
        AccuracyCurves.load(path)
    CURVES.save(path)
    assert AccuracyCurves.load(path) == CURVES
    path.write_text(path.read_text().replace("0.95", "1.95"))
    with pytest.raises(InputError, match=r"damaged.*calibrate again"):
        AccuracyCurves.load(path)
    path.write_bytes(b"\xff")
    with pytest.raises(InputError, match="damaged"):
        AccuracyCurves.load(path)


LATENCY = Latency.of({ONE: 0.1, FOUR: 0.15, BEAM: 0.4, LONG: 0.9})
OPTIONS = [option(ONE, 0.5), option(FOUR, 0.7), option(BEAM, 0.8), option(LONG, 0.8)]


@pytest.mark.parametrize(
    ("generations", "seconds", "plan"),
    [
        (4, 10, BEAM),  # of the two most accurate, equally dear ones the first
        (4, 0.4, BEAM),
        (4, 0.39, FOUR),
        (3, 10, ONE),
        (4, 0.1, ONE),
        (4, 0.05, None),
        (0, 10, None),
    ],
)
def test_the_best_within_a_budget_and_a_deadline(
    generations: float, seconds: float, plan: Plan | None
) -> None:
    found = LATENCY.best_within(OPTIONS, generations, seconds)
    assert (found.plan if found else None) == plan


def test_of_equally_accurate_options_the_cheapest() -> None:
    found = LATENCY.best_within([option(FOUR, 0.5), option(ONE, 0.5)], 9, 9)
    assert found is not None
    assert found.plan == ONE


def test_a_negligible_difference_is_not_paid_for() -> None:
    for gain, plan in ((NEGLIGIBLE / 2, ONE), (2 * NEGLIGIBLE, FOUR)):
        found = LATENCY.best_within([option(ONE, 0.5), option(FOUR, 0.5 + gain)], 9, 9)
        assert found is not None
        assert found.plan == plan


def test_what_was_not_timed_fits_no_deadline() -> None:
    timed = Latency.of({ONE: 0.1})
    found = timed.best_within(OPTIONS, 9, 1e9)
    assert found is not None
    assert found.plan == ONE
    assert timed.seconds(BEAM) is None
    assert Latency(timed=()).best_within(OPTIONS, 9, 1e9) is None


def test_how_an_answer_is_selected_takes_no_time() -> None:
    assert LATENCY.seconds(BEAM.model_copy(update={"selection": "majority"})) == 0.4


def test_times_survive_saving(tmp_path: Path) -> None:
    path = tmp_path / "latency.json"
    assert Latency.load(path) == Latency(timed=())  # as in an artifact made from logs
    LATENCY.save(path)
    assert Latency.load(path) == LATENCY
    path.write_text(path.read_text().replace("0.9", "-0.9"))
    with pytest.raises(InputError, match=r"damaged.*calibrate again"):
        Latency.load(path)
