"""Commands and code that use an artifact by one of its ways to spend."""

import shlex
from math import ceil
from pathlib import Path

from calibration.replay.ways import OPTIONS, Way
from runtime.artifact import GAIN_MODEL, PRICES, TABLE

# Prompts of a command that shares one total.
TOGETHER = ("first prompt", "second prompt", "third prompt")


def amount(way: Way, generations: float) -> int | float:
    """What is requested for so many generations per prompt: for one total, that of `TOGETHER`.

    An average is rounded up to one decimal, all others to whole generations.
    """
    if way == "price":
        return ceil(round(10 * generations, 6)) / 10
    prompts = len(TOGETHER) if way == "total" else 1
    return ceil(round(prompts * generations, 6))


def command(folder: Path, way: Way, requested: float, plan: str = "") -> str:
    """``ttc solve`` with one of the budgets, and a fixed plan if one is given."""
    prompts = " ".join(map(repr, TOGETHER if way == "total" else ("your prompt",)))
    chosen = f" --plan {plan}" if plan else ""
    artifact = shlex.quote(str(folder))
    return f"ttc solve --artifact {artifact} {OPTIONS[way]} {requested}{chosen} {prompts}"


def program(folder: Path, way: Way, requested: float) -> str:
    """A program that does what `command` does."""
    field = {"bins": "budget", "price": "average", "total": "total"}[way]
    prompts = list(TOGETHER) if way == "total" else ["your prompt"]
    return f"""\
import asyncio
from pathlib import Path

from ttc_allocator import Artifact, Solver, Spend, open_models


async def main() -> None:
    artifact = Artifact.load(Path({str(folder)!r}))
    async with open_models(artifact.settings, artifact.folder) as models:
        spend = Spend({field}={requested})
        for result in await Solver(models, artifact).solve_all({prompts}, spend):
            print(result.model_dump_json())


if __name__ == "__main__":
    asyncio.run(main())"""


def table_program(folder: Path, budget: int) -> str:
    """A program that looks plans up in a table, without models."""
    return f"""\
from pathlib import Path

from allocator.policy import Policy
from allocator.table import LookupTable

table = LookupTable.load(Path({str(folder / TABLE)!r}))
plans = Policy(table).plans({budget}, [0.9, 0.2]).plans"""


def price_program(folder: Path, average: float) -> str:
    """A program that decides by price whether to sample more of a prompt, without models."""
    return f"""\
from pathlib import Path

from allocator.price import PriceList
from allocator.schedule import worth_continuing
from predictors.gain_model import GainModel
from predictors.vote_state import VoteState

prices = PriceList.load(Path({str(folder / PRICES)!r}))
gain_model = GainModel.load(Path({str(folder / GAIN_MODEL)!r}))
price, costs = prices.price_for({average}), prices.schedule.costs

# Answer and score of each solution so far: the score of scoring.json, see predictors.scoring; 1 if
# the artifact has no such file.
solutions = [("42", 0.9)]
votes = VoteState(prompt_tokens=0)
votes.extend(solutions)
stage = costs.index(len(solutions))
gains = gain_model.gains(prices.schedule, stage, votes.features()[None])[0]
more = 0
if worth_continuing(costs, stage, gains, price):
    more = costs[stage + 1] - costs[stage]
print(f"sample {{more}} more" if more else f"the answer is {{votes.leader}}")"""
