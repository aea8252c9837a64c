"""A solution as it grows, and how it becomes a sample."""

from collections.abc import Sequence
from dataclasses import dataclass

from predictors.sample import Sample
from runtime.answers.thought import solution_reader
from runtime.engines.tokenizer import decode
from runtime.models import Models
from runtime.request import RequestSettings, SearchStep


@dataclass(frozen=True)
class Beam:
    """A solution as it grows."""

    steps: tuple[tuple[int, ...], ...] = ()
    step_scores: tuple[float, ...] = ()
    logprob: float = 0.0
    ended: bool = False
    stopped: bool = False  # ended, or out of tokens
    step: SearchStep | None = None  # its last
    thinking: int | None = None  # as in `Sample`
    forced: bool = False


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

    async def sample(self, beam: Beam, score: float) -> Sample:
        """A beam as a sample, with its answer."""
        shown = self._shown([token for step in beam.steps for token in step])
        reading = self._reader.read(shown, self._settings.stops, self._begun)
        answer = None
        if reading.content is not None:
            answer = await self._models.answers.read(reading.content)
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
            reasoning=reading.reasoning,
            content=reading.content,
        )

    def holds_stop(self, steps: Sequence[tuple[int, ...]]) -> bool:
        """Whether a text that ends solutions is in one, after its thought."""
        tokens = [token for step in steps for token in step]
        if self._models.marks is not None:
            reading = self._reader.read(self._shown(tokens), (), self._begun)
            text = reading.content or ""
        else:
            text = decode(self._models.engine.tokenizer, self._shown(tokens))
        return any(stop in text for stop in self._settings.stops)

    def _shown(self, tokens: list[int]) -> list[int]:
        """A solution's tokens without the one that the caller had it stop at."""
        return tokens[:-1] if tokens and tokens[-1] in self._settings.stop_token_ids else tokens
