"""Sequential decisions on one prompt: after every rung of a ladder, stop or go on.

A prompt ends when its answer is settled, and also when it cannot be won: in both cases more
solutions would gain too little.
"""

import numpy as np
from numpy.typing import NDArray

from allocator.schedule import Ladder, goes_on
from predictors.gain_model import Prospects
from predictors.sample import Sample
from predictors.vote_state import Progress
from runtime.prompt_run import PromptRun
from runtime.strategies import STRATEGIES


class Climb:
    """One prompt on a ladder.

    Args:
        run: the prompt.
        ladder: the ladder.
        prospects: what going on gains.

    Attributes:
        rung: number of the rung it stands on; -1 before the first.
        samples: its pool, equal answers written equally.
        first: its independent solutions up to the first search.
        gains: accuracy that each rung gains over its own, shape (rungs,); 0 up to its own.
    """

    def __init__(self, run: PromptRun, ladder: Ladder, prospects: Prospects) -> None:
        self.run, self.ladder, self.prospects = run, ladder, prospects
        self.rung = -1
        self.samples: list[Sample] = []
        self.first: list[Sample] = []
        self.gains: NDArray[np.float64] = np.zeros(len(ladder.rungs))
        self._independent = 0

    @property
    def spent(self) -> int:
        """Generations of the rung it stands on."""
        return 0 if self.rung < 0 else self.ladder.costs[self.rung]

    async def up(self) -> None:
        """Climb one rung, and look at what the next ones would gain."""
        before, rung = self.ladder.rungs[max(self.rung, 0)], self.ladder.rungs[self.rung + 1]
        drawn = await self.run.samples(self._independent, rung.samples)
        plain = rung.search is None
        if rung.search is not None and (self.rung < 0 or before.search is None):
            strategy = STRATEGIES[rung.search.strategy]
            drawn += await strategy(self.run, rung.search, ())
        self._independent = rung.samples
        self.samples = await self.run.unify([*self.samples, *drawn])
        self.rung += 1
        if plain:
            self.first = self.samples
        progress = Progress(len(self.run.context.token_ids))
        for sample in self.samples:
            progress.add(sample.answer, sample.score)
        state = progress.features()[None]
        self.gains = np.zeros(len(self.ladder.rungs))
        self.gains[self.rung + 1 :] = self.prospects.gains(self.ladder, self.rung, state)[0]

    def worth(self, price: float) -> bool:
        """Whether going on is worth its price."""
        if self.rung + 1 == len(self.ladder.rungs):
            return False
        return bool(goes_on(self.ladder.costs, self.rung, self.gains[self.rung + 1 :], price))

    @property
    def why(self) -> str:
        """Why it ended, in a sentence."""
        rung = self.ladder.rungs[self.rung]
        if self.rung + 1 == len(self.ladder.rungs):
            return f"{rung}: the top of the ladder"
        more = np.array(self.ladder.costs[self.rung + 1 :]) - self.spent
        best = float((self.gains[self.rung + 1 :] / more).max())
        return f"{rung}: each generation more would have gained {100 * best:.2g} points at most"
