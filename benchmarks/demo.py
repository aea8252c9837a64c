"""The demo: the committed models and tables on held-out test prompts, measured against best-of-N.

    ttc demo

Everything is sampled here and now; the only thing read from disk beside the models is the
calibrated artifact and the oracle difficulty of the test prompts (256 samples each, made by
`benchmarks.testbed.measure`), which the oracle curve needs and no other.
"""

import asyncio
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.markup import escape
from rich.table import Table

from allocator.errors import InputError, ModelError
from allocator.plan import FIXED_BEAM_WIDTH, Plan
from allocator.table import LookupTable
from benchmarks.figure import draw
from benchmarks.report import show_curves, show_gains
from benchmarks.testbed.paths import ARTIFACT, TEST_PROMPTS
from calibration.collect import PromptRecord, Run, collect
from calibration.console import console, progress
from calibration.curves import Curve, as_json, gain, plan_curve, resamples
from calibration.estimators import best_of_n_accuracy
from calibration.evaluate import Replay
from calibration.fit import searches_among
from calibration.policy_curves import exact_curve, plans_by_row, policy_curve, predicted
from calibration.targets import at_least, at_most, show_targets, write_result
from predictors.sample import Sample
from runtime.artifact import Artifact, open_decoder
from runtime.engine import encode_prompt
from runtime.engines.loading import EngineName
from runtime.prompt_run import Decoder
from runtime.result import Failure, Spend
from runtime.solve import Solver

SEED = 11
GAIN_TARGET = 2.0
LIVE_PROMPTS, LIVE_BUDGET = 8, 16


def read_test_prompts(count: int) -> list[tuple[str, str, float]]:
    """(prompt, answer, oracle pass@1) of the first test prompts.

    Raises:
        InputError: more than there are, or fewer than 1.
    """
    rows = [json.loads(line) for line in TEST_PROMPTS.read_text().splitlines()]
    if not 1 <= count <= len(rows):
        raise InputError("prompts", count, f"choose from 1 to the {len(rows)} there are")
    return [(row["prompt"], row["answer"], row["pass_at_1"]) for row in rows[:count]]


def beam_plan(budget: int) -> Plan:
    """The beam search curve's plan: M = 4, or the whole budget where that is less."""
    if budget == 1:
        return Plan(strategy="best_of_n", n=1)
    return Plan(strategy="beam_search", n=budget, beam_width=min(FIXED_BEAM_WIDTH, budget))


async def show_live(solver: Solver, prompts: Sequence[tuple[str, str, float]]) -> None:
    """Answer a few prompts of every difficulty and show what each was given."""
    ranked = sorted(prompts, key=lambda p: -p[2])
    chosen = [ranked[i] for i in np.linspace(0, len(ranked) - 1, LIVE_PROMPTS).astype(int)]
    texts = [prompt for prompt, _, _ in chosen]
    results = await solver.solve_all(texts, Spend(LIVE_BUDGET))
    shown = Table(title=f"Held-out prompts at a budget of {LIVE_BUDGET} generations")
    for head in ("prompt", "true pass@1", "predicted", "bin", "plan", "spent", "answer", ""):
        shown.add_column(head)
    for (prompt, gold, oracle), result in zip(chosen, results, strict=True):
        if isinstance(result, Failure):
            raise ModelError(prompt, result.error)
        receipt = result.receipt
        predicted = receipt.predicted_pass_at_1
        shown.add_row(
            escape(prompt),
            f"{oracle:.2f}",
            "-" if predicted is None else f"{predicted:.2f}",
            "-" if receipt.bin is None else str(receipt.bin),
            str(receipt.plan),
            str(receipt.generations),
            escape(str(result.answer)),
            "[green]right[/green]" if result.answer == gold else "[red]wrong[/red]",
        )
    console.print(shown)


async def sample(
    artifact: Artifact,
    oracle_table: LookupTable,
    prompts: Sequence[tuple[str, str, float]],
    engine: EngineName,
) -> tuple[Replay, str]:
    """Sample what the curves need: independent solutions, and the beam searches they ask for.

    Returns:
        The records, to be replayed, and the name of the engine that made them.
    """
    oracle = {prompt: pass_at_1 for prompt, _, pass_at_1 in prompts}
    budgets = [row.budget for row in artifact.policy.table.rows]

    async with open_decoder(artifact.settings, artifact.folder, engine) as decoder:
        await show_live(Solver(decoder, artifact, SEED), prompts)
        states = await states_of(decoder, artifact.policy.table, list(oracle))

        def searches(prompt: str, prompt_tokens: int, drawn: Sequence[Sample]) -> list[Plan]:
            record = PromptRecord.unsearched(prompt, prompt_tokens, drawn)
            state = states[prompt][None] if states else None
            replay = Replay([record], len(drawn), states=state)
            plans = {beam_plan(budget) for budget in budgets}
            known = np.full((1, replay.replicates), oracle[prompt])
            for table, difficulty in (
                (artifact.policy.table, predicted(replay, artifact.difficulty)),
                (oracle_table, lambda _: known),
            ):
                for _, chosen in plans_by_row(replay, table, difficulty):
                    plans |= set(chosen[0])
            return searches_among(plans)

        pairs = [(prompt, gold) for prompt, gold, _ in prompts]
        with progress("Test prompts", len(prompts)) as done:
            records = await collect(decoder, pairs, budgets[-1], searches, SEED, done)
        stacked = np.array([states[prompt] for prompt, _ in pairs]) if states else None
        return Replay(records, budgets[-1], states=stacked), type(decoder.engine).__name__


async def states_of(
    decoder: Decoder, table: LookupTable, prompts: Sequence[str]
) -> dict[str, NDArray[np.float32]]:
    """The model's state after each prompt, where the table tells bins from the prompt alone."""
    if decoder.hidden is None or not any(row.edges and not row.pilots for row in table.rows):
        return {}
    reader = decoder.hidden
    return {p: await reader.hidden_state(encode_prompt(decoder.engine, p)) for p in prompts}


def run_demo(count: int, out: Path, engine: EngineName) -> None:
    """Run the demo and write ``demo.json`` and ``demo.png`` to `out`.

    Raises:
        InputError: unusable arguments.
    """
    started = time.time()
    prompts = read_test_prompts(count)
    artifact = Artifact.load(ARTIFACT)
    oracle_table = artifact.oracle_table()
    replay, engine_name = asyncio.run(sample(artifact, oracle_table, prompts, engine))

    budgets = [row.budget for row in artifact.policy.table.rows]
    curves = all_curves(replay, artifact, oracle_table, [p for _, _, p in prompts])
    draws = resamples(count)
    weighted, allocated = curves[2], curves[-1]
    found = {
        (curve.name, unit): gain(weighted, budgets[-1], curve, draws, unit)
        for curve in curves[2:]
        for unit in ("generations", "tokens")
    }
    gains = [
        {"method": method, "unit": unit, "value": value, "low": low, "high": high}
        for (method, unit), (value, low, high) in found.items()
    ]
    seconds = time.time() - started
    targets = [
        at_least(
            f"gain of {allocated.name} over best-of-{budgets[-1]} weighted, in generations",
            found[allocated.name, "generations"],
            GAIN_TARGET,
        ),
        at_least("held-out test prompts", (count, count, count), 200),
        at_most("seconds, after the install", (seconds, seconds, seconds), 600),
    ]
    show_curves(curves, draws)
    points = [as_json(curve, draws) for curve in curves]
    show_gains(gains, f"Cost of best-of-{budgets[-1]} weighted, over the cost at its accuracy")
    show_targets(targets)
    write_result(
        out / "demo.json",
        {
            "prompts": count,
            "seed": SEED,
            "seconds": seconds,
            "engine": engine_name,
            "cores": os.cpu_count(),
            "budget": budgets[-1],
            "curves": points,
            "gains": gains,
        },
        targets,
    )
    draw(points, out / "demo.png", f"{count} held-out prompts of the testbed")
    console.print(f"Wrote {out / 'demo.json'} and {out / 'demo.png'}.")


def all_curves(
    replay: Replay, artifact: Artifact, oracle_table: LookupTable, oracle: Sequence[float]
) -> list[Curve]:
    """The baselines, best-of-N weighted third, then compute-optimal by oracle and by prediction."""
    table = artifact.policy.table
    budgets = [row.budget for row in table.rows]
    best_of_n = [Plan(strategy="best_of_n", n=n) for n in budgets]
    majority = [plan.model_copy(update={"selection": "majority"}) for plan in best_of_n]
    known = np.repeat(np.array(oracle)[:, None], replay.replicates, axis=1)
    return [
        plan_curve("majority", replay, majority),
        exact_curve("best-of-N, greatest score", replay, budgets, plain_best),
        plan_curve("best-of-N weighted", replay, best_of_n),
        plan_curve("beam search, M = 4", replay, [beam_plan(budget) for budget in budgets]),
        policy_curve("compute-optimal, oracle bins", replay, oracle_table, lambda _: known),
        policy_curve(
            "compute-optimal, predicted bins",
            replay,
            table,
            predicted(replay, artifact.difficulty),
        ),
    ]


def plain_best(run: Run, n: int) -> float:
    """Accuracy of plain best-of-n, exact over all subsets."""
    return float(best_of_n_accuracy([sample.score for sample in run.samples], run.correct, n))
