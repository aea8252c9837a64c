"""Search as it would run on H100s: this scheduler and its rivals on engines of virtual time.

    python -m benchmarks.simulator

The scheduler, the strategies, the choice of a replica and the verifier's memory are this library's
own; only what a step of an engine takes is simulated, from published figures (`times`). First the
simulator is checked against `benchmarks.throughput` (`cpu`). Writes out/simulator.json. About a
minute of one core per contender and thousand prompts.
"""

import argparse
import json
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from allocator.plan import Plan
from benchmarks.simulator.contenders import SEED, Contender, its_hub, lockstep, ours
from benchmarks.simulator.cpu import TOLERANCE, check
from benchmarks.simulator.models import Site
from benchmarks.simulator.run import Outcome, simulate
from benchmarks.simulator.speculation import speculative
from benchmarks.simulator.times import (
    CARD_BYTES,
    KV_BYTES,
    WEIGHT_BYTES,
    EngineShape,
    h100,
    kv_tokens,
)
from benchmarks.targets import at_least, at_most, between, show_targets, write_result
from calibration.cli.console import new_table
from calibration.progress import console, progress
from calibration.report.targets import Target
from runtime.engines.memory import Gpu, Need, plan_shares

THROUGHPUT = Path(__file__).parents[2] / "docs" / "throughput.json"
BEAMS = Plan(strategy="beam_search", n=16, beam_width=4)
SAMPLES = Plan(strategy="best_of_n", n=16)
WIDE, WIDE_PROMPTS, FEWER = Plan(strategy="beam_search", n=256, beam_width=4), 64, 16
# Prompts in flight per card whatever their beams are, as it was before, and a card's share of them
# where one card is simulated.
BEFORE, ONE_CARD = 64, 125
# Prompts of one card in a long run, whose end weighs less and which has not all of them in flight,
# and how many were in flight before.
LONG, LONG_BEFORE = 4 * ONE_CARD, 512
# Requests that an engine may have with those that are begun early: fewer hardly slow a step down.
ROOM = 64

BEST_OF_N, BEAM = "best-of-N, scored", "beam search"
FEW, UNPACED = f"{BEAM}, {BEFORE} in flight per card", f"{BEAM}, every text read at once"
NEITHER = f"{BEAM}, {BEFORE} in flight per card, every text read at once"
FEW_SAMPLES, ORDERED = f"{BEST_OF_N}, {BEFORE} in flight per card", f"{BEAM}, earlier prompts first"
LOCKSTEP, ITS_HUB = "lockstep beam search", "its_hub beam search"
NEW = ", verifier reads new tokens only"
ALL_WIDE, SOME_WIDE, FEWER_WIDE = (
    f"{WIDE.n} beams, {count} in flight"
    for count in (WIDE_PROMPTS, "as many as the library has", FEWER)
)
LONG_BEAM, LONG_BEST = (f"{name}, {LONG} prompts of one card" for name in (BEAM, BEST_OF_N))
LONG_MANY = f"{LONG_BEAM}, {LONG_BEFORE} in flight"
ROUNDS, SPECULATIVE = "one card, draws named by parent", "one card, extended speculatively"


@dataclass(frozen=True)
class Case:
    """A simulation to run: arguments of `simulate`."""

    contender: Contender
    cards: int
    prompts: int
    plan: Plan = BEAMS
    paced: bool = True

    def run(self) -> Outcome:
        """Run it."""
        policy, verifier = (EngineShape(h100(), kv_tokens(share)) for share in shares())
        site = Site(policy, verifier, self.cards, paced=self.paced)
        return simulate(self.contender, site, self.prompts, self.plan)


def shares() -> tuple[float, float]:
    """Of a card's memory, what a policy and a verifier beside it get of the library."""
    need = Need(gpus=(0,), weights=int(WEIGHT_BYTES), token=KV_BYTES)
    card = Gpu(total=int(CARD_BYTES), free=int(CARD_BYTES))
    planned = plan_shares({"model": need, "verifier": need}, {0: card})
    return planned["model"], planned["verifier"]


def cases(prompts: int, cards: int) -> dict[str, Case]:
    """All simulations, by name."""
    few = partial(ours, in_flight=BEFORE * cards)
    return {
        BEAM: Case(ours, cards, prompts),
        BEST_OF_N: Case(ours, cards, prompts, SAMPLES),
        LOCKSTEP: Case(lockstep, cards, prompts),
        ITS_HUB: Case(its_hub, cards, prompts),
        LOCKSTEP + NEW: Case(partial(lockstep, whole=False), cards, prompts),
        ITS_HUB + NEW: Case(partial(its_hub, whole=False), cards, prompts),
        FEW: Case(few, cards, prompts),
        UNPACED: Case(ours, cards, prompts, paced=False),
        NEITHER: Case(few, cards, prompts, paced=False),
        FEW_SAMPLES: Case(few, cards, prompts, SAMPLES),
        ORDERED: Case(partial(ours, in_order=True), cards, prompts),
        LONG_BEAM: Case(ours, 1, LONG),
        LONG_BEST: Case(ours, 1, LONG, SAMPLES),
        LONG_MANY: Case(partial(ours, in_flight=LONG_BEFORE), 1, LONG),
        ROUNDS: Case(partial(speculative, room=0), 1, ONE_CARD),
        SPECULATIVE: Case(partial(speculative, room=ROOM), 1, ONE_CARD),
        ALL_WIDE: Case(partial(ours, in_flight=WIDE_PROMPTS), 1, WIDE_PROMPTS, WIDE),
        SOME_WIDE: Case(ours, 1, WIDE_PROMPTS, WIDE),
        FEWER_WIDE: Case(partial(ours, in_flight=FEWER), 1, WIDE_PROMPTS, WIDE),
    }


def exactly(value: float) -> tuple[float, float, float]:
    """A figure that is the same whenever it is simulated."""
    return value, value, value


def targets_of(found: dict[str, Outcome], ratios: dict[str, dict[str, float]]) -> list[Target]:
    """The figures that the issue names, and those of the check."""
    seconds = {name: outcome.seconds for name, outcome in found.items()}

    def times_faster(name: str) -> tuple[float, float, float]:
        return exactly(seconds[name] / seconds[BEAM])

    return [
        *(
            at_least(f"beam search: times faster than {name}", times_faster(name), 2)
            for name in (LOCKSTEP, ITS_HUB)
        ),
        at_most(
            "beam search over best-of-N, wall time",
            exactly(seconds[BEAM] / seconds[BEST_OF_N]),
            1.3,
        ),
        *(
            between(
                f"CPU, {name}: simulated over measured",
                exactly(ratio["simulated"] / ratio["measured"]),
                1 - TOLERANCE,
                1 + TOLERANCE,
            )
            for name, ratio in ratios.items()
        ),
    ]


def further(found: dict[str, Outcome]) -> dict[str, float]:
    """Ratios of wall times that say where those of the targets come from."""
    others = (LOCKSTEP + NEW, ITS_HUB + NEW, FEW, UNPACED, NEITHER, ORDERED)
    pairs = (
        *((BEAM, other) for other in others),
        (SPECULATIVE, ROUNDS),
        (SOME_WIDE, ALL_WIDE),
        (SOME_WIDE, FEWER_WIDE),
        (LONG_BEAM, LONG_MANY),
    )
    ratios = {
        f"{name}: times faster than {other}": found[other].seconds / found[name].seconds
        for name, other in pairs
    }
    longer = f"{BEAM} over {BEST_OF_N}, {LONG} prompts of one card"
    return ratios | {longer: found[LONG_BEAM].seconds / found[LONG_BEST].seconds}


def show(found: dict[str, Outcome]) -> None:
    """A table of what each contender did."""
    heads = ("", "seconds", "sampled", "prefilled", "scored", "preempted")
    table = new_table("virtual time of H100s", *heads)
    for name, did in found.items():
        counts = (did.sampled, did.prefilled, did.scored, did.preempted)
        table.add_row(name, f"{did.seconds:.1f}", *(f"{count:,}" for count in counts))
    console.print(table)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--prompts", type=int, default=1000)
    parser.add_argument("--cards", type=int, default=8, help="H100s, each with both models")
    args = parser.parse_args(arguments)
    ratios = check(json.loads(THROUGHPUT.read_text()))
    todo, found = cases(args.prompts, args.cards), {}
    with ProcessPoolExecutor(os.cpu_count()) as pool, progress("Simulations", len(todo)) as done:
        running = {name: pool.submit(case.run) for name, case in todo.items()}
        for name, future in running.items():
            found[name] = future.result()
            done(None)
    show(found)
    targets = targets_of(found, ratios)
    show_targets(targets)
    data = {
        "seed": SEED,
        "prompts": args.prompts,
        "cards": args.cards,
        "step": asdict(h100()),
        "shares": shares(),
        "check": ratios,
        "further": further(found),
        "contenders": {name: asdict(outcome) for name, outcome in found.items()},
    }
    write_result(Path("out/simulator.json"), data, targets)


if __name__ == "__main__":
    main()
