"""Speculative extension of beams (after FastTTS): beam search that begins its next round early.

While a round waits for its longest step, the beams that are best so far are extended by the very
draws that they get if they are kept. Draws are named by parent and child for that, where the
library names them by place. What is begun for a beam that is not kept runs to the end of its step,
and counts as sampled. This is no part of the library, for it brings too little.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass, field, replace

from allocator.plan import Plan
from benchmarks.simulator.contenders import SAMPLING, SEED
from benchmarks.simulator.models import Engines, models_of
from runtime.concurrency import bounded, together
from runtime.engines.base import HasRequests
from runtime.prompt_run import PromptRun
from runtime.request import RequestSettings
from runtime.solutions.beam import Beam
from runtime.strategies.beam_search import keep_best

# A beam's draw: its parent's, and its number among the children.
Draw = tuple[int, ...]


@dataclass
class Search:
    """One prompt's beam search.

    Attributes:
        run: the prompt.
        plan: beam search without lookahead.
        room: requests that the engine may have with those that are begun early; 0 begins none.
        early: steps that were begun early, by their draws.
    """

    run: PromptRun
    plan: Plan
    room: int
    early: dict[Draw, asyncio.Task[Beam]] = field(default_factory=dict)

    async def search(self) -> None:
        """Search until N beams are finished."""
        living: dict[Draw, Beam] = {(place,): Beam() for place in range(self.plan.n)}
        left = self.plan.n
        while living:
            scored: dict[Draw, Beam] = {}
            await together(
                self._candidate(draw, parent, scored, len(living), left)
                for draw, parent in living.items()
            )
            left -= sum(beam.stopped for beam in scored.values())
            living = dict(self._next([scored[draw] for draw in living], list(living), left))
        await asyncio.gather(*self.early.values())

    def _next(self, beams: list[Beam], draws: list[Draw], left: int) -> list[tuple[Draw, Beam]]:
        """The next round's draws with the beams that they extend, by the scores of these beams."""
        going = [i for i in range(len(beams)) if not beams[i].stopped]
        going.sort(key=lambda i: -self.run.probability_of(beams[i]))
        if not going:
            return []
        ranked = [(beams[i], 0.0) for i in going]
        named = {id(beams[i]): draws[i] for i in going}
        children: Counter[int] = Counter()
        found = []
        for parent in keep_best(self.plan.beam_width)(ranked, left):
            found.append(((*named[id(parent)], children[id(parent)]), parent))
            children[id(parent)] += 1
        return found

    async def _step(self, draw: Draw, parent: Beam) -> Beam:
        return await self.run.extend(parent, ("beam_search", *draw), score=False)

    async def _candidate(
        self, draw: Draw, parent: Beam, scored: dict[Draw, Beam], living: int, left: int
    ) -> None:
        """Take a step and score it, then begin what seems to come next."""
        early = self.early.pop(draw, None)
        beam = await (early or self._step(draw, parent))
        verdict = await self.run.models.verifier.score(self.run.context, beam.steps)
        scored[draw] = replace(beam, step_scores=verdict.step_scores)
        if not self.room:
            return
        stopped = sum(beam.stopped for beam in scored.values())
        kept = -(-(living - stopped) // self.plan.beam_width)
        going = [(draw, beam) for draw, beam in scored.items() if not beam.stopped]
        going.sort(key=lambda entry: -self.run.probability_of(entry[1]))
        engine = self.run.models.engine
        free = self.room - (engine.requests if isinstance(engine, HasRequests) else self.room)
        for draw, beam in going[:kept]:
            for child in range(-(-(left - stopped) // kept)):
                if free > 0 and (*draw, child) not in self.early:
                    step = self._step((*draw, child), beam)
                    self.early[*draw, child] = asyncio.ensure_future(step)
                    free -= 1


async def speculative(engines: Engines, prompts: int, plan: Plan, room: int) -> None:
    """Beam search of all prompts at once; see `Search`."""
    models, settings = models_of(engines), RequestSettings(SAMPLING)

    async def one(number: int) -> None:
        run = PromptRun(models, settings, str(number), SEED)
        await Search(run, plan, room).search()

    await bounded(one, range(prompts), prompts)
