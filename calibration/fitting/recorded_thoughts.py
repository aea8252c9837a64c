"""Sampled records as thoughts: what each would have answered at every depth that was sampled."""

from collections.abc import Sequence

import numpy as np

from calibration.data.answer_codes import text_codes
from calibration.data.thoughts import DirectAnswers, Thoughts
from calibration.replay.replay_part import pool
from calibration.sampling.collect import PromptRecord
from predictors.sample import Sample
from predictors.thinking_state import PROBE_TOKENS


def recorded_thoughts(records: Sequence[PromptRecord], depths: Sequence[int | None]) -> Thoughts:
    """The thoughts of sampled prompts, the answers forced at each cap, and the direct answers.

    Args:
        records: sampled prompts.
        depths: what may be sampled later, as `Plan.thinking`: 0 for direct answers. Without None,
            no thought may be longer than the greatest.
    """
    caps = sorted(depth for depth in depths if depth)
    direct = _pools(records, 0) if 0 in depths else [[] for _ in records]
    whole = _pools(records, None)
    capped = [_pools(records, cap) for cap in caps]
    count = min(len(samples) for pools in (whole, *capped) for samples in pools)
    first, answer, forced = [], [], []
    for row, record in enumerate(records):
        thoughts = [pools[row][:count] for pools in (whole, *capped)]
        samples = [*direct[row], *(sample for taken in thoughts for sample in taken)]
        # The gold answer comes first: it has the number 0.
        codes = text_codes([record.gold, *(sample.answer for sample in samples)])[1:]
        given, natural, rest = np.split(codes, np.cumsum([len(direct[row]), count]))
        first.append(given)
        answer.append(natural)
        forced.append(rest.reshape(len(caps), count).T)
    answers = [
        sample.tokens - (sample.thinking or 0)
        for pools in capped
        for samples in pools
        for sample in samples
        if sample.forced
    ]
    without = None
    if 0 in depths:
        without = DirectAnswers(
            np.array(first),
            np.array([[max(1.0, sample.tokens) for sample in taken] for taken in direct]),
            np.array([[-sample.logprob for sample in taken] for taken in direct]),
        )
    tokens = np.array([[max(1.0, s.thinking or 0) for s in taken[:count]] for taken in whole])
    sampled = np.array([[s.tokens for s in taken[:count]] for taken in whole])
    return Thoughts(
        np.array(answer),
        tokens,
        np.array(caps, dtype=np.int64),
        np.array(forced),
        probe_tokens=round(float(np.mean(answers))) if answers else PROBE_TOKENS,
        direct=without,
        nll=np.array([[-sample.logprob for sample in taken[:count]] for taken in whole]),
        answer_tokens=np.maximum(0.0, sampled - tokens),
        limit=None if None in depths else max(caps, default=None),
        cut=np.array([[not sample.ended for sample in taken[:count]] for taken in whole]),
    )


def _pools(records: Sequence[PromptRecord], thinking: int | None) -> list[Sequence[Sample]]:
    """The solutions of each prompt with thoughts of a depth, of all prompts as many."""
    pools = [pool(record, thinking) for record in records]
    return [samples[: min(map(len, pools))] for samples in pools]
