"""The server: its accuracy against the command, under load, beside `vllm serve`, and with faults.

    python -m benchmarks.serving [--seconds 120] [--only accuracy|load|overhead|faults]

Real servers on loopback, real clients, on the testbed. Under twenty minutes on 2 cores. Writes
out/serving.json; with --only, into what that has of the other parts.
"""

import argparse
import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.serving.accuracy import by_client, by_command, by_harness
from benchmarks.serving.faults import FAULTS
from benchmarks.serving.load import CLIENTS, Load, loaded
from benchmarks.serving.processes import ttc_serve, vllm_serve
from benchmarks.targets import Part, at_most, between, once, run_parts
from benchmarks.testbed.paths import BASE
from benchmarks.testbed.task import distinct_problems
from calibration.cli.console import new_table
from calibration.progress import console
from calibration.replay.curves import interval, resamples
from calibration.report.targets import Interval, Target, reported

SEED, PROBLEMS, BUDGET = 61, 300, 16
MODEL, MAX_TOKENS = BASE.name, 160
MIXED = (1, 4, 16)  # budgets under load
TURNS, TURN_SECONDS = 6, 12.0  # turns of each server, which alternate, and seconds per turn
OVERHEAD, GROWTH = 0.10, 0.05
WARM = 30  # seconds until memory should be flat


def accuracy() -> tuple[dict[str, Any], list[Target]]:
    """`ttc solve`, the `openai` client and lm-evaluation-harness at one budget."""
    problems = list(distinct_problems("test", PROBLEMS, SEED))
    command = by_command(problems, BUDGET)
    with ttc_serve() as serving:
        client = by_client(serving.url, MODEL, problems, BUDGET)
        harness, measured = by_harness(serving.url, MODEL, problems, BUDGET)
    gold = [problem.answer for problem in problems]
    found = {"ttc solve": command, "openai client": client, "lm-evaluation-harness": harness}
    right = {
        name: np.array([a == g for a, g in zip(answers, gold, strict=True)], dtype=float)
        for name, answers in found.items()
    }
    same = {
        name: float(np.mean([a == b for a, b in zip(command, answers, strict=True)]))
        for name, answers in found.items()
    }
    draws = resamples(len(problems))

    def less_command(name: str) -> Interval:
        return interval((right[name] - right["ttc solve"])[draws].mean(axis=1))

    data = {
        "problems": PROBLEMS,
        "budget": BUDGET,
        "accuracy": {name: float(each.mean()) for name, each in right.items()},
        "accuracy that the harness tells": measured,
        "same answers as ttc solve": same,
    }
    return data, [
        between(f"{name} minus ttc solve, accuracy", less_command(name), -0.005, 0.005)
        for name in ("openai client", "lm-evaluation-harness")
    ]


def under_load(seconds: float) -> tuple[dict[str, Any], list[Target]]:
    """Mixed budgets from many clients; every answer must be that of its own prompt."""
    prompts = [problem.text for problem in distinct_problems("test", 256, SEED + 1)]
    memory: list[int] = []
    with ttc_serve() as serving:
        alone = asyncio.run(loaded(serving.url, MODEL, prompts, MIXED, MAX_TOKENS, clients=4))
        load = asyncio.run(
            loaded(
                serving.url,
                MODEL,
                prompts,
                MIXED,
                MAX_TOKENS,
                seconds,
                watch=lambda: memory.append(serving.memory()),
            )
        )
    p50, p99 = np.percentile(load.seconds, [50, 99])
    after = memory[min(WARM, len(memory) // 4) :]
    third = max(1, len(after) // 3)
    growth = float(np.mean(after[-third:]) / np.mean(after[:third]) - 1)
    data = {
        "clients": CLIENTS,
        "seconds": load.lasted,
        "budgets": MIXED,
        "sent": load.sent,
        "answered": load.answered,
        "errors": dict(load.errors),
        "megabytes": [round(value / 2**20) for value in memory],
    }
    return data, [
        between("requests lost or failed", once(load.lost + load.errors.total()), 0, 0),
        between("answers duplicated", once(load.duplicated), 0, 0),
        between("answers crossed: unlike the prompt's own", once(load.unlike(alone)), 0, 0),
        reported("seconds per request, median", once(float(p50))),
        reported("seconds per request, 99th percentile", once(float(p99))),
        reported("requests a second", once(load.answered / load.lasted)),
        at_most("growth of memory under load", once(growth), GROWTH),
    ]


def overhead() -> tuple[dict[str, Any], list[Target]]:
    """Plain requests, budget 1, to `ttc serve` and to `vllm serve`, in turns."""
    prompts = [problem.text for problem in distinct_problems("test", 512, SEED + 2)]

    def turn(url: str, model: str, budget: int | None) -> Load:
        return asyncio.run(loaded(url, model, prompts, [budget], MAX_TOKENS, TURN_SECONDS))

    with ttc_serve() as serving, vllm_serve(BASE) as plain:
        servers: tuple[Callable[[], Load], ...] = (
            lambda: turn(serving.url, MODEL, 1),
            lambda: turn(plain, str(BASE), None),
        )
        for warm_up in servers:
            warm_up()
        turns = [[server() for server in servers] for _ in range(TURNS)]
    per_answer = np.array([[load.lasted / load.answered for load in both] for both in turns])
    median = np.array([[np.median(load.seconds) for load in both] for both in turns])
    draws = resamples(TURNS)
    more = interval(per_answer[draws, 0].mean(axis=1) / per_answer[draws, 1].mean(axis=1) - 1)
    slower = interval(median[draws, 0].mean(axis=1) / median[draws, 1].mean(axis=1) - 1)
    data = {
        "clients": CLIENTS,
        "turns": TURNS,
        "requests a second": (1 / per_answer.mean(axis=0)).tolist(),
        "median seconds": median.mean(axis=0).tolist(),
        "errors": [dict(load.errors) for both in turns for load in both],
    }
    return data, [
        at_most("time per request over vllm serve's, budget 1", more, OVERHEAD),
        reported("median latency over vllm serve's, budget 1", slower),
    ]


def faults() -> tuple[dict[str, Any], list[Target]]:
    """Every fault under load."""
    prompts = [problem.text for problem in distinct_problems("test", 256, SEED + 3)]
    found = [fault(MODEL, prompts) for fault in FAULTS]
    heads = ("fault", "sent", "answered", "errors", "lost", "back after", "left running")
    shown = new_table("Faults under load", *heads)
    for fault in found:
        back = "" if fault.back is None else f"{fault.back:.1f} s"
        errors = "; ".join(f"{count} x {what[:60]}" for what, count in fault.errors.items())
        counts = (fault.sent, fault.answered, errors, fault.lost, back, fault.left)
        shown.add_row(fault.name, *map(str, counts))
    console.print(shown)
    return {"faults": [fault.model_dump() for fault in found]}, [
        between(
            f"{fault.name}: requests without answer or clear error, processes left",
            once(fault.lost + fault.unclear + fault.left),
            0,
            0,
        )
        for fault in found
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=120.0, help="of the load")
    parser.add_argument("--only", choices=["accuracy", "load", "overhead", "faults"])
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for serving.json")
    options = parser.parse_args()
    parts: dict[str, Part] = {
        "accuracy": accuracy,
        "load": lambda: under_load(options.seconds),
        "overhead": overhead,
        "faults": faults,
    }
    run_parts(options.out / "serving.json", parts, options.only, SEED)


if __name__ == "__main__":
    main()
