"""A prompt with its own sampling settings, and the events of the work on it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import isnan
from typing import Any, Literal

from pydantic import BaseModel

from predictors.sample import Sample
from runtime.engines.base import SamplingSettings
from runtime.engines.constraint import Constraint
from runtime.engines.token_options import PLAIN, TokenOptions
from runtime.frontend.answer_form import FREE_TEXT, AnswerForm


@dataclass(frozen=True)
class SearchStep:
    """Where a step stands in its search.

    Attributes:
        search: the strategy that searches, such as ``beam_search``.
        beams: beams of the whole search, over all subtrees.
        lookahead: steps of rollout before a beam is ranked; every beam then costs
            ``lookahead + 1`` generations.
        round: number of the round, from 0.
        place: number of the beam within its round, from 0. The subtrees of DVTS stand side by
            side: tree t of width M has the places t * M to t * M + M - 1.
    """

    search: str
    beams: int
    lookahead: int
    round: int
    place: int


class Event(BaseModel):
    """Something that happened to a prompt on its way to its answer.

    Attributes:
        kind: ``decision``: its plan was chosen; ``step``: a beam of a search has grown by one step
            and was scored; ``solution``: a solution is complete.
        step: of a step, where it stands; of a beam that is complete, its last step.
        parent_place: of a step, the place of the step before it, in the round before; None in a
            beam's first round.
        sample: of an independent solution, its number, from 0.
        chain: of a revision, the number of its chain, from 0.
        attempt: of a revision, its number within the chain; the first attempt is number 0.
        score: the verifier's, of the beam or the solution; None if it was not scored.
        tokens: sampled tokens of the beam or the solution.
        answer: a solution's; None if it has none.
        decision: the decision, as `runtime.result.Decision` has it.
    """

    kind: Literal["decision", "step", "solution"]
    step: SearchStep | None = None
    parent_place: int | None = None
    sample: int | None = None
    chain: int | None = None
    attempt: int | None = None
    score: float | None = None
    tokens: int = 0
    answer: str | None = None
    decision: dict[str, Any] | None = None


EventHandler = Callable[[Event], None]


def step_event(
    step: SearchStep | None, before: SearchStep | None, score: float, tokens: int
) -> Event:
    """A search's beam has grown by one step; see `Event`.

    Args:
        step: where the step stands in its search.
        before: where the beam's last step before it stands; None in a beam's first round.
        score: the verifier's, of the beam.
        tokens: sampled tokens of the beam.
    """
    place = None if before is None else before.place
    return Event(kind="step", step=step, parent_place=place, score=score, tokens=tokens)


def solution_event(
    solution: Sample,
    *,
    step: SearchStep | None = None,
    number: int | None = None,
    chain: int | None = None,
    attempt: int | None = None,
) -> Event:
    """A solution is complete; see `Event` for its place, which is one of the four."""
    return Event(
        kind="solution",
        step=step,
        sample=number,
        chain=chain,
        attempt=attempt,
        score=None if isnan(solution.score) else solution.score,
        tokens=solution.tokens,
        answer=solution.answer,
    )


def smallest_cap(*caps: int | None) -> int | None:
    """The smallest of several caps on thought: 0 is no thought at all, None no cap."""
    return min((cap for cap in caps if cap is not None), default=None)


@dataclass(frozen=True)
class RequestSettings:
    """How the solutions of one prompt are sampled.

    Attributes:
        sampling: temperature and the like, and the longest solution in tokens.
        stops: texts that end a solution, which is cut before them.
        stop_token_ids: tokens that do so.
        early_stop: stop best-of-N once its answer is settled with this probability, above 0.5; 1
            is for certain, None does not stop.
        thinking: the most tokens that each solution may think, whatever the plan says; 0 is no
            thought, None leaves it to the plan and the model.
        tokens: what the caller requests of single tokens.
        prompt_logprobs: likeliest tokens to return at each place of the prompt; None returns no
            log-probabilities of it.
        form: the form of the answers. Under a constraint plans sample whole solutions.
    """

    sampling: SamplingSettings
    stops: tuple[str, ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    early_stop: float | None = None
    thinking: int | None = None
    tokens: TokenOptions = PLAIN
    prompt_logprobs: int | None = None
    form: AnswerForm = FREE_TEXT

    @property
    def constraint(self) -> Constraint | None:
        """What each solution is held to; None for free text."""
        return self.form.constraint

    def thinking_cap(self, thinking: int | None) -> int | None:
        """Tokens that a solution may think where its plan allows `thinking`."""
        return smallest_cap(self.thinking, thinking)

    def samples_as(self, calibrated: SamplingSettings) -> bool:
        """Whether solutions are sampled as in calibration.

        What is returned of them may differ, and they may be allowed to be longer: few are.

        Args:
            calibrated: how calibration's solutions were sampled.
        """
        longest = min(self.sampling.max_tokens, calibrated.max_tokens)
        sampling = self.sampling.model_copy(update={"max_tokens": longest})
        tokens = replace(self.tokens, logprobs=None, logprob_token_ids=(), priority=0)
        drawn = replace(
            self, sampling=sampling, tokens=tokens, prompt_logprobs=None, early_stop=None
        )
        return drawn == RequestSettings(calibrated)


@dataclass(frozen=True)
class Request:
    """A prompt with its own sampling settings.

    Attributes:
        text: the prompt as text, for verifiers and revisers that have a prompt format of their own.
        token_ids: what the language model continues; None formats the text as calibration did.
        settings: how its solutions are sampled; None uses the solver's.
        seed: with the prompt, determines every sample; None uses the solver's.
        solutions: number of solutions to return, as far as the budget allows.
        on_event: called with each event.
    """

    text: str
    token_ids: tuple[int, ...] | None = None
    settings: RequestSettings | None = None
    seed: int | None = None
    solutions: int = 1
    on_event: EventHandler | None = None
