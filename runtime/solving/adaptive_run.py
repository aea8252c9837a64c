"""Sequential decisions on one prompt: after every stage of a schedule, stop or go on.

A prompt ends when its answer is settled, and also when it cannot be won: in both cases more
solutions would gain too little.
"""

import numpy as np
from numpy.typing import NDArray

from allocator.schedule import Schedule, worth_continuing
from predictors.gain_model import GainModel
from predictors.sample import Sample
from predictors.vote_state import VoteState
from runtime.prompt_run import PromptRun
from runtime.strategies import STRATEGIES


class AdaptiveRun:
    """One prompt on a schedule.

    Args:
        run: the prompt.
        schedule: the schedule.
        gain_model: what going on gains.

    Attributes:
        stage: number of the stage it stands on; -1 before the first.
        samples: its pool, equal answers written equally.
        first: its independent solutions up to the first search.
        gains: accuracy that each stage gains over its own, shape (stages,); 0 up to its own.
    """

    def __init__(self, run: PromptRun, schedule: Schedule, gain_model: GainModel) -> None:
        self.run, self.schedule, self.gain_model = run, schedule, gain_model
        self.stage = -1
        self.samples: list[Sample] = []
        self.first: list[Sample] = []
        self.gains: NDArray[np.float64] = np.zeros(len(schedule.stages))
        self._independent = 0

    @property
    def spent(self) -> int:
        """Generations of the stage it stands on."""
        return 0 if self.stage < 0 else self.schedule.costs[self.stage]

    async def up(self) -> None:
        """Climb one stage, and look at what the next ones would gain."""
        before, stage = (
            self.schedule.stages[max(self.stage, 0)],
            self.schedule.stages[self.stage + 1],
        )
        drawn = await self.run.samples(self._independent, stage.samples)
        plain = stage.search is None
        if stage.search is not None and (self.stage < 0 or before.search is None):
            strategy = STRATEGIES[stage.search.strategy]
            drawn += await strategy(self.run, stage.search, ())
        self._independent = stage.samples
        self.samples = await self.run.canonicalize([*self.samples, *drawn])
        self.stage += 1
        if plain:
            self.first = self.samples
        votes = VoteState(len(self.run.context.token_ids))
        for sample in self.samples:
            votes.add(sample.answer, sample.score)
        state = votes.features()[None]
        self.gains = np.zeros(len(self.schedule.stages))
        self.gains[self.stage + 1 :] = self.gain_model.gains(self.schedule, self.stage, state)[0]

    def worth(self, price: float) -> bool:
        """Whether going on is worth its price."""
        if self.stage + 1 == len(self.schedule.stages):
            return False
        return bool(
            worth_continuing(self.schedule.costs, self.stage, self.gains[self.stage + 1 :], price)
        )

    @property
    def why(self) -> str:
        """Why it ended, in a sentence."""
        stage = self.schedule.stages[self.stage]
        if self.stage + 1 == len(self.schedule.stages):
            return f"{stage}: the top of the schedule"
        more = np.array(self.schedule.costs[self.stage + 1 :]) - self.spent
        best = float((self.gains[self.stage + 1 :] / more).max())
        return f"{stage}: each generation more would have gained {100 * best:.2g} points at most"
