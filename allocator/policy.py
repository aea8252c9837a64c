"""The policy: predicted pass@1 and a budget -> plan, for one prompt or for many at once.

The solver, calibration's replay and the benchmarks all look plans up here.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from allocator.bins import bin_of
from allocator.checks import finite
from allocator.curves import AccuracyCurves
from allocator.errors import InputError
from allocator.latency import Latency
from allocator.plan import Plan
from allocator.table import BudgetRow, Cell, LookupTable


@dataclass(frozen=True)
class Deadline:
    """The time left for a prompt, and what is known about plans that must fit it.

    Attributes:
        seconds: time left.
        latency: seconds of each plan.
        curves: accuracy of each plan in each bin.
    """

    seconds: float
    latency: Latency
    curves: AccuracyCurves


@dataclass(frozen=True)
class Choices:
    """The plans of one or more prompts, and what they were chosen by.

    Attributes:
        row: the table's row.
        bins: the row's bin of each prompt, 0 the easiest, shape (prompts,).
        plans: the plan of each prompt.
        fit: whether a plan fits the deadline, for each prompt; true where there is no deadline.
    """

    row: BudgetRow
    bins: NDArray[np.int64]
    plans: tuple[Plan, ...]
    fit: tuple[bool, ...]

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The row's cell of each prompt: the bin's plan and its measured accuracy."""
        return tuple(self.row.cells[number] for number in self.bins.tolist())


class Policy:
    """Looks plans up in a calibrated table (theta*(q, N) of section 3, by difficulty bin).

    Args:
        table: the calibrated table.
    """

    def __init__(self, table: LookupTable) -> None:
        self.table = table

    def row(self, budget: int, deadline: Deadline | None = None) -> BudgetRow:
        """The table's row for a budget: the number of pilots, and the plan of each bin.

        Args:
            budget: generations per prompt, at most.
            deadline: pilots that would take more than half of its time are left out, and so are
                the bins.

        Raises:
            InputError: budget below 1, or below the smallest calibrated budget.
        """
        if not finite(budget) or budget < 1:
            raise InputError("budget", budget, "must be 1 or more generations")
        row = self.table.row(budget)
        if deadline is None or not row.pilots:
            return row
        taken = deadline.latency.seconds(Plan(strategy="best_of_n", n=row.pilots))
        if taken is not None and taken <= deadline.seconds / 2:
            return row
        whole = {"pilots": 0, "edges": (), "cells": row.cells[:1], "shares": (), "interval": None}
        return row.model_copy(update=whole)

    def plans(
        self,
        budget: int,
        pass_at_1: ArrayLike | None = None,
        row: BudgetRow | None = None,
        pilots: int = 0,
        deadline: Deadline | None = None,
    ) -> Choices:
        """The plan of each prompt: its bin's in the table, or the best that fits the deadline.

        Where no plan fits, the pilots alone answer (one solution where there were none).

        Args:
            budget: generations per prompt, at most.
            pass_at_1: predicted pass@1, shape (prompts,). None is one prompt without a
                prediction: it is in bin 0, and a deadline averages plans over all bins. Where the
                row has one bin, values do not choose the bin.
            row: the row for this budget if it is known; None looks it up.
            pilots: pilots that each prompt has had; only read with a deadline.
            deadline: the time left; None is no limit.

        Raises:
            InputError: as `row`; a pass@1 that is NaN or outside [0, 1]; or, with a deadline, a
                number of pilots for which there are no curves.
        """
        row = self.row(budget, deadline) if row is None else row
        values = np.zeros(1) if pass_at_1 is None else np.asarray(pass_at_1, dtype=float)
        if row.edges and not np.all((values >= 0) & (values <= 1)):
            raise InputError("pass_at_1", values.tolist(), "must be between 0 and 1")
        bins = bin_of(row.edges, values)
        if deadline is None:
            found = tuple(row.cells[number].plan for number in bins.tolist())
            return Choices(row, bins, found, (True,) * len(found))
        curves = deadline.curves.after(pilots)
        known = pass_at_1 is not None
        options = list(curves.bins) if known else [curves.overall]
        numbers = bin_of(curves.edges, values) if known else np.zeros(1, dtype=np.int64)
        pilots_alone = Plan(strategy="best_of_n", n=max(1, pilots))
        within = [deadline.latency.best_within(o, budget, deadline.seconds) for o in options]
        each = [within[number] for number in numbers.tolist()]
        plans = tuple(pilots_alone if best is None else best.plan for best in each)
        return Choices(row, bins, plans, tuple(best is not None for best in each))


def settled(row: BudgetRow, low: ArrayLike, high: ArrayLike) -> NDArray[np.bool_]:
    """Whether every pass@1 between two bounds leads to the same plan in a row.

    Args:
        row: the row.
        low: lower bounds of pass@1, any shape.
        high: upper bounds, the same shape.

    Returns:
        Shape of the bounds.
    """
    # The last bin with the same plan as each bin, without another plan between them.
    plans, last = [cell.plan for cell in row.cells], np.arange(len(row.cells))
    for number in reversed(range(len(plans) - 1)):
        if plans[number] == plans[number + 1]:
            last[number] = last[number + 1]
    return np.asarray(last[bin_of(row.edges, high)] >= bin_of(row.edges, low))
