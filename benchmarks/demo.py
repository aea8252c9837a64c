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
from rich.markup import escape
from rich.table import Table

from allocator.errors import InputError, ModelError
from allocator.table import LookupTable
from benchmarks.figure import draw
from benchmarks.testbed.paths import ARTIFACT, TEST_PROMPTS
from calibration.bench import baselines, compute_optimal, reads_states, work_of
from calibration.bench_view import comparison
from calibration.collect import PromptRecord, in_order
from calibration.collectors import LocalCollector
from calibration.console import console, progress
from calibration.curves import Curve, as_json, gains, resamples
from calibration.evaluate import Replay
from calibration.policy_curves import policy_curve
from calibration.summarise import ORACLE
from calibration.targets import at_least, at_most, show_targets, write_result
from runtime.artifact import Artifact, open_decoder
from runtime.engines.loading import EngineName
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
    """Sample what the curves need: independent solutions, and the searches they ask for.

    Returns:
        The records, to be replayed, and the name of the engine that made them.
    """
    table = artifact.policy.table
    work = work_of([table, oracle_table], artifact.settings.scoring, SEED)
    pairs = [(prompt, gold) for prompt, gold, _ in prompts]
    records: list[PromptRecord] = []
    states = None
    async with open_decoder(artifact.settings, artifact.folder, engine) as decoder:
        await show_live(Solver(decoder, artifact, SEED), prompts)
        collector = LocalCollector(decoder)
        with progress("Test prompts", len(prompts)) as done:

            def keep(record: PromptRecord) -> None:
                records.append(record)
                done(record)

            await collector.collect(pairs, work, keep)
        if reads_states(table):
            states = await collector.states([prompt for prompt, _ in pairs])
    return Replay(in_order(records, pairs), work.samples, states=states), collector.engine


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
    found = gains(weighted, curves[2:], budgets[-1:], draws)
    saved = next(r for r in found if r["method"] == allocated.name)
    seconds = time.time() - started
    targets = [
        at_least(
            f"gain of {allocated.name} over best-of-{budgets[-1]} weighted, in generations",
            (saved["value"], saved["low"], saved["high"]),
            GAIN_TARGET,
        ),
        at_least("held-out test prompts", (count, count, count), 200),
        at_most("seconds, after the install", (seconds, seconds, seconds), 600),
    ]
    points = [as_json(curve, draws) for curve in curves]
    console.print(comparison(points, found, budgets[-1]))
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
            "gains": [{k: v for k, v in row.items() if k != "budget"} for row in found],
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
    known = np.repeat(np.array(oracle)[:, None], replay.replicates, axis=1)
    return [
        *baselines(replay, [row.budget for row in table.rows]),
        policy_curve(ORACLE, replay, oracle_table, lambda _: known),
        compute_optimal(replay, artifact, table),
    ]
