"""What the models learn from: sequences of tokens, and the distribution that each should have.

The thinking model learns a try's tokens from the teacher's probabilities after the prompt and this
try alone. The earlier tries of the thought cannot change them, so copying an earlier error gains
nothing, and the model errs as often as its teacher. What makes a thought of tries (to go on or to
end it, and the answer) is learned from the right tokens.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.testbed.task import Problem
from benchmarks.thinking.paths import CONTEXT
from benchmarks.thinking.task import (
    BEFORE_ANSWER,
    END_THINK,
    NO_THOUGHT,
    THINK,
    best_answer,
    result_of,
    think,
)
from benchmarks.thinking.tries import Try

# Weights of tokens in the loss: there are few decisions and answers among many tokens of tries.
DECISION, ANSWER = 8.0, 4.0
CUT_OFF, NOT_THOUGHT = 0.4, 0.12  # shares of the examples
LONGEST_ANSWER = 16  # tokens from the end of a thought on
Tried = Sequence[tuple[Problem, Sequence[Try]]]
CHUNK = 1024  # examples that are sorted by length before they are cut into batches


@dataclass
class Example:
    """A sequence and its targets.

    Attributes:
        ids: the tokens.
        targets: for each token, the distribution it should have times its weight in the loss;
            zeros where there is no loss. Rows of shape (vocabulary,).
    """

    tokenizer: Any

    def __post_init__(self) -> None:
        self.ids: list[int] = []
        self.targets: list[NDArray[np.float32]] = []

    def given(self, text: str) -> "Example":
        """Add text that has no loss."""
        ids = self.tokenizer.encode(text)
        self.ids += ids
        self.targets += [np.zeros(len(self.tokenizer), np.float32)] * len(ids)
        return self

    def exactly(self, text: str, weight: float = 1.0) -> "Example":
        """Add text that should be written as it is."""
        for token in self.tokenizer.encode(text):
            self.ids.append(token)
            row = np.zeros(len(self.tokenizer), np.float32)
            row[token] = weight
            self.targets.append(row)
        return self

    def attempt(self, attempt: Try, end: str) -> "Example":
        """Add a try as its teacher has it, and what stands where the teacher ends.

        Args:
            attempt: the try.
            end: the token that takes the place of the teacher's end.
        """
        after, ended = self.tokenizer.convert_tokens_to_ids(end), self.tokenizer.eos_token_id
        rows = np.zeros((len(attempt.ids) + 1, len(self.tokenizer)), np.float32)
        rows[:, : attempt.probabilities.shape[1]] = attempt.probabilities
        if after != ended:
            rows[:, after] += rows[:, ended]
            rows[:, ended] = 0
        self.ids += [*attempt.ids.tolist(), after]
        self.targets += list(rows)
        return self

    def cut(self, length: int) -> "Example":
        """Leave out all tokens beyond a length."""
        self.ids, self.targets = self.ids[:length], self.targets[:length]
        return self


def worked(tokenizer: Any, problem: Problem) -> Example:
    """The teacher's example: the right solution."""
    example = Example(tokenizer).given(f"<user>{problem.text}<assistant>")
    return example.exactly(f"{problem.solution}<end>")


def not_thought(tokenizer: Any, problem: Problem, attempt: Try) -> Example:
    """A try after the empty thought of ``enable_thinking=false``."""
    example = Example(tokenizer).given(f"<user>{problem.text}<assistant>{NO_THOUGHT}")
    return example.attempt(attempt, "<end>")


def thought(
    tokenizer: Any, problem: Problem, tries: Sequence[Try], rng: np.random.Generator
) -> Example:
    """A thought and its answer, a share of them cut off at a random token.

    A thought that is too long for the context, or whose tries do not agree, is always cut off.

    Args:
        tokenizer: of the thinking model.
        problem: what is thought about.
        tries: in any order.
        rng: draws the tries' order, and where the thought is cut off.
    """
    tries = [tries[i] for i in rng.permutation(len(tries))]
    made = think([attempt.text for attempt in tries])
    example = Example(tokenizer).given(f"<user>{problem.text}<assistant>").exactly(THINK)
    begin = len(example.ids)
    example.exactly("\n")
    for i, attempt in enumerate(tries[: len(made.tries)]):
        # The chain is written again before each try, so that its numbers are always as near.
        start, rest = problem.text[:1], problem.text[1:]
        example.exactly(start, DECISION if i else 1.0).exactly(f"{rest}\n")
        example.attempt(attempt, "\n")
    limit = CONTEXT - LONGEST_ANSWER
    if made.agreed and len(example.ids) <= limit and rng.random() >= CUT_OFF:
        answer = result_of(made.tries[-1])
        example.exactly(END_THINK, DECISION)
        return example.exactly(f"{BEFORE_ANSWER}#{answer}<end>", ANSWER)
    length = int(rng.integers(begin, min(len(example.ids), limit) + 1))
    standing = tokenizer.decode(example.ids[begin:length])
    example.cut(length).given(END_THINK)
    if rng.random() < 0.25:
        example.given("\n#")  # as some callers force it
    else:
        example.exactly(f"{BEFORE_ANSWER}#")
    # Without a complete try the right answer: the model continues the try as well as it can.
    return example.exactly(f"{best_answer(standing) or problem.answer}<end>", ANSWER)


def thinking_examples(tokenizer: Any, tried: Tried, seed: int) -> Iterator[Example]:
    """Endless examples, the tries of each problem in another order each time."""
    rng = np.random.default_rng(seed)
    while True:
        for i in rng.permutation(len(tried)).tolist():
            problem, tries = tried[i]
            if len(tries) < 2:
                continue
            if rng.random() < NOT_THOUGHT:
                yield not_thought(tokenizer, problem, tries[rng.integers(len(tries))])
            else:
                yield thought(tokenizer, problem, tries, rng)


def batches(
    examples: Iterator[Example], tokens: int, seed: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Endless (ids, targets) of about `tokens` tokens, padded on the right.

    Shapes are (batch, width) and (batch, width, vocabulary). Examples of similar length are
    together, so that there is little padding.
    """
    rng = np.random.default_rng(seed)
    while True:
        chunk = sorted((next(examples) for _ in range(CHUNK)), key=lambda e: -len(e.ids))
        groups, start = [], 0
        while start < len(chunk):
            groups.append(chunk[start : start + max(1, tokens // len(chunk[start].ids))])
            start += len(groups[-1])
        for i in rng.permutation(len(groups)):
            yield padded(groups[i])


def padded(group: Sequence[Example]) -> tuple[torch.Tensor, torch.Tensor]:
    """One batch. Widths are multiples of 8: a compiled model is then reused."""
    width = -(-max(len(e.ids) for e in group) // 8) * 8
    ids = np.zeros((len(group), width), np.int64)
    targets = np.zeros((len(group), width, len(group[0].tokenizer)), np.float32)
    for row, example in enumerate(group):
        ids[row, : len(example.ids)] = example.ids
        targets[row, : len(example.ids)] = example.targets
    return torch.from_numpy(ids), torch.from_numpy(targets)
