"""A prompt as somebody asks it, and what is told of the work on it."""

from collections.abc import Callable
from dataclasses import dataclass
from math import isnan
from typing import Any, Literal

from pydantic import BaseModel

from predictors.sample import Sample
from runtime.engines.base import SamplingSettings


class Event(BaseModel):
    """Something that happened to a prompt on its way to its answer.

    Attributes:
        kind: ``decision``: its plan was chosen; ``step``: a search's beam has grown by one step and
            was scored; ``solution``: a solution is complete.
        path: names the draw, as in ``("beam_search", 16, 4, 0, round, place)``.
        parent: path of the step that a step follows, or that a finished beam ends with; empty for
            a beam's first step and for solutions that were not searched for.
        score: the verifier's, of the beam or the solution; None where it was not asked.
        tokens: sampled tokens of the beam or the solution.
        answer: a solution's; None where it has none.
        decision: the decision, as `runtime.solving.decide.Decision` has it.
    """

    kind: Literal["decision", "step", "solution"]
    path: tuple[str | int, ...] = ()
    parent: tuple[str | int, ...] = ()
    score: float | None = None
    tokens: int = 0
    answer: str | None = None
    decision: dict[str, Any] | None = None


EventHandler = Callable[[Event], None]


def step_event(
    path: tuple[str | int, ...], parent: tuple[str | int, ...], score: float, tokens: int
) -> Event:
    """A search's beam has grown by one step; see `Event`."""
    return Event(kind="step", path=path, parent=parent, score=score, tokens=tokens)


def solution_event(
    sample: Sample, path: tuple[str | int, ...], parent: tuple[str | int, ...] = ()
) -> Event:
    """A solution is complete; see `Event`."""
    return Event(
        kind="solution",
        path=path,
        parent=parent,
        score=None if isnan(sample.score) else sample.score,
        tokens=sample.tokens,
        answer=sample.answer,
    )


@dataclass(frozen=True)
class RequestSettings:
    """How the solutions of one prompt are sampled.

    Attributes:
        sampling: temperature and the like, and the longest solution in tokens.
        stops: texts that end a solution, which is cut before them.
        stop_token_ids: tokens that do so.
        early_stop: stop best-of-N once the solutions still to come cannot change the answer.
    """

    sampling: SamplingSettings
    stops: tuple[str, ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    early_stop: bool = False


@dataclass(frozen=True)
class Request:
    """A prompt with settings of its own.

    Attributes:
        text: the prompt, as verifiers and revisers read it that lay it out in their own way.
        token_ids: what the language model continues; None lays the text out as calibration did.
        settings: how its solutions are sampled; None takes the solver's.
        seed: with the prompt, determines every sample; None takes the solver's.
        solutions: how many solutions there should be to choose from, as far as its budget goes.
        on_event: called with what happens.
    """

    text: str
    token_ids: tuple[int, ...] | None = None
    settings: RequestSettings | None = None
    seed: int | None = None
    solutions: int = 1
    on_event: EventHandler | None = None
