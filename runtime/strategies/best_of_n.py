"""Best-of-N (section 5.2): N independent solutions; `runtime.answers.selection` follows."""

from collections.abc import Sequence

from allocator.plan import Plan, Selection
from predictors.sample import Sample
from runtime.answers.calls import parts_of
from runtime.answers.selection import tied_answers
from runtime.concurrency import together
from runtime.prompt_run import PromptRun
from runtime.strategies.early_stop import min_to_settle


async def best_of_n(run: PromptRun, plan: Plan, pilots: Sequence[Sample]) -> list[Sample]:
    """N solutions, the pilots being the first of them.

    They are scored, unless a majority decides. With early stop there may be fewer: after the pilots
    as many are sampled as it takes at least to settle the answer, then twice as many as it takes at
    least, and so on until it is settled.

    Args:
        run: the prompt.
        plan: n solutions in all.
        pilots: samples of the prompt already at hand, its first ones.
    """
    samples = await _as_deep(run, plan, pilots)
    while (remaining := plan.n - len(samples)) > 0:
        more = remaining
        if (sure := run.settings.early_stop) is not None:
            votes = await run.canonicalize(samples)
            whole = parts_of(run.models.answers) is None
            more = min_to_settle(votes, remaining, plan.selection, sure, whole)
            # What a first round has not settled, the minimum will hardly settle either: with that
            # each time a prompt of 64 solutions can take 20 rounds, to save a fifteenth of them.
            if len(samples) > len(pilots):
                more = min(remaining, 2 * more)
        if not more:
            break
        samples += await run.samples(
            len(samples), len(samples) + more, plan.selection, plan.thinking
        )
    return await score_ties(run, samples, plan.selection)


async def _as_deep(run: PromptRun, plan: Plan, pilots: Sequence[Sample]) -> list[Sample]:
    """The pilots as the plan has its solutions: thoughts that were cut off earlier go on."""
    cap = run.settings.thinking_cap(plan.thinking)

    async def deepened(index: int, sample: Sample) -> Sample:
        if cap is not None and (sample.thinking or 0) >= cap:
            return sample
        return await run.continue_thought(sample, index, plan.thinking) if sample.forced else sample

    return await together(deepened(index, sample) for index, sample in enumerate(pilots))


async def score_ties(run: PromptRun, samples: Sequence[Sample], how: Selection) -> list[Sample]:
    """The samples; if a majority decides, those for answers that tie for the lead are scored.

    Args:
        run: the prompt.
        samples: its solutions, scored or not.
        how: the selection that will be made.
    """
    if how != "majority":
        return list(samples)
    named = await run.canonicalize(samples)
    tied = tied_answers(named, how, parts_of(run.models.answers))

    async def scored(sample: Sample, answer: str | None) -> Sample:
        return await run.score(sample) if answer in tied else sample

    return await together(scored(s, n.answer) for s, n in zip(samples, named, strict=True))
