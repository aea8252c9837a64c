"""Totals of finished requests: today, since the start, and in the last minutes."""

from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

from runtime.result import Receipt

MINUTES = 30  # minutes of spending that are kept


@dataclass
class Totals:
    """Totals of finished requests.

    Attributes:
        requests: answered, failed and cancelled requests.
        failures: failed requests.
        cancelled: requests whose client disconnected.
        generations: generations spent on answered requests; all below are of these, too.
        budgeted: generations that they were allowed.
        sampled_tokens: tokens that the language model sampled.
        thinking_tokens: of these, the tokens of thoughts.
        flops: FLOPs of sampling and of scoring, as far as the receipts name them.
        seconds: sum of their wall times.
    """

    requests: int = 0
    failures: int = 0
    cancelled: int = 0
    generations: int = 0
    budgeted: int = 0
    sampled_tokens: int = 0
    thinking_tokens: int = 0
    flops: float = 0.0
    seconds: float = 0.0

    def add(self, status: str, budget: int, receipt: Receipt | None) -> None:
        """Count a finished request."""
        self.requests += 1
        self.failures += status == "failed"
        self.cancelled += status == "cancelled"
        if receipt is not None:
            self.generations += receipt.generations
            self.budgeted += budget
            self.sampled_tokens += receipt.sampled_tokens
            self.thinking_tokens += receipt.thinking_tokens
            self.flops += receipt.flops or 0.0
            self.seconds += receipt.seconds

    def to_json(self) -> dict[str, Any]:
        """As JSON, with generations saved and mean seconds of an answer."""
        answered = self.requests - self.failures - self.cancelled
        mean = round(self.seconds / answered, 3) if answered else None
        return asdict(self) | {"saved": self.budgeted - self.generations, "mean_seconds": mean}


class Usage:
    """Totals of the day, which begins at local midnight, and since the start.

    Args:
        clock: seconds since 1970.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock, self._started = clock, clock()
        self._since_start = Totals()
        self._day, self._today = self._date(), Totals()
        self._minutes: deque[list[int]] = deque(maxlen=MINUTES)

    def add(self, status: str, budget: int, receipt: Receipt | None) -> None:
        """Count a finished request; without an answer it has no receipt."""
        for totals in (self._since_start, self._this_day()):
            totals.add(status, budget, receipt)
        if receipt is not None:
            minute = int(self._clock() // 60)
            if not self._minutes or self._minutes[-1][0] != minute:
                self._minutes.append([minute, 0, 0])
            self._minutes[-1][1] += receipt.generations
            self._minutes[-1][2] += budget

    def to_json(self) -> dict[str, Any]:
        """As JSON: totals, and the generations spent and budgeted in each of the last minutes."""
        now = int(self._clock() // 60)
        known = {minute: [spent, budgeted] for minute, spent, budgeted in self._minutes}
        return {
            "today": self._this_day().to_json(),
            "since_start": self._since_start.to_json(),
            "started": self._started,
            "minutes": [known.get(m, [0, 0]) for m in range(now - MINUTES + 1, now + 1)],
        }

    def _this_day(self) -> Totals:
        if self._day != self._date():
            self._day, self._today = self._date(), Totals()
        return self._today

    def _date(self) -> date:
        return datetime.fromtimestamp(self._clock()).date()
