"""The simulator checked: with a CPU's step times it has to give the ratios that were measured.

The step times are read from docs/throughput.json: a time per token, one per request, and one per
token of the verifier. All that runs there shares two cores, as engines share a card here. There are
two sets of them, since `LLM.generate` and this library's engine, over which its_hub was measured,
do not cost the same. Five runs give the five times: `LLM.generate` and lockstep search one set,
best-of-N without scores and its_hub the other, and best-of-N with scores the verifier's. This
library's beam search is none of them: its time is predicted, and with it three ratios. The request
time that its_hub gives has its own handling of texts in it, so the prediction is somewhat too slow.
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
from benchmarks.throughput.__main__ import BEAM, BEST_OF_N, ITS_HUB, LOCKSTEP, PLAIN, SCORED
from benchmarks.throughput.workload import BEAMS, PROMPTS, SAMPLES

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
    """

    seconds: float
    sampled: float
    requests: float
    scored: float


def measured(throughput: Mapping[str, Any]) -> dict[str, Measured]:
    """The runs of docs/throughput.json, by name."""
    keys = ("seconds", "sampled_tokens", "engine_calls", "verifier_tokens")
    return {
        name: Measured(*(mean(turn[key] for turn in turns) for key in keys))
        for name, turns in throughput["turns"].items()
    }


def step_times(runs: Mapping[str, Measured]) -> tuple[StepTimes, StepTimes, StepTimes]:
    """Step times of `LLM.generate`, of this library's engine, and of the verifier."""
    sampling, scored = runs[BEST_OF_N], runs[SCORED]
    per_scored = (scored.seconds - sampling.seconds) / scored.scored

    def engine(*names: str) -> StepTimes:
        found = [runs[name] for name in names]
        counts = np.array([(run.sampled, run.requests) for run in found])
        seconds = np.array([run.seconds - run.scored * per_scored for run in found])
        per_token, per_request = np.linalg.solve(counts, seconds).tolist()
        return StepTimes(0.0, per_token, 0.0, 0.0, per_request)

    return (
        engine(PLAIN, LOCKSTEP),
        engine(BEST_OF_N, ITS_HUB),
        StepTimes(0.0, 0.0, 0.0, per_scored),
    )


def check(throughput: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Each ratio as it was measured and as it is simulated.

    Args:
        throughput: docs/throughput.json.
    """
    runs = measured(throughput)
    llm, engine, verifier = step_times(runs)
    writer = PoolWriter()

    def site(times: StepTimes) -> Site:
        return Site(
            EngineShape(times, ENOUGH, SEQUENCES, ENOUGH, BLOCK, chunked=False),
            EngineShape(verifier, ENOUGH, block=1),  # of a text every known token is used
            writer=writer,
            prompt_tokens=PROMPT_TOKENS,
            paced=False,  # transformers has batches of its own
        )

    contenders: dict[str, tuple[Contender, StepTimes]] = {
        SCORED: (ours, engine),
        BEAM: (ours, engine),
        LOCKSTEP: (lockstep, llm),
        ITS_HUB: (its_hub, engine),
    }
    found: dict[str, Outcome] = {}
    for name, (contender, times) in contenders.items():
        plan = SAMPLES if name == SCORED else BEAMS
        found[name] = simulate(
            partial(contender, settings=SETTINGS.sampling), site(times), PROMPTS, plan
        )
    pairs = ((LOCKSTEP, BEAM), (ITS_HUB, BEAM), (BEAM, SCORED))
    return {
        f"{over} over {under}": {
            "measured": runs[over].seconds / runs[under].seconds,
            "simulated": found[over].seconds / found[under].seconds,
        }
        for over, under in pairs
    }
