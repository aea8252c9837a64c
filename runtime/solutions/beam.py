"""A solution as it grows, and how it becomes a sample."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan

from predictors.confidence import ConfidenceWindow
from predictors.sample import Sample
from predictors.scoring import Scoring
from predictors.token_logprobs import PlaceLogprobs
from runtime.answers.thought import before_any, letters_after, solution_reader
from runtime.engines.base import Completion
from runtime.engines.tokenizer import decode
from runtime.models import Models
from runtime.request import RequestSettings, SearchStep
from runtime.verifiers.base import all_aggregations


@dataclass(frozen=True)
class Beam:
    """A solution as it grows."""

    steps: tuple[tuple[int, ...], ...] = ()
    step_scores: tuple[float, ...] = ()
    logprob: float = 0.0
    ended: bool = False
    stopped: bool = False  # ended, repeating itself, or out of tokens
    step: SearchStep | None = None  # its last
    thinking: int | None = None  # as in `Sample`
    forced: bool = False
    window: ConfidenceWindow | None = None
    logprobs: tuple[PlaceLogprobs, ...] | None = ()  # as in `Sample`

    @classmethod
    def whole(
        cls,
        completion: Completion,
        steps: tuple[tuple[int, ...], ...],
        window: ConfidenceWindow | None = None,
    ) -> "Beam":
        """A solution to which nothing is added."""
        return cls(
            steps=steps,
            logprob=completion.logprob,
            ended=completion.ended,
            stopped=True,
            thinking=completion.thinking,
            forced=completion.forced,
            window=window,
            logprobs=completion.logprobs,
        )

    @property
    def confidence(self) -> float:
        """Its lowest mean confidence; nan where it was not read."""
        return nan if self.window is None else self.window.lowest

    def probability(self, scoring: Scoring) -> float:
        """How probably it is right so far."""
        tokens = sum(map(len, self.steps))
        # A beam that still grows is not cut off.
        finished = self.ended or not self.stopped
        scores = all_aggregations(self.step_scores)
        return float(scoring.probability(scores, self.logprob, tokens, finished, self.confidence))

    def score(self, scoring: Scoring) -> float:
        """Its score as a solution."""
        return float(scoring.sharpened(self.probability(scoring)))


class SampleReader:
    """Reads the samples of one prompt.

    Args:
        models: the models.
        settings: what ends the prompt's solutions.
        prompt_ids: the prompt, in the language model's tokens.
    """

    def __init__(self, models: Models, settings: RequestSettings, prompt_ids: tuple[int, ...]):
        self._models, self._settings = models, settings
        self._reader = solution_reader(models.engine.tokenizer, models.thoughts)
        self._begun = self._reader.begun(prompt_ids)
        calls = settings.form.calls
        self._special = calls is not None and calls.reader.special_tokens

    async def sample(self, beam: Beam, score: float) -> Sample:
        """A beam as a sample, with its answer; one whose confidence was too low has none."""
        shown = self._shown([token for step in beam.steps for token in step])
        if self._special and beam.ended:
            shown = self._without_end(shown)
        stops, least = self._settings.stops, self._settings.tokens.min_tokens
        reading = self._reader.read(shown, stops, self._begun, self._special, least)
        answer = None
        content = None if beam.window is not None and beam.window.lost else reading.content
        raw = None if content is None else reading.raw_content
        if content is not None:
            answer = await self._models.answers.extract_async(content if raw is None else raw)
        return Sample(
            steps=beam.steps,
            text=reading.text,
            answer=answer,
            step_scores=beam.step_scores,
            score=score,
            logprob=beam.logprob,
            ended=beam.ended,
            thinking=beam.thinking,
            forced=beam.forced,
            confidence=beam.confidence,
            confidence_at=None if beam.window is None else beam.window.lowest_at,
            reasoning=reading.reasoning,
            content=content,
            raw_content=raw,
            window=beam.window,
            logprobs=beam.logprobs,
        )

    def holds_stop(self, steps: Sequence[tuple[int, ...]]) -> bool:
        """Whether a text that ends solutions is in one, after its thought and `min_tokens`."""
        tokens = self._shown([token for step in steps for token in step])
        stops, least = self._settings.stops, self._settings.tokens.min_tokens
        if self._models.marks is not None:
            return self._reader.read(tokens, stops, self._begun, min_tokens=least).stopped
        tokenizer = self._models.engine.tokenizer
        text = decode(tokenizer, tokens)
        return before_any(stops, text, letters_after(text, tokenizer, tokens, least)) != text

    def _shown(self, tokens: list[int]) -> list[int]:
        """A solution's tokens without the one that the caller had it stop at."""
        return tokens[:-1] if tokens and tokens[-1] in self._settings.stop_token_ids else tokens

    def _without_end(self, tokens: list[int]) -> list[int]:
        """A solution's tokens without the special one that ended it."""
        ends = bool(tokens) and not decode(self._models.engine.tokenizer, tokens[-1:])
        return tokens[:-1] if ends else tokens


def solution_window(models: Models, logprob: bool) -> ConfidenceWindow | None:
    """The window of a solution that begins; None where its confidence is not read.

    Args:
        models: the models.
        logprob: whether the solution's log-probability is read. Where it is not, the solution's
            score is not needed either, and confidence is read for a threshold alone: it costs time.
    """
    confidence = models.confidence
    if confidence is None or not (logprob or confidence.threshold is not None):
        return None
    return ConfidenceWindow(confidence)


def step_window(models: Models, beam: Beam) -> ConfidenceWindow | None:
    """The window of a beam's next step; None where its confidence is not read.

    It has no threshold: searches drop beams by their scores.

    Args:
        models: the models.
        beam: the beam.
    """
    if models.confidence is None or not models.scoring.confidence:
        return None
    if beam.window is not None:
        return beam.window.first(len(beam.window.values))
    return ConfidenceWindow(models.confidence.model_copy(update={"threshold": None}))
