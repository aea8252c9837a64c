"""One prompt at a stage of a schedule: what the later stages would gain, and whether to continue.

Serving and the stop rule for other serving stacks both decide by it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from allocator.schedule import Schedule, worth_continuing
from predictors.gain_model import GainModel
from predictors.vote_state import VoteState


@dataclass(frozen=True)
class StageGains:
    """What the stages after the one that a prompt is at would gain.

    Attributes:
        schedule: the schedule.
        stage: number of the stage that the prompt is at.
        state: features of its vote there, shape (features,); see `predictors.vote_state`.
        gains: accuracy that each stage gains over the prompt's own, shape (stages,); 0 up to it.
    """

    schedule: Schedule
    stage: int
    state: NDArray[np.float64]
    gains: NDArray[np.float64]

    @classmethod
    def predict(
        cls, schedule: Schedule, gain_model: GainModel, stage: int, votes: VoteState
    ) -> "StageGains":
        """The gains that a gain model predicts from a vote of all solutions of a stage."""
        state = votes.features()
        gains = np.zeros(len(schedule.stages))
        gains[stage + 1 :] = gain_model.gains(schedule, stage, state[None])[0]
        return cls(schedule, stage, state, gains)

    @property
    def last(self) -> bool:
        """Whether there is no later stage."""
        return self.stage + 1 == len(self.schedule.stages)

    def worth(self, price: float) -> bool:
        """Whether continuing is worth its price, in accuracy per generation."""
        if self.last:
            return False
        later = self.gains[self.stage + 1 :]
        return bool(worth_continuing(self.schedule.costs, self.stage, later, price))

    @property
    def why(self) -> str:
        """Why a run ends here, in a sentence."""
        at = self.schedule.stages[self.stage]
        if self.last:
            return f"{at}: the last stage of the schedule"
        more = np.array(self.schedule.costs[self.stage + 1 :]) - at.cost
        best = float((self.gains[self.stage + 1 :] / more).max())
        return f"{at}: each generation more would have gained {100 * best:.2g} points at most"
