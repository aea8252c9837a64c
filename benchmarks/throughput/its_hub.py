"""A contender: its_hub's own beam search."""

import asyncio
import time
import warnings
from itertools import count
from typing import Any

from allocator.plan import Plan
from benchmarks.testbed.paths import SETTINGS
from benchmarks.throughput.contenders import Contender, Prompts, served_name
from benchmarks.throughput.workload import CountingEngine, Work
from runtime.engines.base import derive_seed, encode_prompt
from runtime.models import Models
from runtime.verifiers.in_transformers import TransformersBackend
from runtime.verifiers.layout import Layout


def its_hub(
    models: Models, prompts: Prompts, plan: Plan, verifier: TransformersBackend, url: str | None
) -> Contender:
    """its_hub's own beam search, all prompts at once: over the same engine, or over its own client
    and `vllm serve` where there is a URL. Its beam_width is the beams kept, the paper's N/M."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from its_hub.api import AbstractLanguageModel, AbstractProcessRewardModel
        from its_hub.core.algorithms.beam_search import BeamSearch
        from its_hub.core.lms.openai_lm import OpenAICompatibleLanguageModel
        from its_hub.core.lms.step_generation import StepGeneration

    tokenizer, settings = models.engine.tokenizer, SETTINGS.sampling

    def asked(prompt: str) -> tuple[int, ...]:
        return tuple(encode_prompt(models.engine, prompt))

    def written(solution: str) -> tuple[int, ...]:
        return tuple(tokenizer.encode(solution, add_special_tokens=False))

    async def run(seed: int) -> Work:
        work = Work()
        engine = CountingEngine(models.engine, work)
        # Continuations of one beam are asked for at once: only a count of their own tells them
        # apart, and with one seed they would all be the same.
        numbers = count()

        class Model(AbstractLanguageModel):  # type: ignore[misc]
            """Text in, text out, over the same engine."""

            async def agenerate(self, messages: Any, stop: Any = None, **_: Any) -> Any:
                return await asyncio.gather(*(self._one(chat, stop) for chat in messages))

            async def _one(self, chat: Any, stop: str | None) -> dict[str, str]:
                solution = chat[1].content if len(chat) > 1 else ""
                done = await engine.complete(
                    asked(chat[0].content) + written(solution),
                    settings=settings,
                    max_tokens=settings.max_tokens,
                    seed=derive_seed(seed, next(numbers)),
                    stop=stop,
                )
                return {
                    "role": "assistant",
                    "content": tokenizer.decode(done.token_ids, skip_special_tokens=True),
                }

        class Served(OpenAICompatibleLanguageModel):  # type: ignore[misc]
            """its_hub's own client, counted."""

            async def agenerate(self, messages: Any, *args: Any, **how: Any) -> Any:
                work.engine_calls += len(messages)
                how.setdefault("max_completion_tokens", settings.max_tokens)
                how["max_completion_tokens"] = how["max_completion_tokens"] or 64
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", DeprecationWarning)
                    replies = await super().agenerate(messages, *args, **how)
                for reply in replies:
                    work.sampled_tokens += len(tokenizer.encode(reply["content"] or ""))
                return replies

        class Scores(AbstractProcessRewardModel):  # type: ignore[misc]
            """The same PRM, read at the end of the text it is given."""

            def score(self, *_: Any) -> Any:
                raise NotImplementedError

            async def ascore(self, prompt: str, solutions: Any) -> list[float]:
                layouts = [Layout.at_end(asked(prompt), written(text)) for text in solutions]
                read = await asyncio.gather(*(verifier.read(layout) for layout in layouts))
                work.verifier_tokens += sum(tokens for _, tokens in read)
                return [score for (score,), _ in read]

        model = Model() if url is None else Served(f"{url}/v1", "none", served_name(url))
        steps = StepGeneration(
            max_steps=settings.max_steps,
            step_token=settings.step_end,
            stop_token="#",
            temperature=settings.temperature,
            include_stop_str_in_output=True,
        )
        search = BeamSearch(steps, Scores(), beam_width=plan.n // plan.beam_width)

        async def one(item: tuple[str, str]) -> bool:
            found = await search.ainfer(model, item[0], plan.n, return_response_only=False)
            mass: dict[str | None, float] = {}
            for reply, score in zip(found.responses, found.scores, strict=True):
                answer = models.answers.extract(reply["content"])
                mass[answer] = mass.get(answer, 0.0) + score
            return max(mass, key=lambda a: mass[a]) == item[1]

        started = time.perf_counter()
        work.correct = list(await asyncio.gather(*(one(item) for item in prompts)))
        work.seconds = time.perf_counter() - started
        return work

    return run
