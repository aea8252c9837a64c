"""Models small enough to know everything about, for tests of scheduling and accounting.

They stand beside the tests through the real engines (test_engines, test_end_to_end), never for
them: with these the right result can be computed by hand.
"""

import asyncio
from collections.abc import Sequence
from math import nan
from typing import Any

import numpy as np

from runtime.answers import PatternAnswers
from runtime.engines.base import Completion, Engine, SamplingSettings
from runtime.engines.steps import StepSplitter
from runtime.models import Models
from runtime.prompt_run import PromptRun
from runtime.request import RequestSettings
from runtime.verifiers.base import Context, Verdict, Verifier

STEPS = 3
COIN_SETTINGS = RequestSettings(SamplingSettings(step_end="\n", max_tokens=40))
SOON = 20.0  # seconds that what takes none may take in a test, before it is said to hang


class CoinEngine:
    """Solutions of three lines, each 0 or 1 by a fair coin; the answer is their sum.

    Args:
        tokenizer: the testbed's.
        ragged: end after any line but the first with a chance of a half, not after three lines.
        fails_after: requests after which every further one raises.
    """

    context_length = 64

    def __init__(
        self, tokenizer: Any, ragged: bool = False, fails_after: int | None = None
    ) -> None:
        self.tokenizer, self.ragged, self.fails_after = tokenizer, ragged, fails_after
        self.requests: list[tuple[int, ...]] = []
        self.seeds: list[int] = []

    async def complete(
        self,
        token_ids: Sequence[int],
        *,
        settings: SamplingSettings,
        max_tokens: int,
        seed: int,
        stop: Sequence[str] = (),
        stop_token_ids: Sequence[int] = (),
        logprob: bool = True,
    ) -> Completion:
        self.requests.append(tuple(token_ids))
        self.seeds.append(seed)
        if self.fails_after is not None and len(self.requests) > self.fails_after:
            raise RuntimeError("the engine has failed")
        await asyncio.sleep(0)
        rng = np.random.default_rng(seed)
        text = self.tokenizer.decode(token_ids).split("<assistant>")[-1]
        written = ""
        while not written.endswith(">") and not written.endswith(tuple(stop)):
            lines = (text + written).splitlines()
            ends = len(lines) > 0 and rng.random() < 0.5 if self.ragged else len(lines) == STEPS
            if not ends:
                written += f"{rng.integers(2)}\n"
            else:
                written += f"#{sum(int(line) for line in lines)}<end>"
        ids = tuple(self.tokenizer.encode(written))
        ended = written.endswith("<end>")
        stopped_by = None if ended else next(text for text in stop if written.endswith(text))
        found = -0.7 * len(ids) if logprob else nan
        return Completion(ids, found, ended=ended, stopped_by=stopped_by)

    def close(self) -> None:
        pass


class SumVerifier:
    """Scores a step by the share of ones up to it, so that search should prefer ones."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer

    async def score(self, context: Context, steps: Sequence[tuple[int, ...]]) -> Verdict:
        scores, ones = [], 0
        for number, step in enumerate(steps, start=1):
            ones += self.tokenizer.decode(step).strip() == "1"
            scores.append(min(1.0, (ones + 0.1) / (min(number, STEPS) + 0.2)))
        return Verdict(tuple(scores), sum(len(step) for step in steps), 0)

    def close(self) -> None:
        pass


class StepUp:
    """A reviser of the coin task, whose every attempt is all ones."""

    context_length = 256

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.contexts: list[str] = []

    async def complete(self, token_ids: Sequence[int], **_: Any) -> Completion:
        self.contexts.append(self.tokenizer.decode(token_ids))
        text = "1\n1\n1\n#3<end>"
        ids = tuple(self.tokenizer.encode(text))
        return Completion(ids, -0.5, ended=True)

    def close(self) -> None:
        pass


def coin_run(
    tokenizer: Any,
    seed: int = 0,
    engine: Engine | None = None,
    verifier: Verifier | None = None,
    settings: RequestSettings = COIN_SETTINGS,
    **fields: Any,
) -> PromptRun:
    """A prompt of the coin task; `fields` are further ones of its models."""
    models = Models(
        engine or CoinEngine(tokenizer),
        verifier or SumVerifier(tokenizer),
        PatternAnswers(r"#(\d+)"),
        StepSplitter(tokenizer, "\n"),
        **fields,
    )
    return PromptRun(models, settings, "1", seed)
