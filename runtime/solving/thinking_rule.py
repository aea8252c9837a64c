"""The policy over width and depth, one stage at a time, for any loop that samples thoughts.

It decides as `calibration.replay.thinking_run` replays it, from the thoughts so far.
"""

from dataclasses import dataclass
from pathlib import Path

from allocator.checks import check_positive
from allocator.errors import InputError
from predictors.branches import Branch
from predictors.thinking_policy import THINKING, Action, ThinkingPolicy
from predictors.thinking_state import tally
from runtime.artifact import artifact_folder


@dataclass(frozen=True)
class Step:
    """What to do next; one of the two.

    Attributes:
        sample: new thoughts to sample; where `cap` is 0, answers without a thought.
        deepen: numbers of the thoughts to continue.
        cap: thinking tokens that each may have in all; None for no cap, 0 for no thought.
    """

    sample: int
    deepen: tuple[int, ...]
    cap: int | None


class ThinkingRule:
    """Decides for each prompt whether more thoughts, or deeper ones, are worth their tokens.

        rule = ThinkingRule.load("out/from_logs", average_tokens=100_000)
        run = rule.start()
        while (step := run.next()) is not None:
            for _ in range(step.sample):
                run.add(think(prompt, step.cap))
            for number in step.deepen:
                run.replace(number, think_on(run.branches[number], step.cap))
        print(run.answer)

    Args:
        policy: the fitted policy.
        average_tokens: tokens that calibration's questions cost on average at the price to take;
            above the most that calibration measured, the lowest price is taken.
        price: accuracy that a token must gain, in place of an average.

    Attributes:
        policy: the policy.
        price: accuracy that a token must gain.

    Raises:
        InputError: not one of average and price, one that is not positive, or an average below the
            least that calibration measured.
    """

    def __init__(
        self,
        policy: ThinkingPolicy,
        *,
        average_tokens: float | None = None,
        price: float | None = None,
    ) -> None:
        if (average_tokens is None) == (price is None):
            given = {"average_tokens": average_tokens, "price": price}
            raise InputError("price", given, "give one of the two")
        if average_tokens is not None:
            price = policy.price_for(average_tokens)
        self.policy, self.price = policy, check_positive("price", price)

    @classmethod
    def load(
        cls,
        artifact: str | Path,
        *,
        average_tokens: float | None = None,
        price: float | None = None,
    ) -> "ThinkingRule":
        """The rule of an artifact that was calibrated on a log of thoughts.

        Args:
            artifact: its folder, or its name on the Hugging Face Hub.
            average_tokens: as the class has it.
            price: likewise.

        Raises:
            InputError: an artifact without a policy over thoughts, or a damaged one; else as the
                class.
        """
        policy = ThinkingPolicy.load(artifact_folder(artifact) / THINKING)
        return cls(policy, average_tokens=average_tokens, price=price)

    def start(self) -> "ThinkingRun":
        """A prompt, of which nothing has been sampled."""
        return ThinkingRun(self)


class ThinkingRun:
    """One prompt's thoughts; `ThinkingRule.start` makes it.

    Attributes:
        branches: the thoughts so far, in the order in which they were added.
        ended: whether nothing more is worth its tokens.
    """

    def __init__(self, rule: ThinkingRule) -> None:
        self.branches: list[Branch] = []
        self.ended = False
        self._rule, self._level, self._stage = rule, 0, 0
        self._exhausted: set[int] = set()  # numbers of thoughts that could not go on

    @property
    def answer(self) -> str | None:
        """The answer with the greatest sum of votes, of equal ones the first; None for none."""
        votes = tally(self.branches, self._rule.policy.scoring)
        return max(votes, key=votes.__getitem__, default=None)

    @property
    def cap(self) -> int | None:
        """Thinking tokens that each sample may have now; None for no cap, 0 for no thought."""
        policy = self._rule.policy
        return 0 if len(self.branches) < policy.direct else policy.caps[self._level]

    def add(self, branch: Branch) -> None:
        """Add one of the thoughts that `next` requested.

        Raises:
            InputError: no more were requested, or the state is not of what was.
        """
        if not self._missing:
            raise InputError("branches", len(self.branches) + 1, "next() requested no more")
        direct = len(self.branches) < self._rule.policy.direct
        if (branch.state == "direct") != direct:
            wanted = "an answer without a thought: direct" if direct else "a thought, not direct"
            raise InputError("state", branch.state, f"next() requested {wanted}")
        self.branches.append(branch)

    def replace(self, number: int, branch: Branch) -> None:
        """Put a thought that was continued in the place of its beginning.

        One that is no deeper than it was could not go on, as where the context has ended, and is
        not requested again.

        Raises:
            InputError: `next` did not request it, or it is shorter than it was.
        """
        if number not in self._shallow:
            raise InputError("number", number, "next() did not request this thought")
        if branch.state == "direct":
            raise InputError("state", branch.state, "a thought that goes on is not direct")
        if branch.depth < self.branches[number].depth:
            raise InputError("depth", branch.depth, "a thought must not become shorter")
        if branch.depth == self.branches[number].depth:
            self._exhausted.add(number)
        self.branches[number] = branch

    def next(self) -> Step | None:
        """What to do now; None ends the prompt.

        What an earlier step requested and is still missing is requested again.
        """
        if self.ended:
            return None
        policy = self._rule.policy
        while not (self._missing or self._shallow):
            price = self._rule.price
            action = policy.next_action(self._level, self._stage, self.branches, price)
            if action == Action.STOP:
                self.ended = True
                return None
            self._stage += action == Action.SAMPLE
            self._level += action == Action.DEEPEN
        if self._shallow:
            return Step(0, self._shallow, self.cap)
        missing, direct = self._missing, self._rule.policy.direct - len(self.branches)
        return Step(min(missing, direct) if direct > 0 else missing, (), self.cap)

    @property
    def _missing(self) -> int:
        """New samples that this stage lacks."""
        return max(0, self._rule.policy.stages[self._stage] - len(self.branches))

    @property
    def _shallow(self) -> tuple[int, ...]:
        """Thoughts that were cut off below the cap that holds, and may go on."""
        cap = self._rule.policy.caps[self._level]
        top = float("inf") if cap is None else cap
        return tuple(
            number
            for number, branch in enumerate(self.branches)
            if branch.unfinished and branch.depth < top and number not in self._exhausted
        )
