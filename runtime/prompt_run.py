"""One prompt being worked on: sampling and scoring under its seed, with every token counted."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from predictors.sample import Sample
from runtime.answers import Answers, unify
from runtime.concurrency import together
from runtime.engine import Completion, Engine, SamplingSettings, derive_seed
from runtime.steps import StepSplitter
from runtime.verifier import Verifier


@dataclass(frozen=True)
class Decoder:
    """What all prompts share: the models and how they are used."""

    engine: Engine
    verifier: Verifier
    answers: Answers
    settings: SamplingSettings
    splitter: StepSplitter


@dataclass
class Cost:
    """What has been spent: complete solutions, sampled tokens, tokens of the texts scored."""

    generations: int = 0
    sampled_tokens: int = 0
    verifier_tokens: int = 0


@dataclass(frozen=True)
class Beam:
    """A solution as it grows."""

    steps: tuple[tuple[int, ...], ...] = ()
    step_scores: tuple[float, ...] = ()
    logprob: float = 0.0
    ended: bool = False
    stopped: bool = False  # ended, or out of tokens

    @property
    def tokens(self) -> int:
        return sum(len(step) for step in self.steps)


@dataclass
class PromptRun:
    """Samples solutions of one prompt.

    Args:
        decoder: models and settings.
        prompt_ids: the prompt's tokens.
        seed: with the prompt it determines every sample, whatever runs beside it.
        cost: counts what this prompt spends.
    """

    decoder: Decoder
    prompt_ids: tuple[int, ...]
    seed: int
    cost: Cost = field(default_factory=Cost)

    @property
    def max_tokens(self) -> int:
        """The longest solution that fits both the settings and the context."""
        room = self.decoder.engine.context_length - len(self.prompt_ids)
        return min(self.decoder.settings.max_tokens, room)

    async def sample(self, index: int) -> Sample:
        """The prompt's independent solution number `index`, scored."""
        completion = await self._complete((), self.max_tokens, ("sample", index), stop=None)
        self.cost.generations += 1
        steps = tuple(self.decoder.splitter.split(completion.token_ids))
        return self._as_sample(
            Beam(steps, await self._score(steps), completion.logprob, completion.ended)
        )

    async def samples(self, first: int, last: int) -> list[Sample]:
        """Independent solutions number `first` up to, not including, `last`."""
        return await together(self.sample(i) for i in range(first, last))

    async def extend(self, beam: Beam, path: tuple[str | int, ...]) -> Beam:
        """The beam with one more step, sampled and scored; `path` names the draw in the search."""
        prefix = [token for step in beam.steps for token in step]
        left = self.max_tokens - len(prefix)
        completion = await self._complete(prefix, left, path, stop=self.decoder.settings.step_end)
        steps = (*beam.steps, completion.token_ids)
        return Beam(
            steps=steps,
            step_scores=await self._score(steps),
            logprob=beam.logprob + completion.logprob,
            ended=completion.ended,
            stopped=completion.ended or len(completion.token_ids) >= left,
        )

    def finish(self, beams: Sequence[Beam]) -> list[Sample]:
        """Finished beams as samples."""
        return [self._as_sample(beam) for beam in beams]

    def unify(self, samples: Sequence[Sample]) -> list[Sample]:
        """The samples with equal answers written equally, as selection and features expect."""
        unified = unify(self.decoder.answers, [s.answer for s in samples])
        return [s.with_answer(a) for s, a in zip(samples, unified, strict=True)]

    async def _complete(
        self, prefix: Sequence[int], max_tokens: int, path: tuple[str | int, ...], stop: str | None
    ) -> Completion:
        completion = await self.decoder.engine.complete(
            [*self.prompt_ids, *prefix],
            settings=self.decoder.settings,
            max_tokens=max_tokens,
            seed=derive_seed(self.seed, *self.prompt_ids, *path),
            stop=stop,
        )
        self.cost.sampled_tokens += len(completion.token_ids)
        return completion

    async def _score(self, steps: Sequence[tuple[int, ...]]) -> tuple[float, ...]:
        self.cost.verifier_tokens += len(self.prompt_ids) + sum(len(step) for step in steps)
        return await self.decoder.verifier.score(self.prompt_ids, steps)

    def _as_sample(self, beam: Beam) -> Sample:
        tokens = [token for step in beam.steps for token in step]
        text = self.decoder.engine.tokenizer.decode(tokens, skip_special_tokens=True)
        return Sample(
            steps=beam.steps,
            text=text,
            answer=self.decoder.answers.extract(text),
            step_scores=beam.step_scores,
            logprob=beam.logprob,
            ended=beam.ended,
        )
