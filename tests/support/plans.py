"""Plans by their numbers."""

from allocator.plan import Plan, Selection


def best_of(n: int, selection: Selection = "weighted") -> Plan:
    """Best-of-N of `n` solutions."""
    return Plan(strategy="best_of_n", n=n, selection=selection)
