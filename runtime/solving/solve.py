"""The policy at work: pilots, difficulty, bin, plan, search, answer, and the receipt for it all."""

import time
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from math import isnan

import numpy as np

from allocator.drift import DriftMonitor
from allocator.errors import InputError, ModelError
from allocator.plan import Plan
from allocator.price import PriceController
from allocator.schedule import allocate_stage
from allocator.table import BudgetRow
from predictors.sample import Sample
from runtime.answers.selection import ranked
from runtime.artifact import Artifact
from runtime.frontend.sampling_overrides import finite
from runtime.prompt_run import Decoder, PromptRun
from runtime.request import Event, Request
from runtime.result import Failure, Receipt, Result, Spend
from runtime.solving.adaptive_run import AdaptiveRun
from runtime.solving.concurrency import bounded, stream
from runtime.solving.decide import Decision, decide, fallback, observe, take_pilots
from runtime.solving.metrics import Metrics
from runtime.strategies import STRATEGIES
from runtime.strategies.best_of_n import score_ties

# Prompts worked on at once: enough to fill an engine of 256 sequences, few enough that a long
# file of prompts does not lie in the engine's queue all at once.
PROMPTS_IN_FLIGHT = 64


class Solver:
    """Answers prompts, each with the compute its difficulty deserves (section 3).

    Args:
        decoder: models and settings.
        artifact: what calibration found.
        seed: with the prompt, determines every sample.
        fixed: one plan for every prompt, in place of the policy's; takes no pilots.

    Attributes:
        monitor: compares the prompts' pilots with those of calibration.
        metrics: counts what was done.
    """

    def __init__(
        self, decoder: Decoder, artifact: Artifact, seed: int = 0, fixed: Plan | None = None
    ) -> None:
        self.decoder, self.artifact = decoder, artifact
        self.seed, self.fixed = seed, fixed
        self.monitor = DriftMonitor(artifact.drift_baseline)
        self.metrics = Metrics()

    def start(self, prompt: str | Request) -> PromptRun:
        """A prompt, encoded.

        Raises:
            InputError: an empty prompt, or one longer than the context.
        """
        request = prompt if isinstance(prompt, Request) else Request(prompt)
        return PromptRun(
            replace(
                self.decoder,
                settings=request.sampling or self.decoder.settings,
                stops=request.stop,
                stop_token_ids=request.stop_token_ids,
            ),
            request.text,
            self.seed if request.seed is None else request.seed,
            request.token_ids,
            request.on_event,
        )

    def check(self, budget: int, deadline: float | None = None) -> None:
        """That a budget and a deadline can be kept.

        Raises:
            InputError: a budget below the least calibrated one, or below a fixed plan's cost; a
                deadline of nothing, or where plans were not timed.
        """
        self.artifact.policy.row(budget)
        if self.fixed is not None and self.fixed.cost(0) > budget:
            raise InputError(
                "budget", budget, f"{self.fixed} costs {self.fixed.cost(0)}; allow that"
            )
        if deadline is None:
            return
        if not finite(deadline) or deadline <= 0:
            raise InputError("deadline", deadline, "give more than 0 seconds")
        if self.decoder.early_stop:
            raise InputError(
                "deadline", deadline, "early stop takes longer than plans were timed; leave it out"
            )
        if self.fixed is not None:
            raise InputError("deadline", deadline, "it chooses the plan; leave --plan out")
        if not self.artifact.latency.timed:
            raise InputError(
                "deadline", deadline, "plans were not timed; calibrate again, without --ray"
            )

    def _check_unfixed(self, spend: Spend) -> None:
        if self.fixed is not None and not spend.budget:
            raise InputError("plan", str(self.fixed), "a plan goes with a budget for each prompt")

    def row(self, budget: int, deadline: float | None = None) -> BudgetRow:
        """The table's row: how many pilots to take, and the plan of every bin.

        Pilots that would take more than half of the time are left out.
        """
        row = self.artifact.policy.row(budget)
        if deadline is None or not row.pilots:
            return row
        first = Plan(strategy="best_of_n", n=row.pilots)
        taken = self.artifact.latency.seconds(first)
        if taken is not None and taken <= deadline / 2:
            return row
        return row.model_copy(update={"pilots": 0, "edges": (), "cells": row.cells[:1]})

    async def decide(
        self, run: PromptRun, budget: int, deadline: float | None = None
    ) -> tuple[Decision, list[Sample]]:
        """Pilots of a prompt, and what they lead to: difficulty, bin and plan."""
        if self.fixed is not None:
            return Decision(plan=self.fixed, why="it was asked for"), []
        started = time.perf_counter()
        row = self.row(budget, deadline)
        piloted = await take_pilots(run, self.artifact, row, self._seen(run))
        left = None if deadline is None else deadline - (time.perf_counter() - started)
        decision = decide(self.artifact, row, piloted, budget, left)
        if self.monitor.drifted and left is None:
            decision = fallback(decision, budget, self.monitor.report().why)
        return decision, piloted.samples

    async def solve(
        self, prompt: str | Request, budget: int, deadline: float | None = None
    ) -> Result:
        """Answer one prompt within a budget of generations.

        Args:
            prompt: the prompt; as text alone it is asked as calibration asked.
            budget: generations it may cost.
            deadline: seconds in which to answer; the plan is then the most accurate one that
                fits, as timed one prompt at a time on the machine that calibrated.

        Raises:
            InputError: a budget below the least calibrated one, a deadline that cannot be kept, or
                a prompt that does not fit.
        """
        self.check(budget, deadline)
        started = time.perf_counter()
        run = self.start(prompt)
        decision, pilots = await self.decide(run, budget, deadline)
        if run.on_event is not None:
            run.on_event(Event(kind="decision", decision=decision.model_dump(mode="json")))
        wanted = prompt.solutions if isinstance(prompt, Request) else 1
        samples = await _searched(run, decision.plan, pilots, wanted, budget)
        limits = {"budget": budget, "deadline": deadline}
        return await self._result(run, samples, decision, started, limits)

    async def solve_fallback(self, prompt: str | Request, budget: int) -> Result:
        """Answer one prompt by best-of-N: what is left where calibration cannot be trusted.

        Its first solutions are still compared with calibration's, so that trust comes back.
        """
        started = time.perf_counter()
        run = self.start(prompt)
        plan = Plan(strategy="best_of_n", n=budget)
        samples = await run.canonicalize(await STRATEGIES[plan.strategy](run, plan, ()))
        self._seen(run)(samples)
        decision = fallback(Decision(plan=plan, why=""), budget, self.monitor.report().why)
        return await self._result(run, samples, decision, started, {"budget": budget})

    async def solve_at_price(self, prompt: str | Request, price: float) -> Result:
        """Answer one prompt, stopping when a generation more is not worth its price.

        Args:
            prompt: the prompt.
            price: accuracy that a generation must gain.

        Raises:
            InputError: a price that is not positive, or a prompt that does not fit.
        """
        if not price > 0:
            raise InputError("price", price, "give a positive price")
        started = time.perf_counter()
        adaptive_run = self._adaptive_run(prompt)
        await self._up(adaptive_run)
        while adaptive_run.worth(price):
            await self._up(adaptive_run)
        return await self._adaptive_result(adaptive_run, started, {"price": price})

    def _adaptive_run(self, prompt: str | Request) -> AdaptiveRun:
        prices = self.artifact.prices
        return AdaptiveRun(self.start(prompt), prices.schedule, self.artifact.gain_model)

    async def _up(self, adaptive_run: AdaptiveRun) -> None:
        await adaptive_run.up()
        if adaptive_run.stage == 0:
            self._seen(adaptive_run.run)(adaptive_run.first)

    def _seen(self, run: PromptRun) -> Callable[[Sequence[Sample]], None]:
        return partial(observe, self.monitor, self.artifact, run)

    async def _adaptive_result(
        self, adaptive_run: AdaptiveRun, started: float, limits: dict[str, float | None]
    ) -> Result:
        stage = adaptive_run.schedule.stages[adaptive_run.stage]
        plan = stage.search or Plan(strategy="best_of_n", n=stage.samples)
        drifted = self.monitor.drifted
        decision = Decision(pilots=stage.samples, plan=plan, why=adaptive_run.why, drifted=drifted)
        return await self._result(adaptive_run.run, adaptive_run.samples, decision, started, limits)

    async def _result(
        self,
        run: PromptRun,
        samples: Sequence[Sample],
        decision: Decision,
        started: float,
        limits: Mapping[str, float | None],
    ) -> Result:
        best = ranked(await run.canonicalize(samples), decision.plan.selection)
        receipt = Receipt.model_validate(
            decision.model_dump()
            | dict(limits)
            | vars(run.cost)
            | {"prompt_tokens": len(run.context.token_ids)}
            | {"undecided": sorted(run.undecided)}
            | {"seconds": round(time.perf_counter() - started, 3)}
        )
        self.metrics.answered(
            receipt.plan.strategy, receipt.generations, receipt.sampled_tokens, receipt.seconds
        )
        drift = self.monitor.report()
        self.metrics.drift(drift.drifted, {signal.name: signal.p for signal in drift.signals})
        return Result(
            prompt=run.prompt,
            answer=best[0].answer,
            solution=best[0].text,
            score=None if isnan(best[0].score) else best[0].score,
            receipt=receipt,
            ranked=tuple(best),
        )

    async def solve_stream(
        self, prompts: Iterable[str | Request], spend: Spend
    ) -> AsyncGenerator[tuple[int, Result | Failure], None]:
        """Answer prompts as they are read; (prompt's number, result) in the order of completion.

        A bounded number is in flight, and the next prompt is read only when results have been: a
        slow reader slows the work down. A reader that goes away (`aclose`) ends it, and the
        engine's requests with it. A prompt on which a model fails yields a `Failure`; the others
        go on.

        Args:
            prompts: prompts; may be endless.
            spend: what each may cost.

        Raises:
            InputError: as `solve`.
        """
        price = None
        self._check_unfixed(spend)
        if spend.total is not None:
            raise InputError("total_budget", spend.total, "a stream has no end; use solve_all")
        if spend.average is not None:
            price = PriceController(spend.average, self.artifact.prices)
        else:
            self.check(spend.budget, spend.deadline)

        async def one(prompt: str | Request) -> Result | Failure:
            try:
                if price is None:
                    return await self.solve(prompt, spend.budget, spend.deadline)
                if self.monitor.drifted:
                    return await self.solve_fallback(prompt, max(1, int(price.average)))
                result = await self.solve_at_price(prompt, price.value)
            except ModelError as error:
                self.metrics.failed()
                return Failure(prompt=_text(prompt), error=str(error))
            price.spent(result.receipt.generations)
            self.metrics.price(price.value)
            return result

        async for number, result in stream(one, prompts, PROMPTS_IN_FLIGHT):
            yield number, result

    async def solve_all(
        self,
        prompts: Sequence[str | Request],
        spend: Spend,
        done: Callable[[Result | Failure], None] = lambda _: None,
    ) -> list[Result | Failure]:
        """Answer many prompts at once, in the engine's own continuous batch.

        Every prompt is checked before the first is worked on.

        Args:
            prompts: prompts, answered in this order.
            spend: what each may cost, or all together.
            done: called with each result as it comes.

        Raises:
            InputError: as `solve`; no prompts; or a total that is below one generation a prompt.
        """
        if not prompts:
            raise InputError("prompts", [], "give at least one prompt")
        for prompt in prompts:
            self.start(prompt)
        if spend.total is not None:
            self._check_unfixed(spend)
            return await self._solve_within(prompts, spend.total, done)
        results: dict[int, Result | Failure] = {}
        async for number, result in self.solve_stream(prompts, spend):
            results[number] = result
            done(result)
        return [results[number] for number in sorted(results)]

    async def _solve_within(
        self, prompts: Sequence[str | Request], total: int, done: Callable[[Result | Failure], None]
    ) -> list[Result | Failure]:
        """Share one total out over all prompts, anew after every stage."""
        started = time.perf_counter()
        adaptive_runs = [self._adaptive_run(prompt) for prompt in prompts]
        results: dict[int, Result | Failure] = {}
        costs = self.artifact.prices.schedule.costs
        if total < costs[0] * len(prompts):
            raise InputError(
                "total_budget", total, f"{len(prompts)} prompts cost {costs[0]} each at least"
            )

        async def up(number: int) -> None:
            try:
                await self._up(adaptive_runs[number])
            except ModelError as error:
                self.metrics.failed()
                results[number] = Failure(prompt=_text(prompts[number]), error=str(error))

        rising = list(range(len(prompts)))
        while rising:
            await bounded(up, rising, PROMPTS_IN_FLIGHT)
            alive = np.array([n for n in range(len(prompts)) if n not in results], dtype=int)
            if not len(alive):
                break
            # What was sampled before a model failed is spent, too.
            spent = sum(adaptive_run.run.cost.generations for adaptive_run in adaptive_runs)
            stages = np.array([adaptive_runs[n].stage for n in alive])
            gains = np.array([adaptive_runs[n].gains for n in alive])
            if self.monitor.drifted:  # what calibration promised may not hold: share evenly
                gains = np.tile(np.log(costs), (len(alive), 1))
            rising = alive[allocate_stage(costs, stages, gains, total - spent)].tolist()
        for number, adaptive_run in enumerate(adaptive_runs):
            if number not in results:
                results[number] = await self._adaptive_result(adaptive_run, started, {})
            done(results[number])
        return [results[number] for number in range(len(prompts))]


async def _searched(
    run: PromptRun, plan: Plan, pilots: Sequence[Sample], wanted: int, budget: int
) -> list[Sample]:
    """What a plan finds, and independent solutions besides while there are fewer than wanted."""
    if plan.strategy == "best_of_n" and plan.n == 1 and not pilots and wanted == 1:
        return [await run.vote(0)]
    samples = await STRATEGIES[plan.strategy](run, plan, pilots)
    more = min(wanted - len(samples), budget - run.cost.generations)
    if more <= 0:
        return samples
    first = max(plan.n, len(pilots))  # no plan has drawn independent solutions beyond these
    samples += await run.samples(first, first + more, plan.selection)
    return await score_ties(run, samples, plan.selection)


def _text(prompt: str | Request) -> str:
    return prompt.text if isinstance(prompt, Request) else prompt
