"""Where solution steps end, in token ids."""

from collections.abc import Sequence
from typing import Any

from runtime.engines.tokenizer import REPLACEMENT, decode, token_texts


class StepSplitter:
    """Finds the tokens with which a text such as a newline is completed.

    Args:
        tokenizer: a Hugging Face tokenizer.
        step_end: the text that ends a step; it may span tokens, or be part of one.
    """

    def __init__(self, tokenizer: Any, step_end: str) -> None:
        self.step_end = step_end
        self._tokenizer = tokenizer
        # As many tokens as the mark has bytes suffice to hold it.
        self._width = len(step_end.encode())
        last = step_end[-1]
        # Several tokens may share a character that is more than a byte.
        parts = (last,) if last.isascii() else (last, REPLACEMENT)
        # Only these tokens can complete a step's end; nothing else is ever decoded.
        self._candidates = {
            token
            for token, text in enumerate(token_texts(tokenizer))
            if any(part in text for part in parts)
        }

    def ends_step(self, token_ids: Sequence[int]) -> bool:
        """Whether the last of a step's tokens completes the step's end."""
        if token_ids[-1] not in self._candidates:
            return False
        last = decode(self._tokenizer, token_ids[-self._width :], skip_special_tokens=False)
        return self.step_end in last

    def split(self, token_ids: Sequence[int]) -> list[tuple[int, ...]]:
        """A solution's tokens as steps; the last step is what follows the last mark."""
        steps, start = [], 0
        for end, token in enumerate(token_ids, start=1):
            if token not in self._candidates and end < len(token_ids):
                continue  # nearly all of them
            last = token_ids[max(start, end - self._width) : end]
            if end == len(token_ids) or self.ends_step(last):
                steps.append(tuple(token_ids[start:end]))
                start = end
        return steps
