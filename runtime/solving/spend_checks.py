"""What a caller may request: budgets and deadlines that can be kept, checked before any work."""

from allocator.checks import check_positive, finite
from allocator.errors import InputError
from allocator.plan import SEARCHES, SETTINGS, Plan
from allocator.price import check_average
from predictors.thinking_policy import ThinkingPolicy
from predictors.token_policy import TokenPolicy
from runtime.artifact import Artifact
from runtime.result import Spend
from runtime.solving.shared_budget import check_total


def check_spend(
    artifact: Artifact,
    fixed: Plan | None,
    early_stop: float | None,
    spend: Spend,
    prompts: int | None = None,
) -> None:
    """Check that what prompts may cost can be kept; no model is needed for it.

    Args:
        artifact: what calibration measured.
        fixed: the plan that every prompt gets; None where the policy chooses.
        early_stop: as `check_early_stop`.
        spend: what the prompts may cost.
        prompts: how many share a total; None where there is no total.

    Raises:
        InputError: as `check_early_stop`; an early stop or a fixed plan without a budget per
            prompt; a total or an average below one generation per prompt; a budget in tokens that
            was not calibrated; a budget below the smallest calibrated one, or below a fixed plan's
            cost; a fixed plan whose models are not there; or a deadline that is not positive, or
            that cannot be kept.
    """
    check_early_stop(early_stop, fixed)
    if fixed is not None and spend.budget is None:
        raise InputError("plan", str(fixed), "a plan goes with a budget for each prompt")
    if early_stop is not None and spend.budget is None and spend.budget_tokens is None:
        raise InputError(
            "early_stop", early_stop, "it goes with a budget for each prompt; leave it out"
        )
    if spend.average_tokens is not None:
        thinking_policy(artifact, spend.average_tokens).price_for(spend.average_tokens)
    elif spend.budget_tokens is not None:
        token_policy(artifact, spend.budget_tokens).table.row(spend.budget_tokens)
    elif spend.total_budget is not None:
        check_total(artifact.prices.schedule.costs, prompts or 0, spend.total_budget)
    elif spend.average_budget is not None:
        check_average(spend.average_budget)
    elif spend.budget is not None:
        _check_budget(artifact, fixed, spend.budget)
        if spend.deadline is not None:
            _check_deadline(artifact, fixed, early_stop, spend.deadline)


def check_early_stop(early_stop: float | None, fixed: Plan | None) -> None:
    """Check the probability at which best-of-n stops early.

    Args:
        early_stop: best-of-n stops as soon as its leading answer is settled with this probability;
            None where it never stops early.
        fixed: the plan that every prompt gets; None where the policy chooses.

    Raises:
        InputError: a probability that is not one, or a fixed plan that is not best-of-n.
    """
    if early_stop is None:
        return
    if not (finite(early_stop) and 0.5 < early_stop <= 1):
        raise InputError("early_stop", early_stop, "a probability above 0.5; 1 is for certain")
    if fixed is not None and fixed.strategy != "best_of_n":
        raise InputError("early_stop", early_stop, f"best-of-n ends early, and {fixed} does not")


def _check_budget(artifact: Artifact, fixed: Plan | None, budget: int) -> None:
    artifact.policy.row(budget)
    if fixed is not None:
        _check_models(artifact, fixed)
        if fixed.cost(0) > budget:
            raise InputError("budget", budget, f"{fixed} costs {fixed.cost(0)}; allow that")


def _check_deadline(
    artifact: Artifact, fixed: Plan | None, early_stop: float | None, deadline: float
) -> None:
    check_positive("deadline", deadline, "must be a positive number of seconds")
    if early_stop is not None:
        raise InputError(
            "deadline", deadline, "early stop takes longer than plans were timed; leave it out"
        )
    if fixed is not None:
        raise InputError("deadline", deadline, "it chooses the plan; do not fix one as well")
    if not artifact.latency.timed:
        raise InputError(
            "deadline",
            deadline,
            "plans were not timed; calibrate again, with --model and without --ray",
        )


def _check_models(artifact: Artifact, fixed: Plan) -> None:
    if fixed.strategy in SEARCHES and artifact.settings.verifier is None:
        raise InputError("plan", str(fixed), "a search needs a verifier; the artifact names none")
    if "length" in SETTINGS[fixed.strategy] and artifact.settings.reviser is None:
        raise InputError("plan", str(fixed), "it revises with a reviser; the artifact names none")


def token_policy(artifact: Artifact, budget_tokens: int) -> TokenPolicy:
    """An artifact's policy whose budgets are tokens.

    Args:
        artifact: what calibration measured.
        budget_tokens: the budget that it is needed for, for messages.

    Raises:
        InputError: it has none.
    """
    if artifact.tokens is None:
        raise _uncalibrated("budget_tokens", budget_tokens, artifact)
    return artifact.tokens


def thinking_policy(
    artifact: Artifact, value: float, field: str = "average_tokens"
) -> ThinkingPolicy:
    """An artifact's policy over width and depth of thought.

    Args:
        artifact: what calibration measured.
        value: what it is needed for, for messages.
        field: the caller's name for that, likewise.

    Raises:
        InputError: it has none.
    """
    if artifact.thinking is None:
        raise _uncalibrated(field, value, artifact)
    return artifact.thinking


def _uncalibrated(field: str, value: float, artifact: Artifact) -> InputError:
    return InputError(
        field,
        value,
        f"{artifact.folder} was not calibrated on thoughts of several depths; calibrate with "
        "--thinking, or give a budget in generations",
    )
