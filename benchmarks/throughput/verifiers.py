"""The verifier as contenders read it, and what its passes take while nothing else runs."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import accumulate

import numpy as np
import torch
from scipy.optimize import nnls

from benchmarks.allocation.pool import read_pool
from benchmarks.testbed.paths import PRM, TEST_POOL
from runtime.engines.base import Engine, encode_prompt
from runtime.engines.batching import LATENCY
from runtime.verifiers.families import FAMILIES, recognise
from runtime.verifiers.in_transformers import TransformersBackend
from runtime.verifiers.kv_memory import MAX_BYTES
from runtime.verifiers.layout import Layout

# How a verifier reads. Ours: new tokens only. The others: every text from its start, on one core
# beside sampling, or on all cores where nothing is sampled meanwhile (lockstep search).
NEW_TOKENS, WHOLE_TEXTS, ALL_CORES = "new tokens", "whole texts", "whole texts, all cores"
TIMED_PROMPTS, SOLUTIONS = 64, 4  # solutions of each prompt
TEXTS = (1, 4, 16, 64)  # in a pass


def texts_of(engine: Engine) -> list[list[Layout]]:
    """Solutions of the testbed's prompts, each as it is read after its first step, its second..."""
    found = []
    for record in read_pool(TEST_POOL)[:TIMED_PROMPTS]:
        prompt = tuple(encode_prompt(engine, record.prompt))
        distinct = dict.fromkeys(s.steps for s in record.independent.samples)
        found += [
            [Layout.at_end(prompt, text) for text in accumulate(steps)]
            for steps in list(distinct)[:SOLUTIONS]
        ]
    return found


class Verifiers:
    """Opens the PRM, and closes all in the end.

    Args:
        engine: the language model's, whose tokens it reads.
        cores: that the machine has.
        stack: closes what was opened.

    Attributes:
        family: how the PRM is read.
    """

    def __init__(self, engine: Engine, cores: int, stack: ExitStack) -> None:
        self.family = FAMILIES[recognise(PRM)](engine.tokenizer, engine.tokenizer, PRM)
        self._texts, self._cores, self._stack = texts_of(engine), cores, stack

    async def open(self, reads: str) -> TransformersBackend:
        """A verifier that has read one text, as a warm-up.

        Args:
            reads: `NEW_TOKENS`, `WHOLE_TEXTS` or `ALL_CORES`.
        """
        backend = TransformersBackend(PRM, self.family, MAX_BYTES if reads == NEW_TOKENS else 0)
        self._stack.callback(backend.close)
        # A thread keeps the number of cores with which it begins; the first pass takes longer.
        torch.set_num_threads(self._cores if reads == ALL_CORES else 1)
        await backend.read(self._texts[0][0])
        torch.set_num_threads(1)
        return backend

    async def pass_times(self) -> dict[str, dict[str, float]]:
        """`pass_times` of each way of reading."""
        return {
            reads: await pass_times([await self.open(reads) for _ in TEXTS], self._texts)
            for reads in (NEW_TOKENS, WHOLE_TEXTS, ALL_CORES)
        }


async def pass_times(
    verifiers: Sequence[TransformersBackend], texts: Sequence[Sequence[Layout]]
) -> dict[str, float]:
    """Seconds of a pass, of each text in it and of each token, fitted to passes of many sizes.

    Args:
        verifiers: for each size a verifier that has not read these texts, or does not remember.
        texts: solutions as they are read, step by step.

    Returns:
        ``fixed``, ``per_text`` and ``per_token``; every pass weighs alike in relative terms.
    """
    counts, seconds = [], []
    for size, verifier in zip(TEXTS, verifiers, strict=True):
        for start in range(size, len(texts), size):  # the first texts were read as a warm-up
            part = texts[start : start + size]
            for step in range(max(map(len, part))):
                layouts = [layouts[step] for layouts in part if step < len(layouts)]
                passes, read = verifier.passes, verifier.texts
                started = time.perf_counter()
                answers = await asyncio.gather(*map(verifier.read, layouts))
                # It waits for company before it works.
                seconds.append(time.perf_counter() - started - LATENCY)
                tokens = sum(tokens for _, tokens in answers)
                counts.append((verifier.passes - passes, verifier.texts - read, tokens))
    rows, times = np.array(counts, dtype=float), np.array(seconds)
    fitted, _ = nnls(rows / times[:, None], np.ones(len(times)))
    return dict(zip(("fixed", "per_text", "per_token"), fitted.tolist(), strict=True))
