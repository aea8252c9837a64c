"""What the simulated language model writes: token ids whose lengths are those of real solutions.

The lengths are those of 4,598 solutions of 242 questions of MATH-500 by Llama-3.1-8B-Instruct, the
log of `benchmarks.logged` (public runs of mert-cemri/search-and-learn): `LAST` has the share of
solutions that end with a step, of those that get there, and steps of `STEP_TOKENS` tokens on
average vary as the log's do. A step is long or short in part because its question is: `QUESTION`
and `STEP` are standard deviations of log-lengths.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, sqrt
from random import Random
from statistics import NormalDist
from typing import Any, Protocol

# Token ids: the end of a solution, the end of a step, any other; larger ones tell texts apart.
END, STEP_END, OTHER, UNIQUE = 0, 1, 2, 3
TEXTS = {END: "", STEP_END: "\n", OTHER: "a"}
# Share of solutions that end with the first, second, ... step; the last of these holds further on.
LAST = (0.004, 0.021, 0.045, 0.154, 0.241, 0.272, 0.27, 0.251, 0.249, 0.242, 0.257, 0.212, 0.16)
STEP_TOKENS, QUESTION, STEP = 56.2, 0.38, 0.8
# Share of what is open about a solution that a step settles.
SETTLED = 0.25
# Questions have 51 tokens on average; with a chat template and a system prompt about twice that.
PROMPT_TOKENS = 128


class Tokenizer:
    """A tokenizer of three tokens; all others have no text.

    Args:
        prompt_tokens: of every prompt.
    """

    chat_template = bos_token_id = None

    def __init__(self, prompt_tokens: int = PROMPT_TOKENS) -> None:
        self._prompt_tokens = prompt_tokens

    def get_vocab(self) -> dict[str, int]:
        """Ids by their text."""
        return {text: token for token, text in TEXTS.items()}

    def __len__(self) -> int:
        return len(TEXTS)

    def encode(self, text: str, **_: Any) -> list[int]:
        """The tokens of a prompt, whose text is its number."""
        return [UNIQUE + int(text)] + [OTHER] * (self._prompt_tokens - 1)

    def decode(self, token_ids: Sequence[int], **_: Any) -> str:
        """The text of one token; that of more is read by nobody."""
        return TEXTS.get(token_ids[0], "") if len(token_ids) == 1 else ""


@dataclass(frozen=True)
class Lengths:
    """How long solutions are.

    Attributes:
        last: share of solutions that end with the first, second, ... step.
        step_tokens: of a step on average.
        question: standard deviation of the log-length, over questions.
        step: likewise, over the steps of one question.
    """

    last: tuple[float, ...] = LAST
    step_tokens: float = STEP_TOKENS
    question: float = QUESTION
    step: float = STEP


class Writer(Protocol):
    """A language model and its verifier, as far as a simulation goes."""

    def write(
        self, token_ids: Sequence[int], seed: int, max_tokens: int, one_step: bool
    ) -> tuple[list[int], bool]:
        """What follows a text, and whether that is the end of the solution.

        Args:
            token_ids: a prompt, and a solution so far.
            seed: of the draw.
            max_tokens: the most tokens to write.
            one_step: stop after a step.
        """
        ...

    def score(self, token_ids: Sequence[int]) -> float:
        """The score of a prompt and a solution so far, between 0 and 1."""
        ...


class RandomWriter:
    """Writes steps of random lengths, none of which equal each other; scores them by chance.

    Args:
        lengths: of what it writes.
    """

    def __init__(self, lengths: Lengths) -> None:
        self.lengths = lengths

    def write(
        self, token_ids: Sequence[int], seed: int, max_tokens: int, one_step: bool
    ) -> tuple[list[int], bool]:
        """See `Writer.write`."""
        rng, text = Random(seed), list(token_ids)
        begun = len(text)
        while True:
            step, ended = self._step(text, rng)
            text += step
            if len(text) - begun >= max_tokens:
                return text[begun : begun + max_tokens], ended and len(text) - begun == max_tokens
            if ended or one_step:
                return text[begun:], ended

    def _step(self, text: list[int], rng: Random) -> tuple[list[int], bool]:
        """The next step, and whether it is the last."""
        lengths = self.lengths
        number = text.count(STEP_END)
        question = Random(text[0]).gauss(0, lengths.question)
        spread = (lengths.question**2 + lengths.step**2) / 2
        log_length = question + rng.gauss(0, lengths.step) - spread
        size = max(2, round(lengths.step_tokens * exp(log_length)))
        ended = rng.random() < lengths.last[min(number, len(lengths.last) - 1)]
        first = UNIQUE + rng.getrandbits(48)
        return [first, *[OTHER] * (size - 2), END if ended else STEP_END], ended

    def score(self, token_ids: Sequence[int]) -> float:
        """See `Writer.score`: the chance that the solution ends correct, given its steps so far.

        A solution is correct if the sum of what speaks for its question and for its steps is above
        0. Each step settles the same share of what is open: as a solution is continued, its scores
        are a martingale, as a perfect PRM's are.
        """
        question, *steps = (token for token in token_ids if token >= UNIQUE)
        total, left = Random(question).gauss(0, 1), 1.0
        for step in steps:
            total += sqrt(left * SETTLED) * Random(step).gauss(0, 1)
            left *= 1 - SETTLED
        return NormalDist().cdf(total / sqrt(left))
