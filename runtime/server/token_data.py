"""What an answer returns of single tokens, as OpenAI's and vLLM's servers have it.

Log-probabilities, token ids, and which tokens each chunk of a stream stands for.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from predictors.sample import Sample
from predictors.token_logprobs import PlaceLogprobs, TokenLogprob
from runtime.engines.tokenizer import REPLACEMENT, decode, token_texts
from runtime.result import Result
from runtime.server.call import Call
from runtime.server.protocol import ChatRequest, CompletionRequest

MIN_LOGPROB = -9999.0  # in place of minus infinity, which JSON cannot represent

Places = Sequence[PlaceLogprobs | None]


class TokenNames:
    """How tokens are written.

    Args:
        tokenizer: the language model's.
        as_ids: as ``token_id:N``, which every token can be, in place of its text.
    """

    def __init__(self, tokenizer: Any, as_ids: bool) -> None:
        self._tokenizer, self._as_ids = tokenizer, as_ids

    def name(self, token: int, found: TokenLogprob | None = None) -> str:
        """A token, with its log-probability where that is known."""
        if self._as_ids:
            return f"token_id:{token}"
        return token_texts(self._tokenizer)[token] if found is None else found.text


def chat_logprobs(
    token_ids: Sequence[int], places: Places, names: TokenNames, likeliest: int
) -> dict[str, Any]:
    """The field ``logprobs`` of a chat's choice.

    Args:
        token_ids: the tokens.
        places: log-probabilities at each of them.
        names: how tokens are written.
        likeliest: how many of the likeliest tokens are listed at each place.
    """
    content = []
    for token, place in zip(token_ids, places, strict=True):
        listed = [_entry(other, one, names) for other, one in (place or {}).items()]
        own = _entry(token, (place or {}).get(token), names)
        content.append(own | {"top_logprobs": listed[:likeliest]})
    return {"content": content, "refusal": None}


def text_logprobs(
    token_ids: Sequence[int], places: Places, names: TokenNames, likeliest: int, offset: int = 0
) -> dict[str, Any]:
    """The field ``logprobs`` of a completion's choice; arguments as of `chat_logprobs`.

    Args:
        offset: characters of the tokens that stand before these.
    """
    tokens, offsets, own, listed = [], [], [], []
    for token, place in zip(token_ids, places, strict=True):
        found = None if place is None else place[token]
        tokens.append(names.name(token, found))
        offsets.append(offset)
        offset += len(tokens[-1])
        own.append(None if found is None else _finite(found))
        tops = None if place is None else list(place.items())[: likeliest + 1]
        listed.append(tops and {names.name(other, one): _finite(one) for other, one in tops})
    return {
        "text_offset": offsets,
        "token_logprobs": own,
        "tokens": tokens,
        "top_logprobs": listed,
    }


def prompt_logprobs(places: Places | None) -> list[Any] | None:
    """The field ``prompt_logprobs``, as vLLM's server has it."""
    if places is None:
        return None
    return [
        place
        and {
            str(token): {"logprob": _finite(one), "rank": one.rank, "decoded_token": one.text}
            for token, one in place.items()
        }
        for place in places
    ]


def lines(tokenizer: Any, text: str, token_ids: Sequence[int]) -> Iterator[tuple[str, int]]:
    """A solution in lines, each with the number of tokens that end in it.

    A line in which no token ends is part of the next; the last has all that remain.

    Args:
        tokenizer: the language model's.
        text: the solution.
        token_ids: its tokens.
    """
    *others, last = text.splitlines(keepends=True) or [""]
    lengths = iter(_lengths(tokenizer, token_ids))
    waiting, start, used, length = "", 0, 0, 0
    for line in others:
        waiting, start, before = waiting + line, start + len(line), used
        while length < start and (more := next(lengths, None)) is not None:
            length, used = length + more, used + 1
        if used > before:
            yield waiting, used - before
            waiting = ""
    yield waiting + last, len(token_ids) - used


def _lengths(tokenizer: Any, token_ids: Sequence[int]) -> Iterator[int]:
    """The characters that each token adds to a text, special tokens none.

    A character of several tokens is counted with its last.
    """
    start = read = 0
    for end in range(1, len(token_ids) + 1):
        known = decode(tokenizer, token_ids[start:read])
        text = decode(tokenizer, token_ids[start:end])
        if text.endswith(REPLACEMENT):
            yield 0
            continue
        yield max(len(text) - len(known), 0)
        if len(text) > len(known):
            start, read = read, end


def _entry(token: int, found: TokenLogprob | None, names: TokenNames) -> dict[str, Any]:
    name = names.name(token, found)
    known = MIN_LOGPROB if found is None else _finite(found)
    return {"token": name, "logprob": known, "bytes": list(name.encode("utf-8", "replace"))}


def _finite(found: TokenLogprob) -> float:
    return max(found.logprob, MIN_LOGPROB)


class ChoiceTokens:
    """What the choices of one prompt return of their tokens.

    Args:
        call: the request.
        number: the prompt's number.
        result: its result.

    Attributes:
        echo: the prompt's text where the answer is to begin with it, else empty.
    """

    def __init__(self, call: Call, number: int, result: Result) -> None:
        body = call.body
        self._body, self._result = body, result
        self._prompt = call.prompt_requests[number].request.token_ids or ()
        self._names = TokenNames(call.tokenizer, bool(body.return_tokens_as_token_ids))
        self.echo = ""
        if isinstance(body, CompletionRequest) and body.echo:
            given = body.prompt[number]
            self.echo = given if isinstance(given, str) else call.tokenizer.decode(given)

    @property
    def prompt_fields(self) -> dict[str, Any]:
        """The fields of the prompt's tokens: of each choice, or in a chat of the whole answer."""
        places = self._result.prompt_logprobs if self._body.prompt_logprobs is not None else None
        ids = list(self._prompt) if self._body.return_token_ids else None
        return {"prompt_logprobs": prompt_logprobs(places), "prompt_token_ids": ids}

    def id_fields(self, sample: Sample, start: int = 0, end: int | None = None) -> dict[str, Any]:
        """The ids of a solution's tokens from `start` to `end`, if they are requested."""
        wanted = bool(self._body.return_token_ids)
        return {"token_ids": list(sample.token_ids[start:end]) if wanted else None}

    def logprobs(
        self, sample: Sample, start: int = 0, end: int | None = None, whole: bool = False
    ) -> dict[str, Any] | None:
        """The log-probabilities of a solution's tokens from `start` to `end`, if requested.

        Args:
            sample: the solution.
            start: the first token.
            end: the token after the last.
            whole: whether those of an echoed prompt stand before them.
        """
        body, places = self._body, sample.logprobs
        if body.likeliest is None or places is None:
            return None
        count = len(body.logprob_token_ids) + 1 if body.logprob_token_ids else body.likeliest
        if count == -1:
            count = max(map(len, places), default=0)
        ids = sample.token_ids[start:end]
        selected: tuple[PlaceLogprobs | None, ...] = places[start:end]
        if isinstance(body, ChatRequest):
            return chat_logprobs(ids, selected, self._names, count)
        if whole and body.echo:
            of_prompt = self._result.prompt_logprobs or ()
            ids, selected = (*self._prompt, *ids), (*of_prompt, *selected)
        before: list[tuple[int, PlaceLogprobs | None]] = []
        if body.echo and not whole:
            known = self._result.prompt_logprobs or ()
            before += zip(self._prompt, known, strict=True)
        before += zip(sample.token_ids[:start], places[:start], strict=True)
        offset = sum(
            len(self._names.name(token, (place or {}).get(token))) for token, place in before
        )
        return text_logprobs(ids, selected, self._names, count, offset)
