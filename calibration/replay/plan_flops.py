"""FLOPs of plans on stored samples: 2 x parameters x tokens, as the runtime samples and scores."""

from collections.abc import Sequence

from allocator.flops import ModelSizes
from allocator.plan import Plan
from calibration.sampling.collect import PlanRun
from predictors.sample import Sample
from runtime.answers.selection import tied_answers


def best_of_n_flops(
    sizes: ModelSizes, plan: Plan, pilots: int, samples: Sequence[Sample], tokens: int
) -> float:
    """FLOPs of best-of-n.

    Pilots are scored. Other solutions are, unless there is only one, or a majority counts them; of
    those, the ones for answers that tie for the lead are.

    Args:
        sizes: of the models.
        plan: the plan.
        pilots: how many of the solutions are pilots, the first ones.
        samples: its solutions.
        tokens: all that were sampled, those of dropped answers of pilots included.
    """
    unscored: list[Sample] = []
    if plan.selection == "majority":
        tied = tied_answers(samples, plan.selection)
        unscored = [sample for sample in samples[pilots:] if sample.answer not in tied]
    elif len(samples) == 1:
        unscored = list(samples[pilots:])
    read = tokens - sum(sample.tokens for sample in unscored)
    return sizes.sampling(tokens) + sizes.scoring(read)


def search_flops(sizes: ModelSizes, plan: Plan, pilots: int, run: PlanRun) -> float:
    """FLOPs of a search, or of revisions.

    Every token is scored once. Of revisions, the reviser samples later attempts, and its verifier
    scores them; where that is another one than the verifier, it scores first attempts, too.

    Args:
        sizes: of the models.
        plan: the plan.
        pilots: tokens of pilots that take no part in it.
        run: what it sampled.
    """
    first = later = 0
    if plan.strategy in ("revisions", "beam_revisions"):
        first = sum(attempt.tokens for attempt in run.samples[:: plan.length])
        later = sum(attempt.tokens for attempt in run.samples) - first
    again = 0 if sizes.reviser_verifier is None else first
    early = pilots + run.sampled_tokens - later
    return (
        sizes.sampling(early)
        + sizes.scoring(early)
        + sizes.sampling(later, reviser=True)
        + sizes.scoring(later + again, reviser=True)
    )
