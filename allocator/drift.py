"""Drift: whether live traffic still resembles the calibration prompts.

A table's plans are valid for prompts like those it was calibrated on. Three signals of the pilots
(their mean score, their agreement, the predicted bin) are compared with those of calibration: per
signal, a G-test of the last prompts' counts against the baseline's.
"""

import math
from collections import deque
from collections.abc import Hashable, Mapping, Sequence
from operator import getitem

from allocator.drift_baseline import DriftBaseline
from allocator.errors import InputError
from allocator.schema import Schema

# The p-value of a signal at which the alarm is raised. Three signals are tested after every prompt,
# so it is far below 1%, the share of 1,000-prompt streams like calibration that may raise an alarm.
# In simulations of 10,000 such streams 0.1% to 0.4% did (signals independent or not, values rare
# or not, 60 to 10,000 calibration prompts).
ALARM = 2e-6
# The p-value that every signal must exceed for the alarm to end. Traffic like calibration does so
# 93% of the time: an alarm ends once the window is full of it, and does not flicker before.
CLEAR = 0.01
# Prompts compared. A longer window detects smaller shifts, but later.
WINDOW = 100
# No test on fewer prompts: those answered first are the quickest ones, a biased sample. At most
# a quarter of the window.
MIN_PROMPTS = 20

WORDS = {"score": "pilot scores", "agreement": "pilots' agreement", "bin": "difficulty bins"}


class SignalDrift(Schema):
    """One signal's G-test: the window's, or its last quarter's if that has a smaller p-value.

    Attributes:
        name: the signal's.
        prompts: prompts tested.
        statistic: G, chi-square distributed while traffic is like calibration.
        freedom: its degrees of freedom.
        p: probability of such a G, or a larger one, in traffic like calibration.
        excess: in words, the values whose share exceeds calibration's the most.
    """

    name: str
    prompts: int
    statistic: float
    freedom: int
    p: float
    excess: str


class DriftReport(Schema):
    """Whether live traffic resembles calibration.

    Attributes:
        drifted: the alarm is on.
        prompts: prompts in the window.
        signals: the test of each signal.
        why: the reason, in a sentence.
    """

    drifted: bool
    prompts: int
    signals: tuple[SignalDrift, ...]
    why: str


class DriftMonitor:
    """Compares the last prompts with the baseline, after every prompt, in constant time.

    The whole window detects a small shift, its last quarter a large one sooner.

    Args:
        drift_baseline: distributions of calibration.

    Attributes:
        drifted: the alarm is on.
    """

    def __init__(self, drift_baseline: DriftBaseline) -> None:
        self.drift_baseline = drift_baseline
        self.drifted = False
        self._prompts: deque[Hashable] = deque(maxlen=WINDOW)
        self._windows = (_Window(drift_baseline, WINDOW), _Window(drift_baseline, WINDOW // 4))
        self._report: DriftReport | None = None

    def observe(self, values: Mapping[str, float], prompt: Hashable | None = None) -> None:
        """Add one prompt; the oldest prompt leaves a full window.

        Args:
            values: the prompt's value of each of the baseline's signals.
            prompt: identifies the prompt. One that repeats another of the window takes a place in
                it and counts for nothing: a probe is no drift. None is unlike all others.

        Raises:
            InputError: other signals than the baseline's, or a value that is not finite.
        """
        cells = _cells(self.drift_baseline, values)
        if len(self._prompts) == WINDOW:
            self._prompts.popleft()
        repeated = prompt is not None and prompt in self._prompts
        self._prompts.append(None if repeated else prompt)
        self._report = None
        for window in self._windows:
            window.push(None if repeated else cells)
        if self._windows[0].prompts < MIN_PROMPTS:
            self.drifted = False
            return
        tests = (window.test(i) for window in self._windows for i in range(len(cells)))
        least = min(p for _, _, p in tests)
        self.drifted = least <= (CLEAR if self.drifted else ALARM)

    def report(self) -> DriftReport:
        """How the last prompts compare with the baseline."""
        if self._report is None:
            self._report = self._reported()
        return self._report

    def _reported(self) -> DriftReport:
        prompts = self._windows[0].prompts
        drifts = zip(*(window.drifts() for window in self._windows), strict=True)
        signals = tuple(min(either, key=lambda drift: drift.p) for either in drifts)
        why = "like calibration"
        if self.drifted:
            unlike = (drift for drift in signals if drift.p <= CLEAR)
            why = "; ".join(f"{WORDS.get(d.name, d.name)}: {d.excess}" for d in unlike)
        elif prompts < MIN_PROMPTS:
            why = f"too few prompts to tell: {prompts} of {MIN_PROMPTS}"
        return DriftReport(drifted=self.drifted, prompts=prompts, signals=signals, why=why)


def compare_signals(
    drift_baseline: DriftBaseline, prompts: Sequence[Mapping[str, float]]
) -> list[SignalDrift]:
    """The test of each signal over some prompts, all at once.

    Args:
        drift_baseline: distributions of calibration.
        prompts: each prompt's value of each of the baseline's signals; at least one prompt.

    Raises:
        InputError: as `DriftMonitor.observe`.
    """
    window = _Window(drift_baseline, len(prompts))
    for values in prompts:
        window.push(_cells(drift_baseline, values))
    return window.drifts()


def _cells(drift_baseline: DriftBaseline, values: Mapping[str, float]) -> list[int]:
    """The cell of each signal's value."""
    signals = drift_baseline.signals
    if values.keys() != signals.keys():
        raise InputError("signals", sorted(values), f"must be {', '.join(signals)}")
    for name, value in values.items():
        if not math.isfinite(value):
            raise InputError(name, value, "must be finite")
    return [histogram.cell(values[name]) for name, histogram in signals.items()]


class _Window:
    """Counts of the last prompts, at most `length`, in each cell of each signal.

    Attributes:
        prompts: how many of them count.
    """

    def __init__(self, drift_baseline: DriftBaseline, length: int) -> None:
        self._drift_baseline, self._length = drift_baseline, length
        self._recent: deque[list[int] | None] = deque()
        self.prompts = 0
        self._shares = [histogram.shares for histogram in drift_baseline.signals.values()]
        self._counts = [[0] * len(shares) for shares in self._shares]
        # The terms of G for every possible count: in each cell, and in total.
        known = drift_baseline.prompts
        self._terms = [
            [[_g_term(live, share * known) for live in range(length + 1)] for share in shares]
            for shares in self._shares
        ]
        self._totals = [_g_term(live, known) for live in range(length + 1)]

    def push(self, cells: list[int] | None) -> None:
        """Add one prompt, one cell per signal, or None for one that does not count.

        The oldest prompt leaves a full window.
        """
        if len(self._recent) == self._length:
            self._add(self._recent.popleft(), -1)
        self._add(cells, 1)
        self._recent.append(cells)

    def _add(self, cells: list[int] | None, sign: int) -> None:
        if cells is not None:
            self.prompts += sign
            for counts, cell in zip(self._counts, cells, strict=True):
                counts[cell] += sign

    def test(self, signal: int) -> tuple[float, int, float]:
        """G of a signal, its degrees of freedom and p-value.

        The baseline is itself a sample, so this is the two-sample test. Pearson's statistic has far
        too heavy a tail where a value is rare.
        """
        counts, shares = self._counts[signal], self._shares[signal]
        terms = sum(map(getitem, self._terms[signal], counts))
        g = max(0.0, 2 * (terms - self._totals[self.prompts]))
        # Cells that are empty in both samples are not counted.
        freedom = sum(map(any, zip(counts, shares, strict=True))) - 1
        return g, freedom, chi2_tail(g, freedom)

    def drifts(self) -> list[SignalDrift]:
        """The test of each signal, with its description."""
        drifts = []
        for i, (name, histogram) in enumerate(self._drift_baseline.signals.items()):
            statistic, freedom, p = self.test(i)
            shares = self._shares[i]
            live = [count / max(1, self.prompts) for count in self._counts[i]]
            cell = max(range(len(shares)), key=lambda c: live[c] - shares[c])
            drifts.append(
                SignalDrift(
                    name=name,
                    prompts=self.prompts,
                    statistic=statistic,
                    freedom=freedom,
                    p=p,
                    excess=f"{live[cell]:.0%} of the last {self.prompts} prompts are "
                    f"{histogram.span(cell)}, {shares[cell]:.0%} of calibration's were",
                )
            )
        return drifts


def _g_term(live: float, baseline: float) -> float:
    """x log x of two counts, minus that of their sum."""
    return _x_log_x(live) + _x_log_x(baseline) - _x_log_x(live + baseline)


def _x_log_x(x: float) -> float:
    return x * math.log(x) if x else 0.0


def chi2_tail(x: float, freedom: int) -> float:
    """The probability that a chi-square variable exceeds x >= 0; 1 with no degrees of freedom."""
    if freedom == 0:
        return 1.0
    half, odd = x / 2, freedom % 2
    tail = math.erfc(math.sqrt(half)) if odd else math.exp(-half)
    # Q(a + 1, y) = Q(a, y) + y^a e^-y / Gamma(a + 1), from a = 1/2 or 1 on.
    for i in range((freedom - 1) // 2):
        a = i + (0.5 if odd else 1.0)
        tail += half**a * math.exp(-half) / math.gamma(a + 1)
    return tail
