"""What the thinking model's artifact saves on held-out prompts, in real vLLM.

Every method answers the same prompts, and every sampled token counts, those of probes too.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from allocator.errors import ModelError
from allocator.plan import Plan
from calibration.replay.curves import Curve
from calibration.replay.estimators import majority_accuracy
from runtime.artifact import Artifact
from runtime.models import Models, open_models
from runtime.result import Failure, Result, Spend
from runtime.solving.solve import Solver

SAMPLES = 16  # of uniform self-consistency
SIZES = (1, 2, 4, 8, 16)
UNIFORM, TABLE, POLICY = "self-consistency, full depth", "table in tokens", "width and depth"
# Averages of tokens that the policy over width and depth is asked for, as shares of what the
# baseline costs.
SHARES = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
# The table is measured up to this share of it: far above, budgets cost much and say nothing.
DEAREST = 0.5

Graded = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Gained:
    """What was measured.

    Attributes:
        curves: accuracy and tokens of each method, one point per budget.
        cached: share of the prefix tokens of deepened thoughts that the engine had in its cache.
    """

    curves: dict[str, Curve]
    cached: float


async def measure(
    artifact: Artifact, graded: Graded, cap: int, seed: int, note: Callable[[str], None]
) -> Gained:
    """Measure all methods.

    Args:
        artifact: the thinking model's.
        graded: held-out prompts with their answers.
        cap: thinking tokens from which thoughts are deepened.
        seed: of all sampling.
        note: called with what is done next.
    """
    async with open_models(artifact.settings, artifact.folder, "vllm") as models:
        solver = Solver(models, artifact, seed)
        note(f"{SAMPLES} full thoughts of {len(graded)} prompts")
        uniform = await _uniform(models, artifact, graded, seed)
        curves = {UNIFORM: uniform}
        dearest = float(uniform.tokens[-1].mean())
        rows = artifact.tokens.table.rows if artifact.tokens else ()
        spends = [Spend(budget_tokens=r.budget) for r in rows if r.budget <= DEAREST * dearest]
        curves[TABLE] = await _curve(TABLE, solver, graded, spends, note)
        averages = [Spend(average_tokens=share * dearest) for share in SHARES]
        curves[POLICY] = await _curve(POLICY, solver, graded, averages, note)
        note(f"thoughts that were cut off at {cap} tokens, thought on")
        return Gained(curves, await _cached(solver, graded, cap))


async def _uniform(models: Models, artifact: Artifact, graded: Graded, seed: int) -> Curve:
    """Majority votes of full thoughts; each size is averaged over all subsets of the samples."""
    plan = Plan(strategy="best_of_n", n=SAMPLES, selection="majority")
    solver = Solver(models, artifact, seed, fixed=plan)
    results = await _results(solver, graded, Spend(budget=SAMPLES))
    tokens = np.array([result.receipt.sampled_tokens / SAMPLES for result in results])
    correct = np.zeros((len(SIZES), len(graded)))
    for row, (result, (_, gold)) in enumerate(zip(results, graded, strict=True)):
        answers = [sample.answer for sample in result.ranked]
        right, silent = answers.count(gold), answers.count(None)
        wrong = {answer for answer in answers if answer not in (gold, None)}
        counts = [[answers.count(answer) for answer in wrong] or [0]]
        for place, size in enumerate(SIZES):
            correct[place, row] = majority_accuracy(counts, [[right, silent]], size)[0]
    spent = np.array([size * tokens for size in SIZES])
    generations = np.repeat(np.array(SIZES, dtype=float)[:, None], len(graded), axis=1)
    each = np.array([(result.receipt.flops or 0.0) / SAMPLES for result in results])
    flops = np.array([size * each for size in SIZES])
    budgets = tuple(float(size) for size in SIZES)
    return Curve(UNIFORM, budgets, correct, generations, spent, flops)


async def _curve(
    name: str, solver: Solver, graded: Graded, spends: Sequence[Spend], note: Callable[[str], None]
) -> Curve:
    points = []
    for spend in spends:
        budget = spend.budget_tokens or spend.average_tokens or 0.0
        note(f"{name}, {budget:.0f} tokens")
        points.append((budget, await _results(solver, graded, spend)))
    gold = [answer for _, answer in graded]
    correct = [
        [float(r.answer == right) for r, right in zip(found, gold, strict=True)]
        for _, found in points
    ]
    return Curve(
        name,
        tuple(float(budget) for budget, _ in points),
        np.array(correct),
        np.array([[float(r.receipt.generations) for r in found] for _, found in points]),
        np.array([[float(r.receipt.sampled_tokens) for r in found] for _, found in points]),
        np.array([[r.receipt.flops or 0.0 for r in found] for _, found in points]),
    )


async def _cached(solver: Solver, graded: Graded, cap: int) -> float:
    """Of the tokens before a deepened thought, the share that the engine did not read again."""
    before = cached = 0
    for prompt, _ in graded[:20]:
        run = solver.start(prompt)
        sample = await run.sample(0, cap)
        if not sample.forced:
            continue
        known = run.cost.cached_tokens
        await run.continue_thought(sample, 0, 2 * cap)
        # Two requests: the longer thought, and the answer after it.
        cached += run.cost.cached_tokens - known
        before += 2 * (len(run.context.token_ids) + cap) + cap
    return cached / max(1, before)


async def _results(solver: Solver, graded: Graded, spend: Spend) -> list[Result]:
    found = await solver.solve_all([prompt for prompt, _ in graded], spend)
    for result in found:
        if isinstance(result, Failure):
            raise ModelError("engine", result.error)
    return [result for result in found if isinstance(result, Result)]


def measured(
    folder: Path, graded: Graded, cap: int, seed: int, note: Callable[[str], None]
) -> Gained:
    """`measure` on the artifact of a folder."""
    return asyncio.run(measure(Artifact.load(folder), graded, cap, seed, note))
