"""Pilots and the decision: what happens for one prompt before its plan is run."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from allocator.bins import bin_of
from allocator.drift import DriftMonitor
from allocator.plan import Plan
from allocator.policy import Deadline, settled
from allocator.table import BudgetRow
from predictors.difficulty import DifficultyModel, traffic_signals
from predictors.features import pilot_features
from predictors.prompt import prompt_features
from predictors.sample import Sample
from predictors.token_policy import TokenPolicy
from runtime.artifact import Artifact, FittedPolicy
from runtime.prompt_run import PromptRun
from runtime.result import Decision

# Pilots end early where pass@1 is, with this probability, in bins that all have the same plan.
INTERVAL_LEVEL = 0.9
# Why a prompt under a constraint has no searches.
HELD_WHOLE = "A constraint holds for solutions that are sampled whole"


@dataclass(frozen=True)
class PilotResult:
    """A prompt with its pilots.

    Attributes:
        samples: the pilots; equal answers are equal strings.
        predicted: predicted pass@1; None where it was not predicted.
        low: pass@1 is between this and `high` with a probability of `INTERVAL_LEVEL`.
        high: the upper bound.
    """

    samples: list[Sample]
    predicted: float | None = None
    low: float | None = None
    high: float | None = None


async def take_pilots(
    run: PromptRun,
    row: BudgetRow,
    difficulty: Mapping[int, DifficultyModel],
    drift_pilots: int = 0,
    on_pilots: Callable[[Sequence[Sample]], None] = lambda _: None,
) -> PilotResult:
    """Take the pilots of a row of a table, or fewer where more would not change the plan.

    Args:
        run: the prompt.
        row: the table's row for the budget.
        difficulty: predictors of pass@1 by ascending number of pilots.
        drift_pilots: pilots by which drift is measured: every prompt takes as many, if the row
            allows.
        on_pilots: called with these, before more are taken. Called only at the end, it would get
            prompts whose pilots end early first, a biased sample.
    """
    drawn: list[Sample] = []
    found = PilotResult(drawn)
    if not row.edges:
        return found
    for count, model in difficulty.items():
        if count < min(drift_pilots, row.pilots) or count > row.pilots:
            continue
        more = await run.samples(len(drawn), count, thinking=row.pilot_thinking)
        drawn = await run.canonicalize([*drawn, *more])
        if count == drift_pilots:
            on_pilots(drawn)
        predicted, low, high = await _predict(run, model, drawn)
        found = PilotResult(drawn, predicted, low, high)
        if settled(row, low, high):
            break
    return found


async def decide_in_tokens(
    run: PromptRun, policy: TokenPolicy, budget_tokens: int
) -> tuple[Decision, list[Sample]]:
    """Take a prompt's pilots, and choose how many thoughts it has, and of what depth.

    Args:
        run: the prompt.
        policy: what calibration measured.
        budget_tokens: tokens that the prompt may cost; see `allocator.table.BudgetRow`.

    Raises:
        InputError: fewer than the smallest calibrated budget.
    """
    row = policy.table.row(budget_tokens)
    piloted = await take_pilots(run, row, policy.difficulty)
    points = [] if piloted.predicted is None else [piloted.predicted]
    number = int(bin_of(row.edges, np.array(points))[0]) if points else 0
    cell = row.cells[number]
    return _decision(row, piloted, number, cell.plan), piloted.samples


async def _predict(
    run: PromptRun, model: DifficultyModel, pilots: Sequence[Sample]
) -> tuple[float, float, float]:
    """Predicted pass@1, and its interval of probability `INTERVAL_LEVEL`."""
    tokens = len(run.context.token_ids)
    if pilots:
        features = pilot_features(tokens, pilots)
    else:
        features = prompt_features(run.prompt, tokens)
        if run.models.hidden is not None:
            state = await run.models.hidden.hidden_state(run.context.token_ids)
            features = np.append(features, state)
    return predict(model, features)


def predict(model: DifficultyModel, features: NDArray[np.float64]) -> tuple[float, float, float]:
    """Predicted pass@1, and its interval of probability `INTERVAL_LEVEL`.

    Args:
        model: for the prompt's number of pilots.
        features: the prompt's, shape (features,).
    """
    predicted = float(model.predictor.predict(features[None])[0])
    low, high = model.distribution.interval(predicted, INTERVAL_LEVEL)
    return predicted, float(low), float(high)


def decide(
    artifact: Artifact,
    row: BudgetRow,
    piloted: PilotResult,
    budget: int,
    seconds: float | None = None,
) -> Decision:
    """The plan of a prompt whose pilots have been sampled.

    Args:
        artifact: what calibration measured.
        row: the table's row for the budget.
        piloted: the prompt's pilots.
        budget: generations the prompt may cost.
        seconds: time left for it; None is no limit.
    """
    taken, predicted = len(piloted.samples), piloted.predicted
    deadline = deadline_of(artifact, seconds)
    points = None if predicted is None else [predicted]
    chosen = artifact.policy.plans(budget, points, row, taken, deadline)
    (plan,), (fits,), timed = chosen.plans, chosen.fit, None
    if seconds is not None:
        timed = f"With {max(seconds, 0.0):.2f} s left no plan "
        if fits:
            timed += f"that fits was more accurate than {plan}"
        else:
            timed += "fits: nothing more is sampled" if taken else "fits: one solution is sampled"
    return _decision(row, piloted, int(chosen.bins[0]), plan, timed)


def _decision(
    row: BudgetRow, piloted: PilotResult, number: int, plan: Plan, timed: str | None = None
) -> Decision:
    """The decision, with its reason in a sentence or two.

    Args:
        row: the table's row for the budget.
        piloted: the prompt's pilots.
        number: number of the prompt's bin, from 0 on.
        plan: what was chosen.
        timed: why it was chosen, in words, where the prompt has a deadline.
    """
    taken, predicted, cell = len(piloted.samples), piloted.predicted, row.cells[number]
    reasons = []
    if predicted is not None:
        reasons.append(
            f"{_counted(taken)} {predicted:.2f} [{piloted.low:.2f}, {piloted.high:.2f}]: "
            f"bin {number + 1} of {len(row.cells)}"
        )
    if timed is not None:
        reasons.append(timed)
    elif predicted is None:
        reasons.append(
            f"for {row.budget} {row.unit} one plan for every prompt did as well as pilots and bins"
        )
    else:
        reasons.append(
            f"For {row.budget} {row.unit} no plan was clearly better there than {plan}; choosing "
            f"so was right for {cell.accuracy:.0%} [{cell.low:.0%}, {cell.high:.0%}] of "
            f"{cell.prompts} calibration prompts"
        )
    return Decision(
        pilots=taken,
        predicted_pass_at_1=predicted,
        low=piloted.low,
        high=piloted.high,
        bin=None if predicted is None else number + 1,
        bins=1 if predicted is None else len(row.cells),
        plan=plan,
        why=". ".join(reasons),
    )


def deadline_of(artifact: Artifact, seconds: float | None) -> Deadline | None:
    """A deadline as the policy reads it; None where there is none."""
    return None if seconds is None else Deadline(seconds, artifact.latency, artifact.curves)


def _counted(pilots: int) -> str:
    if not pilots:
        return "the prompt alone predicts pass@1"
    return f"{pilots} pilot{'s predict' if pilots > 1 else ' predicts'} pass@1"


def fallback(decision: Decision, budget: int, why: str) -> Decision:
    """The decision for traffic that has drifted: best-of-N with the whole budget."""
    plan = Plan(strategy="best_of_n", n=budget)
    reason = f"traffic does not look like calibration ({why}): {plan} is safe"
    return decision.model_copy(update={"plan": plan, "why": reason, "drifted": True})


def replace_search(decision: Decision) -> Decision:
    """The decision for a prompt under a constraint, which holds for whole solutions only."""
    plan = decision.plan.without_search(decision.pilots)
    if plan == decision.plan:
        return decision
    why = f"{decision.why}. {HELD_WHOLE}: {plan} replaces it at the same cost"
    return decision.model_copy(update={"plan": plan, "why": why})


def observe(
    monitor: DriftMonitor, artifact: Artifact, run: PromptRun, pilots: Sequence[Sample]
) -> None:
    """Add a prompt's pilots to the drift monitor, unless they are fewer than the baseline's."""
    if len(pilots) >= artifact.drift_baseline.pilots:
        token_ids = run.context.token_ids
        monitor.observe(drift_signals(artifact, len(token_ids), pilots), hash(token_ids))


def drift_signals(
    policy: FittedPolicy, prompt_tokens: int, pilots: Sequence[Sample]
) -> dict[str, float]:
    """A prompt's value of each signal by which drift is measured.

    Args:
        policy: what calibration measured.
        prompt_tokens: length of the prompt in tokens.
        pilots: its scored samples, at least as many as the baseline's; further ones are not read.
    """
    count = policy.drift_baseline.pilots
    features = pilot_features(prompt_tokens, pilots[:count])
    predicted = float(policy.difficulty[count].predictor.predict(features[None])[0])
    signals = traffic_signals(features, predicted, policy.curves.after(count).edges)
    return {name: float(signals[name]) for name in policy.drift_baseline.signals}
