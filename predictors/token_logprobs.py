"""Log-probabilities of single tokens, as the language model gives them."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class TokenLogprob:
    """One token at one place of a text.

    Attributes:
        logprob: its natural log-probability, before temperature and other sampling settings.
        rank: its place among all tokens, the likeliest being 1; None where that is not known.
        text: the token as text.
    """

    logprob: float
    rank: int | None
    text: str


# What stands at one place, by token id: the text's own token first, then the likeliest.
PlaceLogprobs = Mapping[int, TokenLogprob]
