"""A language model's thoughts in its own token ids: beginning, end, and what cuts one off."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

from allocator.errors import InputError
from runtime.answers.thought import MARK_TOKENS, Thought, thoughts_of
from runtime.engines.steps import StepSplitter
from runtime.engines.tokenizer import decode

# Where a prompt leaves a model: within a thought, after one, or before it may begin one.
Place = Literal["before", "inside", "after"]
SPACES = 4  # tokens of white space that a model may write before the mark that begins a thought


@dataclass(frozen=True)
class ThoughtMarks:
    """The marks of a model's thoughts, in token ids.

    A mark of one token is found as such. One of several is found by its text: its first and last
    letters may share a token with what stands beside it.

    Attributes:
        tokenizer: the language model's.
        thought: the marks as text.
        start: what begins a thought.
        opening: what is written to begin one.
        end: what ends it.
        finder: finds an end of several tokens in a solution; None for an end of one.
        cutoff: what is written to end one at its cap: the end, and the answer's beginning.
        ended: the same without the answer's beginning.
        skipped: what is written in place of a thought where there is to be none.
        empty: the same without the answer's beginning.
    """

    tokenizer: Any = field(repr=False)
    thought: Thought
    start: tuple[int, ...]
    opening: tuple[int, ...]
    end: tuple[int, ...]
    finder: StepSplitter | None = field(repr=False)
    cutoff: tuple[int, ...]
    ended: tuple[int, ...]
    skipped: tuple[int, ...]
    empty: tuple[int, ...]

    def place(self, prompt_ids: Sequence[int]) -> Place:
        """Where a prompt leaves the model; chat templates may have begun or skipped a thought."""
        tail = self._text(prompt_ids[-MARK_TOKENS:]).rstrip()
        if tail.endswith(self.thought.start):
            return "inside"
        return "after" if tail.endswith(self.thought.end) else "before"

    def begun(self, token_ids: Sequence[int]) -> int | None:
        """Where a solution's thought begins: after its mark, before which white space may stand.

        Returns:
            The number of tokens up to there; None where the solution does not begin a thought.
        """
        for count in range(1, min(len(token_ids), len(self.start) + SPACES) + 1):
            text = self._text(token_ids[:count]).lstrip()
            if text.startswith(self.thought.start):
                return count
            if not self.thought.start.startswith(text):
                return None
        return None

    def may_begin(self, token_ids: Sequence[int]) -> bool:
        """Whether a solution may yet begin a thought: it is white space, or a part of the mark."""
        text = self._text(token_ids).lstrip()
        known = len(token_ids) < len(self.start) + SPACES
        return known and self.thought.start.startswith(text) and text != self.thought.start

    def length(self, token_ids: Sequence[int], inside: bool) -> int | None:
        """Thinking tokens of a solution, marks not counted; None where it has no thought.

        Args:
            token_ids: the solution.
            inside: whether the prompt has begun the thought already.
        """
        start = 0 if inside else self.begun(token_ids)
        if start is None:
            return None
        end = self.find_end(token_ids, start)
        return (len(token_ids) if end is None else end) - start

    def find_end(self, token_ids: Sequence[int], start: int = 0) -> int | None:
        """Where the first end of a thought begins, at or after `start`; None if there is none."""
        rest = tuple(token_ids[start:])
        if self.finder is None:
            return start + rest.index(self.end[0]) if self.end[0] in rest else None
        first = self.finder.split(rest)[0] if rest else ()
        if not (first and self.finder.ends_step(first)):
            return None
        leads = reversed(range(len(first)))
        return start + next(i for i in leads if self.thought.end in self._text(first[i:]))

    def _text(self, token_ids: Sequence[int]) -> str:
        return decode(self.tokenizer, token_ids, skip_special_tokens=False)


@lru_cache(maxsize=8)
def thought_marks(tokenizer: Any, setting: str, cutoff: str = "") -> ThoughtMarks | None:
    """The marks by which a model's thoughts are controlled; None for a model without thoughts.

    Args:
        tokenizer: the language model's.
        setting: as `runtime.answers.thought.thoughts_of` takes it. With ``auto``, the first known
            marks count of which a token is in the vocabulary; marks that are named always do.
        cutoff: text that ends a thought at its cap; empty takes the mark's own.

    Raises:
        InputError: a cutoff without the mark that ends a thought.
    """
    thoughts = thoughts_of(setting, tokenizer)
    if setting == "auto":
        vocabulary = tokenizer.get_vocab()
        thoughts = tuple(thought for thought in thoughts if thought.token in vocabulary)
    if not thoughts:
        return None
    thought = thoughts[0]
    if cutoff and thought.end not in cutoff:
        raise InputError("thought_cutoff", cutoff, f"must hold {thought.end}, which ends a thought")
    cutoff = cutoff or thought.cutoff

    def ids(text: str) -> tuple[int, ...]:
        return tuple(tokenizer.encode(text, add_special_tokens=False))

    def without_answer(text: str) -> str:
        return text.partition(thought.end)[0] + thought.end

    end = ids(thought.end)
    return ThoughtMarks(
        tokenizer=tokenizer,
        thought=thought,
        start=ids(thought.start),
        opening=ids(thought.opening),
        end=end,
        finder=None if len(end) == 1 else StepSplitter(tokenizer, thought.end),
        cutoff=ids(cutoff),
        ended=ids(without_answer(cutoff)),
        skipped=ids(thought.skipped),
        empty=ids(without_answer(thought.skipped)),
    )
