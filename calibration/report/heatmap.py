"""The layout of a lookup table: equal rows are joined, rows without bins span all columns."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from allocator.table import BudgetRow, Cell, LookupTable
from calibration.report.words import interval


@dataclass(frozen=True)
class Line:
    """One or more budgets with the same plans.

    Attributes:
        budgets: ``8``, or ``8 to 64``.
        pilots: pilot samples.
        cells: one per bin, or a single one for all prompts.
        ranges: pass@1 of each cell's prompts as text; empty if the table's head gives it.
        blank: number of columns that stay empty.
    """

    budgets: str
    pilots: int
    cells: tuple[Cell, ...]
    ranges: tuple[str, ...]
    blank: int


@dataclass(frozen=True)
class HeatMap:
    """A table's lines, its number of columns, and the range of each column if all rows agree."""

    columns: int
    ranges: tuple[str, ...]
    lines: tuple[Line, ...]


def heat_map(table: LookupTable) -> HeatMap:
    """Lay a table out."""
    columns = max(len(row.cells) for row in table.rows)
    edges = {row.edges for row in table.rows if row.edges}
    agreed = ranges_of(edges.pop()) if len(edges) == 1 else ()
    lines = []
    for _, group in groupby(table.rows, key=lambda row: (row.pilots, row.edges, row.cells)):
        rows: list[BudgetRow] = list(group)
        first, last = rows[0], rows[-1]
        lines.append(
            Line(
                budgets=f"{first.budget}" + (f" to {last.budget}" if last is not first else ""),
                pilots=first.pilots,
                cells=first.cells,
                ranges=() if agreed or not first.edges else ranges_of(first.edges),
                blank=columns - len(first.cells) if first.edges else 0,
            )
        )
    return HeatMap(columns, agreed, tuple(lines))


def ranges_of(edges: Sequence[float]) -> tuple[str, ...]:
    """The pass@1 of each bin as text, easiest first, from descending inner edges."""
    ends = (1.0, *edges, 0.0)
    return tuple(interval(low, high) for high, low in pairwise(ends))
