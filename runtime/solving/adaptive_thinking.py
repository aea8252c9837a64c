"""Adaptive runs over width and depth: after each stage stop, sample more thoughts, or think deeper.

What calibration replays on logs, `calibration.replay.thinking_run`, is decided by the same policy.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from predictors.branches import Branch
from predictors.sample import Sample
from predictors.thinking_policy import Action, ThinkingPolicy
from predictors.thinking_state import tally
from runtime.concurrency import together
from runtime.prompt_run import PromptRun

DIRECT = 0  # thinking tokens of an answer without a thought
REASONS = {
    "settled": "neither another thought nor a deeper one was worth its tokens",
    "end": "it reached the last stage",
}


class AdaptiveThinking:
    """One prompt, thought about until more is not worth its price.

    Args:
        prompt_run: the prompt.
        policy: when to stop, sample or deepen.

    Attributes:
        level: number of the cap that holds.
        stage: number of the stage it is at; -1 before the first.
        samples: its solutions; equal answers are equal strings.
    """

    def __init__(self, prompt_run: PromptRun, policy: ThinkingPolicy) -> None:
        self.prompt_run, self.policy = prompt_run, policy
        self.level, self.stage = 0, -1
        self.samples: list[Sample] = []
        self._probed: list[list[Sample]] = []  # of each sample, by depth

    @property
    def cap(self) -> int | None:
        """Thinking tokens of the level it is at; None for no cap."""
        return self.policy.caps[self.level]

    @property
    def thinking(self) -> int | None:
        """Thinking tokens that its last samples could have."""
        return DIRECT if self._is_direct(len(self.samples) - 1) else self.cap

    def _is_direct(self, number: int) -> bool:
        """Whether a sample has no thought, by the policy or because the request allows none."""
        return (
            number < self.policy.direct or self.prompt_run.settings.thinking_cap(self.cap) == DIRECT
        )

    @property
    def branches(self) -> list[Branch]:
        """Its thoughts as the policy reads them."""
        return [
            _direct(sample)
            if self._is_direct(number)
            else _branch(sample, probed, self.policy.probes)
            for number, (sample, probed) in enumerate(zip(self.samples, self._probed, strict=True))
        ]

    async def advance(self, action: Action) -> None:
        """Sample the thoughts of the next stage, or think deeper with those that were cut off.

        Args:
            action: `Action.SAMPLE`, which it begins with, or `Action.DEEPEN`.
        """
        first = len(self.samples)
        if action is Action.SAMPLE:
            self.stage += 1
            last = self.policy.stages[self.stage]
            begun = min(max(first, self.policy.direct), last)
            parts = [(first, begun, DIRECT), (begun, last, self.cap)]
            drawn = await together(
                self.prompt_run.samples(a, b, thinking=cap) for a, b, cap in parts
            )
            self.samples += [sample for part in drawn for sample in part]
            self._probed += [[] for _ in self.samples[first:]]
        else:
            self.level += 1
            self.samples = await together(
                self._deeper(number, sample) for number, sample in enumerate(self.samples)
            )
        await together(self._probe(number) for number in range(len(self.samples)))
        await self._canonicalize()

    def next_action(self, price: float) -> Action:
        """What to do at a price, in accuracy per token."""
        return self.policy.next_action(self.level, self.stage, self.branches, price)

    def voted(self) -> list[Sample]:
        """Its solutions, scored by their votes: the greatest is 1."""
        votes = self.policy.scoring.votes_of(self.branches)
        scores = votes / max(votes.max(initial=0.0), np.finfo(float).tiny)
        return [
            replace(sample, score=float(score))
            for sample, score in zip(self.samples, scores, strict=True)
        ]

    @property
    def why(self) -> str:
        """Why it ended, in a sentence."""
        votes = sorted(tally(self.branches, self.policy.scoring).values(), reverse=True)
        share = votes[0] / sum(votes) if votes and sum(votes) else 0.0
        last = self.stage + 1 == len(self.policy.stages) and self.level + 1 == len(self.policy.caps)
        direct = sum(self._is_direct(number) for number in range(len(self.samples)))
        parts = [f"{direct} direct answer{'s' * (direct > 1)}"] if direct else []
        if thoughts := len(self.samples) - direct:
            depth = "of any length" if self.cap is None else f"of at most {self.cap} tokens"
            parts.append(f"{thoughts} thought{'s' * (thoughts > 1)} {depth}")
        return (
            f"{REASONS['end' if last else 'settled']}: after {' and '.join(parts)} the leading "
            f"answer had {share:.0%} of the votes"
        )

    async def _deeper(self, number: int, sample: Sample) -> Sample:
        cap = self.prompt_run.settings.thinking_cap(self.cap)
        ended = not sample.forced or self._is_direct(number)
        if ended or (cap is not None and (sample.thinking or 0) >= cap):
            return sample  # it has ended, or the request allows no more
        # What was forced at the cap is a probe of the deeper thought.
        if sample.thinking in self.policy.probes:
            self._probed[number].append(sample)
        return await self.prompt_run.continue_thought(sample, number, self.cap)

    async def _probe(self, number: int) -> None:
        """Force a sample's answer at each depth that has not been probed yet."""
        sample, probed = self.samples[number], self._probed[number]
        depth = (sample.thinking or 0) - (1 if sample.forced else 0)
        known = {probe.thinking for probe in probed}
        missing = [at for at in self.policy.probes if at <= depth and at not in known]
        probed += await together(
            self.prompt_run.continue_thought(sample, number, at, kept=at) for at in missing
        )
        probed.sort(key=lambda probe: probe.thinking or 0)

    async def _canonicalize(self) -> None:
        """Write equal answers equally, those of probes too."""
        counts = [len(probed) for probed in self._probed]
        everything = [*self.samples, *(probe for probed in self._probed for probe in probed)]
        named = await self.prompt_run.canonicalize(everything)
        self.samples, rest = named[: len(self.samples)], named[len(self.samples) :]
        ends = np.cumsum([0, *counts]).tolist()
        self._probed = [rest[low:high] for low, high in pairwise(ends)]


def _direct(sample: Sample) -> Branch:
    """An answer without a thought as the policy reads it."""
    tokens = max(1, sample.tokens)
    return Branch(sample.answer, tokens, tokens, "direct", -sample.logprob)


def _branch(sample: Sample, probed: Sequence[Sample], probes: Sequence[int]) -> Branch:
    """A sample as the policy reads it.

    Args:
        sample: the sample.
        probed: its answers forced at the depths of the probes, ascending.
        probes: the depths.
    """
    depth = max(1, sample.thinking or 0)
    first = next(
        (
            at
            for at, probe in zip(probes, probed, strict=False)
            if sample.answer is not None and probe.answer == sample.answer
        ),
        depth,
    )
    if sample.forced:
        return Branch(sample.answer, depth, min(first, depth), "capped")
    return Branch(sample.answer, depth, min(first, depth), "finished", -sample.logprob)
