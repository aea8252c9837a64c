"""What changed between two lookup tables, and which accuracies changed by more than chance."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import hypot
from statistics import NormalDist

from allocator.table import BudgetRow, Cell, LookupTable

LEVEL = 0.05
# How many standard errors a side of a 95% interval is long.
QUANTILE = NormalDist().inv_cdf(1 - LEVEL / 2)


@dataclass(frozen=True)
class Change:
    """Something that is not a measurement and differs: where, what, and both values."""

    where: str
    what: str
    before: object
    after: object


@dataclass(frozen=True)
class CellChange:
    """A bin at a budget whose plan or accuracy differs.

    Attributes:
        budget: of both rows.
        bin: 1 the easiest; the same place in both rows. None in rows of one plan for all prompts.
        before: the first table's cell.
        after: the second's.
        low: of the difference in accuracy, after less before, with its 95% interval.
        high: likewise.
        significant: Holm's procedure over all cells compared keeps the chance of a single false
            "significant" among them below 5%. Only where the interval excludes 0.
    """

    budget: int
    bin: int | None
    before: Cell
    after: Cell
    low: float
    high: float
    significant: bool

    @property
    def difference(self) -> float:
        """In accuracy, after less before."""
        return self.after.accuracy - self.before.accuracy


@dataclass(frozen=True)
class TableDiff:
    """All differences.

    Attributes:
        made_with: of the fingerprints, and of the kind of difficulty.
        budgets: calibrated in one table only.
        rows: pilots and bins, at budgets of both. Rows of unlike many bins are not compared cell
            by cell: their bins hold other prompts.
        cells: that differ, by budget and bin.
        compared: how many cells were compared, like ones included.
    """

    made_with: tuple[Change, ...]
    budgets: tuple[Change, ...]
    rows: tuple[Change, ...]
    cells: tuple[CellChange, ...]
    compared: int

    @property
    def empty(self) -> bool:
        """Whether the tables say the same."""
        return not (self.made_with or self.budgets or self.rows or self.cells)


def diff_tables(before: LookupTable, after: LookupTable) -> TableDiff:
    """Compare two tables, budget by budget and bin by bin.

    Bins are compared by rank: the second easiest fifth with the second easiest fifth, wherever
    each table cuts them. The estimates are taken to be independent; if both tables were calibrated
    on the same prompts, the true intervals of the differences are narrower than these.
    """
    rows = {row.budget: row for row in before.rows}, {row.budget: row for row in after.rows}
    shared = sorted(rows[0].keys() & rows[1].keys())
    pairs = [(rows[0][budget], rows[1][budget]) for budget in shared]
    cells = [
        (old.budget, number if old.edges else None, *pair)
        for old, new in pairs
        if len(old.cells) == len(new.cells)
        for number, pair in enumerate(zip(old.cells, new.cells, strict=True), start=1)
    ]
    differences = [difference(old, new) for *_, old, new in cells]
    significant = holm([p_value for *_, p_value in differences])
    return TableDiff(
        made_with=tuple(_made_with(before, after)),
        budgets=tuple(
            Change(f"budget {budget}", "calibrated", budget in rows[0], budget in rows[1])
            for budget in sorted(rows[0].keys() ^ rows[1].keys())
        ),
        rows=tuple(change for old, new in pairs for change in _row_changes(old, new)),
        cells=tuple(
            # To the last bit: p-value and interval may be rounded to different sides of the edge.
            CellChange(budget, number, old, new, low, high, rejected and not low <= 0 <= high)
            for (budget, number, old, new), (low, high, _), rejected in zip(
                cells, differences, significant, strict=True
            )
            if old != new
        ),
        compared=len(cells),
    )


def difference(before: Cell, after: Cell) -> tuple[float, float, float]:
    """The 95% interval of `after`'s accuracy less `before`'s, and the two-sided p-value of none.

    The intervals are rarely symmetric: one at 100% has no room above. So each side of the
    difference's interval is made of the sides that it depends on (Newcombe's square-and-add), and
    the standard error of the z-test is that of the side that faces 0.

    Returns:
        Low, high and p-value.
    """
    value = after.accuracy - before.accuracy
    down = hypot(after.accuracy - after.low, before.high - before.accuracy)
    up = hypot(after.high - after.accuracy, before.accuracy - before.low)
    error = (down if value > 0 else up) / QUANTILE
    if not error:
        return value - down, value + up, float(value == 0)
    return value - down, value + up, 2 * NormalDist().cdf(-abs(value) / error)


def holm(p_values: Sequence[float]) -> list[bool]:
    """Which hypotheses Holm's step-down procedure rejects, with a family-wise error below 5%."""
    rejected = [False] * len(p_values)
    for done, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        if p_values[index] >= LEVEL / (len(p_values) - done):
            break
        rejected[index] = True
    return rejected


def _made_with(before: LookupTable, after: LookupTable) -> list[Change]:
    old, new = _parts(before), _parts(after)
    return [
        Change("made with", name, old.get(name), new.get(name))
        for name in old | new
        if old.get(name) != new.get(name)
    ]


def _parts(table: LookupTable) -> dict[str, object]:
    """What a table was made with, each setting on its own."""
    parts: dict[str, object] = {"difficulty": table.difficulty}
    for name, value in table.fingerprint.model_dump().items():
        nested = value.items() if isinstance(value, dict) else ()
        parts |= {f"{name}: {inner}": of_inner for inner, of_inner in nested} or {name: value}
    return parts


def _row_changes(before: BudgetRow, after: BudgetRow) -> list[Change]:
    pairs: dict[str, tuple[object, object]] = {
        "pilots": (before.pilots, after.pilots),
        "bins": (len(before.cells), len(after.cells)),
    }
    if len(before.cells) == len(after.cells):
        pairs["bin edges"] = before.edges, after.edges
    return [
        Change(f"budget {before.budget}", name, *pair)
        for name, pair in pairs.items()
        if pair[0] != pair[1]
    ]
