"""How fast search runs here, side by side with others in one run.

    python -m benchmarks.throughput

Ten to twenty-five minutes on 2 cores, as fast as they are. All contenders use the testbed's models
and vLLM, the same prompts and the same numbers of generations; they take turns, and every ratio is
of neighbouring turns. Writes out/throughput.json.
"""

import argparse
import asyncio
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from allocator.plan import Plan
from benchmarks.serving.processes import vllm_serve, vllm_start
from benchmarks.targets import at_least, at_most, bootstrapped, show_targets, write_result
from benchmarks.testbed.paths import ARTIFACT, BASE, PRM, SETTINGS
from benchmarks.throughput.contenders import Contender, ours, passes_counted, plain_vllm
from benchmarks.throughput.its_hub import its_hub
from benchmarks.throughput.lockstep import lockstep
from benchmarks.throughput.policy import policy_time
from benchmarks.throughput.verifiers import ALL_CORES, NEW_TOKENS, WHOLE_TEXTS, Verifiers
from benchmarks.throughput.workload import (
    BEAMS,
    PROMPT_SEED,
    PROMPTS,
    SAMPLES,
    Work,
    held_out_prompts,
)
from calibration.cli.console import new_table
from calibration.progress import console, progress
from calibration.report.targets import Interval, Target, reported
from runtime.artifact import Artifact
from runtime.engines.environment import environment_defaults
from runtime.models import open_models
from runtime.verifiers.model_verifier import ModelVerifier

Turns = Mapping[str, Sequence[Work]]

BEST_OF_N, PLAIN = "best-of-N, sampling only", "LLM.generate"
SCORED, BEAM = "best-of-N, scored", "beam search"
UNSCORED = "beam search, sampling only"
LOCKSTEP, ITS_HUB, SERVED = "lockstep beam search", "its_hub beam search", "its_hub, vllm serve"


async def run(turns: int) -> tuple[dict[str, list[Work]], dict[str, dict[str, float]]]:
    """Every contender's turns, after one that does not count, and what passes of the verifier took
    with nothing beside them."""
    from vllm import LLM

    prompts, cores = held_out_prompts(), torch.get_num_threads()
    # Opened first, with all of torch's threads: this library's engine leaves one to this process.
    arguments, environment = vllm_start()
    with environment_defaults(**environment):
        llm = LLM(
            str(BASE),
            dtype="float32",
            enable_prefix_caching=True,
            gpu_memory_utilization=0.2,  # it is one of three engines
            **arguments,
        )
    with ExitStack() as stack:
        url = stack.enter_context(vllm_serve(BASE))
        async with open_models(SETTINGS, Path(), "vllm", "transformers") as models:
            verifiers = Verifiers(models.engine, cores, stack)
            passes = await verifiers.pass_times()
            whole, alone = [await verifiers.open(reads) for reads in (WHOLE_TEXTS, ALL_CORES)]

            async def scored(plan: Plan) -> Contender:
                """Ours, with a verifier that remembers nothing of earlier turns."""
                backend = await verifiers.open(NEW_TOKENS)
                verifier = ModelVerifier(verifiers.family, backend, PRM.name)
                return passes_counted(ours(models, prompts, plan, verifier), backend)

            in_process = its_hub(models, prompts, BEAMS, whole, None)
            served = its_hub(models, prompts, BEAMS, whole, url)
            found: dict[str, list[Work]] = {}
            with progress("Turns", turns + 1) as done:
                for turn in range(turns + 1):
                    contenders: dict[str, Contender] = {
                        PLAIN: plain_vllm(llm, models, prompts, SAMPLES),
                        BEST_OF_N: ours(models, prompts, SAMPLES, None),
                        UNSCORED: ours(models, prompts, BEAMS, None),
                        SCORED: await scored(SAMPLES),
                        BEAM: await scored(BEAMS),
                        LOCKSTEP: passes_counted(
                            lockstep(llm, models, prompts, BEAMS, alone), alone
                        ),
                        ITS_HUB: passes_counted(in_process, whole),
                        SERVED: passes_counted(served, whole),
                    }
                    for name, contender in contenders.items():
                        work = await contender(turn)
                        if turn:
                            found.setdefault(name, []).append(work)
                    done(None)
    return found, passes


def ratio(over: Sequence[float], under: Sequence[float]) -> Interval:
    """Mean ratio of neighbouring turns, with its 95% bootstrap interval over turns."""
    return bootstrapped(np.array(over) / np.array(under))


def accuracy_difference(ours_: Sequence[Work], theirs: Sequence[Work]) -> Interval:
    """Mean accuracy of ours less theirs, with its 95% bootstrap interval over prompts."""
    a, b = (
        np.array([work.correct for work in side], dtype=float).mean(0) for side in (ours_, theirs)
    )
    return bootstrapped(a - b)


def targets_of(turns: Turns, policy: Interval) -> list[Target]:
    """The figures that the issue names."""
    seconds = {name: [work.seconds for work in done] for name, done in turns.items()}
    rates = {
        name: [work.sampled_tokens / work.seconds for work in done] for name, done in turns.items()
    }
    beams = turns[BEAM]
    cached = [work.cached_tokens / work.prompt_tokens for work in beams]
    return [
        at_least(
            "best-of-N: tokens a second over LLM.generate",
            ratio(rates[BEST_OF_N], rates[PLAIN]),
            0.9,
        ),
        *(
            at_least(
                f"beam search: times faster than {name}", ratio(seconds[name], seconds[BEAM]), 2
            )
            for name in (LOCKSTEP, ITS_HUB, SERVED)
        ),
        *(
            reported(f"accuracy minus that of {name}", accuracy_difference(beams, turns[name]))
            for name in (LOCKSTEP, ITS_HUB, SERVED)
        ),
        at_most(
            "beam search over best-of-N, wall time", ratio(seconds[BEAM], seconds[SCORED]), 1.5
        ),
        reported(
            "share of prompt tokens from the prefix cache", ratio(cached, [1.0] * len(cached))
        ),
        at_most("policy's own time per prompt, ms", policy, 1.0),
    ]


def show(turns: Turns) -> None:
    """A table of what each contender did, averaged over its turns."""
    heads = ("", "seconds", "accuracy", "sampled", "cached", "verifier", "engine calls")
    table = new_table(f"{PROMPTS} prompts, N = {BEAMS.n}, M = {BEAMS.beam_width}", *heads)
    for name, done in turns.items():
        means = [
            f"{np.mean([w.seconds for w in done]):.2f}",
            f"{np.mean([w.correct for w in done]):.0%}" if done[0].correct else "-",
            *(
                f"{np.mean([getattr(w, key) for w in done]):,.0f}"
                for key in ("sampled_tokens", "cached_tokens", "verifier_tokens", "engine_calls")
            ),
        ]
        table.add_row(name, *means)
    console.print(table)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--turns", type=int, default=6)
    args = parser.parse_args(arguments)
    if find_spec("its_hub") is None:
        parser.error("its_hub is not installed; pip install -e '.[bench]'")
    turns, passes = asyncio.run(run(args.turns))
    show(turns)
    targets = targets_of(turns, policy_time(Artifact.load(ARTIFACT)))
    show_targets(targets)
    data = {
        "seed": PROMPT_SEED,
        "turns": {name: [asdict(work) for work in done] for name, done in turns.items()},
        "passes": passes,
    }
    write_result(Path("out/throughput.json"), data, targets)


if __name__ == "__main__":
    main()
