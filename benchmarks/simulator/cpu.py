"""The simulator checked: with a CPU's step times it has to give the ratios that were measured.

The step times come from docs/throughput.json. Sampling takes a time per token and one per request.
Best-of-N and beam search without scores give both for this library's engine; `LLM.generate` and
lockstep search give both for `LLM.generate`, once the time of lockstep's verifier, which reads
while nothing is sampled, is taken off. A pass of the verifier takes a time of its own, one per text
and one per token, which were measured while nothing else ran. Sampling and reading at once are
slower, since they share two cores: how much longer best-of-N takes with scores says by how much.
This library's beam search and its_hub's, which runs over the same engine, are predicted, and with
them three ratios.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from statistics import mean
from typing import Any

import numpy as np

from benchmarks.simulator.contenders import Contender, its_hub, lockstep, ours
from benchmarks.simulator.models import Site
from benchmarks.simulator.run import Outcome, simulate
from benchmarks.simulator.testbed import PoolWriter
from benchmarks.simulator.times import EngineShape, StepTimes
from benchmarks.testbed.paths import SETTINGS
from benchmarks.throughput.__main__ import (
    BEAM,
    BEST_OF_N,
    ITS_HUB,
    LOCKSTEP,
    PLAIN,
    SCORED,
    UNSCORED,
)
from benchmarks.throughput.verifiers import ALL_CORES, NEW_TOKENS, WHOLE_TEXTS
from benchmarks.throughput.workload import BEAMS, PROMPTS, SAMPLES
from runtime.verifiers.in_transformers import MAX_WHOLE_ON_CPU

# By how much a ratio may differ from the measured one.
TOLERANCE = 0.15
PROMPT_TOKENS = 15
# The engines of `benchmarks.throughput`; their caches hold more than they are given.
SEQUENCES, BLOCK, ENOUGH = 256, 32, 2**20


@dataclass(frozen=True)
class Measured:
    """What a run did in `benchmarks.throughput`, on average over its turns.

    Attributes:
        seconds: that it took.
        sampled: tokens.
        requests: to the engine.
        scored: tokens that the verifier ran over.
        texts: of which these were.
        passes: in which it read them.
    """

    seconds: float
    sampled: float
    requests: float
    scored: float
    texts: float
    passes: float

    def reading(self, verifier: StepTimes) -> float:
        """Seconds of the verifier's passes."""
        return (
            self.passes * verifier.fixed
            + self.texts * verifier.per_request
            + self.scored * verifier.per_new_token
        )


@dataclass(frozen=True)
class CpuTimes:
    """Step times of the engines of `benchmarks.throughput`.

    Attributes:
        llm: of `LLM.generate`.
        engine: of this library's engine.
        whole_texts: of a verifier that reads whole texts.
        all_cores: likewise, on all cores.
        new_tokens: of one that reads new tokens only.
        shared_speed: see `benchmarks.simulator.engine.Card`.
    """

    llm: StepTimes
    engine: StepTimes
    whole_texts: StepTimes
    all_cores: StepTimes
    new_tokens: StepTimes
    shared_speed: float


def measured(throughput: Mapping[str, Any]) -> dict[str, Measured]:
    """The runs of docs/throughput.json, by name."""
    keys = (
        "seconds",
        "sampled_tokens",
        "engine_calls",
        "verifier_tokens",
        "verifier_texts",
        "verifier_passes",
    )
    return {
        name: Measured(*(mean(turn[key] for turn in turns) for key in keys))
        for name, turns in throughput["turns"].items()
    }


def step_times(runs: Mapping[str, Measured], passes: Mapping[str, Mapping[str, float]]) -> CpuTimes:
    """Step times from the runs and the verifier's passes of docs/throughput.json."""
    whole_texts, all_cores, new_tokens = (
        StepTimes(found["fixed"], 0.0, 0.0, found["per_token"], found["per_text"])
        for found in (passes[name] for name in (WHOLE_TEXTS, ALL_CORES, NEW_TOKENS))
    )
    # While the verifier reads, sampling goes on at the speed that both have then: what is left of
    # it afterwards makes the run longer.
    reading = runs[SCORED].reading(new_tokens)
    shared_speed = reading / (reading + runs[SCORED].seconds - runs[BEST_OF_N].seconds)

    def engine(*names: str) -> StepTimes:
        found = [runs[name] for name in names]
        counts = np.array([(run.sampled, run.requests) for run in found])
        seconds = np.array([run.seconds - run.reading(all_cores) for run in found])
        per_token, per_request = np.linalg.solve(counts, seconds).tolist()
        return StepTimes(0.0, per_token, 0.0, 0.0, per_request)

    return CpuTimes(
        llm=engine(PLAIN, LOCKSTEP),
        engine=engine(BEST_OF_N, UNSCORED),
        whole_texts=whole_texts,
        all_cores=all_cores,
        new_tokens=new_tokens,
        shared_speed=shared_speed,
    )


def check(throughput: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Each ratio as it was measured and as it is simulated.

    Args:
        throughput: docs/throughput.json.
    """
    runs = measured(throughput)
    times = step_times(runs, throughput["passes"])
    writer = PoolWriter()

    def site(engine: StepTimes, verifier: StepTimes) -> Site:
        return Site(
            EngineShape(engine, ENOUGH, SEQUENCES, ENOUGH, BLOCK, chunked=False),
            EngineShape(verifier, ENOUGH, max_new_tokens=MAX_WHOLE_ON_CPU, chunked=False),
            writer=writer,
            prompt_tokens=PROMPT_TOKENS,
            paced=False,  # transformers has batches of its own
            knows_blocks=False,
            shared_speed=times.shared_speed,
        )

    contenders: dict[str, tuple[Contender, Site]] = {
        SCORED: (ours, site(times.engine, times.new_tokens)),
        BEAM: (ours, site(times.engine, times.new_tokens)),
        LOCKSTEP: (lockstep, site(times.llm, times.all_cores)),
        ITS_HUB: (its_hub, site(times.engine, times.whole_texts)),
    }
    found: dict[str, Outcome] = {}
    for name, (contender, place) in contenders.items():
        plan = SAMPLES if name == SCORED else BEAMS
        found[name] = simulate(partial(contender, settings=SETTINGS.sampling), place, PROMPTS, plan)
    pairs = ((LOCKSTEP, BEAM), (ITS_HUB, BEAM), (BEAM, SCORED))
    return {
        f"{over} over {under}": {
            "measured": runs[over].seconds / runs[under].seconds,
            "simulated": found[over].seconds / found[under].seconds,
        }
        for over, under in pairs
    }
