"""What a caller requests of single tokens, which engines of vLLM honour."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from predictors.token_logprobs import PlaceLogprobs


@dataclass(frozen=True)
class TokenOptions:
    """Options of a request that go to the engine with every call that samples its solutions.

    Attributes:
        logprobs: how many of the likeliest tokens have their log-probability returned at each
            place, besides the sampled token; None returns none.
        logprob_token_ids: tokens that are returned in place of the likeliest.
        min_tokens: tokens before which nothing ends a solution, nor a step of a search.
        ignore_eos: the model's end of sequence does not end a solution.
        logit_bias: what is added to the logits of tokens, by token id.
        allowed_token_ids: tokens to choose among; empty for all.
        priority: the engine takes requests with a lower number first, if it was opened with
            vLLM's ``scheduling_policy="priority"``.
    """

    logprobs: int | None = None
    logprob_token_ids: tuple[int, ...] = ()
    min_tokens: int = 0
    ignore_eos: bool = False
    logit_bias: tuple[tuple[int, float], ...] = ()
    allowed_token_ids: tuple[int, ...] = ()
    priority: int = 0

    def left(self, sampled: int, max_tokens: int) -> int:
        """Tokens before which the next request must not end.

        Args:
            sampled: tokens that the solution has already.
            max_tokens: tokens that the request may sample.
        """
        return min(max(self.min_tokens - sampled, 0), max_tokens)


PLAIN = TokenOptions()


@runtime_checkable
class HasTokenOptions(Protocol):
    """An engine that takes options of tokens, and gives log-probabilities of a text it is given.

    Its `complete` then takes ``options``, where they are not the usual ones. Its completions have
    log-probabilities, `Completion.logprobs`, where they are requested.
    """

    @property
    def max_logprobs(self) -> int:
        """The most tokens whose log-probabilities it returns at one place."""
        ...

    @property
    def vocabulary_size(self) -> int:
        """Tokens to choose among at each place."""
        ...

    async def text_logprobs(
        self, token_ids: Sequence[int], likeliest: int
    ) -> tuple[PlaceLogprobs | None, ...]:
        """Log-probabilities of the tokens of a text.

        Args:
            token_ids: the text, shorter than the context.
            likeliest: likeliest tokens to return at each place, besides the text's own.

        Returns:
            One for each token; None for the first, which follows nothing.

        Raises:
            ModelError: the engine has failed.
        """
        ...
