"""Commands and code that use an artifact by one of its ways to spend."""

import shlex
from math import ceil
from pathlib import Path

from calibration.data.log_scores import aggregation_of
from calibration.replay.ways import OPTIONS, Way
from predictors.scoring import Scoring
from runtime.artifact import TABLE

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
    field = {"bins": "budget", "price": "average_budget", "total": "total_budget"}[way]
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


def stop_program(artifact: str, scoring: Scoring | None, average: float) -> str:
    """A program that decides by price whether to sample more of a prompt, without models."""
    names = {} if scoring is None else dict.fromkeys(scoring.scores, 0.9)
    given = [repr(names)] if names else []
    if scoring is not None:
        given += ["logprob=-20.0"] if scoring.sqrt_nll else []
        given += ["tokens=200"] if scoring.log_tokens else []
        given += ["finished=True"] if scoring.unfinished else []
        given += ["confidence=9.0"] if scoring.confidence else []
    return f"""\
from ttc_allocator import StopRule

rule = StopRule.load({artifact!r}, average_budget={average})
votes = rule.start()  # one prompt
while (more := votes.more()) > 0:
    for _ in range(more):  # sample the prompt once more, and add its answer
        votes.add({", ".join(['"42"', *given])})
print(votes.answer)"""


def attach_command(artifact: str, scoring: Scoring | None) -> str:
    """``ttc attach`` with the models to be named."""
    weighted = [] if scoring is None else [name for name, w in scoring.scores.items() if w]
    unknown = [f"{name}=last" for name in weighted if aggregation_of(name) is None]
    verifier = " --verifier VERIFIER" if weighted else ""
    verifier += f" --scores {shlex.quote(','.join(unknown))}" if unknown else ""
    made, out = shlex.quote(artifact), shlex.quote(f"{artifact}-served")
    return f"ttc attach {made} --out {out} --model MODEL{verifier} --check PROMPTS.jsonl"
