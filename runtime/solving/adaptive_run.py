"""Adaptive runs: one prompt, sampled stage by stage, stopped when more would gain too little.

A run ends when its answer is settled, and also when the prompt is too hard: in both cases more
solutions would gain too little.
"""

import numpy as np
from numpy.typing import NDArray

from allocator.schedule import Schedule
from predictors.gain_model import GainModel
from predictors.sample import Sample
from predictors.stage_gains import StageGains
from predictors.vote_state import VoteState
from runtime.prompt_run import PromptRun
from runtime.strategies import STRATEGIES


class AdaptiveRun:
    """One prompt on a schedule.

    Args:
        prompt_run: the prompt.
        schedule: the schedule.
        gain_model: predicts what later stages gain.

    Attributes:
        stage: number of the stage it is at; -1 before the first.
        samples: its pool of solutions; equal answers are equal strings.
        reached: what the stages after its own would gain; None before the first stage.
    """

    def __init__(self, prompt_run: PromptRun, schedule: Schedule, gain_model: GainModel) -> None:
        self.prompt_run, self.schedule, self.gain_model = prompt_run, schedule, gain_model
        self.stage = -1
        self.samples: list[Sample] = []
        self.reached: StageGains | None = None

    async def advance(self) -> None:
        """Sample the next stage, and predict what the stages after it would gain."""
        number = self.stage + 1
        added = self.schedule.added(number)
        independent = await self.prompt_run.samples(added.first, added.last)
        searched: list[Sample] = []
        for search in added.searches:
            searched += await STRATEGIES[search.strategy](self.prompt_run, search, ())
        pool = [*self.samples, *independent, *searched]
        self.samples = await self.prompt_run.canonicalize(pool)
        self.stage = number
        # From the start: new solutions may change how earlier answers are written.
        votes = VoteState(len(self.prompt_run.context.token_ids))
        votes.extend((sample.answer, sample.score) for sample in self.samples)
        self.reached = StageGains.predict(self.schedule, self.gain_model, number, votes)

    @property
    def gains(self) -> NDArray[np.float64]:
        """Accuracy that each stage gains over its own, shape (stages,); 0 up to its own."""
        return np.zeros(len(self.schedule.stages)) if self.reached is None else self.reached.gains

    def worth(self, price: float) -> bool:
        """Whether continuing is worth its price, in accuracy per generation."""
        return self.reached is None or self.reached.worth(price)

    @property
    def why(self) -> str:
        """Why it ended, in a sentence."""
        return "it has not begun" if self.reached is None else self.reached.why
