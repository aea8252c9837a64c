"""What changed between two lookup tables, and which accuracies changed by more than chance."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import hypot, sqrt
from statistics import NormalDist
from typing import NamedTuple

from allocator.table import BudgetRow, Cell, LookupTable

LEVEL = 0.05
# Half-width of a 95% interval in standard errors.
QUANTILE = NormalDist().inv_cdf(1 - LEVEL / 2)


@dataclass(frozen=True)
class Change:
    """A difference that is not a measurement: its place, its name, and both values."""

    where: str
    what: str
    before: object
    after: object


class Estimate(NamedTuple):
    """An accuracy with its 95% interval."""

    accuracy: float
    low: float
    high: float


class _Changed:
    """Two accuracies that are compared."""

    before: Cell | Estimate
    after: Cell | Estimate

    @property
    def difference(self) -> float:
        """Difference in accuracy, after less before."""
        return self.after.accuracy - self.before.accuracy


@dataclass(frozen=True)
class CellChange(_Changed):
    """A bin at a budget whose plan or accuracy differs.

    Attributes:
        budget: budget of both rows.
        bin: number of the bin, 1 the easiest. None in rows with one plan for all prompts.
        before: the first table's cell.
        after: the second table's cell.
        low: lower bound of the 95% interval of the difference in accuracy, after less before.
        high: its upper bound.
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


@dataclass(frozen=True)
class WholeChange(_Changed):
    """What the tables reach at a budget over all prompts, by the rows that they use for it.

    Attributes:
        budget: the budget.
        before: of the first table.
        after: of the second.
        low: lower bound of the 95% interval of the difference, after less before.
        high: its upper bound.
        significant: as `CellChange.significant`, over all budgets compared.
    """

    budget: int
    before: Estimate
    after: Estimate
    low: float
    high: float
    significant: bool


@dataclass(frozen=True)
class TableDiff:
    """All differences.

    Attributes:
        made_with: differences of the fingerprints, and of the kind of difficulty.
        budgets: budgets in one table only.
        rows: differences of units, pilots and bins, at budgets of both. Rows with different
            numbers of bins are not compared cell by cell: their bins hold different prompts.
        cells: cells that differ, by budget and bin.
        compared: number of cells compared, equal ones included.
        whole: every budget of either table that both can use, over all prompts.
    """

    made_with: tuple[Change, ...]
    budgets: tuple[Change, ...]
    rows: tuple[Change, ...]
    cells: tuple[CellChange, ...]
    compared: int
    whole: tuple[WholeChange, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether the tables are equal."""
        return not (self.made_with or self.budgets or self.rows or self.cells)


def diff_tables(before: LookupTable, after: LookupTable) -> TableDiff:
    """Compare two tables, budget by budget and bin by bin.

    Bins are compared by rank: the second easiest fifth with the second easiest fifth, whatever
    their edges. The estimates are taken to be independent; if both tables were calibrated
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
    tested = _tested([(old, new) for *_, old, new in cells])
    return TableDiff(
        made_with=tuple(_made_with(before, after)),
        budgets=tuple(
            Change(f"budget {budget}", "calibrated", budget in rows[0], budget in rows[1])
            for budget in sorted(rows[0].keys() ^ rows[1].keys())
        ),
        rows=tuple(change for old, new in pairs for change in _row_changes(old, new)),
        cells=tuple(
            CellChange(budget, number, old, new, *test)
            for (budget, number, old, new), test in zip(cells, tested, strict=True)
            if old != new
        ),
        compared=len(cells),
        whole=tuple(_whole_changes(before, after)),
    )


def clearly_worse(before: LookupTable, after: LookupTable) -> list[str]:
    """In what the second table is clearly worse than the first, in words; nothing if in nothing.

    It is clearly worse if it cannot serve one of the first one's budgets, or if over all prompts
    its accuracy at a budget is lower by more than chance. Where its budgets end earlier, what it
    reaches at its largest one is compared.
    """
    least = min(row.budget for row in after.rows)
    lost = [row.budget for row in before.rows if row.budget < least]
    found = [f"budget {budget} is below its least, {least}" for budget in lost]
    for change in _whole_changes(before, after):
        if change.significant and change.difference < 0:
            found.append(
                f"at budget {change.budget} its accuracy is {change.after.accuracy:.1%}, not "
                f"{change.before.accuracy:.1%}: {-100 * change.difference:.1f} points lower "
                f"[{-100 * change.high:.1f}, {-100 * change.low:.1f}]"
            )
    return found


def _whole_changes(before: LookupTable, after: LookupTable) -> Iterator[WholeChange]:
    least = max(min(row.budget for row in table.rows) for table in (before, after))
    budgets = sorted({row.budget for row in (*before.rows, *after.rows) if row.budget >= least})
    pairs = [(over_all(before, budget), over_all(after, budget)) for budget in budgets]
    for budget, (old, new), test in zip(budgets, pairs, _tested(pairs), strict=True):
        yield WholeChange(budget, old, new, *test)


def _tested(
    pairs: Sequence[tuple[Cell | Estimate, Cell | Estimate]],
) -> list[tuple[float, float, bool]]:
    """The 95% interval of each difference, and whether it is significant among all of them."""
    differences = [difference(old, new) for old, new in pairs]
    significant = holm([p_value for *_, p_value in differences])
    return [
        # Both conditions: p-value and interval may round to different sides of the threshold.
        (low, high, rejected and not low <= 0 <= high)
        for (low, high, _), rejected in zip(differences, significant, strict=True)
    ]


def over_all(table: LookupTable, budget: int) -> Estimate:
    """The accuracy of the row for a budget over all prompts.

    In older files its interval is not stored. It is then put together from the variance within
    bins, and that of how many of the prompts fall into which; it is somewhat too narrow, for a
    prompt may be in several bins.
    """
    row = table.row(budget)
    mean = row.accuracy
    if row.interval is not None:
        return Estimate(mean, *row.interval)
    # All of the prompts, if any row has one bin; at least so many, if none has.
    prompts = max(cell.prompts for row in table.rows for cell in row.cells)
    weighted = list(zip(row.weights, row.cells, strict=True))
    between = sum(weight * (cell.accuracy - mean) ** 2 for weight, cell in weighted)
    spread = QUANTILE * sqrt(between / prompts)
    down = hypot(spread, *(weight * (cell.accuracy - cell.low) for weight, cell in weighted))
    up = hypot(spread, *(weight * (cell.high - cell.accuracy) for weight, cell in weighted))
    return Estimate(mean, mean - down, mean + up)


def difference(before: Cell | Estimate, after: Cell | Estimate) -> tuple[float, float, float]:
    """The 95% interval of `after`'s accuracy less `before`'s, and the two-sided p-value of no
    difference.

    The intervals are rarely symmetric: one at 100% ends there. So each side of the difference's
    interval combines the sides it depends on (Newcombe's square-and-add), and the standard error
    of the z-test is that of the side towards 0.

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
    """Hypotheses that Holm's step-down procedure rejects, with a family-wise error below 5%."""
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
    """The settings of a table's fingerprint, one by one."""
    parts: dict[str, object] = {"difficulty": table.difficulty}
    for name, value in table.fingerprint.model_dump().items():
        nested = value.items() if isinstance(value, dict) else ()
        parts |= {f"{name}: {inner}": of_inner for inner, of_inner in nested} or {name: value}
    return parts


def _row_changes(before: BudgetRow, after: BudgetRow) -> list[Change]:
    pairs: dict[str, tuple[object, object]] = {
        "unit": (before.unit, after.unit),
        "pilots": (before.pilots, after.pilots),
        "pilots' thinking": (before.pilot_thinking, after.pilot_thinking),
        "bins": (len(before.cells), len(after.cells)),
    }
    if len(before.cells) == len(after.cells):
        pairs["bin edges"] = before.edges, after.edges
        pairs["shares of bins"] = before.shares, after.shares
    return [
        Change(f"budget {before.budget}", name, *pair)
        for name, pair in pairs.items()
        if pair[0] != pair[1]
    ]
