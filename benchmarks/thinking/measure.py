"""Measure the thinking model: accuracy and tokens without a thought, at caps, and in full.

    python -m benchmarks.thinking.measure

Samples every test prompt 16 times with the transformers engine, and writes measured.json. A cap is
the same full thought cut off, and the answer forced from there.
"""

import argparse
import asyncio
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.thinking.paths import BASE, CONTEXT, MEASURED, TEST_PROMPTS
from benchmarks.thinking.task import END_THINK, result_of
from runtime.concurrency import bounded
from runtime.engines.base import SamplingSettings
from runtime.engines.transformers import TransformersEngine

SAMPLES, SEED = 16, 5
CAPS = (40, 80, 160, 320, 640)
ANSWER_TOKENS = 16
FORCED = f"{END_THINK}\n\n#"
CAPPED_SAMPLES = 4
SETTINGS = SamplingSettings(temperature=1.0)


@dataclass(frozen=True)
class Sampled:
    """One sample.

    Attributes:
        answer: what stands after the thought; None without one.
        tokens: of thought and answer together.
        thought: the tokens of the thought; empty without one.
        ended: whether the model ended its thought itself.
    """

    answer: str | None
    tokens: int
    thought: tuple[int, ...] = ()
    ended: bool = True


class Sampler:
    """Samples of the thinking model, with the thought off, capped or full.

    Args:
        model: folder of the model.
    """

    def __init__(self, model: Path) -> None:
        self.engine = TransformersEngine(model)
        self.tokenizer: Any = self.engine.tokenizer
        self._end = self.tokenizer.convert_tokens_to_ids(END_THINK)

    def prompt(self, text: str, thinking: bool) -> list[int]:
        """Token ids of the prompt as the chat template has it."""
        messages = [{"role": "user", "content": text}]
        ids: list[int] = self.tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, enable_thinking=thinking, return_dict=False
        )
        return ids

    async def _complete(self, ids: list[int], most: int, seed: int, end: bool = False) -> list[int]:
        stop = (self._end,) if end else ()
        completion = await self.engine.complete(
            ids, settings=SETTINGS, max_tokens=most, seed=seed, stop_token_ids=stop, logprob=False
        )
        return list(completion.token_ids)

    async def off(self, text: str, seed: int) -> Sampled:
        """A sample without a thought."""
        ids = self.prompt(text, thinking=False)
        sampled = await self._complete(ids, 256, seed)
        return Sampled(self._answer(sampled), len(sampled))

    async def full(self, text: str, seed: int) -> Sampled:
        """A sample with a full thought; the answer is forced where the context ends."""
        ids = self.prompt(text, thinking=True)
        thought = await self._complete(ids, CONTEXT - len(ids) - ANSWER_TOKENS, seed, end=True)
        if thought[-1] != self._end:
            return await self.capped(text, tuple(thought), len(thought), seed)
        answer = await self._complete(ids + thought, ANSWER_TOKENS, seed + 1)
        return Sampled(self._answer(answer), len(thought + answer), tuple(thought[:-1]))

    async def capped(self, text: str, thought: tuple[int, ...], cap: int, seed: int) -> Sampled:
        """The answer forced after so many tokens of a thought."""
        forced = self.tokenizer.encode(FORCED)
        ids = [*thought[:cap], *forced]
        answer = await self._complete(
            self.prompt(text, thinking=True) + ids, ANSWER_TOKENS, seed + 2
        )
        read = self._answer([*forced, *answer])
        return Sampled(read, len(ids) + len(answer), thought[:cap], ended=False)

    def _answer(self, ids: list[int]) -> str | None:
        return result_of(self.tokenizer.decode(ids).removesuffix("<end>"))


def results(tokenizer: Any, sample: Sampled) -> list[str]:
    """The results of a thought's complete tries."""
    lines = tokenizer.decode(sample.thought).split("\n")[:-1]
    return [result for line in lines if (result := result_of(line))]


def repeats(tries: list[list[list[str]]], answers: list[str]) -> dict[str, float]:
    """How often a second try repeats a wrong first one: in a thought, and in another thought.

    Args:
        tries: results of each prompt's samples, in the order of the tries.
        answers: the right ones.
    """
    same, other = [], []
    for samples, answer in zip(tries, answers, strict=True):
        two = [r for r in samples if len(r) > 1]
        for i, (first, second, *_) in enumerate(two):
            if first != answer and len(two) > 1:
                same.append(first == second)
                other.append(np.mean([first == r[1] for j, r in enumerate(two) if j != i]))
    return {"same thought": float(np.mean(same)), "another thought": float(np.mean(other))}


def majority(answers: list[str | None]) -> str | None:
    """The most common answer, the earliest of those equally common."""
    counts = Counter(a for a in answers if a is not None)
    return counts.most_common(1)[0][0] if counts else None


def figures(samples: list[list[Sampled]], answers: list[str]) -> dict[str, float]:
    """Accuracy of one sample and of the majority of all, and mean tokens of one."""
    right = [[s.answer == a for s in each] for each, a in zip(samples, answers, strict=True)]
    voted = [
        majority([s.answer for s in each]) == a for each, a in zip(samples, answers, strict=True)
    ]
    flat = [s for each in samples for s in each]
    return {
        "accuracy": float(np.mean(right)),
        f"majority of {len(samples[0])}": float(np.mean(voted)),
        "tokens": float(np.mean([s.tokens for s in flat])),
        "ended by the model": float(np.mean([s.ended for s in flat])),
    }


async def measure(model: Path, prompts: list[dict[str, str]]) -> dict[str, Any]:
    """All figures."""
    sampler = Sampler(model)
    answers = [p["answer"] for p in prompts]
    jobs = [(i, s) for i in range(len(prompts)) for s in range(SAMPLES)]

    def seed(i: int, s: int) -> int:
        return ((SEED * len(prompts) + i) * SAMPLES + s) * 4

    async def each(draw: Any, count: int = SAMPLES) -> list[list[Sampled]]:
        drawn = await bounded(lambda job: draw(*job), [j for j in jobs if j[1] < count], 256, print)
        return [drawn[i : i + count] for i in range(0, len(drawn), count)]

    off = await each(lambda i, s: sampler.off(prompts[i]["prompt"], seed(i, s)))
    full = await each(lambda i, s: sampler.full(prompts[i]["prompt"], seed(i, s)))

    async def capped(i: int, s: int, cap: int) -> Sampled:
        whole = full[i][s]
        if len(whole.thought) < cap:
            return whole
        return await sampler.capped(prompts[i]["prompt"], whole.thought, cap, seed(i, s))

    found: dict[str, Any] = {"off": figures(off, answers)}
    for cap in CAPS:
        drawn = await each(lambda i, s, cap=cap: capped(i, s, cap), CAPPED_SAMPLES)
        found[f"cap {cap}"] = figures(drawn, answers)
    found["full"] = figures(full, answers)
    tries = [[results(sampler.tokenizer, s) for s in each] for each in full]
    found["a wrong first try is repeated"] = repeats(tries, answers)
    rates = np.array(
        [[s.answer == a for s in each] for each, a in zip(off, answers, strict=True)]
    ).mean(1)
    found["pass@1 without a thought, deciles"] = np.quantile(rates, np.linspace(0, 1, 11)).tolist()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", type=Path, default=BASE)
    parser.add_argument("--prompts", type=int, default=320)
    parser.add_argument("--out", type=Path, default=MEASURED)
    args = parser.parse_args()
    lines = TEST_PROMPTS.read_text().splitlines()[: args.prompts]
    found = asyncio.run(measure(args.model, [json.loads(line) for line in lines]))
    args.out.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
