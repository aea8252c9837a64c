"""Outcomes of best-of-n on logged samples: the vectorised counterpart of `Replay`."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from allocator.errors import InputError
from allocator.plan import Plan, Selection
from allocator.schedule import Schedule
from calibration.data.answer_codes import CORRECT, UNANSWERED
from calibration.data.sample_log import Log
from calibration.replay.adaptive_run import AdaptiveRuns, Draw, joined, replay_run
from calibration.replay.estimators import best_of_n_accuracy, majority_accuracy
from calibration.replay.outcomes import Outcome
from calibration.replay.parallel import check_jobs, in_processes, in_threads
from calibration.replay.replay import REPLICATES
from predictors.features import FEATURE_NAMES, TINY, rounded

# Samples replayed by adaptive runs at most, over all replicates: takes a few seconds.
MAX_REPLAYED = 2_000_000
PART = 500  # questions that adaptive runs replay at a time, on one core


class LoggedReplay:
    """Best-of-n on a log, by every selection that its scores allow.

    Each replicate takes a question's samples in another rotation. Plans are evaluated on its first
    samples; the second half of the rotation measures pass@1, by which plans of up to half of the
    samples may be binned. Without pilots, the greatest score (and majority, where there are no
    scores to break ties) is computed in closed form over all subsets of all samples, unless
    outcomes are to be binned. All other outcomes are averages over rotations. FLOPs are all 0: a
    log does not know the models' sizes.

    Args:
        log: the samples.
        score: the score that votes are weighted by, shape (questions, samples); None where votes
            are only counted.
        replicates: rotations of a question's samples.
        exact: use closed forms where there are any.
        n_jobs: see `calibration.replay.parallel`.
        served: the score as live samples have it, which difficulty is predicted from; None for
            `score`. Scores of several held-out scorings would tell their folds apart.

    Raises:
        InputError: `n_jobs` is 0.

    Attributes:
        prompts: number of questions.
        window: samples of the question that has the fewest.
        binned_budget: half of the window.
        selections: the selections that the log allows; plans use the first.
    """

    def __init__(
        self,
        log: Log,
        score: NDArray[np.float64] | None,
        replicates: int = REPLICATES,
        exact: bool = True,
        n_jobs: int | None = -1,
        served: NDArray[np.float64] | None = None,
    ) -> None:
        check_jobs(n_jobs)
        self.n_jobs = n_jobs
        self.log = log
        self.score = score
        self.served = score if served is None else served
        self.prompts, self.window = len(log.answer), log.window
        self.binned_budget = self.window // 2
        self.replicates = replicates
        self.exact = exact
        self.states: NDArray[np.float32] | None = None  # a log has no model
        self.selections: tuple[Selection, ...] = (
            ("majority",) if score is None else ("weighted", "majority", "best")
        )
        self._known: dict[tuple[Plan, int], Outcome] = {}
        self._known_features: dict[int, NDArray[np.float64]] = {}

    def pass_at_1(self, pilots: int) -> NDArray[np.float64]:
        """Measured pass@1 from the second half of each rotation, without the pilots.

        Raises:
            InputError: the pilots are all of the samples.
        """
        first = max(self.binned_budget, pilots)
        if first >= self.window:
            raise InputError("pilots", pilots, f"must be less than the {self.window} samples")
        rest = [self._place(r, self.window)[:, first:] for r in range(self.replicates)]
        return np.stack([_at(self.log.correct, place).mean(1) for place in rest], axis=1)

    def pass_at_1_samples(self, pilots: int) -> int:
        """See `calibration.replay.outcomes.Outcomes.pass_at_1_samples`."""
        return self.window - max(self.binned_budget, pilots)

    @cached_property
    def without_closed_forms(self) -> "LoggedReplay":
        """The same without closed forms."""
        return LoggedReplay(self.log, self.score, self.replicates, False, self.n_jobs, self.served)

    def features(self, pilots: int) -> NDArray[np.float64]:
        """Pilot features, shape (questions, replicates, features); NaN where the log lacks them.

        As `predictors.features.pilot_features`.
        """
        if pilots not in self._known_features:
            each = [self._features(replicate, pilots) for replicate in range(self.replicates)]
            self._known_features[pilots] = np.stack(each, axis=1)
        return self._known_features[pilots]

    def prepare(self, plans: Sequence[tuple[Plan, int]], pilots: Sequence[int]) -> None:
        """See `calibration.replay.outcomes.Outcomes.prepare`.

        Raises:
            InputError: a plan that cannot be replayed on this log.
        """
        in_threads(lambda entry: self.outcome(*entry), plans, self.n_jobs)
        in_threads(self.features, pilots, self.n_jobs)

    def outcome(self, plan: Plan, pilots: int) -> Outcome:
        """The plan's accuracy and tokens; see `calibration.replay.replay.Replay.outcome`.

        Raises:
            InputError: a plan that cannot be replayed on this log.
        """
        if plan.strategy != "best_of_n" or plan.selection not in self.selections:
            raise InputError(
                "plan", str(plan), "must be best-of-n by a selection that the log has scores for"
            )
        key = (plan, pilots)
        if key not in self._known:
            n = max(plan.n, pilots)
            exact = self.exact and pilots == 0
            if exact and plan.selection == "best":
                correct = self._everywhere(self._greatest_score(n))
            elif exact and plan.selection == "majority" and self.score is None:
                correct = self._everywhere(self._most_votes(n))
            else:
                rotations = range(self.replicates)
                correct = np.stack([self._rotated(plan, n, r) for r in rotations], axis=1)
            tokens = self._tokens(n, exact)
            self._known[key] = Outcome(correct, tokens, np.zeros(tokens.shape))
        return self._known[key]

    def mixed_outcome(self, plans: Sequence[Sequence[Plan]], pilots: int) -> Outcome:
        """See `calibration.replay.outcomes.Outcomes.mixed_outcome`."""
        chosen = np.array(plans, dtype=object)
        correct, tokens, flops = np.zeros((3, *chosen.shape))
        for plan in set(chosen.ravel().tolist()):
            found, here = self.without_closed_forms.outcome(plan, pilots), chosen == plan
            correct[here], tokens[here] = found.correct[here], found.tokens[here]
        return Outcome(correct, tokens, flops)

    def majority(self, n: int) -> Outcome:
        """See `calibration.replay.outcomes.Outcomes.majority`."""
        if self.exact:
            correct = self._everywhere(self._most_votes(n))
        else:
            rotations = range(self.replicates)
            correct = np.stack([self._shared_votes(self._place(r, n)) for r in rotations], axis=1)
        tokens = self._tokens(n, self.exact)
        return Outcome(correct, tokens, np.zeros(tokens.shape))

    def adaptive_runs(self, schedule: Schedule) -> AdaptiveRuns:
        """See `calibration.replay.replay.Replay.adaptive_runs`; large logs have fewer replicates.

        Without scores every vote has weight 1.
        """
        count = min(self.replicates, max(1, MAX_REPLAYED // (self.prompts * self.window)))
        top = schedule.stages[-1].samples
        ones, zeros = np.ones(self.log.answer.shape), np.zeros(self.log.answer.shape)
        columns = (
            self.log.answer,
            ones if self.score is None else self.score,
            zeros if self.log.tokens is None else self.log.tokens,
        )
        places = [self._place(replicate, top) for replicate in range(count)]
        parts = []
        for start in range(0, self.prompts, PART):
            rows = slice(start, start + PART)
            drawn = [tuple(_at(c[rows], place[rows]) for c in columns) for place in places]
            parts.append((schedule, drawn))
        solutions = self.prompts * count * top
        return joined(in_processes(_adapted, parts, self.n_jobs, solutions))

    def _greatest_score(self, n: int) -> NDArray[np.float64]:
        answer, sizes = self.log.answer, self.log.sizes
        everywhere = np.broadcast_to(np.arange(answer.shape[1]), answer.shape)
        scores = np.where(answer == UNANSWERED, -1.0, self._weights(everywhere))
        found = np.empty(self.prompts)
        for size in np.unique(sizes).tolist():
            of_size = sizes == size
            correct = answer[of_size, :size] == CORRECT
            found[of_size] = best_of_n_accuracy(scores[of_size, :size], correct, n)
        return found

    def _most_votes(self, n: int) -> NDArray[np.float64]:
        counts = _sums(self.log.answer, np.ones(self.log.answer.shape))
        silent = ((self.log.answer == UNANSWERED) & self.log.sampled).sum(1)
        return majority_accuracy(counts[:, 1:], np.stack([counts[:, 0], silent], 1), n)

    def _shared_votes(self, place: NDArray[np.int64]) -> NDArray[np.float64]:
        """The correct answer's share of a majority win among some samples, shape (prompts,)."""
        answer = _at(self.log.answer, place)
        votes = _sums(answer, np.ones(answer.shape))
        leading = (votes == votes.max(1, keepdims=True)) & (votes > 0)
        return np.asarray(leading[:, CORRECT] / np.maximum(1, leading.sum(1)))

    def _everywhere(self, correct: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.repeat(correct[:, None], self.replicates, axis=1)

    def _rotated(self, plan: Plan, n: int, replicate: int) -> NDArray[np.float64]:
        """Whether the right answer is selected from the first n of a rotation, shape (prompts,)."""
        place = self._place(replicate, n)
        answer, weights = _at(self.log.answer, place), self._weights(place)
        if plan.selection == "best":
            ranks = [weights]
        else:
            votes = _of_answers(answer, np.ones(answer.shape))
            mass = votes if plan.selection == "majority" else _of_answers(answer, weights)
            # Ties go to the greater score, then to the answer of more samples.
            ranks = [mass, weights, votes]
        leading = answer != UNANSWERED
        for rank in ranks:
            reached = np.where(leading, rank, -1.0)
            # Sums of many scores differ in their last digits with the order.
            leading = reached >= reached.max(1, keepdims=True) * (1 - 1e-12)
        chosen = leading.argmax(1)  # the earliest
        return np.asarray(
            np.take_along_axis(answer, chosen[:, None], 1)[:, 0] == CORRECT, dtype=float
        )

    def _tokens(self, n: int, exact: bool) -> NDArray[np.float64]:
        if self.log.tokens is None:
            return np.zeros((self.prompts, self.replicates))
        if exact:
            mean = self.log.tokens.sum(1) / self.log.sizes
            return np.repeat(mean[:, None] * n, self.replicates, axis=1)
        sums = [_at(self.log.tokens, self._place(r, n)).sum(1) for r in range(self.replicates)]
        return np.stack(sums, axis=1)

    def _place(self, replicate: int, count: int) -> NDArray[np.int64]:
        """Which samples of each question a replicate takes first, shape (questions, count)."""
        sizes = self.log.sizes[:, None]
        shift = replicate * sizes // self.replicates
        return np.asarray((np.arange(count) + shift) % sizes)

    def _weights(self, place: NDArray[np.int64]) -> NDArray[np.float64]:
        """Scores of some samples; 0 where there are none."""
        return np.zeros(place.shape) if self.score is None else _at(self.score, place)

    def _features(self, replicate: int, pilots: int) -> NDArray[np.float64]:
        place = self._place(replicate, pilots)
        answer = _at(self.log.answer, place)
        shares = _sums(answer, np.ones(answer.shape)) / pilots
        logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
        found = {
            "agreement": shares.max(1),
            "answer_entropy": -(shares * logs).sum(1),
            "unanswered_share": (answer == UNANSWERED).mean(1),
        }
        if self.served is not None:
            score = _at(self.served, place)
            found |= {
                "score_mean": score.mean(1),
                "score_std": score.std(1),
                "score_min": score.min(1),
                "score_max": score.max(1),
                "top_answer_score_share": _sums(answer, score).max(1)
                / np.maximum(score.sum(1), TINY),
            }
        if self.log.tokens is not None:
            tokens = _at(self.log.tokens, place)
            found |= {"tokens_mean": tokens.mean(1), "tokens_std": tokens.std(1)}
        unknown = np.full(self.prompts, np.nan)
        return rounded(np.stack([found.get(name, unknown) for name in FEATURE_NAMES], axis=1))


def _at(values: NDArray[Any], place: NDArray[np.int64]) -> NDArray[Any]:
    """Each question's values at its own places, shape (questions, places)."""
    return np.take_along_axis(values, place, axis=1)


def _adapted(given: tuple[Schedule, Sequence[tuple[NDArray[Any], ...]]]) -> AdaptiveRuns:
    """Adaptive runs of some questions.

    Args:
        given: the schedule, and for each replicate the answers, scores and tokens in the order
            drawn, of shape (questions, samples).
    """
    schedule, drawn = given
    found = AdaptiveRuns.empty(len(drawn[0][0]), len(drawn), len(schedule.stages))
    for replicate, (answers, scores, tokens) in enumerate(drawn):
        each = answers.tolist(), scores.tolist(), tokens.astype(int).tolist()
        for row, of_question in enumerate(zip(*each, strict=True)):
            draws: list[Draw] = [
                (None if answer == UNANSWERED else str(answer), score, length)
                for answer, score, length in zip(*of_question, strict=True)
            ]
            replay_run(found, (row, replicate), schedule, 0, str(CORRECT), draws, {})
    return found


def _of_answers(answer: NDArray[np.int64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """The summed weights of each sample's answer, shape (questions, samples)."""
    return np.take_along_axis(_sums(answer, weights), np.maximum(answer, 0), 1)


def _sums(answer: NDArray[np.int64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Summed weights of each answer, the correct one first; shape (questions, answers)."""
    width = int(answer.max(initial=0)) + 1
    cell = np.arange(len(answer))[:, None] * width + answer
    voted = answer != UNANSWERED
    total = np.bincount(cell[voted], weights[voted], minlength=len(answer) * width)
    return np.asarray(total, dtype=float).reshape(len(answer), width)
