"""Answers are extracted from the text after the last end of a thought.

A solution whose thought has not ended has no answer. Models mark thoughts in different ways; the
vocabulary shows which marks a model uses.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from allocator.errors import InputError
from runtime.engines.tokenizer import decode

MARK_TOKENS = 32  # of a prompt's end: enough for any mark, whatever pieces it is made of
BETWEEN = "..."  # between the two marks in settings, as in <think>...</think>


@dataclass(frozen=True)
class Thought:
    """The marks of a thought.

    Attributes:
        start: what begins it. A chat template may have written it already.
        end: what ends it; the answer follows.
        token: one of the tokens that the marks are made of.
    """

    start: str
    end: str
    token: str


THINK = Thought("<think>", "</think>", "<think>")
KNOWN = (
    THINK,
    Thought("[THINK]", "[/THINK]", "[THINK]"),
    Thought("<seed:think>", "</seed:think>", "<seed:think>"),
    Thought("<|START_THINKING|>", "<|END_THINKING|>", "<|START_THINKING|>"),
    # gpt-oss thinks in one channel and answers in another.
    Thought("<|channel|>analysis<|message|>", "<|channel|>final<|message|>", "<|channel|>"),
)


def thoughts_of(setting: str, tokenizer: Any) -> tuple[Thought, ...]:
    """The marks of a model's thoughts.

    Args:
        setting: ``auto`` takes ``<think>`` and those that the vocabulary has; ``none`` has none;
            or the two marks, as in ``<think>...</think>``.
        tokenizer: the language model's.

    Raises:
        InputError: something else.
    """
    if setting == "auto":
        vocabulary = tokenizer.get_vocab()
        return tuple(known for known in KNOWN if known is THINK or known.token in vocabulary)
    if setting == "none":
        return ()
    start, between, end = setting.partition(BETWEEN)
    if not (between and start and end) or start == end:
        raise InputError(
            "thought", setting, "must be auto, none, or two marks, as in <think>...</think>"
        )
    return (Thought(start, end, start),)


def after_thought(text: str, thoughts: Sequence[Thought]) -> str | None:
    """A solution's text after its last thought; None while a thought has not ended."""
    for thought in thoughts:
        text = text.rpartition(thought.end)[2]
        if thought.start in text:
            return None
    return text


@lru_cache(maxsize=8)
def solution_reader(tokenizer: Any, thoughts: tuple[Thought, ...]) -> "SolutionReader":
    """The one reader of a tokenizer's solutions."""
    return SolutionReader(tokenizer, thoughts)


class SolutionReader:
    """Solutions as text, with and without their thoughts.

    Marks of thoughts may be special tokens, which the text leaves out. Then they are looked for in
    the text with all its tokens.

    Args:
        tokenizer: the language model's.
        thoughts: the marks of its thoughts.
    """

    def __init__(self, tokenizer: Any, thoughts: Sequence[Thought]) -> None:
        self._tokenizer, self._thoughts = tokenizer, thoughts
        marks = "".join(thought.start + thought.end for thought in thoughts)
        added = getattr(tokenizer, "added_tokens_decoder", {}).values()
        self._special = [token.content for token in added if token.special]
        self._marks_are_special = any(token in marks for token in self._special)

    def begun(self, prompt_ids: Sequence[int]) -> str:
        """The mark of a thought that a prompt ends with, as chat templates write it, or nothing."""
        end = decode(self._tokenizer, prompt_ids[-MARK_TOKENS:], False).rstrip()
        return next((t.start for t in self._thoughts if end.endswith(t.start)), "")

    def read(
        self, token_ids: Sequence[int], stops: Sequence[str], begun: str = ""
    ) -> tuple[str, str | None]:
        """A solution's text, and what of it follows its last thought: None while it thinks.

        Args:
            token_ids: the solution.
            stops: texts before the first of which it is cut.
            begun: what `begun` says of its prompt.
        """
        text = self._decoded(token_ids, stops)
        if not self._marks_are_special:
            return text, after_thought(begun + text, self._thoughts)
        whole = self._decoded(token_ids, stops, skip_special_tokens=False)
        after = after_thought(begun + whole, self._thoughts)
        if after is not None:
            for token in self._special:
                after = after.replace(token, "")
        return text, after

    def _decoded(
        self, token_ids: Sequence[int], stops: Sequence[str], skip_special_tokens: bool = True
    ) -> str:
        text = decode(self._tokenizer, token_ids, skip_special_tokens)
        for stop in stops:
            text = text.partition(stop)[0]
        return text
