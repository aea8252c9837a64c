"""The solver: pilots, predicted pass@1, bin, plan, solutions, answer and receipt per prompt."""

import time
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence

from allocator.errors import InputError, ModelError
from allocator.price import PriceController
from runtime.engines.base import Engine, HasReplicas
from runtime.engines.concurrency import stream
from runtime.request import Request
from runtime.result import Failure, Result, Spend
from runtime.solving.limits import check_fixed
from runtime.solving.prompt_solver import PromptSolver
from runtime.solving.shared_budget import share_budget

# Prompts in progress at the same time, on each replica: enough to fill an engine of 256 sequences,
# few enough that a long file of prompts is not in the engine's queue all at once.
PROMPTS_IN_FLIGHT = 64


def prompts_in_flight(engine: Engine) -> int:
    """Prompts in progress at the same time, at most."""
    return PROMPTS_IN_FLIGHT * (engine.replicas if isinstance(engine, HasReplicas) else 1)


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
            InputError: as `solve`.
        """
        price = None
        check_fixed(self.fixed, spend)
        if spend.total is not None:
            raise InputError("total_budget", spend.total, "a stream has no end; use solve_all")
        if spend.average is not None:
            price = PriceController(spend.average, self.artifact.prices)
        else:
            self.check_spend(spend)

        async def at_price(prompt: str | Request, price: PriceController) -> Result:
            number, cost = price.begin(), None
            try:
                if self.monitor.drifted:
                    return await self.solve_fallback(prompt, max(1, int(price.average)))
                result = await self.solve_at_price(prompt, price.value)
                cost = result.receipt.generations
                return result
            finally:
                price.spent(number, cost)
                self.metrics.price(price.value)

        async def one(prompt: str | Request) -> Result | Failure:
            try:
                if price is None:
                    return await self.solve_within(prompt, spend)
                return await at_price(prompt, price)
            except ModelError as error:
                self.metrics.failed()
                return Failure(prompt=_text(prompt), error=str(error))

        async for number, result in stream(one, prompts, prompts_in_flight(self.models.engine)):
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
            InputError: as `solve`; no prompts; or a total below one generation per prompt.
        """
        if not prompts:
            raise InputError("prompts", [], "give at least one prompt")
        for prompt in prompts:
            self.start(prompt)
        if spend.total is not None:
            check_fixed(self.fixed, spend)
            return await self._solve_within(prompts, spend.total, done)
        results: dict[int, Result | Failure] = {}
        async for number, result in self.solve_stream(prompts, spend):
            results[number] = result
            done(result)
        return [results[number] for number in sorted(results)]

    async def _solve_within(
        self, prompts: Sequence[str | Request], total: int, done: Callable[[Result | Failure], None]
    ) -> list[Result | Failure]:
        """Answer prompts within one total; see `runtime.solving.shared_budget`."""
        started = time.perf_counter()
        runs = [self._adaptive_run(prompt) for prompt in prompts]

        failed = await share_budget(
            runs,
            total,
            self._advance,
            lambda: self.monitor.drifted,
            prompts_in_flight(self.models.engine),
        )
        results: list[Result | Failure] = []
        for number, (prompt, adaptive_run) in enumerate(zip(prompts, runs, strict=True)):
            if number in failed:
                self.metrics.failed()
                results.append(Failure(prompt=_text(prompt), error=str(failed[number])))
            else:
                results.append(await self._adaptive_result(adaptive_run, started, {}))
            done(results[-1])
        return results


def _text(prompt: str | Request) -> str:
    return prompt.text if isinstance(prompt, Request) else prompt
