"""Pure policy: plans, difficulty bins, the calibrated lookup table, drift. No torch, no vllm."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from allocator.bins import DifficultyBins
    from allocator.drift import DriftMonitor, DriftReport
    from allocator.drift_baseline import DriftBaseline
    from allocator.errors import InputError
    from allocator.plan import Plan
    from allocator.policy import Policy
    from allocator.table import BudgetRow, Cell, Fingerprint, LookupTable

__all__ = [
    "BudgetRow",
    "Cell",
    "DifficultyBins",
    "DriftBaseline",
    "DriftMonitor",
    "DriftReport",
    "Fingerprint",
    "InputError",
    "LookupTable",
    "Plan",
    "Policy",
]

_MODULES = {
    "BudgetRow": "table",
    "Cell": "table",
    "DifficultyBins": "bins",
    "DriftMonitor": "drift",
    "DriftReport": "drift",
    "Fingerprint": "table",
    "InputError": "errors",
    "LookupTable": "table",
    "Plan": "plan",
    "Policy": "policy",
    "DriftBaseline": "drift_baseline",
}


def __getattr__(name: str) -> Any:
    """Exports are imported when they are used: ``allocator.errors`` alone loads no numpy."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
