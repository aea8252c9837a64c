"""One prompt being worked on: sampling and scoring under its seed, with every token counted."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import nan

from allocator.errors import InputError
from allocator.plan import Selection
from predictors.confidence import ConfidenceWindow
from predictors.sample import Sample
from predictors.scoring import Scoring, alone
from runtime.concurrency import together
from runtime.engines.base import Completion, SeedPath, check_room, encode_prompt
from runtime.model_calls import Cost, ModelCalls, room_after
from runtime.models import Models
from runtime.request import (
    Event,
    EventHandler,
    RequestSettings,
    SearchStep,
    solution_event,
    step_event,
)
from runtime.reviser import Reviser
from runtime.solutions.beam import Beam, SampleReader, solution_window, step_window
from runtime.solutions.draw import DrawSettings, continued, joined
from runtime.solutions.thinker import Thinker
from runtime.verifiers.base import Context, Verifier, aggregate


@dataclass
class PromptRun:
    """One prompt as it is answered: samples and scores its solutions.

    Args:
        models: the models.
        settings: how the prompt's solutions are sampled.
        prompt: the prompt.
        seed: with the prompt it determines every sample, whatever runs beside it.
        token_ids: the prompt as the language model reads it; None applies the chat template.
        on_event: called with what happens.
        cost: counts what this prompt spends.
        solutions: number of solutions to return.

    Attributes:
        undecided: answers that could not be compared before the deadline.
        context: the prompt, for verifiers.
        max_tokens: the longest solution that fits the settings, and the contexts of the language
            model and the verifiers.

    Raises:
        InputError: an empty prompt, or one that leaves no room in the context of the language model
            or of a verifier.
    """

    models: Models
    settings: RequestSettings
    prompt: str
    seed: int
    token_ids: tuple[int, ...] | None = None
    on_event: EventHandler | None = None
    cost: Cost = field(default_factory=Cost)
    solutions: int = 1
    undecided: set[str] = field(default_factory=set, init=False)

    def __post_init__(self) -> None:
        wanted = self.settings.tokens.logprob_token_ids
        if wanted and self.models.rereads:
            hint = "where thoughts are capped or confidence is read, the likeliest are known alone"
            raise InputError("logprob_token_ids", wanted, hint)
        if self.token_ids is None:
            ids = encode_prompt(self.models.engine, self.prompt)
        else:
            check_room(self.models.engine, self.token_ids, self.prompt)
            ids = self.token_ids
        self.context = Context(self.prompt, ids)
        self._calls = ModelCalls(self.models, self.settings, self.seed, ids, self.cost)
        self._reader = SampleReader(self.models, self.settings, ids)
        self._thinker = Thinker(self._calls, self.models.engine, self.context, self.models.marks)
        self.max_tokens = min(self.settings.sampling.max_tokens, self._room())

    async def sample(self, index: int, thinking: int | None = None) -> Sample:
        """The prompt's independent solution number `index`, scored.

        Args:
            index: its number.
            thinking: tokens that it may think, as `Plan.thinking`.
        """
        beam = await self._independent(("sample", index), thinking)
        self.cost.generations += 1
        return await self._score_and_emit(beam, index)

    async def continue_thought(
        self, sample: Sample, index: int, thinking: int | None, kept: int | None = None
    ) -> Sample:
        """A sample with its thought continued from its own tokens, and another answer, scored.

        Args:
            sample: the sample.
            index: its number.
            thinking: tokens that it may think in all; None leaves it to the model.
            kept: tokens of its thought that are kept, all by default. As many as `thinking` force
                an answer in the middle of the thought: a probe.
        """
        depth = sample.thinking or 0 if kept is None else kept
        prefix = self._thinker.thought_of(sample.token_ids, depth)
        # Of the prefix, the two or three tokens that begin a thought may not have been sampled.
        window = sample.window and sample.window.first(len(prefix))
        path: SeedPath = ("sample", "on", depth, index)
        beam = await self._independent(path, thinking, prefix, window=window)
        # What is dropped must not count: pilots under a cap would tell how long thoughts go on.
        # Of the tokens kept, only those of the whole solution on average are known.
        before = sample.logprob * len(prefix) / max(1, sample.tokens)
        beam = replace(beam, logprob=before + beam.logprob)
        return await self._score_and_emit(beam, index)

    async def sample_unscored(self, index: int, thinking: int | None = None) -> Sample:
        """The independent solution number `index`, without a score.

        A majority counts solutions and needs no scores, nor does a plan of one solution.
        """
        beam = await self._independent(("sample", index), thinking, logprob=False)
        self.cost.generations += 1
        sample = await self._reader.sample(beam, nan)
        self.emit(solution_event(sample, number=index))
        return sample

    async def score(self, sample: Sample) -> Sample:
        """An unscored sample, scored by the verifier alone: its log-probability is not known."""
        verifier = self.models.verifier
        scores = sample.step_scores or await self._calls.score(verifier, self.context, sample.steps)
        return replace(sample, step_scores=scores, score=aggregate(scores, self.models.aggregation))

    async def samples(
        self, first: int, last: int, how: Selection = "weighted", thinking: int | None = None
    ) -> list[Sample]:
        """Independent solutions number `first` up to, not including, `last`.

        Args:
            first: number of the first.
            last: number of the one after the last.
            how: the selection that will be made: those that a majority counts are not scored.
            thinking: tokens that each may think, as `Plan.thinking`.
        """
        draw = self.sample_unscored if how == "majority" else self.sample
        return await together(draw(index, thinking) for index in range(first, last))

    async def extend(
        self,
        beam: Beam,
        path: SeedPath,
        step: SearchStep | None = None,
        greedy: bool = False,
        score: bool = True,
    ) -> Beam:
        """The beam with one more step.

        Args:
            beam: the beam.
            path: seed path of the draw within the search.
            step: where the step stands in its search, for events.
            greedy: take the likeliest tokens, as lookahead does.
            score: have the verifier score it.
        """
        prefix = [token for step in beam.steps for token in step]
        left = self.max_tokens - len(prefix)
        step_end = (self.settings.sampling.step_end,)
        thinking, window = self.settings.thinking, step_window(self.models, beam)
        draw = DrawSettings(path, self.max_tokens, thinking, step_end, greedy=greedy, window=window)
        completion = await self._thinker.solution(draw, prefix)
        steps = (*beam.steps, completion.token_ids)
        # A stop text may begin in one step and end in the next.
        ended = completion.ended or (bool(self.settings.stops) and self._reader.holds_stop(steps))
        grown = Beam(
            steps=steps,
            step_scores=await self._calls.score(self.models.verifier, self.context, steps)
            if score
            else (),
            logprob=beam.logprob + completion.logprob,
            ended=ended,
            # What repeats itself without end would do so again in its next step.
            stopped=ended or completion.repeating or len(completion.token_ids) >= left,
            step=step,
            thinking=completion.thinking,
            forced=beam.forced or completion.forced,
            window=window,
            logprobs=joined(beam.logprobs, completion.logprobs),
        )
        if score:
            tokens = len(prefix) + len(completion.token_ids)
            self.emit(step_event(step, beam.step, grown.step_scores[-1], tokens))
        return grown

    async def lookahead(self, beam: Beam, steps: int, path: SeedPath) -> float:
        """The verifier's prediction after a greedy rollout of the beam by `steps` steps."""
        start = beam
        for step in range(steps):
            if beam.stopped:
                break
            beam = await self.extend(beam, (*path, "lookahead", step), greedy=True, score=False)
        if beam is not start:
            scores = await self._calls.score(self.models.verifier, self.context, beam.steps)
            beam = replace(beam, step_scores=scores)
        return self.probability_of(beam)

    async def as_attempt(self, sample: Sample, chain: int) -> Sample:
        """A solution as the first attempt of a chain, scored by the reviser's verifier."""
        verifier = self._reviser().verifier
        scores = sample.step_scores
        if verifier is not self.models.verifier:
            scores = await self._calls.score(verifier, self.context, sample.steps)
        score = aggregate(scores, self.models.aggregation)
        return replace(sample, step_scores=scores, score=score, chain=chain)

    async def revise(self, attempts: Sequence[Sample]) -> Sample:
        """The next attempt of a chain, conditioned on its last attempts (section 6.2)."""
        reviser, chain = self._reviser(), attempts[-1].chain
        max_tokens = self.settings.sampling.max_tokens
        context = reviser.context(self.context, [a.token_ids for a in attempts], max_tokens)
        left = room_after(reviser.engine, reviser.verifier, context)
        path = ("revision", chain or 0, len(attempts))
        completion = await self._calls.complete(
            reviser.engine, context, (), min(left, max_tokens), path
        )
        scoring = alone(self.models.aggregation)
        self.cost.generations += 1
        beam = self._beam(completion)
        attempt = await self._score_solution(beam, context, reviser.verifier, scoring)
        self.emit(solution_event(attempt, chain=chain or 0, attempt=len(attempts)))
        return replace(attempt, chain=chain)

    async def finish(self, beams: Sequence[Beam]) -> list[Sample]:
        """Finished beams as samples."""
        beams = [replace(beam, stopped=True) for beam in beams]
        scoring = self.models.scoring
        samples = [await self._reader.sample(beam, beam.score(scoring)) for beam in beams]
        for beam, sample in zip(beams, samples, strict=True):
            self.emit(solution_event(sample, step=beam.step))
        return samples

    async def canonicalize(self, samples: Sequence[Sample]) -> list[Sample]:
        """The samples with equal answers written equally, as selection and features expect."""
        answers = [sample.answer for sample in samples]
        canonicalized = await self.models.answers.canonicalize_async(answers)
        self.undecided.update(self.models.answers.undecided(answers))
        return [s.with_answer(a) for s, a in zip(samples, canonicalized, strict=True)]

    def probability_of(self, beam: Beam) -> float:
        """How probably a beam is right so far, by which searches rank; its score may be a power."""
        return beam.probability(self.models.scoring)

    def _room(self) -> int:
        """Tokens that a solution may have for the models to write and read it."""
        models = self.models
        room = room_after(models.engine, models.verifier, self.context)
        if models.reviser is not None:  # its verifier reads first attempts, too
            room = min(room, room_after(models.engine, models.reviser.verifier, self.context))
        if models.rereads and self.settings.tokens.logprobs is not None and room > 1:
            room -= 1  # which is sampled where its log-probabilities are read afterwards
        return room

    def _reviser(self) -> Reviser:
        if self.models.reviser is None:
            raise InputError(
                "reviser", None, "the plan revises, and there is no reviser; name one in settings"
            )
        return self.models.reviser

    async def _independent(
        self,
        path: SeedPath,
        thinking: int | None,
        prefix: tuple[int, ...] = (),
        logprob: bool = True,
        window: ConfidenceWindow | None = None,
    ) -> Beam:
        """An independent solution that continues a prefix, with the prefix's window."""
        cap = self.settings.thinking_cap(thinking)
        read = window or solution_window(self.models, logprob)
        draw = DrawSettings(path, self.max_tokens, cap, logprob=logprob, window=read)
        completion = await self._thinker.solution(draw, prefix)
        return self._beam(continued(prefix, completion), read)

    async def _score_and_emit(self, beam: Beam, index: int) -> Sample:
        """The independent solution number `index`, scored, and its event emitted."""
        own = (self.context, self.models.verifier, self.models.scoring)
        solution = await self._score_solution(beam, *own)
        self.emit(solution_event(solution, number=index))
        return solution

    def _beam(self, completion: Completion, window: ConfidenceWindow | None = None) -> Beam:
        """A whole solution."""
        steps = self._thinker.steps(completion.token_ids, self.models.splitter)
        return Beam.whole(completion, steps, window)

    async def _score_solution(
        self, beam: Beam, context: Context, verifier: Verifier, scoring: Scoring
    ) -> Sample:
        """A whole solution, scored."""
        beam = replace(beam, step_scores=await self._calls.score(verifier, context, beam.steps))
        return await self._reader.sample(beam, beam.score(scoring))

    def emit(self, event: Event) -> None:
        """Call the prompt's event handler, if it has one."""
        if self.on_event is not None:
            self.on_event(event)
