"""A contender: beam search round by round."""

import asyncio
import time
from typing import Any

from allocator.plan import Plan
from benchmarks.testbed.paths import SETTINGS
from benchmarks.throughput.contenders import Contender, Prompts
from benchmarks.throughput.workload import Work
from runtime.engines.base import derive_seed, encode_prompt
from runtime.models import Models
from runtime.verifiers.in_transformers import TransformersBackend
from runtime.verifiers.layout import Layout


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
