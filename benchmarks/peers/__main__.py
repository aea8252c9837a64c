"""Other libraries on the same work, side by side in one run.

    python -m benchmarks.peers [--budgets 4 16] [--turns 3]

its_hub and optillm from PyPI, each in its own virtual environment under out/peers, against one
`vllm serve` with the testbed's model, and its PRM where they take one; this library over the same
server. All contenders answer the same held-out prompts, all prompts at once, and take turns. Tokens
are counted at the server. Writes out/peers.json. A peer that cannot be installed, or a method that
cannot run here, is listed with the reason.
"""

import argparse
import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from benchmarks.peers.contenders import (
    METHODS,
    NOT_RUN,
    OURS,
    PEERS,
    Contender,
    ours,
    script,
    theirs,
)
from benchmarks.peers.environments import NotInstalledError, interpreter
from benchmarks.peers.measure import HEADS, Turn, Turns, cells_of, rows_of, targets_of
from benchmarks.peers.services import sampled_tokens, served_copy, verifier_service
from benchmarks.peers.worker import FailedError, Reply, started
from benchmarks.serving.processes import vllm_serve
from benchmarks.targets import show_targets, write_result
from benchmarks.testbed.paths import SETTINGS
from benchmarks.testbed.task import distinct_problems
from benchmarks.throughput.contenders import served_name
from calibration.cli.console import new_table
from calibration.progress import console, progress
from runtime.answers import answers_for
from runtime.engines.loading import open_engine

FOLDER = Path("out/peers")
PROMPT_SEED = 5
WARM_UP = 8  # prompts of a warm-up run that is not counted

Run = Callable[..., Awaitable[Reply]]


async def compare(
    prompts: Sequence[tuple[str, str]], budgets: Sequence[int], turns: int
) -> tuple[Turns, dict[str, str]]:
    """Every contender's turns, and why others have none.

    Args:
        prompts: (prompt, right answer) pairs.
        budgets: generations per prompt.
        turns: of each contender at each budget.
    """
    texts, golds = zip(*prompts, strict=True)
    answers = answers_for(SETTINGS.answers, Path())
    reasons = dict(NOT_RUN)
    FOLDER.mkdir(parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        served = served_copy(FOLDER / "served")
        url = stack.enter_context(vllm_serve(served))
        reader = stack.enter_context(open_engine(served, url))
        services = {
            "url": url,
            "model": served_name(url),
            "verifier": await stack.enter_async_context(verifier_service(reader)),
        }
        runs: dict[str, Run] = {OURS: ours(url)}
        for peer in PEERS:
            try:
                python = interpreter(peer, FOLDER)
            except NotInstalledError as error:
                reasons[peer.name] = str(error)
                continue
            log = FOLDER / f"{peer.name}.log"
            worker = await stack.enter_async_context(started(python, script(peer), log))
            runs[peer.name] = theirs(worker, services)
        contenders = [contender for contender in METHODS if contender.library in runs]
        for contender in list(contenders):
            try:
                await runs[contender.library](contender.method, texts[:WARM_UP], budgets[0], 0)
            except FailedError as error:
                reasons[str(contender)] = str(error)
                contenders.remove(contender)

        async def turn(contender: Contender, budget: int, seed: int) -> Turn:
            before = sampled_tokens(url)
            reply = await runs[contender.library](contender.method, texts, budget, seed)
            after = await settled(url)
            right = [
                answers.extract(text) == gold for text, gold in zip(reply.texts, golds, strict=True)
            ]
            return Turn(right, reply.generations, after - before, reply.seconds)

        found: dict[tuple[Contender, int], list[Turn]] = {}
        with progress("Runs", turns * len(budgets) * len(contenders)) as done:
            for number in range(turns):
                for budget in budgets:
                    for contender in contenders:
                        made = await turn(contender, budget, number)
                        found.setdefault((contender, budget), []).append(made)
                        done(None)
    return found, reasons


async def settled(url: str) -> int:
    """Tokens sampled once nothing is running any more: requests cut off end a moment later."""
    while True:
        before = sampled_tokens(url)
        await asyncio.sleep(0.3)
        if sampled_tokens(url) == before:
            return before


def show(rows: Sequence[dict[str, Any]], prompts: int) -> None:
    """A row a contender and budget."""
    table = new_table(f"{prompts} prompts; generations and tokens are per prompt", *HEADS)
    for cells in cells_of(rows):
        table.add_row(*cells)
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--prompts", type=int, default=100)
    parser.add_argument("--budgets", type=int, nargs="+", default=[4, 16])
    parser.add_argument("--turns", type=int, default=3)
    args = parser.parse_args()
    problems = distinct_problems("test", args.prompts, PROMPT_SEED)
    prompts = [(problem.text, problem.answer) for problem in problems]
    turns, reasons = asyncio.run(compare(prompts, args.budgets, args.turns))
    rows, targets = rows_of(turns), targets_of(turns)
    show(rows, len(prompts))
    for what, why in reasons.items():
        console.print(f"Not measured: {what}: {why}", style="yellow", markup=False)
    show_targets(targets)
    data = {
        "seed": PROMPT_SEED,
        "prompts": len(prompts),
        "turns": args.turns,
        "requirements": {peer.name: peer.requirements for peer in PEERS},
        "rows": rows,
        "not measured": reasons,
    }
    write_result(Path("out/peers.json"), data, targets)


if __name__ == "__main__":
    main()
