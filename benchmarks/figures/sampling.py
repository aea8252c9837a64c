"""Sampling the figures' own pools again."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from allocator.plan import Plan
from benchmarks.allocation.pool import read_pool, rescored, write_pool
from benchmarks.allocation.sampling import Searching, draw, search
from benchmarks.figures.optimal import bins_by
from benchmarks.figures.pools import (
    BY_ORM,
    BY_OWN_PRM,
    BY_OWN_SIZE,
    BY_PRM,
    BY_SCORE,
    BY_STEPS,
    BY_THE_ORM,
    BY_WEAK_PRM,
    CHAINS,
    FIXED,
    FURTHER_BY_OWN_PRM,
    FURTHER_CHAINS,
    FURTHER_SEARCHES,
    KINDS,
    MAX_N,
    OWN,
    PROMPTS,
    ROOT,
    SEARCHES,
    SINGLE,
    SMALL_SEARCHES,
    WEAK,
    WEAK_SEARCHES,
    first_solutions,
    further_prompts,
    powers,
    read_revised,
    solutions_of,
    test_prompts,
)
from benchmarks.figures.revising import best_ratios
from benchmarks.testbed.paths import ARTIFACT, BASE, REQUEST_SETTINGS, REVISING, SETTINGS
from benchmarks.testbed.tree_engine import TreeEngine
from calibration.fitting.fit import searches_among
from calibration.progress import progress
from calibration.sampling.collect import PROMPTS_IN_FLIGHT, PromptRecord, Work, collect, in_order
from predictors.oracle import oracle_pass_at_1
from runtime.artifact import load_settings
from runtime.concurrency import bounded, sharing_cores, together
from runtime.engines.base import encode_prompt
from runtime.models import open_models
from runtime.settings import Settings
from runtime.verifiers.base import Context

SEED = 200


def resample() -> None:
    """Sample all pools. The larger model's are sampled where it is trained."""
    by_prm()
    weak_searches()
    by_score()
    further_searches()
    with sharing_cores():
        for part in (
            chains,
            by_steps,
            further_chains,
            by_orm,
            by_own_prm,
            by_weak_prm,
            further_by_own_prm,
        ):
            asyncio.run(part())


def by_prm() -> None:
    """Searches guided by the PRM of the base's own size."""
    searching = Searching(OWN, Path(), searches_among(BY_OWN_SIZE), SEED)
    write_pool(search("Searches by the own PRM", searching, test_prompts()), BY_PRM)


def weak_searches() -> None:
    """Beam search guided by the weaker PRM of that size."""
    searching = Searching(WEAK, Path(), searches_among(FIXED), SEED)
    write_pool(search("Searches by the weak PRM", searching, test_prompts()), WEAK_SEARCHES)


def by_score() -> None:
    """Those searches guided by the fitted score that `benchmarks.allocation` does not sample."""
    known = read_pool(SEARCHES)[0].repeats[0]
    plans = [plan for plan in searches_among([*FIXED, *ROOT, *SINGLE]) if plan not in known]
    searching = Searching(load_settings(ARTIFACT), ARTIFACT, plans, SEED)
    write_pool(search("Searches by the score", searching, test_prompts()), BY_SCORE)


def further_searches() -> None:
    """Small searches of the further prompts, guided by the PRM of the base's own size."""
    searching = Searching(OWN, Path(), searches_among(SMALL_SEARCHES), SEED)
    write_pool(search("Further prompts: searches", searching, further_prompts()), FURTHER_SEARCHES)


async def chains() -> None:
    """Chains of revisions, each kind with its own seed.

    Attempt follows attempt on a growing context: vLLM reads it from its prefix cache, where
    transformers would read it anew each time.
    """
    prompts = test_prompts()
    async with open_models(REVISING, Path(), "vllm", "transformers") as models:
        with progress("Chains of revisions", len(KINDS) * len(prompts)) as done:

            async def of(kind: Plan, seed: int) -> list[PromptRecord]:
                work = Work(1, (kind,), models.scoring, seed)
                return await collect(models, REQUEST_SETTINGS, prompts, work, done)

            # All kinds at once: long chains alone would leave the engine half idle.
            kinds = await together(of(kind, SEED + number) for number, kind in enumerate(KINDS))
    joined = []
    for of_prompt in zip(*kinds, strict=True):
        searches = {plan: run for r in of_prompt for plan, run in r.repeats[0].items()}
        joined.append(replace(of_prompt[0], repeats=(searches,)))
    write_pool(joined, CHAINS)


async def further_chains() -> None:
    """Chains of each further prompt, of the ratios that are best in its bin on the first prompts.

    Those of the two largest budgets: the FLOPs of the smallest ratio of figure 9 lie between them.
    """
    best = best_ratios(read_revised(), powers(MAX_N)[-2:])
    solutions = read_pool(BY_STEPS)
    bins = bins_by(oracle_pass_at_1([record.independent.correct for record in solutions]))
    bin_of = {record.prompt: number for record, number in zip(solutions, bins, strict=True)}
    prompts = further_prompts()
    async with open_models(REVISING, Path(), "vllm", "transformers") as models:
        with progress("Further prompts: chains", len(prompts)) as done:

            async def of(number: int, plans: list[Plan]) -> list[PromptRecord]:
                inside = [pair for pair in prompts if bin_of[pair[0]] == number]
                work = Work(1, tuple(plans), models.scoring, SEED)
                return await collect(models, REQUEST_SETTINGS, inside, work, done)

            by_bin = await together(of(number, plans) for number, plans in enumerate(best))
    records = [record for found in by_bin for record in found]
    write_pool(in_order(records, prompts), FURTHER_CHAINS)


async def by_steps() -> None:
    """Independent solutions of each further prompt, scored by the PRM, step by step."""
    async with open_models(SETTINGS, Path(), "transformers") as models:
        prompts, engine = further_prompts(), TreeEngine(BASE, MAX_N, SEED)
        with progress("Further prompts: solutions", len(prompts)) as done:
            write_pool(await draw(models, REQUEST_SETTINGS, engine, prompts, done), BY_STEPS)
        engine.close()


async def by_orm() -> None:
    """The same solutions, scored by the ORM."""
    await _score_again("Solutions by the ORM", BY_THE_ORM, read_pool(BY_STEPS), BY_ORM)


async def by_own_prm() -> None:
    """All independent solutions of each prompt, scored by the PRM of the base's own size."""
    await _score_again("Solutions by the own PRM", OWN, solutions_of(PROMPTS), BY_OWN_PRM)


async def further_by_own_prm() -> None:
    """The solutions of the further prompts, scored by the PRM of the base's own size."""
    records = read_pool(BY_STEPS)
    await _score_again("Further prompts by the own PRM", OWN, records, FURTHER_BY_OWN_PRM)


async def by_weak_prm() -> None:
    """The first independent solutions of each prompt, scored by the weaker PRM."""
    few = first_solutions(solutions_of(PROMPTS), MAX_N)
    await _score_again("Solutions by the weak PRM", WEAK, few, BY_WEAK_PRM)


async def _score_again(
    what: str, settings: Settings, records: Sequence[PromptRecord], pool: Path
) -> None:
    async with open_models(settings, Path(), "transformers") as models:

        async def one(record: PromptRecord) -> PromptRecord:
            context = Context(record.prompt, tuple(encode_prompt(models.engine, record.prompt)))
            distinct = list({s.token_ids: s for s in record.independent.samples}.values())
            verdicts = await together(
                models.verifier.score(context, sample.steps) for sample in distinct
            )
            scores = {
                sample.token_ids: verdict.step_scores[-1]
                for sample, verdict in zip(distinct, verdicts, strict=True)
            }
            return rescored([record], lambda sample: scores[sample.token_ids])[0]

        with progress(what, len(records)) as done:
            write_pool(await bounded(one, records, PROMPTS_IN_FLIGHT, done), pool)
