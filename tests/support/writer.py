"""A model that writes one text, and takes options of tokens as vLLM does."""

from collections.abc import Sequence
from typing import Any

from runtime.engines.base import Completion
from runtime.engines.token_options import PLAIN, TokenOptions
from tests.support.thinking import TEMPLATE, thinking_tokenizer


class Writer:
    """Writes its text, one letter a token, up to a stop text that ends after `min_tokens`.

    Args:
        text: what it writes.
    """

    context_length = 1000
    max_logprobs, vocabulary_size = 5, 256

    def __init__(self, text: str) -> None:
        self.tokenizer, self.text = thinking_tokenizer(), text
        self.tokenizer.chat_template = TEMPLATE

    async def complete(
        self,
        token_ids: Sequence[int],
        *,
        max_tokens: int,
        stop: Sequence[str] = (),
        options: TokenOptions = PLAIN,
        **_: Any,
    ) -> Completion:
        written = self.tokenizer.decode(token_ids).partition("A:")[2]
        whole = self.text.removeprefix(written)
        rest = whole[:max_tokens]
        for end in range(options.min_tokens + 1, len(rest) + 1):
            for found in stop:
                if rest[:end].endswith(found):
                    ids = tuple(self.tokenizer.encode(rest[:end]))
                    return Completion(ids, -1.0, ended=False, stopped_by=found)
        return Completion(tuple(self.tokenizer.encode(rest)), -1.0, ended=rest == whole)

    async def text_logprobs(self, *_: Any) -> tuple[None, ...]:
        return ()

    def close(self) -> None:
        pass
