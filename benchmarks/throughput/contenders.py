"""The contenders: each runs the same prompts and says what it did."""

import asyncio
import time
import warnings
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

from allocator.plan import Plan
from benchmarks.testbed.paths import REQUEST_SETTINGS, SETTINGS
from benchmarks.throughput.workload import CountingEngine, CountingVerifier, NoVerifier, Work
from runtime.answers.selection import select
from runtime.concurrency import bounded
from runtime.engines.base import derive_seed, draw_seed, encode_prompt
from runtime.models import Models
from runtime.prompt_run import PromptRun
from runtime.solving.solve import prompts_in_flight
from runtime.strategies import STRATEGIES
from runtime.verifiers.base import Verifier
from runtime.verifiers.in_transformers import TransformersBackend
from runtime.verifiers.layout import Layout

Prompts = Sequence[tuple[str, str]]
Contender = Callable[[int], Awaitable[Work]]


def ours(models: Models, prompts: Prompts, plan: Plan, verifier: Verifier | None) -> Contender:
    """This library's scheduler; without a verifier, sampling alone."""

    async def run(seed: int) -> Work:
        work = Work()
        counted = replace(
            models,
            engine=CountingEngine(models.engine, work),
            verifier=NoVerifier() if verifier is None else CountingVerifier(verifier, work),
        )

        async def one(item: tuple[str, str]) -> bool:
            prompt, gold = item
            prompt_run = PromptRun(counted, REQUEST_SETTINGS, prompt, seed)
            samples = await STRATEGIES[plan.strategy](prompt_run, plan, ())
            return select(await prompt_run.canonicalize(samples)).answer == gold

        started = time.perf_counter()
        longest = REQUEST_SETTINGS.sampling.max_tokens
        most = prompts_in_flight(models.engine, plan.n, longest)
        work.correct = await bounded(one, prompts, most)
        work.seconds = time.perf_counter() - started
        return work

    return run


def passes_counted(contender: Contender, verifier: TransformersBackend) -> Contender:
    """The contender, with the verifier's passes among its work."""

    async def run(seed: int) -> Work:
        passes, texts = verifier.passes, verifier.texts
        work = await contender(seed)
        work.verifier_passes = verifier.passes - passes
        work.verifier_texts = verifier.texts - texts
        return work

    return run


def plain_vllm(llm: Any, models: Models, prompts: Prompts, plan: Plan) -> Contender:
    """One call of vLLM's own ``LLM.generate`` with the same requests, seeds included."""
    from vllm import SamplingParams, TokensPrompt

    settings = SETTINGS.sampling

    async def run(seed: int) -> Work:
        texts, params = [], []
        for prompt, _ in prompts:
            ids = encode_prompt(models.engine, prompt)
            for index in range(plan.n):
                texts.append(TokensPrompt(prompt_token_ids=list(ids)))
                params.append(
                    SamplingParams(
                        temperature=settings.temperature,
                        top_p=settings.top_p,
                        max_tokens=settings.max_tokens,
                        seed=draw_seed(seed, *ids, "sample", number=index),
                        logprobs=0,
                    )
                )
        started = time.perf_counter()
        outputs = llm.generate(texts, params, use_tqdm=False)
        seconds = time.perf_counter() - started
        sampled = sum(len(output.outputs[0].token_ids) for output in outputs)
        return Work(seconds=seconds, sampled_tokens=sampled, engine_calls=len(texts))

    return run


def lockstep(
    llm: Any, models: Models, prompts: Prompts, plan: Plan, verifier: TransformersBackend
) -> Contender:
    """Beam search round by round: one call of ``LLM.generate`` and one of the verifier a round, for
    all beams of all prompts, as the strongest public design does it. Nothing is scored before the
    last beam of the round has come, and the verifier reads every text from its start."""
    from vllm import SamplingParams, TokensPrompt

    settings = SETTINGS.sampling

    async def run(seed: int) -> Work:
        work = Work()
        contexts = [encode_prompt(models.engine, prompt) for prompt, _ in prompts]
        finished: list[list[tuple[tuple[int, ...], float]]] = [[] for _ in prompts]
        living: list[list[tuple[int, ...]]] = [[()] * plan.n for _ in prompts]
        started = time.perf_counter()
        for round_ in range(settings.max_steps):
            beams = [(p, place, b) for p, of in enumerate(living) for place, b in enumerate(of)]
            if not beams:
                break
            outputs = llm.generate(
                [TokensPrompt(prompt_token_ids=[*contexts[p], *beam]) for p, _, beam in beams],
                [
                    SamplingParams(
                        temperature=settings.temperature,
                        top_p=settings.top_p,
                        max_tokens=settings.max_tokens - len(beam),
                        seed=derive_seed(seed, *contexts[p], round_, place),
                        stop=settings.step_end,
                        include_stop_str_in_output=True,
                    )
                    for p, place, beam in beams
                ],
                use_tqdm=False,
            )
            work.engine_calls += len(beams)
            texts = []
            for (p, _, beam), output in zip(beams, outputs, strict=True):
                done = output.outputs[0]
                work.sampled_tokens += len(done.token_ids)
                work.cached_tokens += output.num_cached_tokens or 0
                work.prompt_tokens += len(output.prompt_token_ids)
                # A step's end is a stop text; the end of a sequence has no such reason.
                ended = done.finish_reason == "stop" and done.stop_reason != settings.step_end
                texts.append((p, beam + tuple(done.token_ids), ended))
            scores = await asyncio.gather(
                *(verifier.read(Layout.at_end(contexts[p], text)) for p, text, _ in texts)
            )
            candidates: list[list[tuple[float, tuple[int, ...]]]] = [[] for _ in prompts]
            for (p, text, ended), ((score,), read) in zip(texts, scores, strict=True):
                work.verifier_tokens += read
                if ended or len(text) >= settings.max_tokens:
                    finished[p].append((text, score))
                else:
                    candidates[p].append((score, text))
            for p, ranked in enumerate(candidates):
                ranked.sort(key=lambda entry: -entry[0])
                kept = [text for _, text in ranked[: -(-len(ranked) // plan.beam_width)]]
                left = plan.n - len(finished[p]) if kept else 0
                living[p] = [kept[i * len(kept) // left] for i in range(left)]
        for (_, gold), solutions in zip(prompts, finished, strict=True):
            mass: dict[str | None, float] = {}
            for ids, score in solutions:
                text = models.engine.tokenizer.decode(ids, skip_special_tokens=True)
                answer = models.answers.extract(text)
                mass[answer] = mass.get(answer, 0.0) + score
            work.correct.append(bool(mass) and max(mass, key=lambda a: mass[a]) == gold)
        work.seconds = time.perf_counter() - started
        return work

    return run


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


def served_name(url: str) -> str:
    """The name of the model that a server serves."""
    import httpx

    return str(httpx.get(f"{url}/v1/models").json()["data"][0]["id"])
