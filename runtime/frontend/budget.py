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
class ResolvedBudget:
    """What a call may spend.

    Attributes:
        spend: what each of its prompts may cost, or all of them together.
        per_prompt: generations per prompt, with a shared total their mean, rounded up; None where
            tokens are counted.
        notes: a note if the default budget was raised.
    """

    spend: Spend
    per_prompt: int | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class RequestedBudget:
    """The budget that a call requests; None for what it leaves out.

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

    def resolve(
        self, default: int, solutions: int, prompts: int = 1, field: str = "n"
    ) -> ResolvedBudget:
        """What the call may spend.

        Args:
            default: generations per prompt if the call gives no budget. If it requests more
                solutions than that, the budget is their number.
            solutions: the largest number of solutions that it requests for one prompt.
            prompts: number of its prompts.
            field: the caller's name for the number of solutions, for error messages.

        Raises:
            InputError: several solutions under a shared total or a budget in tokens, or as `Spend`.
        """
        if self.budget_tokens is not None or self.average_tokens is not None:
            if solutions > 1:
                hint = "a budget in tokens allows one solution per prompt; give a budget"
                raise InputError(field, solutions, hint)
            if self.budget_tokens is not None:
                counted("budget_tokens", self.budget_tokens)
            spend = Spend(
                budget=self.budget,
                total_budget=self.total_budget,
                deadline=self.deadline,
                budget_tokens=self.budget_tokens,
                average_tokens=self.average_tokens,
            )
            return ResolvedBudget(spend, None)
        if self.total_budget is not None:
            if solutions > 1:
                hint = "a shared total allows one solution per prompt; give a budget"
                raise InputError(field, solutions, hint)
            total = counted("total_budget", self.total_budget)
            spend = Spend(self.budget, total_budget=total, deadline=self.deadline)
            return ResolvedBudget(spend, -(-total // prompts))
        each = counted("budget", default if self.budget is None else self.budget)
        notes: tuple[str, ...] = ()
        if self.budget is None and solutions > default:
            each = solutions
            notes = (
                f"the budget was {each}, not {default}, because {each} solutions were requested",
            )
        return ResolvedBudget(Spend(budget=each, deadline=self.deadline), each, notes)
