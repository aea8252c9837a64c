"""Logged thoughts: the answers that each would have given at several depths, and at its end.

Every cap on thinking tokens at one of these depths is evaluated exactly, without a model.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from allocator.errors import InputError
from calibration.data.answer_codes import UNANSWERED
from predictors.thinking_state import PROBE_TOKENS, probed_tokens


class UnprobedError(InputError):
    """No answers were forced at a depth (`value`) that is a cap or of a probe (`field`)."""


@dataclass(frozen=True)
class DirectAnswers:
    """Answers given without a thought, shape (questions, answers); numbered as in `Capped`.

    Attributes:
        answer: the answers.
        tokens: of each, at least 1.
        nll: negative log-probability of each in nats; all 0 where it is not known.
    """

    answer: NDArray[np.int64]
    tokens: NDArray[np.float64]
    nll: NDArray[np.float64]

    def take(self, questions: NDArray[np.int64]) -> "DirectAnswers":
        """Those of some questions, by their indices."""
        return DirectAnswers(self.answer[questions], self.tokens[questions], self.nll[questions])


@dataclass(frozen=True)
class Capped:
    """Thoughts under one cap; all arrays of shape (questions, samples).

    Attributes:
        answer: 0 the correct one, 1 and more the wrong ones of the question, -1 for none.
        depth: thinking tokens.
        first: depth at which the answer was first probed; the depth itself where no probe gave it.
        finished: whether the thought ended by itself, or was cut off below the cap while it was
            sampled.
        cost: tokens of the thought, its probes and its answer.
        nll: negative log-probability of a finished thought in nats; all 0 where it is not known.
    """

    answer: NDArray[np.int64]
    depth: NDArray[np.float64]
    first: NDArray[np.float64]
    finished: NDArray[np.bool_]
    cost: NDArray[np.float64]
    nll: NDArray[np.float64]

    def take(self, questions: NDArray[np.int64]) -> "Capped":
        """The thoughts of some questions, by their indices."""
        return Capped(*(getattr(self, name)[questions] for name in self.__dataclass_fields__))

    def after(self, direct: DirectAnswers) -> "Capped":
        """Direct answers, then these thoughts; shape (questions, answers + samples).

        A direct answer counts as a thought that has ended, and is never probed.
        """
        ended = np.ones(direct.answer.shape, dtype=bool)
        columns = direct.answer, direct.tokens, direct.tokens, ended, direct.tokens, direct.nll
        return Capped(
            *(
                np.hstack([first, getattr(self, name)])
                for name, first in zip(self.__dataclass_fields__, columns, strict=True)
            )
        )


@dataclass(frozen=True)
class Thoughts:
    """Thoughts of many questions, as many for each; answers are numbered as in `Capped`.

    Attributes:
        answer: at the natural end, shape (questions, samples).
        tokens: of the whole thought, likewise, at least 1.
        probes: ascending depths at which answers were forced, shape (probes,).
        forced: the answer forced at each depth, shape (questions, samples, probes); what lies
            beyond a thought's end is not read.
        probe_tokens: tokens of a probe.
        direct: answers to the same questions without a thought; None where there are none.
        nll: negative log-probability of each whole thought in nats, shape (questions, samples);
            None where it is not known.
        answer_tokens: of the answer after each whole thought, shape (questions, samples), where
            `tokens` does not count it; None where it does.
        limit: the last of the depths, where no thought may be longer: one that was cut off there
            has more `tokens`. None where thoughts may have any length.
        cut: whether each whole thought was cut off after its `tokens` while it was sampled, shape
            (questions, samples): under a cap there, its answer is the forced one. None for none.

    Raises:
        InputError: shapes that do not agree, depths that do not ascend, or tokens below 1.
    """

    answer: NDArray[np.int64]
    tokens: NDArray[np.float64]
    probes: NDArray[np.int64]
    forced: NDArray[np.int64]
    probe_tokens: int = PROBE_TOKENS
    direct: DirectAnswers | None = None
    nll: NDArray[np.float64] | None = None
    answer_tokens: NDArray[np.float64] | None = None
    limit: int | None = None
    cut: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        shape = self.answer.shape
        if self.direct is not None and len(self.direct.answer) != len(self.answer):
            raise InputError("direct", self.direct.answer.shape, f"must be of {shape[0]} questions")
        if self.tokens.shape != shape or self.forced.shape != (*shape, len(self.probes)):
            raise InputError("forced", self.forced.shape, f"must be {shape} and one per probe")
        if len(self.probes) and (self.probes[0] < 1 or np.any(np.diff(self.probes) <= 0)):
            raise InputError("probes", self.probes.tolist(), "must be ascending depths from 1 on")
        if self.tokens.size and self.tokens.min() < 1:
            raise InputError("tokens", float(self.tokens.min()), "must be 1 or more")

    def take(self, questions: NDArray[np.int64]) -> "Thoughts":
        """The thoughts of some questions, by their indices."""
        return replace(
            self,
            answer=self.answer[questions],
            tokens=self.tokens[questions],
            forced=self.forced[questions],
            direct=None if self.direct is None else self.direct.take(questions),
            nll=None if self.nll is None else self.nll[questions],
            answer_tokens=None if self.answer_tokens is None else self.answer_tokens[questions],
            cut=None if self.cut is None else self.cut[questions],
        )

    @property
    def lengths(self) -> NDArray[np.float64]:
        """Tokens that each thought would have at least, had it not been cut off."""
        return self.tokens if self.cut is None else self.tokens + self.cut

    def every(self, tokens: int) -> "Thoughts":
        """The same with the probes at multiples of a number of tokens alone."""
        kept = self.probes % tokens == 0
        return replace(self, probes=self.probes[kept], forced=self.forced[:, :, kept])

    def unprobed(self) -> "Thoughts":
        """The same without probes: whole thoughts alone."""
        return replace(self, probes=self.probes[:0], forced=self.forced[:, :, :0])

    def probed_at(self, depths: Sequence[int], probe_tokens: int) -> "Thoughts":
        """The same with other probes, as far as these have been made.

        A log's probes may end before its longest thought does: what would have been forced beyond
        the last one is not known, and costs its tokens.

        Args:
            depths: ascending depths of the probes.
            probe_tokens: tokens of one.

        Raises:
            UnprobedError: a depth before the last probe at which there is none, or no depth at
                which there is one.
        """
        known = np.isin(depths, self.probes)
        last = self.probes.max(initial=0)
        missing = [d for d, is_known in zip(depths, known, strict=True) if not is_known]
        if missing and (missing[0] < last or not known.any()):
            why = f"answers must have been forced at this depth too, as at {self.probes.tolist()}"
            raise UnprobedError("probes", missing[0], why)
        made = self.forced[:, :, np.isin(self.probes, depths)]
        filled = ((0, 0), (0, 0), (0, len(missing)))
        return replace(
            self,
            probes=np.array(depths, dtype=np.int64),
            forced=np.pad(made, filled, constant_values=UNANSWERED),
            probe_tokens=probe_tokens,
        )

    def at_cap(self, cap: int | None, probed: bool = True) -> Capped:
        """The thoughts under a cap; where one is cut off, the answer is the one forced there.

        Args:
            cap: one of the depths of the probes; None for no cap, where there is no limit.
            probed: whether answers are forced before the cap, too: that costs tokens, and tells how
                long the answer has stood.

        Raises:
            UnprobedError: no such depth.
        """
        known = self.limit is None if cap is None else cap in self.probes
        if not known:
            raise UnprobedError("cap", cap, f"must be one of {self.probes.tolist()}")
        top = np.inf if cap is None else cap
        finished = self.lengths <= top
        answer = self.answer
        if cap is not None:
            place = int(np.searchsorted(self.probes, cap))
            answer = np.where(finished, answer, self.forced[:, :, place])
        depth = np.minimum(self.tokens, top)
        # Only probes before a thought's end have been made.
        same = (self.forced == answer[..., None]) & (self.probes <= depth[..., None])
        same &= answer[..., None] != UNANSWERED
        first = depth
        none = np.zeros(depth.shape)
        after = none if self.answer_tokens is None else self.answer_tokens
        cost = depth + np.where(finished, after, self.probe_tokens)
        if probed and len(self.probes):
            first = np.where(same.any(axis=-1), self.probes[same.argmax(axis=-1)], depth)
            # The answer at the cap is the last of the probes.
            cost = probed_tokens(depth, self.probes.tolist(), self.probe_tokens) + finished * after
        nll = none if self.nll is None else self.nll
        return Capped(answer, depth, first.astype(float), finished, cost, nll)


def joined(parts: list[Thoughts]) -> Thoughts:
    """The thoughts of several logs, one after the other: of the samples that all of them have.

    They have no limit, and their tokens count the answers. Depths are those of the log with the
    most; elsewhere no answer was forced there. Direct answers and log-probabilities are left out.

    Raises:
        InputError: depths of one that are not the first of the other's.
    """
    samples = min(part.answer.shape[1] for part in parts)
    probes = max((part.probes for part in parts), key=len)
    forced = []
    for part in parts:
        count = len(part.probes)
        if not np.array_equal(part.probes, probes[:count]):
            raise InputError("probes", part.probes.tolist(), f"must begin {probes.tolist()}")
        empty = ((0, 0), (0, 0), (0, len(probes) - count))
        filled = np.pad(part.forced[:, :samples], empty, constant_values=UNANSWERED)
        forced.append(filled)
    return Thoughts(
        np.concatenate([part.answer[:, :samples] for part in parts]),
        np.concatenate([part.tokens[:, :samples] for part in parts]),
        probes,
        np.concatenate(forced),
        cut=np.concatenate([(part.lengths > part.tokens)[:, :samples] for part in parts]),
    )
