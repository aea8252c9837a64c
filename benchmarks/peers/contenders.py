"""The contenders: methods of this library and of its peers."""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from allocator.plan import FIXED_BEAM_WIDTH, Plan
from benchmarks.peers.environments import ITS_HUB, OPTILLM, Environment
from benchmarks.peers.worker import FailedError, Reply, Worker
from benchmarks.testbed.paths import ARTIFACT, SETTINGS
from calibration.bench import beam_plan
from runtime.artifact import Artifact
from runtime.models import open_models
from runtime.result import Failure, Spend
from runtime.solving.solve import Solver

OURS = "ttc-allocator"
STOP = "#"  # begins the line of the answer
# Of stopping early. On the calibration prompts it loses nothing at 4 and 0.7 points (standard error
# 0.1) at 16; 0.95, that of Aggarwal et al. 2023, loses none there and takes 10.3 samples where this
# takes 7.1.
CONFIDENCE = 0.85


@dataclass(frozen=True)
class Contender:
    """A library's method.

    Attributes:
        library: name of the library.
        method: its name there, in the field's words.
        like: this library's method of the same strategy.
    """

    library: str
    method: str
    like: str

    def __str__(self) -> str:
        return f"{self.library}: {self.method}"


VOTING, WEIGHTED, BEAMS = "self-consistency", "best-of-N weighted", "beam search"
STOPPING, OPTIMAL, ACROSS = "self-consistency, stopping early", "compute-optimal", "one total"
VOTES = (VOTING, STOPPING)
METHODS = [
    *(Contender(OURS, m, m) for m in (VOTING, STOPPING, WEIGHTED, BEAMS, OPTIMAL, ACROSS)),
    Contender(ITS_HUB.name, "self-consistency", VOTING),
    Contender(ITS_HUB.name, "adaptive self-consistency", STOPPING),
    Contender(ITS_HUB.name, "Beta self-consistency", STOPPING),
    Contender(ITS_HUB.name, "best-of-N", WEIGHTED),
    Contender(ITS_HUB.name, "beam search", BEAMS),
    Contender(ITS_HUB.name, "particle filtering", BEAMS),
    Contender(OPTILLM.name, "self-consistency", VOTING),
    Contender(OPTILLM.name, "majority voting", VOTING),
    Contender(OPTILLM.name, "best-of-N", WEIGHTED),
]
NOT_RUN = {
    f"{OPTILLM.name}: autothink": (
        "it runs a model in its own process, none behind a server, makes it think for 256 tokens "
        "or more between <think> and </think>, and takes its classifier of difficulty from the "
        "hub. The testbed's model solves in some fifty tokens and has no such marks; tried all "
        "the same, it ends in an error (probabilities that are no numbers)"
    ),
}
PEERS: Sequence[Environment] = (ITS_HUB, OPTILLM)


def job_of(method: str, prompts: Sequence[str], budget: int) -> dict[str, Any]:
    """A peer's job, without the addresses of the services."""
    sampling = SETTINGS.sampling
    return {
        "method": method,
        "prompts": list(prompts),
        "budget": budget,
        "pattern": SETTINGS.answers.removeprefix("pattern:"),
        "temperature": sampling.temperature,
        "max_tokens": sampling.max_tokens,
        "step_end": sampling.step_end,
        "max_steps": sampling.max_steps,
        "stop_token": STOP,
        "beam_width": FIXED_BEAM_WIDTH,
    }


def theirs(worker: Worker, services: dict[str, str]) -> Callable[..., Awaitable[Reply]]:
    """Runs a peer's method."""

    async def run(method: str, prompts: Sequence[str], budget: int, seed: int) -> Reply:
        del seed  # these methods take no budget
        return await worker.ask(job_of(method, prompts, budget) | services)

    return run


def ours(url: str) -> Callable[..., Awaitable[Reply]]:
    """Runs this library's method over the same server; the PRM runs in this process.

    Votes take no verifier, as the peers' take none: with one, it would decide their ties.
    """

    async def run(method: str, prompts: Sequence[str], budget: int, seed: int) -> Reply:
        artifact = Artifact.load(ARTIFACT)
        settings = artifact.settings
        if method in VOTES:
            settings = settings.model_copy(update={"verifier": None})
        async with open_models(settings, artifact.folder, url, "transformers") as models:
            early_stop = CONFIDENCE if method == STOPPING else None
            solver = Solver(models, artifact, seed, _plan(method, budget), early_stop)
            spend = Spend(total_budget=budget * len(prompts)) if method == ACROSS else Spend(budget)
            started = time.perf_counter()
            results = await solver.solve_all(prompts, spend)
            seconds = time.perf_counter() - started
        found = []
        for result in results:
            if isinstance(result, Failure):
                raise FailedError(result.error)
            found.append(result)
        return Reply(
            seconds,
            [result.solution for result in found],
            [result.receipt.generations for result in found],
        )

    return run


def _plan(method: str, budget: int) -> Plan | None:
    if method in VOTES:
        return Plan(strategy="best_of_n", n=budget, selection="majority")
    if method == WEIGHTED:
        return Plan(strategy="best_of_n", n=budget)
    if method == BEAMS:
        return beam_plan(budget)
    return None


def script(environment: Environment) -> Path:
    """The file that a peer's interpreter runs."""
    return Path(__file__).with_name(environment.script)
