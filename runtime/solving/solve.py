"""The solver: pilots, predicted pass@1, bin, plan, solutions, answer and receipt per prompt."""

import time
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence

from allocator.errors import InputError, ModelError
from allocator.price import PriceController
from runtime.concurrency import stream
from runtime.engines.base import Engine, HasCapacity, HasReplicas
from runtime.request import Request
from runtime.result import Failure, Result, Spend
from runtime.solving.prompt_solver import PromptSolver
from runtime.solving.shared_budget import share_budget

# Prompts in progress at the same time, on each replica, where it is not known how many beams they
# have, or how many the engine runs.
PROMPTS_IN_FLIGHT = 64
# Beams in progress for each that an engine runs at once: while a round of search waits for its
# longest step, most of its beams wait, too, and a step of the engine that decodes few beams costs
# more than to read again what has left the KV cache (benchmarks.simulator).
FILL = 6
# A solution is about a quarter as long as it may be, and while it grows half of that on average.
HELD = 8


def prompts_in_flight(engine: Engine, beams: int | None = None, max_tokens: int = 0) -> int:
    """Prompts in progress at the same time, at most.

    As many as fill the engine: by the sequences that it runs at once, and by the tokens that its KV
    cache holds.

    Args:
        engine: the language model.
        beams: of a prompt, on average; None where that is not known.
        max_tokens: that a solution may have.
    """
    replicas = engine.replicas if isinstance(engine, HasReplicas) else 1
    held = max(1, max_tokens // HELD)
    capacity = engine.capacity(held) if isinstance(engine, HasCapacity) else None
    if beams is None or capacity is None:
        return PROMPTS_IN_FLIGHT * replicas
    return max(1, FILL * capacity // beams) * replicas


class Solver(PromptSolver):
    """Answers prompts, many at once, each with compute chosen by its difficulty (section 3)."""

    async def solve_stream(
        self, prompts: Iterable[str | Request], spend: Spend
    ) -> AsyncGenerator[tuple[int, Result | Failure], None]:
        """Answer prompts as they are read; yields (prompt's number, result) as they complete.

        At most `prompts_in_flight` are in progress. The next prompt is read only once completed
        results have been consumed, so a slow consumer slows the work down. Closing the iterator
        (`aclose`) cancels what is in progress. A prompt on which a model fails yields a
        `Failure`; the others continue.

        Args:
            prompts: prompts; may be endless.
            spend: what each prompt may cost.

        Raises:
            InputError: as `check_spend`; a total; or a prompt that does not fit the context.
        """
        if spend.total_budget is not None:
            raise InputError(
                "total_budget", spend.total_budget, "a stream has no end; use solve_all"
            )
        self.check_spend(spend)
        price = None
        if spend.average_budget is not None:
            price = PriceController(spend.average_budget, self.artifact.prices)

        async def one(prompt: str | Request) -> Result | Failure:
            try:
                if price is None:
                    return await self.solve_within(prompt, spend)
                return await self._hold_average(prompt, price)
            except ModelError as error:
                return self._failure(prompt, error)

        # Where prompts have no budget of their own, as many are in flight as by default: with more
        # of them, a price would lag behind what results have cost.
        async for number, result in stream(one, prompts, self._in_flight(spend.budget)):
            yield number, result

    async def solve_all(
        self,
        prompts: Sequence[str | Request],
        spend: Spend,
        done: Callable[[Result | Failure], None] = lambda _: None,
    ) -> list[Result | Failure]:
        """Answer many prompts concurrently, in the engine's continuous batch.

        All prompts are checked before sampling starts.

        Args:
            prompts: the prompts.
            spend: what each prompt may cost, or all of them together.
            done: called with each result as it completes.

        Returns:
            Results in the order of the prompts.

        Raises:
            InputError: as `check_spend`; no prompts; or one that does not fit the context.
        """
        if not prompts:
            raise InputError("prompts", [], "give at least one prompt")
        for prompt in prompts:
            self.start(prompt)
        if spend.total_budget is not None:
            self.check_spend(spend, len(prompts))
            return await self._share_total(prompts, spend.total_budget, done)
        results: dict[int, Result | Failure] = {}
        async for number, result in self.solve_stream(prompts, spend):
            results[number] = result
            done(result)
        return [results[number] for number in sorted(results)]

    def _in_flight(self, generations: int | None) -> int:
        """Prompts in progress at the same time, where each costs so many generations."""
        longest = self.settings.sampling.max_tokens
        return prompts_in_flight(self.models.engine, generations, longest)

    async def _hold_average(self, prompt: str | Request, price: PriceController) -> Result:
        """Answer one prompt of a stream at the price of the moment, which its cost then moves."""
        number, cost = price.begin(), None
        try:
            if self.monitor.drifted:
                return await self.solve_fallback(prompt, int(price.average))
            result = await self.solve_at_price(prompt, price.value)
            cost = result.receipt.generations
            return result
        finally:
            price.end(number, cost)
            self.metrics.price(price.value)

    async def _share_total(
        self, prompts: Sequence[str | Request], total: int, done: Callable[[Result | Failure], None]
    ) -> list[Result | Failure]:
        """Answer prompts within one total; see `runtime.solving.shared_budget`."""
        started = time.perf_counter()
        runs = [self._adaptive_run(prompt) for prompt in prompts]
        in_flight = self._in_flight(total // len(prompts))
        failed = await share_budget(
            runs, total, self._advance, lambda: self.monitor.drifted, in_flight
        )
        results: list[Result | Failure] = []
        for number, (prompt, adaptive_run) in enumerate(zip(prompts, runs, strict=True)):
            result: Result | Failure
            if number in failed:
                result = self._failure(prompt, failed[number])
            else:
                try:  # it reads log-probabilities, where they are requested
                    result = await self._adaptive_result(adaptive_run, started, {})
                except ModelError as error:
                    result = self._failure(prompt, error)
            results.append(result)
            done(result)
        return results

    def _failure(self, prompt: str | Request, error: ModelError) -> Failure:
        self.metrics.failed()
        text = prompt.text if isinstance(prompt, Request) else prompt
        return Failure(prompt=text, error=str(error))
