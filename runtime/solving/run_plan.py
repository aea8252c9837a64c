"""Running a decided plan on one prompt, and the result with its receipt."""

import time
from collections.abc import Mapping, Sequence
from math import isnan

from allocator.plan import Plan
from predictors.sample import Sample
from runtime.answers.calls import parts_of
from runtime.answers.selection import ranked
from runtime.prompt_run import PromptRun
from runtime.result import Decision, Receipt, Result
from runtime.solving.returned_logprobs import prompt_logprobs, with_logprobs
from runtime.strategies import STRATEGIES
from runtime.strategies.best_of_n import score_ties


async def run_plan(
    run: PromptRun, plan: Plan, pilots: Sequence[Sample], solutions: int, budget: int
) -> list[Sample]:
    """The plan's solutions, pilots included.

    Args:
        run: the prompt.
        plan: the plan.
        pilots: the prompt's pilots.
        solutions: solutions that the caller requested. Where the plan samples fewer, independent
            solutions are added, within the budget.
        budget: generations the prompt may cost.
    """
    if plan.strategy == "best_of_n" and plan.n == 1 and not pilots and solutions == 1:
        return [await run.sample_unscored(0, plan.thinking)]
    samples = await STRATEGIES[plan.strategy](run, plan, pilots)
    more = min(solutions - len(samples), budget - run.cost.generations)
    if more <= 0:
        return samples
    first = max(plan.n, len(pilots))  # no plan has drawn independent solutions from here on
    samples += await run.samples(first, first + more, plan.selection, plan.thinking)
    return await score_ties(run, samples, plan.selection)


async def result_of(
    run: PromptRun,
    samples: Sequence[Sample],
    decision: Decision,
    allowed: Mapping[str, float | None],
    started: float,
) -> Result:
    """The selected answer, and the receipt.

    Args:
        run: the prompt.
        samples: all its solutions.
        decision: the plan that was run, and why.
        allowed: what the caller allowed, as the receipt names it: budget, deadline or price.
        started: when work on it began, by `time.perf_counter`.
    """
    named = await run.canonicalize(samples)
    best = ranked(named, decision.plan.selection, parts_of(run.models.answers))
    best = await with_logprobs(run, best)
    of_prompt = await prompt_logprobs(run)
    receipt = Receipt.model_validate(
        decision.model_dump()
        | dict(allowed)
        | vars(run.cost)
        | {"prompt_tokens": len(run.context.token_ids)}
        | {"flops": None if run.models.sizes is None else run.cost.flops}
        | {"undecided": sorted(run.undecided)}
        | {"thinking_cap": run.settings.thinking_cap(decision.plan.thinking)}
        | {"forced_thoughts": sum(sample.forced for sample in samples)}
        | {"seconds": round(time.perf_counter() - started, 3)}
    )
    return Result(
        prompt=run.prompt,
        answer=best[0].answer,
        solution=best[0].text,
        score=None if isnan(best[0].score) else best[0].score,
        receipt=receipt,
        ranked=tuple(best),
        prompt_logprobs=of_prompt,
    )
