"""Pure policy: plans, difficulty bins and the calibrated lookup table. No torch, no vllm."""

from allocator.bins import DifficultyBins
from allocator.errors import InputError
from allocator.plan import Plan
from allocator.policy import Policy
from allocator.table import BudgetRow, Cell, Fingerprint, LookupTable

__all__ = [
    "BudgetRow",
    "Cell",
    "DifficultyBins",
    "Fingerprint",
    "InputError",
    "LookupTable",
    "Plan",
    "Policy",
]
