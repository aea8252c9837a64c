"""What a caller may request: budgets and deadlines that can be kept, checked before any work."""

from allocator.checks import check_positive, finite
from allocator.errors import InputError
from allocator.plan import SEARCHES, Plan
from predictors.thinking_policy import ThinkingPolicy
from predictors.token_policy import TokenPolicy
from runtime.artifact import Artifact
from runtime.result import Spend


def check_limits(
    artifact: Artifact,
    fixed: Plan | None,
    early_stop: float | None,
    budget: int,
    deadline: float | None = None,
) -> None:
    """Check that a budget and a deadline can be kept.

    Args:
        artifact: what calibration measured.
        fixed: the plan that every prompt gets; None where the policy chooses.
        early_stop: with what probability an answer is settled at which best-of-n ends; None where
            it does not end early.
        budget: generations per prompt.
        deadline: seconds per prompt; None is no limit.

    Raises:
        InputError: a budget below the smallest calibrated one, or below a fixed plan's cost; a
            fixed search without a verifier; a deadline that is not positive, or that cannot be
            kept; or a probability that is not one.
    """
    if early_stop is not None and not (finite(early_stop) and 0.5 < early_stop <= 1):
        raise InputError("early_stop", early_stop, "a probability above 0.5; 1 is for certain")
    artifact.policy.row(budget)
    if fixed is not None and fixed.strategy in SEARCHES and artifact.settings.verifier is None:
        raise InputError("plan", str(fixed), "a search needs a verifier; the artifact names none")
    if fixed is not None and fixed.cost(0) > budget:
        raise InputError("budget", budget, f"{fixed} costs {fixed.cost(0)}; allow that")
    if deadline is None:
        return
    check_positive("deadline", deadline, "must be a positive number of seconds")
    if early_stop is not None:
        raise InputError(
            "deadline", deadline, "early stop takes longer than plans were timed; leave it out"
        )
    if fixed is not None:
        raise InputError("deadline", deadline, "it chooses the plan; leave --plan out")
    if not artifact.latency.timed:
        raise InputError(
            "deadline",
            deadline,
            "plans were not timed; calibrate again, with --model and without --ray",
        )


def token_policy(artifact: Artifact) -> TokenPolicy:
    """An artifact's policy whose budgets are tokens.

    Raises:
        InputError: it has none.
    """
    if artifact.tokens is None:
        raise _uncalibrated("budget_tokens", artifact)
    return artifact.tokens


def thinking_policy(artifact: Artifact) -> ThinkingPolicy:
    """An artifact's policy over width and depth of thought.

    Raises:
        InputError: it has none.
    """
    if artifact.thinking is None:
        raise _uncalibrated("average_tokens", artifact)
    return artifact.thinking


def _uncalibrated(field: str, artifact: Artifact) -> InputError:
    return InputError(
        field,
        None,
        f"{artifact.folder} was not calibrated on thoughts of several depths; calibrate with "
        "--thinking, or give a budget in generations",
    )


def check_fixed(fixed: Plan | None, spend: Spend) -> None:
    """Check that a fixed plan, if there is one, goes with a budget per prompt.

    Raises:
        InputError: an average or a total budget, which choose the plans themselves.
    """
    if fixed is not None and not spend.budget:
        raise InputError("plan", str(fixed), "a plan goes with a budget for each prompt")
