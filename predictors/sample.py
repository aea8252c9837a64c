"""A sampled, scored solution: what search produces, selection chooses among and features read."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Sample:
    """One complete solution.

    Attributes:
        steps: sampled token ids, a tuple a step.
        text: the solution.
        answer: the final answer, None where none could be read off.
        step_scores: the verifier's prediction after each step, probabilities in [0, 1].
        score: the whole solution's score, in [0, 1]: its step scores in one number; not a number
            where no verifier was asked: it is the only one, or a vote that is only counted.
        logprob: summed natural log-probability of the sampled tokens; nan where it was not asked.
        ended: whether the model ended the solution itself.
        chain: number of the revision chain it is an attempt of; None outside of chains.
    """

    steps: tuple[tuple[int, ...], ...]
    text: str
    answer: str | None
    step_scores: tuple[float, ...]
    score: float
    logprob: float
    ended: bool
    chain: int | None = None

    @property
    def token_ids(self) -> tuple[int, ...]:
        return tuple(token for step in self.steps for token in step)

    @property
    def tokens(self) -> int:
        return sum(len(step) for step in self.steps)

    def with_answer(self, answer: str | None) -> "Sample":
        return replace(self, answer=answer)
