"""The policy: difficulty and budget -> plan, for one prompt or for many at once."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from allocator.bins import bin_of
from allocator.errors import InputError
from allocator.plan import Plan
from allocator.table import BudgetRow, LookupTable


class Policy:
    """Looks plans up in a calibrated table (theta*(q, N) of section 3, by difficulty bin).

    Args:
        table: the calibrated table.
    """

    def __init__(self, table: LookupTable) -> None:
        self.table = table

    def row(self, budget: int) -> BudgetRow:
        """The table's row for a budget: how many pilots to take, and the plan of every bin.

        Raises:
            InputError: budget below 1, or below the smallest calibrated budget.
        """
        if budget < 1:
            raise InputError("budget", budget, "one generation is the least; give 1 or more")
        return self.table.row(budget)

    def plans(self, budget: int, pass_at_1: ArrayLike) -> tuple[NDArray[np.int64], list[Plan]]:
        """Bins and plans of many prompts.

        Args:
            budget: generations each prompt may cost.
            pass_at_1: difficulty as expected pass@1, shape (prompts,). Ignored, but for its
                length, where the row has one bin.

        Returns:
            Bins, shape (prompts,), and as many plans.

        Raises:
            InputError: as `row`; or a difficulty that is NaN or outside [0, 1].
        """
        row = self.row(budget)
        values = np.asarray(pass_at_1, dtype=float)
        if row.edges and not np.all((values >= 0) & (values <= 1)):
            raise InputError("pass_at_1", values.tolist(), "pass@1 lies between 0 and 1")
        bins = bin_of(row.edges, values)
        return bins, [row.cells[b].plan for b in bins]
