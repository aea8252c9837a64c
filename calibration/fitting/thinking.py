"""Fitting the policy over width and depth on logged thoughts.

Caps are chosen by cross-validation over questions: those whose price curve is highest on average.
What else was chosen so, on AIME 2024 with four Qwen3 models, stands on the page of results, beside
what it leads to on other contests (`benchmarks.replay`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from allocator.errors import InputError
from calibration.data.answer_codes import CORRECT, UNANSWERED, text_codes
from calibration.data.thoughts import Capped, Thoughts
from calibration.fitting.crossval import FOLDS
from calibration.fitting.scoring import WithinQuestions
from calibration.fitting.thinking_gains import fit_depth_gain, fit_sample_gain
from calibration.replay.budget_replay import PRICES
from calibration.replay.cap_table import CapRow, cap_table
from calibration.replay.curves import Curve
from calibration.replay.monotone import mean_accuracy
from calibration.replay.parallel import in_threads, one_blas_thread
from calibration.replay.thinking_curve import BY_PRICE, price_curve, shuffles_of, votes_of
from calibration.replay.thinking_run import ThinkingRuns, thinking_runs
from predictors.branches import BranchScoring, branch_columns
from predictors.thinking_policy import DepthGain, SampleGain, ThinkingPolicy, TokenPrice

# A decision after nearly every thought: a run that could stop earlier has not sampled on.
STAGES = (*range(1, 17), 18, 20, 22, 24, 28, 32, 36, 40, 48, 56, 64)
# Caps tried: shares of the thoughts that have ended by then. No cap is tried too.
ENDED = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
# Caps are compared by accuracy averaged over these costs, in whole thoughts per question.
LEAST_THOUGHTS, MOST_THOUGHTS = 2, 32
DECIMALS = 4


@dataclass(frozen=True)
class CapChoice:
    """Caps that were tried, and how well they did on questions held out of the fit.

    Attributes:
        caps: thinking tokens, ascending; None, the last one, for no cap.
        accuracy: averaged over costs and groups.
    """

    caps: tuple[int | None, ...]
    accuracy: float


@dataclass(frozen=True)
class FittedThinking:
    """A fitted policy over width and depth.

    Attributes:
        policy: fitted on every question.
        tried: the caps that were compared.
        curve: accuracy and cost of each price on questions held out of the fit.
        caps: what each cap leads to without a policy.
    """

    policy: ThinkingPolicy
    tried: tuple[CapChoice, ...]
    curve: Curve
    caps: tuple[CapRow, ...]


def fit_thinking(
    thoughts: Thoughts,
    questions: Sequence[str] | None = None,
    groups: Sequence[str] | None = None,
    n_jobs: int | None = -1,
) -> FittedThinking:
    """Fit a policy on logged thoughts.

    Args:
        thoughts: the thoughts.
        questions: a name for each row of the thoughts; rows of one name are held out together.
            None where every row is another question.
        groups: the model that each row is of; all count the same. None for one model.
        n_jobs: see `calibration.replay.parallel`.

    Raises:
        InputError: fewer than 5 questions.
    """
    count = len(thoughts.answer)
    models = np.zeros(count, dtype=np.int64) if groups is None else text_codes(groups)
    held_out = _held_out(np.arange(count) if questions is None else text_codes(questions))
    caps = candidates(thoughts)
    capped = [thoughts.at_cap(cap) for cap in caps]
    votes = [np.zeros(thoughts.answer.shape) for _ in caps]
    for test in held_out:
        train = np.setdiff1d(np.arange(count), test)
        scoring = fit_branch_scoring([under.of(train) for under in capped])
        for under, vote in zip(capped, votes, strict=True):
            vote[test] = votes_of(scoring, under.of(test))
    stages = tuple(stage for stage in STAGES if stage <= thoughts.answer.shape[1])
    shuffles = shuffles_of(count)
    runs = thinking_runs(capped, votes, stages, shuffles, n_jobs)
    search = _Search(thoughts, runs, caps, stages, held_out, models, n_jobs)
    tried = search.chosen()
    best = max(tried, key=lambda choice: choice.accuracy)
    curve = search.curve(best.caps)
    scoring = fit_branch_scoring(capped)
    with one_blas_thread():
        policy = search.policy(best.caps, np.arange(count), scoring)
    points = [
        TokenPrice(price=price, tokens=float(tokens), accuracy=min(1.0, float(accuracy)))
        for price, tokens, accuracy in zip(
            search.prices, curve.tokens.mean(axis=1), curve.correct.mean(axis=1), strict=True
        )
    ]
    policy = policy.model_copy(update={"prices": tuple(points)})
    rows = cap_table(caps, capped, votes, shuffles, n_jobs)
    return FittedThinking(policy, tuple(tried), curve, tuple(rows))


def candidates(thoughts: Thoughts) -> list[int | None]:
    """The caps that are tried, ascending."""
    found = set()
    for tokens in np.quantile(thoughts.tokens, ENDED):
        if len(thoughts.probes):
            found.add(int(thoughts.probes[np.abs(thoughts.probes - tokens).argmin()]))
    return [*sorted(found), None]


def fit_branch_scoring(capped: Sequence[Capped]) -> BranchScoring:
    """How thoughts vote, fitted within questions on thoughts under several caps at once.

    Thoughts are compared with those of the same question under the same cap, as they are in a run.
    Where no question has both correct and incorrect answers, all votes weigh the same.

    Args:
        capped: the thoughts under each cap.
    """
    columns, right, questions = [], [], []
    for number, under in enumerate(capped):
        voting = under.answer != UNANSWERED
        columns.append(branch_columns(under.depth, under.first, under.finished)[voting])
        right.append(under.answer[voting] == CORRECT)
        owner = np.arange(len(voting)) + number * len(voting)
        questions.append(np.broadcast_to(owner[:, None], voting.shape)[voting])
    try:
        with one_blas_thread():
            model = WithinQuestions().fit(
                np.concatenate(columns), np.concatenate(right), np.concatenate(questions)
            )
    except ValueError:
        return BranchScoring()
    weights = np.round(model.coef_, DECIMALS).tolist()
    return BranchScoring(
        intercept=round(model.intercept_, DECIMALS),
        log_depth=weights[0],
        unfinished=weights[1],
        log_first=weights[2],
    )


def _held_out(names: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The rows of each fold; rows of one name are in one fold."""
    distinct = int(names.max()) + 1
    if distinct < FOLDS:
        raise InputError("questions", distinct, f"at least {FOLDS} are needed to fit a policy")
    return [np.flatnonzero(names % FOLDS == fold) for fold in range(FOLDS)]


class _Search:
    """Cross-validated comparison of caps; what is fitted under each cap is fitted once."""

    def __init__(
        self,
        thoughts: Thoughts,
        runs: ThinkingRuns,
        caps: Sequence[int | None],
        stages: tuple[int, ...],
        held_out: Sequence[NDArray[np.int64]],
        models: NDArray[np.int64],
        n_jobs: int | None,
    ) -> None:
        self._runs, self._caps, self._stages = runs, list(caps), stages
        self._held_out, self._models, self._n_jobs = held_out, models, n_jobs
        self._probes = tuple(thoughts.probes.tolist())
        self._probe_tokens = thoughts.probe_tokens
        self._thought = float(thoughts.tokens.mean())
        self._known: dict[tuple[int, ...], SampleGain] = {}
        # The library's prices of a generation, spread over the tokens of a thought.
        self.prices = [price / self._thought for price in PRICES]

    def chosen(self) -> list[CapChoice]:
        """The choices tried: each cap alone, and the best one after each lower cap."""
        alone = [self._choice((cap,)) for cap in self._caps]
        best = self._caps[int(np.argmax([choice.accuracy for choice in alone]))]
        lower = self._caps[: self._caps.index(best)]
        return [*alone, *(self._choice((cap, best)) for cap in lower)]

    def _choice(self, caps: tuple[int | None, ...]) -> CapChoice:
        curve, found = self.curve(caps), []
        for model in np.unique(self._models):
            rows = self._models == model
            reached = curve.correct[:, rows].mean(axis=1)
            costs = curve.tokens[:, rows].mean(axis=1)
            low, high = LEAST_THOUGHTS * self._thought, MOST_THOUGHTS * self._thought
            found.append(mean_accuracy(reached, costs, low, high))
        return CapChoice(caps, float(np.mean(found)))

    def curve(self, caps: tuple[int | None, ...]) -> Curve:
        """The price curve of caps on questions held out of the fit."""
        everyone = np.arange(len(self._models))
        runs = self._runs.under([self._caps.index(cap) for cap in caps])

        def part(test: NDArray[np.int64]) -> Curve:
            policy = self.policy(caps, np.setdiff1d(everyone, test))
            return price_curve(BY_PRICE, policy, runs.of(test), self.prices)

        parts = in_threads(part, self._held_out, self._n_jobs)
        order = np.argsort(np.concatenate(self._held_out))
        correct, samples, tokens = (
            np.concatenate([getattr(part, unit) for part in parts], axis=1)[:, order]
            for unit in ("correct", "generations", "tokens")
        )
        return Curve(BY_PRICE, tuple(self.prices), correct, samples, tokens)

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
            probes=self._probes,
            probe_tokens=self._probe_tokens,
            caps=caps,
            stages=self._stages,
            sampling=tuple(self._sampling(number, train) for number in numbers),
            deepening=tuple(self._deepening(low, high, train) for low, high in pairwise(numbers)),
        )

    def _sampling(self, cap: int, train: NDArray[np.int64]) -> SampleGain:
        key = (cap, *train.tolist())
        if key not in self._known:
            self._known[key] = fit_sample_gain(self._runs.under([cap]).of(train), self._stages)
        return self._known[key]

    def _deepening(self, low: int, high: int, train: NDArray[np.int64]) -> DepthGain:
        return fit_depth_gain(self._runs.under([low, high]).of(train))
