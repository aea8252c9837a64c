"""What a verifier knows of texts it has read: what grows from them costs new tokens only."""

from dataclasses import dataclass

import torch

from runtime.verifiers.likelihood import Surprise

# Memory for them. The testbed's PRM takes 8 kilobytes a token, one of 7 billion parameters 57.
MAX_BYTES = 2**29

TokenIds = tuple[int, ...]


@dataclass(frozen=True)
class KnownText:
    """A text that was read.

    Attributes:
        states: its keys and values, shape (2 x layers, heads, tokens, width).
        surprise: that of its solution up to its last token, shapes (1,), where the verifier
            reads likelihoods.
        start: index of its solution's first token.
    """

    states: torch.Tensor
    surprise: Surprise | None = None
    start: int = 0


class KVMemory:
    """What is known of texts, by the text, the ones longest unused forgotten first.

    Args:
        max_bytes: memory they may take.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._held = 0
        self._known: dict[TokenIds, KnownText] = {}
        self._of_length: dict[int, int] = {}  # how many texts of each length are known

    def longest(self, token_ids: TokenIds, most: int) -> KnownText | None:
        """What is known of the longest beginning of a text, or None.

        Args:
            token_ids: the text.
            most: tokens that the beginning may have.
        """
        for length in sorted(self._of_length, reverse=True):
            if length <= most and (found := self._known.get(token_ids[:length])) is not None:
                # Used again: the last to be forgotten.
                self._known[token_ids[:length]] = self._known.pop(token_ids[:length])
                return found
        return None

    def add(self, token_ids: TokenIds, text: KnownText) -> None:
        """Keep what is known of a text, unless it takes more than all of the memory by itself."""
        if token_ids in self._known or text.states.nbytes > self.max_bytes:
            return
        self._known[token_ids] = text
        self._of_length[len(token_ids)] = self._of_length.get(len(token_ids), 0) + 1
        self._held += text.states.nbytes
        while self._held > self.max_bytes:
            oldest = next(iter(self._known))
            self._held -= self._known.pop(oldest).states.nbytes
            self._of_length[len(oldest)] -= 1
            if not self._of_length[len(oldest)]:
                del self._of_length[len(oldest)]
