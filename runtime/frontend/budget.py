"""What a call may spend: its budget, the environment's default, and a total for all prompts."""

import os
from dataclasses import dataclass

from allocator.errors import InputError
from runtime.frontend.fields import number_in
from runtime.frontend.sampling_overrides import counted
from runtime.result import Spend

BUDGET_VARIABLE = "TTC_BUDGET"
DEFAULT_BUDGET = 16


def default_budget(budget: int | None) -> int:
    """Generations per prompt: as given, else the environment's TTC_BUDGET, else 16.

    Raises:
        InputError: not an integer of at least 1.
    """
    if budget is not None:
        return counted("budget", budget)
    return counted(BUDGET_VARIABLE, number_in(os.environ.get(BUDGET_VARIABLE, str(DEFAULT_BUDGET))))


@dataclass(frozen=True)
class Limits:
    """What a call says of its budget; None where it says nothing.

    Attributes:
        budget: generations that each prompt may cost.
        total_budget: generations that all prompts together may cost.
        deadline: seconds that each prompt may take.
        budget_tokens: tokens that each prompt may cost, as `runtime.result.Spend` has them.
        average_tokens: tokens that prompts may cost on average, likewise.
    """

    budget: int | None = None
    total_budget: int | None = None
    deadline: float | None = None
    budget_tokens: int | None = None
    average_tokens: float | None = None


def spend_for(
    default: int, solutions: int, limits: Limits, prompts: int = 1, field: str = "n"
) -> tuple[Spend, int | None, list[str]]:
    """What a call may spend.

    Args:
        default: generations per prompt if the call gives no budget. If it requests more solutions
            than that, the budget is their number.
        solutions: the largest number of solutions that it requests for one prompt.
        limits: what it says of its budget.
        prompts: number of its prompts.
        field: the caller's name for the number of solutions, for error messages.

    Returns:
        What the call may spend; generations per prompt, with a shared total their mean, rounded
        up, and None where tokens are counted; and a note if the default budget was raised.

    Raises:
        InputError: several solutions under a shared total or a budget in tokens, or as `Spend`.
    """
    budget, total, deadline = limits.budget, limits.total_budget, limits.deadline
    budget_tokens, average_tokens = limits.budget_tokens, limits.average_tokens
    if budget_tokens is not None or average_tokens is not None:
        if solutions > 1:
            hint = "a budget in tokens allows one solution per prompt; give a budget"
            raise InputError(field, solutions, hint)
        if budget_tokens is not None:
            counted("budget_tokens", budget_tokens)
        spend = Spend(budget, None, total, deadline, budget_tokens, average_tokens)
        return spend, None, []
    if total is not None:
        if solutions > 1:
            hint = "a shared total allows one solution per prompt; give a budget"
            raise InputError(field, solutions, hint)
        shared = Spend(budget, total_budget=counted("total_budget", total), deadline=deadline)
        return shared, -(-total // prompts), []
    each, notes = counted("budget", default if budget is None else budget), []
    if budget is None and solutions > default:
        each = solutions
        notes = [f"the budget was {each}, not {default}, because {each} solutions were requested"]
    return Spend(budget=each, deadline=deadline), each, notes
