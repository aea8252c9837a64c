"""Pure policy: plans, difficulty bins, the calibrated lookup table, drift. No torch, no vllm."""

from allocator.bins import DifficultyBins
from allocator.drift import DriftMonitor, DriftReport
from allocator.errors import InputError
from allocator.plan import Plan
from allocator.policy import Policy
from allocator.reference import Reference
from allocator.table import BudgetRow, Cell, Fingerprint, LookupTable

__all__ = [
    "BudgetRow",
    "Cell",
    "DifficultyBins",
    "DriftMonitor",
    "DriftReport",
    "Fingerprint",
    "InputError",
    "LookupTable",
    "Plan",
    "Policy",
    "Reference",
]
