"""The policy over width and depth on logged thoughts: accuracy and cost of each price."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from allocator.errors import InputError
from calibration.data.thoughts import Capped, Thoughts, UnprobedError
from calibration.replay.curves import Curve
from calibration.replay.thinking_run import (
    Lead,
    ThinkingRuns,
    ends_at,
    outlooks,
    spent,
    thinking_runs,
)
from predictors.branches import BranchScoring
from predictors.thinking_policy import ThinkingPolicy

BY_PRICE = "thinking policy, by price"
RUNS, MIN_SHUFFLES, MAX_SHUFFLES = 4_800, 4, 100  # replayed runs in all; shuffles per question


def shuffles_of(questions: int) -> int:
    """Orders in which each question's samples are replayed: the more, the fewer questions."""
    return int(np.clip(RUNS // questions, MIN_SHUFFLES, MAX_SHUFFLES))


def votes_of(scoring: BranchScoring, capped: Capped) -> NDArray[np.float64]:
    """The votes of thoughts, shape (questions, samples)."""
    return scoring.votes(capped.depth, capped.first, capped.finished, capped.nll)


def policy_runs(
    policy: ThinkingPolicy, thoughts: Thoughts, shuffles: int, n_jobs: int | None = -1
) -> ThinkingRuns:
    """Runs of logged thoughts under the caps of a policy, which weighs their votes.

    Args:
        policy: the policy.
        thoughts: probed at the policy's depths, and others.
        shuffles: orders of each question's samples.
        n_jobs: see `calibration.replay.parallel`.

    Raises:
        UnprobedError: thoughts that were not probed at one of its depths or caps.
        InputError: too few thoughts or direct answers, or no log-probabilities that it needs.
    """
    needed = policy.stages[-1] - policy.direct
    if (samples := thoughts.answer.shape[1]) < needed:
        raise InputError("samples", samples, f"the policy needs {needed} per question")
    lead, direct, scoring = None, thoughts.direct, policy.scoring
    if scoring.sqrt_nll and thoughts.nll is None:
        raise InputError("logprob", None, "the policy's votes need that of every whole thought")
    if policy.direct:
        if direct is None or direct.answer.shape[1] < policy.direct:
            why = f"the policy needs {policy.direct} direct answers per question, without a thought"
            raise InputError("thinking_tokens", None, why)
        if scoring.direct_sqrt_nll and not direct.nll.any():
            raise InputError("logprob", None, "the policy's votes need that of direct answers")
        lead = Lead(direct, scoring.direct_votes(direct.nll), policy.direct)
    capped = [_under(policy, thoughts, cap) for cap in policy.caps]
    weights = [votes_of(policy.scoring, under) for under in capped]
    return thinking_runs(capped, weights, policy.stages, shuffles, n_jobs, lead)


def _under(policy: ThinkingPolicy, thoughts: Thoughts, cap: int | None) -> Capped:
    """The thoughts under one of a policy's caps, probed as the policy has them probed."""
    longest = thoughts.lengths.max()
    if thoughts.limit is not None and longest <= thoughts.limit:
        thoughts = replace(thoughts, limit=None)  # it has cut off none of them
    if cap is not None and cap >= longest and thoughts.limit is None:
        cap = None  # nor would the cap
    if cap is not None and cap not in thoughts.probes:
        raise UnprobedError("cap", cap, f"must be one of {thoughts.probes.tolist()}")
    top = longest if cap is None else cap
    made = {probe for probe in policy.probes if probe <= top} | ({cap} if cap else set())
    probed = thoughts.probed_at(sorted(made), policy.probe_tokens)
    return probed.at_cap(cap, bool(policy.probes))


def price_curve(
    name: str, policy: ThinkingPolicy, runs: ThinkingRuns, prices: Sequence[float]
) -> Curve:
    """Runs ended by each price, one point per price; `generations` are thoughts.

    Args:
        name: of the curve.
        policy: the policy.
        runs: under its caps, through its stages.
        prices: accuracy that a token must gain.
    """
    ends = spent(runs, ends_at(outlooks(policy, runs), prices))
    correct, samples, tokens = (values.mean(axis=-1) for values in ends)
    return Curve(name, tuple(prices), correct, samples, tokens, np.zeros(tokens.shape))


def stages_within(policy: ThinkingPolicy, thoughts: Thoughts) -> ThinkingPolicy:
    """The policy up to the last stage that there are thoughts for."""
    most = policy.direct + thoughts.answer.shape[1]
    # Where there is none, running the first says what is missing.
    stages = tuple(stage for stage in policy.stages if stage <= most) or policy.stages[:1]
    return policy.model_copy(update={"stages": stages})


def thinking_curve(thoughts: Thoughts, policy: ThinkingPolicy, n_jobs: int | None = -1) -> Curve:
    """The policy over width and depth on logged thoughts, at each of its prices.

    Raises:
        InputError: as `policy_runs`.
    """
    runs = policy_runs(policy, thoughts, shuffles_of(len(thoughts.answer)), n_jobs)
    return price_curve(BY_PRICE, policy, runs, [point.price for point in policy.prices])


def measured_thinking(
    thoughts: Thoughts, policy: ThinkingPolicy, n_jobs: int | None = -1
) -> tuple[list[Curve], list[str]]:
    """The curve of a policy as far as there are thoughts, and notes for people.

    Returns:
        No curve where no answers were forced at a depth that the policy needs.

    Raises:
        InputError: as `policy_runs`, but for depths.
    """
    part = stages_within(policy, thoughts)
    try:
        curve = thinking_curve(thoughts, part, n_jobs)
    except UnprobedError as error:
        why = _why_unprobed(error, thoughts)
        return [], [f"The policy over thoughts is not measured: {why}."]
    most, all_of_it = part.stages[-1], policy.stages[-1]
    if most == all_of_it:
        return [curve], []
    return [curve], [f"The policy over thoughts is measured up to {most} samples, not {all_of_it}."]


def _why_unprobed(error: UnprobedError, thoughts: Thoughts) -> str:
    """Why a policy cannot be measured on thoughts that lack a depth, within a sentence."""
    depths, needed = thoughts.probes.tolist(), error.value
    has = f"the log has answers at {', '.join(map(str, depths))}"
    if not depths:
        has = "the log has no forced answers"
    elif len(depths) > 1 and np.all(np.diff(depths, prepend=0) == depths[0]):
        has = f"the log has answers at every {depths[0]}"
    if error.field != "cap":
        return f"it forces answers after {needed} tokens and {has}"
    if needed is None:
        return f"it has thoughts without a cap and those of the log are capped at {thoughts.limit}"
    return f"it caps at {needed} tokens and {has}"
