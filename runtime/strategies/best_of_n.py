"""Best-of-N (section 5.2): N independent solutions. Selection follows in `runtime.selection`."""

from collections.abc import Sequence

from allocator.plan import Plan
from predictors.sample import Sample
from runtime.concurrency import together
from runtime.early_stop import fewest
from runtime.prompt_run import PromptRun
from runtime.selection import weights


async def best_of_n(run: PromptRun, plan: Plan, pilots: Sequence[Sample]) -> list[Sample]:
    """N solutions, the pilots being the first of them.

    They are scored, unless a majority decides. With early stop there may be fewer: no more are
    sampled than it takes at least to settle the answer, and so on until it is settled.

    Args:
        run: the prompt.
        plan: n solutions in all.
        pilots: samples of the prompt already at hand, its first ones.
    """
    voting = plan.selection == "majority"

    async def one(index: int) -> Sample:
        return await (run.vote(index) if voting else run.sample(index))

    samples = list(pilots)
    while (remaining := plan.n - len(samples)) > 0:
        more = remaining
        if run.decoder.early_stop:
            more = fewest(run.unify(samples), remaining, plan.selection)
        if not more:
            break
        samples += await together(one(len(samples) + i) for i in range(more))
    return await untied(run, samples) if voting else samples


async def untied(run: PromptRun, votes: Sequence[Sample]) -> list[Sample]:
    """The votes, those for the leading answers scored where these tie: the verifier decides.

    Args:
        run: the prompt.
        votes: its solutions, scored or not.
    """
    named = run.unify(votes)
    mass = weights(named, "majority")
    leading = {answer for answer in mass if mass[answer] == max(mass.values())}
    if len(leading) < 2:
        return list(votes)

    async def judged(vote: Sample, answer: str | None) -> Sample:
        return await run.judged(vote) if answer in leading else vote

    return await together(judged(v, n.answer) for v, n in zip(votes, named, strict=True))
