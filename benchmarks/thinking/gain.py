"""What the thinking model's artifact saves on held-out prompts, in real vLLM.

Every method answers the same prompts, and every sampled token counts, those of probes too.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
CAPPED = 16  # solutions of each prompt at a cap
# The table is measured up to this share of it: far above, budgets cost much and say nothing.
DEAREST = 0.5

Graded = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Gained:
    """What was measured.

    Attributes:
        curves: accuracy and tokens of each method, one point per budget.
        native: accuracy of each prompt where vLLM ends thoughts at a cap, shape (prompts,).
        fallback: the same where two requests do.
        cached: share of the prefix tokens of deepened thoughts that the engine had in its cache.
    """

    curves: dict[str, Curve]
    native: NDArray[np.float64]
    fallback: NDArray[np.float64]
    cached: float


class TwoRequests:
    """An engine that does not end thoughts itself: a capped thought takes two requests."""

    def __init__(self, engine: Any) -> None:
        self.tokenizer, self.context_length = engine.tokenizer, engine.context_length
        self.complete: Callable[..., Awaitable[Any]] = engine.complete

    def close(self) -> None:
        """Does nothing: whoever opened the engine closes it."""


def in_two_requests(models: Models) -> Models:
    """The models, with an engine that does not end thoughts itself."""
    engine: Any = TwoRequests(models.engine)
    return replace(models, engine=engine)


async def measure(
    artifact: Artifact, graded: Graded, cap: int, seed: int, note: Callable[[str], None]
) -> Gained:
    """Measure all methods.

    Args:
        artifact: the thinking model's.
        graded: held-out prompts with their answers.
        cap: thinking tokens at which vLLM's own cap is compared with two requests.
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
        note("one cap, by vLLM and by two requests")
        native = await _capped(models, artifact, graded, cap, seed, native=True)
        fallback = await _capped(models, artifact, graded, cap, seed, native=False)
        return Gained(curves, native, fallback, await _cached(solver, graded, cap))


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


async def _capped(
    models: Models, artifact: Artifact, graded: Graded, cap: int, seed: int, native: bool
) -> NDArray[np.float64]:
    """Accuracy of single solutions at a cap, each prompt's averaged over several."""
    count = CAPPED
    if not native:
        models = in_two_requests(models)
    plan = Plan(strategy="best_of_n", n=count, selection="majority", thinking=cap)
    results = await _results(
        Solver(models, artifact, seed, fixed=plan), graded, Spend(budget=count)
    )
    return np.array(
        [
            np.mean([sample.answer == gold for sample in result.ranked])
            for result, (_, gold) in zip(results, graded, strict=True)
        ]
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
        await run.think_on(sample, 0, 2 * cap)
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
