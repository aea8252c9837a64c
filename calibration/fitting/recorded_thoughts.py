"""Sampled records as thoughts: what each would have answered at every depth that was sampled."""

from collections.abc import Sequence

import numpy as np

from calibration.data.answer_codes import text_codes
from calibration.data.thoughts import Thoughts
from calibration.replay.replay_part import pool
from calibration.sampling.collect import PromptRecord
from predictors.thinking_state import PROBE_TOKENS


def recorded_thoughts(records: Sequence[PromptRecord], caps: Sequence[int]) -> Thoughts:
    """The thoughts of sampled prompts, with the answers that were forced at each cap.

    Args:
        records: sampled prompts.
        caps: the caps in thinking tokens at which answers were forced.
    """
    depths = sorted(caps)
    count = min(len(pool(record, depth)) for record in records for depth in depths)
    shape = len(records), count
    answer, tokens = np.empty(shape, dtype=np.int64), np.ones(shape)
    forced = np.empty((*shape, len(depths)), dtype=np.int64)
    for row, record in enumerate(records):
        full = record.independent.samples[:count]
        at_caps = [sample for depth in depths for sample in pool(record, depth)[:count]]
        # The gold answer comes first: it has the number 0.
        codes = text_codes([record.gold, *(sample.answer for sample in (*full, *at_caps))])[1:]
        answer[row], forced[row] = codes[:count], codes[count:].reshape(len(depths), count).T
        tokens[row] = [max(1, sample.thinking or 0) for sample in full]
    answers = [
        sample.tokens - (sample.thinking or 0)
        for record in records
        for depth in depths
        for sample in pool(record, depth)
        if sample.forced
    ]
    probe = round(float(np.mean(answers))) if answers else PROBE_TOKENS
    return Thoughts(answer, tokens, np.array(depths, dtype=np.int64), forced, probe)
