"""A language model's thoughts in its own token ids: beginning, end, and what cuts one off."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from allocator.errors import InputError
from runtime.answers.thought import KNOWN, MARK_TOKENS, Thought
from runtime.engines.tokenizer import decode

# Where a prompt leaves a model: within a thought, after one, or before it may begin one.
Place = Literal["before", "inside", "after"]


@dataclass(frozen=True)
class ThoughtMarks:
    """The marks of a model's thoughts, in token ids.

    Attributes:
        thought: the marks as text.
        start: what begins a thought.
        opening: what is written to begin one.
        end: what ends it.
        cutoff: what is written to end one at its cap: the end, and the answer's beginning.
        skipped: what is written in place of a thought where there is to be none.
    """

    thought: Thought
    start: tuple[int, ...]
    opening: tuple[int, ...]
    end: tuple[int, ...]
    cutoff: tuple[int, ...]
    skipped: tuple[int, ...]

    def place(self, tokenizer: Any, prompt_ids: Sequence[int]) -> Place:
        """Where a prompt leaves the model; chat templates may have begun or skipped a thought."""
        tail = decode(tokenizer, prompt_ids[-MARK_TOKENS:], False).rstrip()
        if tail.endswith(self.thought.start):
            return "inside"
        return "after" if tail.endswith(self.thought.end) else "before"

    def length(self, token_ids: Sequence[int], inside: bool) -> int | None:
        """Thinking tokens of a solution, marks not counted; None where it has no thought.

        Args:
            token_ids: the solution.
            inside: whether the prompt has begun the thought already.
        """
        start = 0
        if not inside:
            if tuple(token_ids[: len(self.start)]) != self.start:
                return None
            start = len(self.start)
        end = self.find_end(token_ids, start)
        return (len(token_ids) if end is None else end) - start

    def find_end(self, token_ids: Sequence[int], start: int = 0) -> int | None:
        """Where the first end of a thought begins, at or after `start`; None if there is none."""
        ids, width = tuple(token_ids), len(self.end)
        try:
            while ids[start : start + width] != self.end:
                # Thoughts are long and searched at every step: `index` is many times as fast.
                start = ids.index(self.end[0], start + 1)
        except ValueError:  # there is no further token of which one could begin
            return None
        return start

    def ended(self, token_ids: Sequence[int]) -> tuple[int, ...]:
        """What ends a thought, without what follows its end; all of it where it has no end."""
        end = self.find_end(token_ids)
        return tuple(token_ids if end is None else token_ids[: end + len(self.end)])


@lru_cache(maxsize=8)
def thought_marks(
    tokenizer: Any, thoughts: tuple[Thought, ...], cutoff: str = ""
) -> ThoughtMarks | None:
    """The marks by which a model's thoughts are controlled; None for a model without thoughts.

    Args:
        tokenizer: the language model's.
        thoughts: marks that its solutions are read by. The first one counts that the user has
            named, or of which a token is in the vocabulary.
        cutoff: text that ends a thought at its cap; empty takes the mark's own.

    Raises:
        InputError: a cutoff without the mark that ends a thought.
    """
    vocabulary = tokenizer.get_vocab()
    known = [t for t in thoughts if t.token in vocabulary or t not in KNOWN]
    if not known:
        return None
    thought = known[0]
    if cutoff and thought.end not in cutoff:
        raise InputError("thought_cutoff", cutoff, f"must hold {thought.end}, which ends a thought")

    def ids(text: str) -> tuple[int, ...]:
        return tuple(tokenizer.encode(text, add_special_tokens=False))

    return ThoughtMarks(
        thought=thought,
        start=ids(thought.start),
        opening=ids(thought.opening),
        end=ids(thought.end),
        cutoff=ids(cutoff or thought.cutoff),
        skipped=ids(thought.skipped),
    )
