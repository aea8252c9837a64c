"""its_hub's algorithms, run by the interpreter of its own environment.

Reads a job a line from stdin, writes a reply a line to stdout (see `worker`). Imports nothing of
this repository.
"""

import asyncio
import json
import re
import sys
import time
import warnings
from typing import Any

warnings.simplefilter("ignore")

import aiohttp  # noqa: E402
from its_hub.api import (  # noqa: E402
    AbstractOutcomeRewardModel,
    AbstractProcessRewardModel,
)
from its_hub.core.algorithms.adaptive_self_consistency import (  # noqa: E402
    AdaptiveSelfConsistency,
)
from its_hub.core.algorithms.beam_search import BeamSearch  # noqa: E402
from its_hub.core.algorithms.beta_self_consistency import BetaSelfConsistency  # noqa: E402
from its_hub.core.algorithms.bon import BestOfN  # noqa: E402
from its_hub.core.algorithms.particle_gibbs import ParticleFiltering  # noqa: E402
from its_hub.core.algorithms.self_consistency import SelfConsistency  # noqa: E402
from its_hub.core.lms.openai_lm import OpenAICompatibleLanguageModel  # noqa: E402
from its_hub.core.lms.step_generation import StepGeneration  # noqa: E402
from its_hub.core.orchestrator import LMOrchestrator  # noqa: E402

# Its default of 32 requests at once is for hosted models; one server of one's own is given all.
UNLIMITED = -1


class Verifier(AbstractProcessRewardModel, AbstractOutcomeRewardModel):  # type: ignore[misc]
    """The benchmark's PRM, asked over HTTP for the score at the end of each text."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url, self._session = url, session

    def score(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError

    async def ascore(self, asked: Any, solutions: Any = None, **_: Any) -> list[float]:
        """Scores of one prompt's solutions; of conversations where the outcome is to be judged."""
        if solutions is None:
            return await self._read(asked[0][0].content, [chat[-1].content for chat in asked])
        return await self._read(asked, solutions)

    async def _read(self, prompt: str, solutions: list[str]) -> list[float]:
        body = {"prompt": prompt, "solutions": solutions}
        async with self._session.post(self._url, json=body) as reply:
            reply.raise_for_status()
            return list((await reply.json())["scores"])


def algorithm(job: dict[str, Any], verifier: Verifier) -> Any:
    """The algorithm a job asks for, with the answers read as the task writes them."""
    pattern = re.compile(job["pattern"], re.MULTILINE)

    def answer(text: str) -> str:
        found = pattern.findall(text)
        return found[-1] if found else text.strip()

    steps = StepGeneration(
        max_steps=job["max_steps"],
        step_token=job["step_end"],
        stop_token=job["stop_token"],
        temperature=job["temperature"],
        include_stop_str_in_output=True,
    )
    orchestrator = LMOrchestrator(UNLIMITED)
    budget = job["budget"]
    return {
        "self-consistency": lambda: SelfConsistency(answer, orchestrator=orchestrator),
        "adaptive self-consistency": lambda: AdaptiveSelfConsistency(
            consistency_space_projection_func=answer, orchestrator=orchestrator
        ),
        "Beta self-consistency": lambda: BetaSelfConsistency(
            consistency_space_projection_func=answer, orchestrator=orchestrator
        ),
        "best-of-N": lambda: BestOfN(verifier, orchestrator),
        # Its beam_width is the beams that are kept, the paper's N/M.
        "beam search": lambda: BeamSearch(
            steps, verifier, beam_width=max(1, budget // job["beam_width"])
        ),
        "particle filtering": lambda: ParticleFiltering(steps, verifier),
    }[job["method"]]()


async def run(job: dict[str, Any]) -> dict[str, Any]:
    """All prompts at once; what was chosen, how many solutions there were, and the seconds."""
    async with aiohttp.ClientSession() as session:
        model = OpenAICompatibleLanguageModel(
            f"{job['url']}/v1",
            "none",
            job["model"],
            temperature=job["temperature"],
            max_completion_tokens=job["max_tokens"],
        )
        scaling = algorithm(job, Verifier(job["verifier"], session))
        started = time.perf_counter()
        found = await asyncio.gather(
            *(
                scaling.ainfer(model, prompt, job["budget"], return_response_only=False)
                for prompt in job["prompts"]
            )
        )
        seconds = time.perf_counter() - started
        await model.close()
    return {
        "seconds": seconds,
        "texts": [result.the_one["content"] or "" for result in found],
        "generations": [len(result.responses) for result in found],
    }


def main() -> None:
    for line in sys.stdin:
        try:
            reply = asyncio.run(run(json.loads(line)))
        except Exception as error:
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    main()
