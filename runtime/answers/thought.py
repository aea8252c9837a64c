"""Answers are extracted from the text after the last thought.

A thought begins where its mark stands at the beginning of the solution or of a line, or right after
another thought, and ends at the first mark that ends it. Marks elsewhere are the answer's words: it
may speak of them. A solution whose thought has not ended has no answer. Models mark thoughts in
different ways; the vocabulary shows which marks a model uses.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from allocator.errors import InputError
from runtime.engines.tokenizer import decode, decode_solution

MARK_TOKENS = 32  # of a prompt's end: enough for any mark, whatever pieces it is made of
BETWEEN = "..."  # between the two marks in settings, as in <think>...</think>


@dataclass(frozen=True)
class Thought:
    """The marks of a thought.

    Attributes:
        start: what begins it. A chat template may have written it already.
        end: what ends it; the answer follows.
        token: one of the tokens that the marks are made of.
        opening: text that begins a thought for the model.
        cutoff: text that ends a thought before its natural end; the answer follows.
        skipped: text in place of a thought; the answer follows.
    """

    start: str
    end: str
    token: str
    opening: str
    cutoff: str
    skipped: str


@dataclass(frozen=True)
class Reading:
    """What a solution says.

    Attributes:
        text: all of it.
        reasoning: its thought, without marks; None where it has none.
        content: what follows its last thought; None while it thinks.
        raw_content: the content with its special tokens; None where they were not asked for.
        stopped: whether a stop text ends the content.
    """

    text: str
    reasoning: str | None
    content: str | None
    raw_content: str | None = None
    stopped: bool = False


def marked(start: str, end: str) -> Thought:
    """A thought between two marks, each on a line of its own, as most models have it."""
    return Thought(start, end, start, f"{start}\n", f"\n{end}\n\n", f"{start}\n\n{end}\n\n")


THINK = marked("<think>", "</think>")
KNOWN = (
    THINK,
    marked("[THINK]", "[/THINK]"),
    marked("<seed:think>", "</seed:think>"),
    marked("<|START_THINKING|>", "<|END_THINKING|>"),
    # gpt-oss thinks in one channel and answers in another.
    Thought(
        "<|channel|>analysis<|message|>",
        "<|channel|>final<|message|>",
        "<|channel|>",
        "<|channel|>analysis<|message|>",
        "<|end|><|start|>assistant<|channel|>final<|message|>",
        "<|channel|>final<|message|>",
    ),
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
    return (marked(start, end),)


def after_thought(text: str, thoughts: Sequence[Thought]) -> str | None:
    """A solution's text after its last thought; None while a thought has not ended."""
    return split_thought(text, thoughts)[1]


def split_thought(text: str, thoughts: Sequence[Thought]) -> tuple[str | None, str | None]:
    """A solution's thought, without its outer marks, and the text after it.

    Args:
        text: the solution.
        thoughts: marks of thoughts; the first kind that the text has counts.

    Returns:
        The thought, from the first one to the end of the last; None where there is none, or an
        empty one. What follows it; None while a thought has not ended.
    """
    for thought in thoughts:
        begin, end = _beginning(thought, text), text.find(thought.end)
        if begin is None and end < 0:
            continue
        if begin is None or 0 <= end < begin:
            begin = 0  # the chat template began it
        inside: int | None = begin
        while inside is not None:
            end = text.find(thought.end, inside)
            if end < 0:
                return text[begin:] or None, None
            after = end + len(thought.end)
            inside = _beginning(thought, text, after)
        return text[begin:end] or None, text[after:]
    return None, text


def _beginning(thought: Thought, text: str, start: int = 0) -> int | None:
    """Where the first thought at or after `start` begins, behind its mark; None if none does."""
    found = re.search(rf"(?:\A|\n)\s*{re.escape(thought.start)}", text[start:])
    return None if found is None else start + found.end()


def before_any(stops: Sequence[str], text: str, letters: int) -> str:
    """A text up to the first of several stop texts.

    Args:
        stops: the stop texts.
        text: the text.
        letters: how many at its end may complete a stop text; see `letters_after`.
    """
    held = max(0, len(text) - letters)
    for stop in stops:
        found = text.find(stop, max(0, held - len(stop) + 1))
        text = text if found < 0 else text[:found]
    return text


def letters_after(
    text: str, tokenizer: Any, token_ids: Sequence[int], count: int, **how: bool
) -> int:
    """Letters of a text after its first `count` tokens: those before complete no stop text in vLLM.

    Args:
        text: the tokens, decoded.
        tokenizer: the language model's.
        token_ids: the tokens.
        count: the request's `min_tokens`.
        how: `text` was decoded with it, see `runtime.engines.tokenizer.decode`.
    """
    return len(text) - (len(decode(tokenizer, token_ids[:count], **how)) if count else 0)


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
        """The marks of a thought that a prompt ends with, as chat templates write it, or nothing.

        They are both marks where the template has skipped the thought.
        """
        prompt = decode(self._tokenizer, prompt_ids[-MARK_TOKENS:], False).rstrip()
        for thought in self._thoughts:
            if prompt.endswith(thought.start):
                return thought.start
            if prompt.endswith(thought.end):
                return thought.start + thought.end
        return ""

    def read(
        self,
        token_ids: Sequence[int],
        stops: Sequence[str],
        begun: str = "",
        special_tokens: bool = False,
        min_tokens: int = 0,
    ) -> Reading:
        """A solution's text, its thought, and what follows it.

        Args:
            token_ids: the solution.
            stops: texts before the first of which it is cut, after its thought.
            begun: what `begun` says of its prompt.
            special_tokens: whether the content is also needed with its special tokens.
            min_tokens: tokens within which no stop text counts.
        """
        text = spelled = decode_solution(self._tokenizer, token_ids)
        letters = letters_after(text, self._tokenizer, token_ids, min_tokens)
        with_special = self._marks_are_special or special_tokens
        if with_special:
            spelled = decode_solution(self._tokenizer, token_ids, skip_special_tokens=False)
        reasoning, after = split_thought(begun + spelled, self._thoughts)
        raw = None
        if special_tokens and after is not None:
            how = {"skip_special_tokens": False}
            own = letters_after(spelled, self._tokenizer, token_ids, min_tokens, **how)
            raw = before_any(stops, after, own)
        if with_special:
            after, reasoning = self._plain(after), self._plain(reasoning)
        if after is None:
            return Reading(text, reasoning, None)
        content = before_any(stops, after, letters)
        if text.endswith(after):
            text = text.removesuffix(after) + content
        else:
            text = before_any(stops, text, letters)
        return Reading(text, reasoning, content, raw, stopped=content != after)

    def _plain(self, text: str | None) -> str | None:
        """A text without special tokens."""
        if text is not None:
            for token in self._special:
                text = text.replace(token, "")
        return text
