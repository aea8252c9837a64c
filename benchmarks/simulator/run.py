"""One simulation: a contender on engines of its own, and what they did."""

from dataclasses import dataclass

from allocator.plan import Plan
from benchmarks.simulator.clock import run
from benchmarks.simulator.contenders import Contender
from benchmarks.simulator.models import Engines, Site


@dataclass(frozen=True)
class Outcome:
    """What a simulation did, over all cards.

    Attributes:
        seconds: virtual, to the end of the last prompt.
        busy: share of that time in which cards worked, on average.
        sampled: tokens of complete outputs.
        requests: to the language model.
        policy_steps: of its engines.
        verifier_steps: of the verifier's.
        prefilled: tokens that the language model read, those read again among them.
        scored: tokens that the verifier read.
        preempted: requests of either that had to wait again.
        evicted: blocks of either that were forgotten for room.
    """

    seconds: float
    busy: float
    sampled: int
    requests: int
    policy_steps: int
    verifier_steps: int
    prefilled: int
    scored: int
    preempted: int
    evicted: int


def simulate(contender: Contender, site: Site, prompts: int, plan: Plan) -> Outcome:
    """Run a contender to its end.

    Args:
        contender: what runs.
        site: where.
        prompts: how many.
        plan: of every prompt.
    """

    async def work() -> Engines:
        engines = Engines(site)
        await contender(engines, prompts, plan)
        return engines

    engines, seconds = run(work())
    policies, verifiers = engines.policies, engines.verifiers
    both = [*policies, *verifiers]
    return Outcome(
        seconds=seconds,
        busy=sum(card.busy for card in engines.cards) / (seconds * len(engines.cards)),
        sampled=sum(engine.written for engine in policies),
        requests=sum(engine.begun for engine in policies),
        policy_steps=sum(engine.steps for engine in policies),
        verifier_steps=sum(engine.steps for engine in verifiers),
        prefilled=sum(engine.read for engine in policies),
        scored=sum(engine.read for engine in verifiers),
        preempted=sum(engine.preempted for engine in both),
        evicted=sum(engine.cache.evicted for engine in both),
    )
