"""A sampled, scored solution: what search produces, selection chooses among and features read."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Sample:
    """One complete solution.

    Attributes:
        steps: sampled token ids, a tuple a step.
        text: the solution.
        answer: the final answer, None where none could be read off.
        step_scores: the PRM's prediction after each step, probabilities in [0, 1].
        logprob: summed natural log-probability of the sampled tokens.
        ended: whether the model ended the solution itself.
    """

    steps: tuple[tuple[int, ...], ...]
    text: str
    answer: str | None
    step_scores: tuple[float, ...]
    logprob: float
    ended: bool

    @property
    def score(self) -> float:
        """The whole solution's score: the PRM at the last step (section 5.1)."""
        return self.step_scores[-1]

    @property
    def tokens(self) -> int:
        return sum(len(step) for step in self.steps)

    def with_answer(self, answer: str | None) -> "Sample":
        return replace(self, answer=answer)
