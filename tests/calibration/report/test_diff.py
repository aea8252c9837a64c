"""What changed between two tables."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allocator.plan import Plan
from allocator.table import BudgetRow, Cell, Fingerprint, LookupTable
from calibration.report.diff import LEVEL, clearly_worse, diff_tables, difference, holm

FINGERPRINT = Fingerprint(model="m", verifier="v", answers="math", sampling={"temperature": 1.0})
shares = st.floats(0, 1)


@st.composite
def cells(draw: st.DrawFn) -> Cell:
    low, accuracy, high = sorted(draw(st.tuples(shares, shares, shares)))
    plan = Plan(strategy="best_of_n", n=draw(st.sampled_from([1, 2, 4])))
    return Cell(
        plan=plan, accuracy=accuracy, low=low, high=high, generations=1, tokens=9, prompts=50
    )


@st.composite
def tables(draw: st.DrawFn) -> LookupTable:
    rows = []
    for budget in sorted(draw(st.sets(st.sampled_from([4, 8, 16]), min_size=1))):
        edges = sorted(draw(st.sets(shares, max_size=3)), reverse=True)
        row = tuple(draw(cells()) for _ in range(len(edges) + 1))
        pilots = draw(st.integers(0, 2)) if edges else 0
        rows.append(BudgetRow(budget=budget, pilots=pilots, edges=tuple(edges), cells=row))
    model = draw(st.sampled_from(["m", "n"]))
    fingerprint = FINGERPRINT.model_copy(update={"model": model})
    return LookupTable(fingerprint=fingerprint, difficulty="predicted", rows=tuple(rows))


def cell(accuracy: float, low: float, high: float, n: int = 1) -> Cell:
    plan = Plan(strategy="best_of_n", n=n)
    return Cell(
        plan=plan, accuracy=accuracy, low=low, high=high, generations=n, tokens=9, prompts=50
    )


def table(*rows: BudgetRow, **fingerprint: object) -> LookupTable:
    return LookupTable(
        fingerprint=FINGERPRINT.model_copy(update=fingerprint), difficulty="predicted", rows=rows
    )


def row(budget: int, *cells: Cell, edges: tuple[float, ...] = (), pilots: int = 0) -> BudgetRow:
    return BudgetRow(budget=budget, pilots=pilots, edges=edges, cells=cells)


@pytest.mark.slow
@given(tables())
def test_a_table_does_not_differ_from_itself(one: LookupTable) -> None:
    found = diff_tables(one, one)
    assert found.empty
    assert found.compared == sum(len(row.cells) for row in one.rows)


@pytest.mark.slow
@given(tables(), tables())
def test_the_other_way_round_everything_is_turned_round(a: LookupTable, b: LookupTable) -> None:
    there, back = diff_tables(a, b), diff_tables(b, a)
    assert there.compared == back.compared
    for kind in ("made_with", "budgets", "rows"):
        turned = [(c.where, c.what, c.after, c.before) for c in getattr(back, kind)]
        assert [(c.where, c.what, c.before, c.after) for c in getattr(there, kind)] == turned
    for one, other in zip(there.cells, back.cells, strict=True):
        assert (one.budget, one.bin, one.significant) == (
            other.budget,
            other.bin,
            other.significant,
        )
        assert (one.difference, one.low, one.high) == pytest.approx(
            (-other.difference, -other.high, -other.low)
        )


@pytest.mark.slow
@given(tables(), tables())
def test_only_where_the_interval_excludes_0_is_it_significant(
    a: LookupTable, b: LookupTable
) -> None:
    for change in diff_tables(a, b).cells:
        assert change.low <= change.difference <= change.high
        if change.significant:
            assert change.low > 0 or change.high < 0


@given(cells(), cells())
def test_p_value_and_interval_agree(before: Cell, after: Cell) -> None:
    low, high, p_value = difference(before, after)
    assert 0 <= p_value <= 1
    # But for the last bit at the edge.
    if p_value < LEVEL - 1e-9:
        assert low > -1e-9 or high < 1e-9
    if low > 1e-9 or high < -1e-9:
        assert p_value <= LEVEL


@given(st.lists(shares, max_size=20))
def test_holm_lies_between_bonferroni_and_no_correction(p_values: list[float]) -> None:
    rejected = holm(p_values)
    for p_value, is_rejected in zip(p_values, rejected, strict=True):
        assert is_rejected <= (p_value < LEVEL)
        assert is_rejected >= (p_value < LEVEL / len(p_values))


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == [True, False, False]
    assert holm([0.01, 0.02, 0.04]) == [True, True, True]
    assert holm([]) == []


def test_the_test_holds_its_level_and_finds_what_is_there() -> None:
    rng = np.random.default_rng(5)

    def found(gap: float) -> float:
        count = 200
        hits = []
        for _ in range(2000):
            pair = []
            for chance in (0.6, 0.6 + gap):
                mean = rng.binomial(count, chance) / count
                side = 1.96 * np.sqrt(mean * (1 - mean) / count)
                pair.append(cell(mean, mean - side, mean + side))
            hits.append(difference(*pair)[2] < LEVEL)
        return float(np.mean(hits))

    assert found(0.0) == pytest.approx(LEVEL, abs=0.015)
    assert found(0.2) > 0.95


def test_a_perfect_bin_has_no_room_above_but_may_have_fallen() -> None:
    low, high, p_value = difference(cell(1.0, 0.94, 1.0), cell(0.8, 0.7, 0.88))
    assert high < 0
    assert low == pytest.approx(-0.2 - 0.1)
    assert p_value < LEVEL


def test_budgets_bins_pilots_and_fingerprints_that_differ() -> None:
    half = cell(0.5, 0.4, 0.6)
    a = table(row(1, half), row(8, half), row(16, half, half, edges=(0.5,), pilots=2))
    b = table(
        row(8, half, half, edges=(0.4,), pilots=2),
        row(16, half, cell(0.9, 0.85, 0.95, n=4), edges=(0.4,), pilots=4),
        row(32, half),
        model="other",
    )
    found = diff_tables(a, b)
    assert [(c.what, c.before, c.after) for c in found.made_with] == [("model", "m", "other")]
    assert [(c.where, c.before, c.after) for c in found.budgets] == [
        ("budget 1", True, False),
        ("budget 32", False, True),
    ]
    assert [(c.where, c.what, c.before, c.after) for c in found.rows] == [
        ("budget 8", "pilots", 0, 2),
        ("budget 8", "bins", 1, 2),
        ("budget 16", "pilots", 2, 4),
        ("budget 16", "bin edges", (0.5,), (0.4,)),
    ]
    (changed,) = found.cells
    assert (changed.budget, changed.bin, changed.significant) == (16, 2, True)
    assert changed.after.plan.n == 4
    assert found.compared == 2


def test_over_all_prompts_bins_count_alike_and_their_spread_widens_the_interval() -> None:
    plain = table(row(4, cell(0.5, 0.4, 0.6)))
    binned = table(row(4, cell(0.9, 0.85, 0.95), cell(0.3, 0.2, 0.4), edges=(0.5,)))
    (whole,) = diff_tables(plain, binned).whole
    assert whole.before == pytest.approx((0.5, 0.4, 0.6))
    assert whole.after.accuracy == pytest.approx(0.6)
    # 50 prompts or more: the bins' own intervals, and of which bin a prompt is.
    within, between = np.hypot(0.05, 0.1) / 2, 1.96 * np.sqrt(0.3**2 / 50)
    assert whole.after.high - 0.6 == pytest.approx(np.hypot(within, between), rel=1e-4)
    assert not whole.significant


def test_over_all_prompts_bins_count_by_their_shares() -> None:
    cells, shares = (cell(0.9, 0.85, 0.95), cell(0.3, 0.2, 0.4)), (0.25, 0.75)
    alike = row(4, *cells, edges=(0.5,))
    found = diff_tables(table(alike), table(alike.model_copy(update={"shares": shares})))
    assert not found.empty
    assert [(c.what, c.before, c.after) for c in found.rows] == [("shares of bins", (), shares)]
    (whole,) = found.whole
    assert whole.before.accuracy == pytest.approx(0.6)
    assert whole.after.accuracy == pytest.approx(0.45)
    within = np.hypot(0.05 * 0.25, 0.1 * 0.75)
    between = 1.96 * np.sqrt((0.25 * 0.45**2 + 0.75 * 0.15**2) / 50)
    assert whole.after.high - 0.45 == pytest.approx(np.hypot(within, between), rel=1e-4)


def test_the_stored_interval_over_all_prompts_counts() -> None:
    binned = row(4, cell(0.9, 0.85, 0.95), cell(0.3, 0.2, 0.4), edges=(0.5,))
    stored = binned.model_copy(update={"interval": (0.5, 0.72)})
    (whole,) = diff_tables(table(binned), table(stored)).whole
    assert whole.after == pytest.approx((0.6, 0.5, 0.72))


def test_a_table_is_clearly_worse_over_all_prompts_or_where_it_cannot_serve() -> None:
    good = table(row(1, cell(0.5, 0.45, 0.55)), row(16, cell(0.9, 0.87, 0.93)))
    noise = table(row(1, cell(0.48, 0.43, 0.53)), row(16, cell(0.88, 0.85, 0.91)))
    bad = table(row(1, cell(0.5, 0.45, 0.55)), row(16, cell(0.7, 0.65, 0.75)))
    short = table(row(1, cell(0.5, 0.45, 0.55)), row(8, cell(0.8, 0.77, 0.83)))
    late = table(row(4, cell(0.8, 0.77, 0.83)), row(16, cell(0.9, 0.87, 0.93)))
    assert clearly_worse(good, good) == clearly_worse(good, noise) == clearly_worse(bad, good) == []
    (why,) = clearly_worse(good, bad)
    assert why.startswith("at budget 16 its accuracy is 70.0%, not 90.0%: 20.0 points lower [14.")
    # At 16 it spends 8; and it has a row at 8, where the other spends 1.
    (why,) = clearly_worse(good, short)
    assert why.startswith("at budget 16 its accuracy is 80.0%")
    assert clearly_worse(good, late) == ["budget 1 is below its least, 4"]


@given(tables())
def test_no_table_is_clearly_worse_than_itself(one: LookupTable) -> None:
    assert clearly_worse(one, one) == []
