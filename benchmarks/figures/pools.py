"""The samples that the figures are drawn from, and reading them.

Independent solutions are those of `benchmarks.allocation`; what is searched and revised beside them
was sampled by `benchmarks.figures.sampling` on the first of the same test prompts. Search is guided
by a PRM of the base model's size, as the paper's is no larger than its policy, and by the score
that calibration fits from the larger PRM and the log-probability; in figure 3 also by a weaker PRM
of that size, to show what depends on how good the verifier is. Votes are weighted by the score
itself, as in the paper; the library's sharpened votes are compared in figure 4. What differs by
little is measured on further test prompts, four times as many: ways to read a PRM's steps in the
appendix, and in figure 9 small searches and chosen revisions against the larger model.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from allocator.flops import ModelSizes
from allocator.plan import FIXED_BEAM_WIDTH, Plan
from benchmarks.allocation.family import SeededReplay
from benchmarks.allocation.fresh import ARITHMETIC, prompt_states, prompts_of
from benchmarks.allocation.pool import read_pool, rescored
from benchmarks.testbed.paths import (
    ARTIFACT,
    ORM,
    OWN_PRM,
    REVISING,
    SETTINGS,
    TEST_POOL,
    WEAK_PRM,
)
from calibration.sampling.collect import PlanRun, PromptRecord
from predictors.sample import Sample
from runtime.artifact import load_settings
from runtime.traffic import probability_of
from runtime.verifiers.base import Aggregation, aggregate

FOLDER = ARITHMETIC.folder
PROMPTS, FURTHER = 500, 2000
MAX_N = 64  # beams and attempts of one prompt
REPLICATES = 20
# Independent solutions of one replicate: replicates of up to 64 are disjoint, larger ones overlap.
EACH = ARITHMETIC.window * 5 // REPLICATES

SEARCHES = FOLDER / "test-searches.parquet"
BY_PRM, BY_SCORE = FOLDER / "figures-prm.parquet", FOLDER / "figures-score.parquet"
BY_OWN_PRM = FOLDER / "figures-own.parquet"
BY_WEAK_PRM, WEAK_SEARCHES = FOLDER / "figures-weak.parquet", FOLDER / "figures-weak-prm.parquet"
CHAINS = FOLDER / "figures-chains.parquet"
BY_STEPS, BY_ORM = FOLDER / "figures-steps.parquet", FOLDER / "figures-orm.parquet"
FURTHER_BY_OWN_PRM = FOLDER / "figures-further.parquet"
FURTHER_SEARCHES = FOLDER / "figures-further-prm.parquet"
FURTHER_CHAINS = FOLDER / "figures-further-chains.parquet"

# The models with another verifier in place of the PRM.
OWN = SETTINGS.model_copy(update={"verifier": str(OWN_PRM)})
WEAK = SETTINGS.model_copy(update={"verifier": str(WEAK_PRM)})
BY_THE_ORM = SETTINGS.model_copy(update={"verifier": str(ORM)})


def powers(most: int) -> list[int]:
    """Powers of two from 1."""
    return [2**i for i in range(most.bit_length())]


def root(n: int) -> int:
    """M = sqrt(N), the power of two below it, and at least 2."""
    return int(max(2, 2 ** ((n.bit_length() - 1) // 2)))


def beams(n: int, width: int, lookahead: int = 0) -> Plan:
    """Beam search; with one beam, a single solution."""
    if n == 1:
        return Plan(strategy="best_of_n", n=1)
    return Plan(strategy="beam_search", n=n, beam_width=min(width, n), lookahead=lookahead)


def revisions(n: int, length: int) -> Plan:
    """`n` attempts in chains of `length`."""
    return Plan(strategy="revisions", n=n, length=length)


# The paper's settings (section 5.2), one plan per budget. A beam of lookahead k costs k + 1;
# its budgets are at most 32, because it is slow to sample.
FIXED = [beams(n, FIXED_BEAM_WIDTH) for n in powers(MAX_N)]
ROOT = [beams(n, root(n)) for n in powers(MAX_N)]
# One beam is kept, and all its continuations compared: not the paper's, but apt for a verifier that
# is rarely wrong.
SINGLE = [beams(n, n) for n in powers(MAX_N)]
AHEAD = {
    k: [beams(n, FIXED_BEAM_WIDTH, k) for n in powers(MAX_N // 2 // (k + 1)) if n > 1]
    for k in (1, 3)
}
# All searches guided by the PRM of the base's own size, and those of the further prompts: at the
# greatest ratio of figure 9 the larger model's FLOPs are 16 of the base's solutions, unscored.
BY_OWN_SIZE = [*FIXED, *ROOT, *SINGLE, *AHEAD[1], *AHEAD[3]]
SMALL_N = 16
SMALL_SEARCHES = [plan for plan in BY_OWN_SIZE if plan.cost(0) <= SMALL_N]
# Of 64 chains one has 64 attempts, two have 32 or more, four 16 or more: all ratios of all budgets.
KINDS = [revisions(MAX_N, MAX_N), *(revisions(MAX_N // 2, n) for n in reversed(powers(MAX_N // 2)))]


def ratios(budget: int) -> list[Plan]:
    """Every ratio of sequential to parallel attempts at a budget, all parallel first."""
    return [revisions(budget, length) for length in powers(budget)]


def test_prompts() -> list[tuple[str, str]]:
    """(prompt, right answer) pairs of the figures' test prompts."""
    return prompts_of(ARITHMETIC, "test", PROMPTS)


def further_prompts() -> list[tuple[str, str]]:
    """(prompt, right answer) pairs of the test prompts after those."""
    return prompts_of(ARITHMETIC, "test", PROMPTS + FURTHER)[PROMPTS:]


@dataclass(frozen=True)
class Samples:
    """All that the figures are drawn from, the same prompts in the same order.

    The last four are of the further prompts.

    Attributes:
        by_prm: search guided by the PRM of the base's own size, solutions scored by it.
        by_weak_prm: likewise by a weaker PRM of that size, up to 64 solutions.
        by_score: search guided by the fitted score, solutions scored by it.
        sharpened: the same, with the sharpened scores of the artifact.
        revised: chains of revisions, attempts scored by the reviser's ORM.
        small: small searches guided by the PRM of the base's size, a few solutions scored by it.
        chosen: chains of revisions, of the ratios that are best in each prompt's bin.
        by_orm: the same solutions, scored by the ORM.
        by_steps: the same solutions, scored by the PRM in each way to make one score of its steps'.
    """

    by_prm: SeededReplay
    by_weak_prm: SeededReplay
    by_score: SeededReplay
    sharpened: SeededReplay
    revised: SeededReplay
    small: SeededReplay
    chosen: SeededReplay
    by_orm: SeededReplay
    by_steps: dict[Aggregation, SeededReplay]


def read_samples() -> Samples:
    """Read all pools.

    Raises:
        InputError: a pool that is missing.
    """
    sizes = SETTINGS.sizes(Path())
    solutions = solutions_of(PROMPTS)
    prompts = {record.prompt for record in solutions}
    scored = read_pool(BY_STEPS)
    searched = [*(r for r in read_pool(SEARCHES) if r.prompt in prompts), *read_pool(BY_SCORE)]
    sharpened = beside(solutions, runs_of(searched))
    scoring = load_settings(ARTIFACT).scoring
    by_score = rescored(sharpened, partial(probability_of, scoring))
    return Samples(
        SeededReplay(
            beside(read_pool(BY_OWN_PRM), runs_of(read_pool(BY_PRM))),
            EACH,
            sizes=OWN.sizes(Path()),
        ),
        _rotated(
            beside(read_pool(BY_WEAK_PRM), runs_of(read_pool(WEAK_SEARCHES))), WEAK.sizes(Path())
        ),
        SeededReplay(by_score, EACH, sizes=sizes),
        # The artifact's probe reads the states.
        SeededReplay(sharpened, EACH, prompt_states(ARITHMETIC, "test")[:PROMPTS], sizes=sizes),
        read_revised(),
        _rotated(
            beside(read_pool(FURTHER_BY_OWN_PRM), runs_of(read_pool(FURTHER_SEARCHES))),
            OWN.sizes(Path()),
        ),
        _rotated(beside(scored, runs_of(read_pool(FURTHER_CHAINS))), REVISING.sizes(Path())),
        _rotated(read_pool(BY_ORM), BY_THE_ORM.sizes(Path())),
        {how: _rotated(rescored(scored, _by(how)), sizes) for how in ("last", "min", "product")},
    )


def read_revised() -> SeededReplay:
    """Chains of revisions alone.

    Raises:
        InputError: a pool that is missing.
    """
    chains = {record.prompt: chained(record) for record in read_pool(CHAINS)}
    return SeededReplay(beside(solutions_of(PROMPTS), chains), EACH, sizes=REVISING.sizes(Path()))


def solutions_of(prompts: int) -> list[PromptRecord]:
    """Independent solutions of the first test prompts."""
    return read_pool(TEST_POOL)[:prompts]


def first_solutions(records: Sequence[PromptRecord], count: int) -> list[PromptRecord]:
    """The same records with the first independent solutions alone."""
    return [
        replace(
            r,
            independent=replace(
                r.independent,
                samples=r.independent.samples[:count],
                correct=r.independent.correct[:count],
            ),
        )
        for r in records
    ]


def runs_of(records: Iterable[PromptRecord]) -> dict[str, dict[Plan, list[PlanRun]]]:
    """Every run of every search, by prompt and plan; a prompt may have several records."""
    found: dict[str, dict[Plan, list[PlanRun]]] = {}
    for record in records:
        for repeat in record.repeats:
            for plan, run in repeat.items():
                found.setdefault(record.prompt, {}).setdefault(plan, []).append(run)
    return found


def beside(
    records: Sequence[PromptRecord], runs: Mapping[str, Mapping[Plan, Sequence[PlanRun]]]
) -> list[PromptRecord]:
    """The records with these runs as their searches; plans with fewer runs repeat them."""
    found = []
    for record in records:
        plans = runs[record.prompt]
        count = max(len(of_plan) for of_plan in plans.values())
        repeats = tuple(
            {plan: of_plan[repeat % len(of_plan)] for plan, of_plan in plans.items()}
            for repeat in range(count)
        )
        found.append(replace(record, repeats=repeats))
    return found


def chained(record: PromptRecord) -> dict[Plan, list[PlanRun]]:
    """Runs of every ratio at every budget, cut from a prompt's chains; no run shares an attempt.

    Args:
        record: chains of each of `KINDS`.
    """
    chains = _chains(record)
    found: dict[Plan, list[PlanRun]] = {}
    for budget in powers(MAX_N):
        for plan in ratios(budget):
            long = [chain[: plan.length] for chain in chains if len(chain) >= plan.length]
            groups = min(len(long) // plan.beams, REPLICATES)
            found[plan] = [
                _run([a for chain in long[g * plan.beams :][: plan.beams] for a in chain])
                for g in range(groups)
            ]
    return found


def _chains(record: PromptRecord) -> list[list[tuple[Sample, bool]]]:
    """All chains of a prompt, each with its own number."""
    chains: list[list[tuple[Sample, bool]]] = []
    for kind in KINDS:
        run = record.repeats[0][kind]
        graded = list(zip(run.samples, run.correct, strict=True))
        for start in range(0, kind.n, kind.length):
            number = len(chains)
            chains.append(
                [(replace(s, chain=number), c) for s, c in graded[start : start + kind.length]]
            )
    return chains


def _run(attempts: Sequence[tuple[Sample, bool]]) -> PlanRun:
    samples, correct = zip(*attempts, strict=True)
    return PlanRun(samples, correct, sum(sample.tokens for sample in samples))


def _by(how: Aggregation) -> Callable[[Sample], float]:
    return lambda sample: aggregate(sample.step_scores, how)


def _rotated(records: Sequence[PromptRecord], sizes: ModelSizes | None) -> SeededReplay:
    """A few solutions, replayed in many rotations."""
    return SeededReplay(records, MAX_N // 16, sizes=sizes)
