"""The demo on the terminal: two methods as they answer, and the tables at the end."""

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from calibration.cli.console import new_table
from calibration.progress import console
from calibration.report.words import UNITS, flops, listed
from runtime.result import Receipt


@dataclass
class Tally:
    """The progress of one method.

    Attributes:
        name: the method.
        prompts: number of prompts to answer.
        answered: number of prompts answered.
        right: number of right answers.
        generations: generations spent.
        tokens: tokens sampled.
        flops: FLOPs of sampling and of scoring.
        seconds: time taken, once all are answered.
    """

    name: str
    prompts: int
    answered: int = 0
    right: int = 0
    generations: int = 0
    tokens: int = 0
    flops: float = 0.0
    seconds: float = 0.0
    _started: float | None = None

    def add(self, right: bool, receipt: Receipt) -> None:
        """Count an answered prompt."""
        self.answered += 1
        self.right += right
        self.generations += receipt.generations
        self.tokens += receipt.sampled_tokens
        self.flops += receipt.flops or 0.0

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Count the seconds of the block."""
        self._started = time.perf_counter()
        yield
        self.seconds, self._started = self.elapsed, None

    @property
    def elapsed(self) -> float:
        """Seconds until now, or until all prompts were answered."""
        return self.seconds if self._started is None else time.perf_counter() - self._started

    def as_json(self) -> dict[str, Any]:
        """The final counts."""
        return {
            "name": self.name,
            "accuracy": self.right / self.answered,
            "generations": self.generations / self.answered,
            "tokens": self.tokens / self.answered,
            "flops": self.flops / self.answered,
            "seconds": self.seconds,
        }


def live(tallies: Sequence[Tally]) -> AbstractContextManager[object]:
    """Show the growing tallies while the block lasts."""
    return Live(get_renderable=lambda: board(tallies), console=console, refresh_per_second=8)


def board(tallies: Sequence[Tally]) -> RenderableType:
    """The policy's and the baseline's tally, and the saving so far."""
    policy, plain = tallies
    shown = new_table(
        f"{policy.prompts} held-out prompts, each answered by both",
        *("", "answered", "right", *UNITS.values(), "seconds"),
    )
    for tally in tallies:
        shown.add_row(
            tally.name,
            f"{tally.answered} of {tally.prompts}",
            f"{tally.right / tally.answered:.1%}" if tally.answered else "",
            f"{tally.generations:,}",
            f"{tally.tokens:,}",
            flops(tally.flops),
            f"{tally.elapsed:.0f}",
        )
    saved = ""
    if plain.answered:
        fewer = plain.generations / policy.generations
        saved = f"The policy has spent {fewer:.1f} times fewer generations"
        saved += "." if plain.answered == plain.prompts else " already."
    return Group(shown, Text(saved, style="bold green"))


def closing(tallies: Sequence[Tally], found: dict[str, Any]) -> list[RenderableType]:
    """The results with intervals, and the compute spent by difficulty.

    Args:
        tallies: the policy's and the baseline's.
        found: result of `benchmarks.demo_figures.measure`.
    """
    policy, plain = tallies
    groups = new_table(
        "By true difficulty, the easiest prompts first",
        *("true pass@1", "prompts", "policy's generations", "policy right", "baseline right"),
    )
    for group in found["difficulty"]:
        groups.add_row(
            f"{group['pass_at_1']:.0%}",
            str(group["prompts"]),
            f"{group['generations']:.1f}",
            f"{group['accuracy']:.0%}",
            f"{group['baseline']:.0%}",
        )
    difference = {key: 100 * value for key, value in found["difference"].items()}
    spent = policy.generations / policy.answered
    fewer = [f"{_of(found['gains'][unit])} times fewer {name}" for unit, name in UNITS.items()]
    sentences = (
        f"Compared with {plain.name}, the policy spent {listed(fewer)}. Its accuracy is "
        f"{_of(difference, '+.1f')} points from the baseline's. For the policy's accuracy, "
        f"best-of-N weighted spends {_of(found['matched'])} generations per prompt; the policy "
        f"spent {spent:.1f}. In brackets, 95% intervals over prompts."
    )
    return [Text(), groups, Text(), Text(sentences), Text()]


def _of(interval: dict[str, float], form: str = ".1f") -> str:
    value, low, high = (f"{interval[key]:{form}}" for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"
