"""The demo: held-out prompts answered by the policy, then by best-of-N, and the cost of each.

    ttc demo

Everything is sampled live by the committed models. The policy's method and budget come from the
committed calibration alone: the cheapest method that was as accurate there as best-of-N weighted.
The true difficulty of the test prompts (256 samples each, made by `benchmarks.testbed.measure`) is
only shown beside the results.
"""

import asyncio
import json
import os
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from allocator.errors import InputError, ModelError
from allocator.plan import Plan
from benchmarks.demo_figures import BUDGET, SEED, Prompt, measure
from benchmarks.demo_view import Tally, closing, live
from benchmarks.figure import draw
from benchmarks.targets import at_least, at_most, show_targets, write_result
from benchmarks.testbed.paths import ARTIFACT, TEST_PROMPTS
from calibration.progress import console
from calibration.replay.ways import PREDICTED, PRICE
from calibration.report.summarise import NAMES
from calibration.report.summary import Summary
from calibration.report.targets import reported
from runtime.artifact import Artifact
from runtime.engines.loading import EngineName
from runtime.models import open_models
from runtime.result import Failure, Result, Spend
from runtime.solving.solve import Solver

GAIN_TARGET, SECONDS_TARGET = 2.0, 180
BASELINE = NAMES["weighted"]
# Two standard errors of the difference over 200 prompts: luck rarely makes the policy worse there.
MARGIN = 0.03


@dataclass(frozen=True)
class Choice:
    """A method at a budget, with its cost and accuracy on the calibration prompts."""

    name: str
    spend: Spend
    generations: float
    accuracy: float


def choose(artifact: Artifact, summary: Summary) -> tuple[Choice, float]:
    """The cheapest method that was `MARGIN` more accurate in calibration than best-of-N, and
    best-of-N's accuracy.

    Raises:
        InputError: no method was.
    """
    curves = {curve.name: curve.points for curve in summary.groups[0].curves}
    wanted = next(point.accuracy for point in curves[BASELINE] if point.budget == BUDGET)
    by_price = [
        Choice(PRICE, Spend(average_budget=point.generations), point.generations, point.accuracy)
        for point in artifact.prices.points
    ]
    by_bin = [
        Choice(PREDICTED, Spend(int(point.budget)), point.generations, point.accuracy)
        for point in curves[PREDICTED]
    ]
    reaching = [choice for choice in (*by_price, *by_bin) if choice.accuracy >= wanted + MARGIN]
    if not reaching:
        raise InputError("artifact", str(artifact.folder), f"no method beats best-of-{BUDGET}")
    return min(reaching, key=lambda choice: choice.generations), wanted


def read_test_prompts(count: int) -> list[Prompt]:
    """The first test prompts.

    Raises:
        InputError: fewer than 1, or more than there are.
    """
    rows = [json.loads(line) for line in TEST_PROMPTS.read_text().splitlines()]
    if not 1 <= count <= len(rows):
        raise InputError("prompts", count, f"choose from 1 to the {len(rows)} there are")
    return [Prompt(row["prompt"], row["answer"], row["pass_at_1"]) for row in rows[:count]]


async def answer(
    solver: Solver, prompts: Sequence[Prompt], spend: Spend, tally: Tally
) -> list[Result]:
    """Answer the prompts, counting in `tally` as each is done.

    Raises:
        ModelError: a model has failed.
    """
    gold = {prompt.text: prompt.gold for prompt in prompts}

    def done(result: Result | Failure) -> None:
        if isinstance(result, Failure):
            raise ModelError("models", result.error)
        tally.add(result.answer == gold[result.prompt], result.receipt)

    with tally.timed():
        results = await solver.solve_all(list(gold), spend, done)
    return [result for result in results if isinstance(result, Result)]


async def answer_by_both(
    artifact: Artifact,
    prompts: Sequence[Prompt],
    choice: Choice,
    engine: EngineName,
    tallies: tuple[Tally, Tally],
) -> tuple[list[Result], list[Result], str]:
    """The policy's results, best-of-N's, and the name of the engine that sampled them."""
    plain = Plan(strategy="best_of_n", n=BUDGET)
    async with AsyncExitStack() as stack:
        with console.status("Starting the models"):
            opening = open_models(artifact.settings, artifact.folder, engine)
            models = await stack.enter_async_context(opening)
        with live(tallies):
            policy = Solver(models, artifact, SEED)
            ours = await answer(policy, prompts, choice.spend, tallies[0])
            fixed = Solver(models, artifact, SEED, plain)
            theirs = await answer(fixed, prompts, Spend(BUDGET), tallies[1])
        return ours, theirs, type(models.engine).__name__


def run_demo(count: int, out: Path, engine: EngineName) -> None:
    """Run the demo and write ``demo.json`` and ``demo.png`` to `out`.

    Raises:
        InputError: unusable arguments.
    """
    started = time.time()
    prompts = read_test_prompts(count)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError("out", str(out), f"cannot be made: {error.strerror}") from None
    artifact = Artifact.load(ARTIFACT)
    choice, wanted = choose(artifact, Summary.load(ARTIFACT))
    console.print(
        f"In calibration, best-of-{BUDGET} weighted answered {wanted:.1%} of prompts right. The "
        f"cheapest method that did {100 * MARGIN:.0f} points better: {choice.name}, "
        f"{choice.generations:.1f} generations per prompt, {choice.accuracy:.1%}. Both now answer "
        f"{count} prompts that calibration has not seen.\n",
        highlight=False,
    )
    tallies = Tally(f"policy: {choice.name}", count), Tally(f"best-of-{BUDGET} weighted", count)
    policy, plain, engine_name = asyncio.run(
        answer_by_both(artifact, prompts, choice, engine, tallies)
    )
    found = measure(prompts, policy, plain)
    draw(found, choice.name, out / "demo.png", f"{count} held-out prompts of the testbed")
    seconds = time.time() - started
    gain, difference, matched = found["gains"]["generations"], found["difference"], found["matched"]
    targets = [
        at_least(
            f"gain of {choice.name} over best-of-{BUDGET} weighted, in generations",
            (gain["value"], gain["low"], gain["high"]),
            GAIN_TARGET,
        ),
        reported(
            f"accuracy of {choice.name} minus that of best-of-{BUDGET} weighted",
            (difference["value"], difference["low"], difference["high"]),
        ),
        reported(
            f"generations that best-of-N weighted spends for the accuracy of {choice.name}",
            (matched["value"], matched["low"], matched["high"]),
        ),
        at_least("held-out test prompts", (count, count, count), 200),
        at_most("seconds, after the install", (seconds, seconds, seconds), SECONDS_TARGET),
    ]
    console.print(*closing(tallies, found), sep="\n")
    show_targets(targets)
    write_result(
        out / "demo.json",
        {
            "prompts": count,
            "seed": SEED,
            "seconds": seconds,
            "engine": engine_name,
            "cores": os.cpu_count(),
            "budget": BUDGET,
            "method": choice.name,
            "calibration": {
                "baseline": wanted,
                "accuracy": choice.accuracy,
                "generations": choice.generations,
            },
            "methods": [tally.as_json() for tally in tallies],
            **found,
        },
        targets,
    )
    console.print(f"Wrote {out / 'demo.json'} and {out / 'demo.png'}.")
