"""Search strategies, one a file: each a coroutine that runs one plan on one prompt.

A new one is a function of this shape in a file of its own, its name and settings in
`allocator.plan`, and a line below.
"""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from allocator.plan import Plan, Strategy
from predictors.sample import Sample
from runtime.prompt_run import PromptRun
from runtime.strategies.beam_search import beam_search
from runtime.strategies.best_of_n import best_of_n
from runtime.strategies.dora import dora
from runtime.strategies.dvts import dvts
from runtime.strategies.rebase import rebase
from runtime.strategies.revisions import beam_revisions, revisions

StrategyFunction = Callable[[PromptRun, Plan, Sequence[Sample]], Coroutine[Any, Any, list[Sample]]]

STRATEGIES: dict[Strategy, StrategyFunction] = {
    "best_of_n": best_of_n,
    "beam_search": beam_search,
    "dvts": dvts,
    "rebase": rebase,
    "dora": dora,
    "revisions": revisions,
    "beam_revisions": beam_revisions,
}
