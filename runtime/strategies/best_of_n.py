"""Best-of-N (section 5.2): N independent solutions; `runtime.answers.selection` follows."""

from collections.abc import Sequence

from allocator.plan import Plan, Selection
from predictors.sample import Sample
from runtime.answers.selection import weights
from runtime.engines.concurrency import together
from runtime.prompt_run import PromptRun
from runtime.strategies.early_stop import min_to_settle


async def best_of_n(run: PromptRun, plan: Plan, pilots: Sequence[Sample]) -> list[Sample]:
    """N solutions, the pilots being the first of them.

    They are scored, unless a majority decides. With early stop there may be fewer: no more are
    sampled than it takes at least to settle the answer, and so on until it is settled.

    Args:
        run: the prompt.
        plan: n solutions in all.
        pilots: samples of the prompt already at hand, its first ones.
    """
    samples = list(pilots)
    while (remaining := plan.n - len(samples)) > 0:
        more = remaining
        if run.settings.early_stop:
            more = min_to_settle(await run.canonicalize(samples), remaining, plan.selection)
        if not more:
            break
        samples += await run.samples(len(samples), len(samples) + more, plan.selection)
    return await score_ties(run, samples, plan.selection)


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
    mass = weights(named, how)
    leading = {answer for answer in mass if mass[answer] == max(mass.values())}
    if len(leading) < 2:
        return list(samples)

    async def scored(sample: Sample, answer: str | None) -> Sample:
        return await run.score(sample) if answer in leading else sample

    return await together(scored(s, n.answer) for s, n in zip(samples, named, strict=True))
