"""Tries at a problem, sampled from a teacher with its errors, and the teacher's probabilities.

Each try is sampled from the prompt alone, so tries of one problem err independently. At a
temperature above 1 a good teacher errs more often, and less often in the same way twice, than a
poor one at temperature 1: two tries that agree are then probably right.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.testbed.task import Problem
from benchmarks.thinking.task import result_of
from calibration.training.fine_tune import half_precision

TEMPERATURE = 1.6
BATCH = 384  # sequences sampled at once
LONGEST_LINE = 11  # tokens, its newline included


@dataclass(frozen=True)
class Try:
    """A try with a result.

    Attributes:
        text: its lines, without a newline after the last.
        ids: its tokens.
        probabilities: of each of the tokens, and of the end token after them, as the teacher has
            them at the temperature of the sampling; shape (tokens + 1, vocabulary).
    """

    text: str
    ids: NDArray[np.uint8]
    probabilities: NDArray[np.float16]


@torch.inference_mode()
def sample_tries(
    teacher: Any, tokenizer: Any, problems: Sequence[Problem], count: int, seed: int
) -> list[list[Try]]:
    """`count` tries at each problem; those without a result are left out.

    Args:
        teacher: a causal language model that answers ``<user>PROMPT<assistant>`` with a try.
        tokenizer: of the teacher.
        problems: what to try; problems of one length are sampled together.
        count: tries per problem.
        seed: of the sampling.
    """
    torch.manual_seed(seed)
    tries: list[list[Try]] = [[] for _ in problems]
    order = sorted(range(len(problems)), key=lambda i: len(problems[i].operations))
    width = BATCH // count
    for start in range(0, len(order), width):
        part = order[start : start + width]
        prompts = [f"<user>{problems[i].text}<assistant>" for i in part]
        inputs = tokenizer(prompts, padding=True, padding_side="left", return_tensors="pt")
        longest = max(len(problems[i].operations) for i in part)
        with half_precision("cpu"):
            sampled = teacher.generate(
                **{name: t.repeat_interleave(count, 0) for name, t in inputs.items()},
                do_sample=True,
                top_k=0,
                temperature=TEMPERATURE,
                max_new_tokens=LONGEST_LINE * longest + len("#999") + 1,
                return_dict_in_generate=True,
                output_logits=True,
            )
        tokens = sampled.sequences[:, inputs["input_ids"].shape[1] :].numpy().astype(np.uint8)
        probabilities = (torch.stack(sampled.logits, 1).float() / TEMPERATURE).softmax(-1).numpy()
        for row in range(len(tokens)):
            ended = np.flatnonzero(tokens[row] == tokenizer.eos_token_id)
            ids = tokens[row, : ended[0]] if len(ended) else tokens[row]
            text = tokenizer.decode(ids)
            if len(ended) and result_of(text):
                kept = probabilities[row, : len(ids) + 1].astype(np.float16)
                tries[part[row // count]].append(Try(text, ids, kept))
    return tries


def save(tries: Sequence[Sequence[Try]], path: Path) -> None:
    """Write tries as an npz file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    flat = [attempt for each in tries for attempt in each]
    np.savez(
        path,
        counts=[len(each) for each in tries],
        lengths=[len(attempt.ids) for attempt in flat],
        ids=np.concatenate([attempt.ids for attempt in flat]),
        probabilities=np.concatenate([attempt.probabilities for attempt in flat]),
    )


def load(path: Path, tokenizer: Any) -> list[list[Try]]:
    """Read what `save` wrote."""
    with np.load(path) as file:
        counts, lengths = file["counts"], file["lengths"]
        ids = np.split(file["ids"], np.cumsum(lengths)[:-1])
        probabilities = np.split(file["probabilities"], np.cumsum(lengths + 1)[:-1])
    flat = [Try(tokenizer.decode(i), i, p) for i, p in zip(ids, probabilities, strict=True)]
    ends = np.cumsum(counts)
    return [flat[end - count : end] for end, count in zip(ends, counts, strict=True)]
