"""Sampled records as thoughts: what each would have answered at every depth that was sampled."""

from collections.abc import Sequence

import numpy as np

from calibration.data.answer_codes import CORRECT, UNANSWERED
from calibration.data.thoughts import Thoughts
from calibration.replay.replay_part import pool
from calibration.sampling.collect import PromptRecord
from predictors.sample import Sample
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
        codes = {None: UNANSWERED, record.gold: CORRECT}

        def coded(samples: Sequence[Sample], codes: dict[str | None, int] = codes) -> list[int]:
            return [codes.setdefault(sample.answer, len(codes) - 1) for sample in samples[:count]]

        full = record.independent.samples[:count]
        answer[row] = coded(full)
        tokens[row] = [max(1, sample.thinking or 0) for sample in full]
        for place, depth in enumerate(depths):
            forced[row, :, place] = coded(pool(record, depth))
    answers = [
        sample.tokens - (sample.thinking or 0)
        for record in records
        for depth in depths
        for sample in pool(record, depth)
        if sample.forced
    ]
    probe = round(float(np.mean(answers))) if answers else PROBE_TOKENS
    return Thoughts(answer, tokens, np.array(depths, dtype=np.int64), forced, probe)
