"""One prompt's calls of the models: seeded, checked, and their tokens and FLOPs counted."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from allocator.errors import ModelError
from predictors.confidence import ConfidenceWindow
from runtime.engines.base import Completion, EndsLoops, Engine, SeedPath, draw_seed
from runtime.engines.token_options import PLAIN
from runtime.models import Models
from runtime.request import RequestSettings
from runtime.verifiers.base import Context, HasContext, TooLongError, Verifier


@dataclass
class Cost:
    """What has been spent.

    Attributes:
        generations: complete solutions.
        sampled_tokens: tokens sampled.
        cached_tokens: tokens of prefixes that the engine did not have to read again; over a server
            an estimate.
        verifier_tokens: tokens that verifiers ran over.
        verifier_cached_tokens: tokens of scored texts that they did not have to run over.
        thinking_tokens: of the sampled tokens, those of thoughts.
        aborted: solutions that were ended because their confidence fell too low.
        windowed: scorings of solutions longer than a verifier's context, which read the later steps
            in windows.
        unscored: scorings of solutions too long for that; their steps count as wrong, score 0.
        flops: of sampling and of scoring; 0 where the models' sizes are unknown.
    """

    generations: int = 0
    sampled_tokens: int = 0
    cached_tokens: int = 0
    verifier_tokens: int = 0
    verifier_cached_tokens: int = 0
    thinking_tokens: int = 0
    aborted: int = 0
    windowed: int = 0
    unscored: int = 0
    flops: float = 0.0


@dataclass(frozen=True)
class ModelCalls:
    """The calls of the models that one prompt makes.

    Attributes:
        models: the models.
        settings: how the prompt's solutions are sampled.
        seed: the prompt's.
        prompt_ids: the prompt, in the language model's tokens.
        cost: counts what the calls spend.
    """

    models: Models
    settings: RequestSettings
    seed: int
    prompt_ids: tuple[int, ...]
    cost: Cost

    async def complete(
        self,
        engine: Engine,
        context: Context,
        prefix: Sequence[int],
        max_tokens: int,
        path: SeedPath,
        stop: tuple[str, ...] = (),
        greedy: bool = False,
        logprob: bool = True,
        ends: tuple[int, ...] | None = None,
        window: ConfidenceWindow | None = None,
        thought: bool = False,
    ) -> Completion:
        """Sample what follows a context.

        Args:
            engine: the language model or the reviser.
            context: the prompt, with earlier attempts in its tokens where there are any.
            prefix: tokens of the solution so far.
            max_tokens: the most to sample.
            path: names the draw. With the prompt and its seed it determines what is sampled; its
                last part is a number.
            stop: texts that end a step, besides those that end the solution.
            greedy: take the likeliest tokens.
            logprob: have the engine give the log-probability.
            ends: tokens that end what is sampled, in place of all that ends the prompt's solutions:
                within a thought those do not count.
            window: reads the confidence; see `runtime.engines.base.HasConfidence`.
            thought: whether a thought is sampled; see `runtime.engines.base.EndsLoops`.
        """
        sampling = self.settings.sampling
        *name, number = path
        own: dict[str, Any] = {} if window is None else {"confidence": window}
        if self.settings.constraint is not None and ends is None:  # not within a thought
            own["constraint"] = self.settings.constraint
        if thought and isinstance(engine, EndsLoops) and engine.ends_loops:
            own["thought"] = True
        tokens = self.settings.tokens
        if tokens != PLAIN:
            # Within a thought `ends` are not what min_tokens is about, and vLLM would ban them.
            left = 0 if ends is not None else tokens.left(len(prefix), max_tokens)
            own["options"] = replace(tokens, min_tokens=left)
        completion = await engine.complete(
            [*context.token_ids, *prefix],
            settings=sampling.model_copy(update={"temperature": 0.0}) if greedy else sampling,
            max_tokens=max_tokens,
            seed=draw_seed(self.seed, *self.prompt_ids, *name, number=int(number)),
            stop=stop if ends is not None else (*self.settings.stops, *stop),
            stop_token_ids=self.settings.stop_token_ids if ends is None else ends,
            logprob=logprob or tokens.logprobs is not None,
            **own,
        )
        if completion.stopped_by in self.settings.stops:
            completion = replace(completion, ended=True)
        sampled = len(completion.token_ids)
        self.cost.sampled_tokens += sampled
        if (sizes := self.models.sizes) is not None:
            self.cost.flops += sizes.sampling(sampled, engine is not self.models.engine)
        self.cost.cached_tokens += completion.cached_tokens
        return completion

    async def score(
        self, verifier: Verifier, context: Context, steps: Sequence[tuple[int, ...]]
    ) -> tuple[float, ...]:
        """A verifier's score of every step; 0 where the solution is too long for it.

        Raises:
            ModelError: the verifier has failed, took too long, gave another number of scores, or a
                score outside [0, 1].
        """
        timeout = self.models.verifier_timeout
        try:
            async with asyncio.timeout(timeout):
                verdict = await verifier.score(context, steps)
        except TooLongError:
            # One solution's fault, which ends no run; the receipt tells.
            self.cost.unscored += 1
            return (0.0,) * len(steps)
        except TimeoutError:
            raise ModelError(
                "verifier", f"no score within {timeout:g} seconds; is it alive?"
            ) from None
        scores = verdict.step_scores
        if len(scores) != len(steps):
            raise ModelError("verifier", f"it gave {len(scores)} scores for {len(steps)} steps")
        if not all(0 <= score <= 1 for score in scores):
            bad = next(score for score in scores if not 0 <= score <= 1)
            raise ModelError(
                "verifier",
                f"it gave the score {bad}: scores lie in [0, 1]; check its weights, or load it in "
                "float32",
            )
        self.cost.windowed += verdict.windowed
        self.cost.verifier_tokens += verdict.processed_tokens
        self.cost.verifier_cached_tokens += verdict.cached_tokens
        if (sizes := self.models.sizes) is not None:
            reviser = verifier is not self.models.verifier
            self.cost.flops += sizes.scoring(verdict.processed_tokens, reviser)
        return scores


def room_after(engine: Engine, verifier: Verifier, context: Context) -> int:
    """Tokens that may follow a context: the engine can write and the verifier can read them."""
    room = engine.context_length - len(context.token_ids)
    readable = verifier.room(context) if isinstance(verifier, HasContext) else None
    return room if readable is None else min(room, readable)
