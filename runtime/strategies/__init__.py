"""Search strategies, one a file: each a coroutine that runs one plan on one prompt."""

from collections.abc import Awaitable, Callable, Sequence

from allocator.plan import Plan, Strategy
from predictors.sample import Sample
from runtime.prompt_run import PromptRun
from runtime.strategies.beam_search import beam_search
from runtime.strategies.best_of_n import best_of_n

StrategyFunction = Callable[[PromptRun, Plan, Sequence[Sample]], Awaitable[list[Sample]]]

STRATEGIES: dict[Strategy, StrategyFunction] = {
    "best_of_n": best_of_n,
    "beam_search": beam_search,
}
