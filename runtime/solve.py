"""The policy at work: pilots, difficulty, bin, plan, search, answer, and the receipt for it all."""

import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence

from pydantic import BaseModel

from allocator.errors import InputError, ModelError
from allocator.plan import Plan
from allocator.policy import Policy
from predictors.features import pilot_features
from predictors.learned import DifficultyPredictor
from predictors.sample import Sample
from runtime.concurrency import stream
from runtime.prompt_run import Decoder, PromptRun
from runtime.selection import select
from runtime.strategies import STRATEGIES

# Prompts worked on at once: enough to fill an engine of 256 sequences, few enough that a long
# file of prompts does not lie in the engine's queue all at once.
PROMPTS_IN_FLIGHT = 64


class Decision(BaseModel):
    """The policy's choice for one prompt, before the plan is run.

    Attributes:
        predicted_pass_at_1: predicted difficulty; None where the budget takes no pilots.
        bin: difficulty bin, 1 the easiest; None where the budget takes no pilots.
        bins: how many bins there are.
        plan: the plan to run.
        why: the reason, in a sentence.
    """

    predicted_pass_at_1: float | None
    bin: int | None
    bins: int
    plan: Plan
    why: str


class Receipt(Decision):
    """What was decided for one prompt, and what it cost.

    Attributes:
        budget: generations the prompt was allowed.
        generations: complete solutions sampled, pilots included.
        sampled_tokens: tokens the language model sampled, pilots and halted solutions included.
        cached_tokens: tokens of prefixes that the engine did not have to read again.
        verifier_tokens: tokens that verifiers ran over.
        verifier_cached_tokens: tokens of scored texts that they did not have to run over.
        seconds: wall time from the first pilot to the answer.
    """

    budget: int
    generations: int
    sampled_tokens: int
    cached_tokens: int
    verifier_tokens: int
    verifier_cached_tokens: int
    seconds: float


class Failure(BaseModel):
    """A prompt that could not be answered, for a model failed on it."""

    prompt: str
    error: str


class Result(BaseModel):
    """An answered prompt."""

    prompt: str
    answer: str | None
    solution: str
    score: float
    receipt: Receipt


class Solver:
    """Answers prompts, each with the plan its difficulty deserves (section 3).

    Args:
        decoder: models and settings.
        policy: the calibrated table.
        predictor: the difficulty predictor.
        seed: with the prompt, determines every sample.
        fixed: one plan for every prompt, in place of the policy's; takes no pilots.
    """

    def __init__(
        self,
        decoder: Decoder,
        policy: Policy,
        predictor: DifficultyPredictor,
        seed: int = 0,
        fixed: Plan | None = None,
    ) -> None:
        self.decoder, self.policy, self.predictor = decoder, policy, predictor
        self.seed, self.fixed = seed, fixed

    def start(self, prompt: str) -> PromptRun:
        """A prompt, encoded.

        Raises:
            InputError: an empty prompt, or one longer than the context.
        """
        return PromptRun(self.decoder, prompt, self.seed)

    def check(self, budget: int) -> None:
        """That a budget can be kept.

        Raises:
            InputError: below the least calibrated one, or below a fixed plan's cost.
        """
        self.policy.row(budget)
        if self.fixed is not None and self.fixed.cost(0) > budget:
            raise InputError(
                "budget", budget, f"{self.fixed} costs {self.fixed.cost(0)}; allow that"
            )

    def decide(self, run: PromptRun, budget: int, pilots: Sequence[Sample]) -> Decision:
        """Difficulty, bin and plan of a prompt whose pilots have been sampled."""
        if self.fixed is not None:
            return Decision(
                predicted_pass_at_1=None, bin=None, bins=1, plan=self.fixed, why="it was asked for"
            )
        row = self.policy.row(budget)
        if not row.pilots:
            why = (
                f"at a budget of {budget} one plan for every prompt did as well as pilots and bins"
            )
            return Decision(
                predicted_pass_at_1=None, bin=None, bins=1, plan=row.cells[0].plan, why=why
            )
        features = pilot_features(len(run.context.token_ids), pilots)
        difficulty = float(self.predictor.predict(features[None])[0])
        bins, plans = self.policy.plans(budget, [difficulty])
        number, plan, cell = int(bins[0]), plans[0], row.cells[int(bins[0])]
        why = (
            f"{row.pilots} pilots predict pass@1 {difficulty:.2f}: bin {number + 1} of "
            f"{len(row.cells)}. No plan was clearly better there than {plan}; "
            f"choosing so was right for {cell.accuracy:.0%} [{cell.low:.0%}, {cell.high:.0%}] of "
            f"{cell.prompts} calibration prompts"
        )
        return Decision(
            predicted_pass_at_1=difficulty, bin=number + 1, bins=len(row.cells), plan=plan, why=why
        )

    async def pilots(self, run: PromptRun, budget: int) -> list[Sample]:
        """The pilot samples a budget pays for, their equal answers written equally."""
        count = 0 if self.fixed is not None else self.policy.row(budget).pilots
        return run.unify(await run.samples(0, count))

    async def solve(self, prompt: str, budget: int) -> Result:
        """Answer one prompt within a budget of generations.

        Raises:
            InputError: a budget below the least calibrated one, or a prompt that does not fit.
        """
        self.check(budget)
        started = time.perf_counter()
        run = self.start(prompt)
        pilots = await self.pilots(run, budget)
        decision = self.decide(run, budget, pilots)
        samples = await STRATEGIES[decision.plan.strategy](run, decision.plan, pilots)
        chosen = select(run.unify(samples), decision.plan.selection)
        receipt = Receipt(
            **decision.model_dump(),
            budget=budget,
            **vars(run.cost),
            seconds=round(time.perf_counter() - started, 3),
        )
        return Result(
            prompt=prompt,
            answer=chosen.answer,
            solution=chosen.text,
            score=chosen.score,
            receipt=receipt,
        )

    async def solve_stream(
        self, prompts: Iterable[str], budget: int
    ) -> AsyncIterator[tuple[int, Result | Failure]]:
        """Answer prompts as they are read; (prompt's number, result) in the order of completion.

        A bounded number is in flight, and the next prompt is read only when results have been: a
        slow reader slows the work down. A reader that goes away (`aclose`) ends it, and the
        engine's requests with it. A prompt on which a model fails yields a `Failure`; the others
        go on.

        Args:
            prompts: prompts; may be endless.
            budget: generations each may cost.

        Raises:
            InputError: as `solve`.
        """
        self.check(budget)

        async def one(prompt: str) -> Result | Failure:
            try:
                return await self.solve(prompt, budget)
            except ModelError as error:
                return Failure(prompt=prompt, error=str(error))

        async for number, result in stream(one, prompts, PROMPTS_IN_FLIGHT):
            yield number, result

    async def solve_all(
        self,
        prompts: Sequence[str],
        budget: int,
        done: Callable[[Result | Failure], None] = lambda _: None,
    ) -> list[Result | Failure]:
        """Answer many prompts at once, in the engine's own continuous batch.

        Every prompt is checked before the first is worked on.

        Args:
            prompts: prompts, answered in this order.
            budget: generations each may cost.
            done: called with each result as it comes.

        Raises:
            InputError: as `solve`; or no prompts.
        """
        if not prompts:
            raise InputError("prompts", [], "give at least one prompt")
        self.check(budget)
        for prompt in prompts:
            self.start(prompt)
        results: dict[int, Result | Failure] = {}
        async for number, result in self.solve_stream(prompts, budget):
            results[number] = result
            done(result)
        return [results[number] for number in sorted(results)]
