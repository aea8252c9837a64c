"""What a caller requests of single tokens, checked: log-probabilities, least length, biases."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from numbers import Real
from typing import Any

from allocator.errors import InputError
from runtime.engines.base import Engine
from runtime.engines.token_options import PLAIN, HasTokenOptions, TokenOptions
from runtime.engines.tokenizer import check_within
from runtime.frontend.fields import WHOLE, present

# What changes the samples; a caller is told that the table knows nothing of it.
CHANGES = ("min_tokens", "ignore_eos", "logit_bias", "allowed_token_ids")
# Tokens per request that vLLM has room for. More biases or allowed tokens would end its engine on a
# GPU, for all who use it.
ROOM = {"logit_bias": 1024, "allowed_token_ids": 1024, "logprob_token_ids": 128}
ALL = -1  # likeliest tokens: the whole vocabulary, as in vLLM


@dataclass(frozen=True)
class TokenFields:
    """Options of tokens, as a request has them once they are checked.

    Attributes:
        options: go to the engine with every call.
        prompt_logprobs: as `runtime.request.RequestSettings`.
        notes: notes for the caller.
    """

    options: TokenOptions = PLAIN
    prompt_logprobs: int | None = None
    notes: tuple[str, ...] = ()


def token_fields(
    options: TokenOptions,
    prompt_logprobs: int | None,
    engines: Sequence[Engine],
    longest: int,
    logprobs_field: str = "logprobs",
    logprobs_given: bool | None = None,
) -> TokenFields:
    """Check what a caller requests of single tokens.

    Args:
        options: as given; of `logprobs`, -1 is the whole vocabulary.
        prompt_logprobs: likeliest tokens to return at each place of the prompt, likewise.
        engines: the language model's, then the reviser's if there is one.
        longest: the longest solution, in tokens.
        logprobs_field: the caller's name for `logprobs`, for error messages.
        logprobs_given: the caller's value of it, likewise; None where it is the number of them.

    Raises:
        InputError: an engine that takes no such options, a number out of its range, a token
            outside the vocabulary, or too many tokens.
    """
    if options == PLAIN and prompt_logprobs is None:
        return TokenFields()
    own = (logprobs_field, options.logprobs if logprobs_given is None else logprobs_given)
    engine = _engine(options, prompt_logprobs, engines, own)
    if not 0 <= options.min_tokens <= longest:
        hint = f"must be 0 to {longest}, which a solution has at most"
        raise InputError("min_tokens", options.min_tokens, hint)
    size = engine.vocabulary_size
    _check_tokens([token for token, _ in options.logit_bias], size, "logit_bias")
    _check_tokens(options.allowed_token_ids, size, "allowed_token_ids")
    _check_tokens(options.logprob_token_ids, size, "logprob_token_ids")
    names = [name for name in CHANGES if getattr(options, name) != getattr(PLAIN, name)]
    notes = [f"the table was calibrated without {', '.join(names)}"] if names else []
    given = options.logprobs
    if number := len(options.logprob_token_ids):
        if given not in (None, number):
            hint = f"with logprob_token_ids it must be their number, {number}"
            raise InputError(logprobs_field, given, hint)
        given = number
    likeliest = _likeliest(logprobs_field, given, engine)
    of_prompt = _likeliest("prompt_logprobs", prompt_logprobs, engine)
    return TokenFields(replace(options, logprobs=likeliest), of_prompt, tuple(notes))


def _engine(
    options: TokenOptions,
    prompt_logprobs: int | None,
    engines: Sequence[Engine],
    logprobs: tuple[str, int | None],
) -> HasTokenOptions:
    """The language model's engine, if all engines take options of tokens.

    Args:
        logprobs: the caller's name for `options.logprobs`, and the caller's value.
    """
    given = {name: value for name, value in vars(options).items() if value != getattr(PLAIN, name)}
    given |= {} if prompt_logprobs is None else {"prompt_logprobs": prompt_logprobs}
    taking = [engine for engine in engines if isinstance(engine, HasTokenOptions)]
    if len(taking) < len(engines):
        name, value = next(iter(given.items()))
        hint = "only a vLLM engine takes it, here or behind its server; leave it out"
        if name == "logprobs":
            name, value = logprobs
        raise InputError(name, value, hint)
    return taking[0]


def _check_tokens(tokens: Sequence[int], size: int, field: str) -> None:
    check_within(tokens, size, field)
    if len(tokens) > ROOM[field]:
        hint = f"more tokens than vLLM has room for; give {ROOM[field]:,} at most"
        raise InputError(field, len(tokens), hint)


def _likeliest(field: str, number: int | None, engine: HasTokenOptions) -> int | None:
    most = engine.max_logprobs
    found = engine.vocabulary_size if number == ALL else number
    if found is not None and not 0 <= found <= most:
        hint = f"must be 0 to {most}, which the engine returns at most (vLLM's max_logprobs)"
        raise InputError(field, number, hint)
    return found


def bias_of(given: Mapping[Any, Any] | None) -> tuple[tuple[int, float], ...]:
    """A `logit_bias` by token id, as vLLM reads it: clipped to [-100, 100].

    Args:
        given: biases by token id; the ids may be texts, as in JSON.

    Raises:
        InputError: a token that is not an integer, or a bias that is not a finite number.
    """
    given = present(given or {})
    bad = [token for token in given if not re.fullmatch(WHOLE, str(token))]
    if bad:
        raise InputError("logit_bias", bad, "tokens must be integers")
    for token, bias in given.items():
        if isinstance(bias, bool) or not isinstance(bias, Real) or not isfinite(bias):
            raise InputError(f"logit_bias.{token}", bias, "must be a finite number")
    return tuple((int(token), min(max(float(b), -100.0), 100.0)) for token, b in given.items())
