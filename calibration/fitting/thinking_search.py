"""Comparing caps, and direct answers before thoughts, on questions held out of the fit."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from calibration.data.thoughts import Capped, Thoughts
from calibration.fitting.branch_scoring import fit_branch_scoring
from calibration.fitting.thinking_gains import fit_depth_gain, fit_sample_gain
from calibration.replay.budget_replay import PRICES
from calibration.replay.curves import Curve
from calibration.replay.monotone import mean_accuracy
from calibration.replay.parallel import in_threads
from calibration.replay.thinking_curve import BY_PRICE, price_curve, shuffles_of, votes_of
from calibration.replay.thinking_run import Lead, ThinkingRuns, thinking_runs
from predictors.branches import BranchScoring
from predictors.thinking_policy import DepthGain, SampleGain, ThinkingPolicy

# A decision after nearly every thought: a run that could stop earlier has not sampled on.
STAGES = (*range(1, 17), 18, 20, 22, 24, 28, 32, 36, 40, 48, 56, 64)
# Caps are compared by accuracy averaged over these costs, in whole thoughts per question.
LEAST_THOUGHTS, MOST_THOUGHTS = 2, 32


@dataclass(frozen=True)
class CapChoice:
    """What was tried, and how well it did on questions held out of the fit.

    Attributes:
        caps: thinking tokens, ascending; None, the last one, for no cap.
        direct: direct answers before the thoughts.
        power: to which the odds of being right are raised, to make votes of them.
        probed: whether answers are forced before the cap, too.
        accuracy: averaged over costs and groups.
    """

    caps: tuple[int | None, ...]
    direct: int
    power: float
    probed: bool
    accuracy: float


@dataclass(frozen=True)
class Questions:
    """The logged thoughts of questions, and how these are divided.

    Attributes:
        thoughts: the thoughts.
        held_out: the questions of each fold.
        models: the model that each one is of, shape (questions,); all count the same.
        n_jobs: see `calibration.replay.parallel`.
    """

    thoughts: Thoughts
    held_out: Sequence[NDArray[np.int64]]
    models: NDArray[np.int64]
    n_jobs: int | None
    _known: dict[tuple[object, ...], BranchScoring] = field(default_factory=dict, init=False)

    @cached_property
    def everyone(self) -> NDArray[np.int64]:
        """All questions, by their indices."""
        return np.arange(len(self.models))

    def scoring(
        self, caps: Sequence[int | None], probed: bool, train: NDArray[np.int64]
    ) -> BranchScoring:
        """How thoughts and direct answers vote, fitted once on some questions under all caps."""
        key = (*caps, probed, *train.tolist())
        if key not in self._known:
            thoughts = self.thoughts.take(train)
            capped = [thoughts.at_cap(cap, probed) for cap in caps]
            self._known[key] = fit_branch_scoring(capped, thoughts.direct)
        return self._known[key]

    def votes(
        self,
        caps: Sequence[int | None],
        capped: Sequence[Capped],
        probed: bool,
        power: float = 1.0,
    ) -> list[NDArray[np.float64]]:
        """The votes of thoughts, each question's scored by what others showed.

        Args:
            caps: the caps, ascending.
            capped: the thoughts under each.
            probed: whether answers are forced before the cap, too.
            power: to which the odds of being right are raised.

        Returns:
            One array of shape (questions, samples) per cap.
        """
        votes = [np.zeros(self.thoughts.answer.shape) for _ in caps]
        for test in self.held_out:
            train = np.setdiff1d(self.everyone, test)
            scoring = self.scoring(caps, probed, train).tempered(power)
            for under, vote in zip(capped, votes, strict=True):
                vote[test] = votes_of(scoring, under.take(test))
        return votes


class CapSearch:
    """Cross-validated comparison of caps after so many direct answers.

    What is fitted under each cap is fitted once.

    Args:
        questions: the thoughts.
        caps: caps to compare, ascending; None, the last one, for no cap.
        direct: direct answers before the thoughts.
        power: to which the odds of being right are raised, to make votes of them.
        probed: whether answers are forced before the cap, too.

    Attributes:
        prices: accuracy that a token must gain: the library's prices of a generation, spread over
            the tokens of a thought.
    """

    def __init__(
        self,
        questions: Questions,
        caps: Sequence[int | None],
        direct: int = 0,
        power: float = 1.0,
        probed: bool = True,
    ) -> None:
        thoughts = questions.thoughts
        self._questions, self._caps = questions, list(caps)
        self._direct, self._power, self._probed = direct, power, probed
        last = thoughts.at_cap(caps[-1], probed=False)
        self._thought = float(last.cost.mean())
        self._answer = 0.0
        if thoughts.answer_tokens is not None and last.finished.any():
            self._answer = round(float(thoughts.answer_tokens[last.finished].mean()), 1)
        self._stages = tuple(n for n in STAGES if n <= direct + thoughts.answer.shape[1])
        self._known: dict[tuple[int, ...], SampleGain] = {}  # by direct or not, cap, questions
        self.prices = [price / self._thought for price in PRICES]
        self._runs = self._replayed()

    def _replayed(self) -> ThinkingRuns:
        """The runs under each cap; each question's votes are scored by what others showed."""
        questions, direct = self._questions, self._questions.thoughts.direct
        capped = [questions.thoughts.at_cap(cap, self._probed) for cap in self._caps]
        votes = questions.votes(self._caps, capped, self._probed, self._power)
        shuffles, lead = shuffles_of(len(questions.everyone)), None
        if direct is not None and self._direct:
            direct_votes = np.zeros(direct.answer.shape)
            for test in questions.held_out:
                scoring = self.scoring(np.setdiff1d(questions.everyone, test))
                direct_votes[test] = scoring.direct_votes(direct.nll[test])
            lead = Lead(direct, direct_votes, self._direct)
        return thinking_runs(capped, votes, self._stages, shuffles, questions.n_jobs, lead)

    def scoring(self, train: NDArray[np.int64]) -> BranchScoring:
        """How thoughts and direct answers vote, fitted on some questions under all caps."""
        found = self._questions.scoring(self._caps, self._probed, train)
        return found.tempered(self._power)

    def choices(self) -> list[CapChoice]:
        """The choices to compare: each cap alone, and the best one after each lower cap."""
        alone = [self.choice((cap,)) for cap in self._caps]
        best = self._caps[int(np.argmax([choice.accuracy for choice in alone]))]
        lower = self._caps[: self._caps.index(best)]
        return [*alone, *(self.choice((cap, best)) for cap in lower)]

    def choice(self, caps: tuple[int | None, ...]) -> CapChoice:
        """One choice, on questions held out of the fit."""
        curve, found, models = self.curve(caps), [], self._questions.models
        for model in np.unique(models):
            rows = models == model
            reached = curve.correct[:, rows].mean(axis=1)
            costs = curve.tokens[:, rows].mean(axis=1)
            low, high = LEAST_THOUGHTS * self._thought, MOST_THOUGHTS * self._thought
            found.append(mean_accuracy(reached, costs, low, high))
        return CapChoice(caps, self._direct, self._power, self._probed, float(np.mean(found)))

    def curve(self, caps: tuple[int | None, ...]) -> Curve:
        """The price curve of caps on questions held out of the fit."""
        questions = self._questions
        runs = self._runs.under([self._caps.index(cap) for cap in caps])

        def part(test: NDArray[np.int64]) -> Curve:
            policy = self.policy(caps, np.setdiff1d(questions.everyone, test))
            return price_curve(BY_PRICE, policy, runs.take(test), self.prices)

        parts = in_threads(part, questions.held_out, questions.n_jobs)
        order = np.argsort(np.concatenate(questions.held_out))
        correct, samples, tokens = (
            np.concatenate([getattr(part, unit) for part in parts], axis=1)[:, order]
            for unit in ("correct", "generations", "tokens")
        )
        unknown = np.zeros(tokens.shape)
        return Curve(BY_PRICE, tuple(self.prices), correct, samples, tokens, unknown)

    def policy(
        self,
        caps: tuple[int | None, ...],
        train: NDArray[np.int64],
        scoring: BranchScoring | None = None,
    ) -> ThinkingPolicy:
        """The policy of some caps, its gains fitted on some questions."""
        numbers = [self._caps.index(cap) for cap in caps]
        return ThinkingPolicy(
            scoring=BranchScoring() if scoring is None else scoring,
            probes=tuple(self._questions.thoughts.probes.tolist()) if self._probed else (),
            probe_tokens=self._questions.thoughts.probe_tokens,
            answer_tokens=self._answer,
            caps=caps,
            stages=self._stages,
            direct=self._direct,
            direct_gain=self._sampling(numbers[0], train, before=True) if self._direct else None,
            sampling=tuple(self._sampling(number, train) for number in numbers),
            deepening=tuple(self._deepening(low, high, train) for low, high in pairwise(numbers)),
        )

    def _sampling(self, cap: int, train: NDArray[np.int64], before: bool = False) -> SampleGain:
        key = (before, cap, *train.tolist())
        if key not in self._known:
            runs = self._runs.under([cap]).take(train)
            direct = self._questions.thoughts.direct
            each = 0.0 if direct is None else round(float(direct.tokens[train].mean()), 1)
            self._known[key] = fit_sample_gain(runs, self._stages, self._direct, each, before)
        return self._known[key]

    def _deepening(self, low: int, high: int, train: NDArray[np.int64]) -> DepthGain:
        begun = sum(stage < self._direct for stage in self._stages)
        dropped = 0 if self._probed else self._questions.thoughts.probe_tokens
        return fit_depth_gain(self._runs.under([low, high]).take(train), begun, dropped)
