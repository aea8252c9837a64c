"""Answers in OpenAI's format, whole and in chunks; the field ``ttc`` is an addition."""

from collections.abc import Iterator, Mapping
from math import isnan
from typing import Any

from predictors.sample import Sample
from predictors.token_logprobs import PlaceLogprobs
from runtime.request import Event
from runtime.result import Result
from runtime.server.protocol import ChatRequest, CompletionRequest
from runtime.server.service import Call
from runtime.server.token_data import (
    TokenNames,
    chat_logprobs,
    lines,
    prompt_logprobs,
    text_logprobs,
)

OBJECTS = {
    (True, False): "chat.completion",
    (True, True): "chat.completion.chunk",
    (False, False): "text_completion",
    (False, True): "text_completion",
}


def reply(call: Call) -> dict[str, Any]:
    """The whole answer to a request."""
    chat = isinstance(call.body, ChatRequest)
    choices = []
    for number, result in sorted(call.results.items()):
        told = TokenTold(call, number, result)
        for index, sample in _chosen(call, number, result):
            said = _said(call, sample)
            if chat:
                said = {"message": {"role": "assistant", "content": None, "refusal": None} | said}
            else:
                said = {"text": told.echo + said["text"]} | told.of_prompt
            own = {"logprobs": told.logprobs(sample, whole=True)} | told.ids(sample)
            choices.append(
                _choice(index, said, _reason(sample)) | own | {"ttc": _answer_and_score(sample)}
            )
    shown = [
        _receipt_and_notes(call, number, result) for number, result in sorted(call.results.items())
    ]
    notes = dict.fromkeys(note for one in shown for note in one["notes"])
    several = {"receipts": [one["receipt"] for one in shown], "notes": list(notes)}
    of_prompt = TokenTold(call, 0, call.results[0]).of_prompt if chat else {}
    return (
        _head(call, streamed=False)
        | {
            "choices": choices,
            "usage": usage(call),
            "ttc": shown[0] if len(shown) == 1 else several,
        }
        | of_prompt
    )


def usage(call: Call) -> dict[str, Any]:
    """Tokens of a request: all that were sampled, including solutions that were not chosen."""
    receipts = [result.receipt for result in call.results.values()]
    prompt = sum(receipt.prompt_tokens for receipt in receipts)
    sampled = sum(receipt.sampled_tokens for receipt in receipts)
    # The engine reads a prompt once per generation; clients expect it to count once.
    cached = sum(min(receipt.cached_tokens, receipt.prompt_tokens) for receipt in receipts)
    found = _counted(prompt, sampled) | {"prompt_tokens_details": {"cached_tokens": cached}}
    if call.thinks:
        thought = sum(receipt.thinking_tokens for receipt in receipts)
        found["completion_tokens_details"] = {"reasoning_tokens": thought}
    return found


class TokenTold:
    """What the choices of one prompt tell of their tokens.

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
    def of_prompt(self) -> dict[str, Any]:
        """What is told of the prompt: of each choice, or in a chat of the whole answer."""
        places = self._result.prompt_logprobs if self._body.prompt_logprobs is not None else None
        ids = list(self._prompt) if self._body.return_token_ids else None
        return {"prompt_logprobs": prompt_logprobs(places), "prompt_token_ids": ids}

    def ids(self, sample: Sample, start: int = 0, end: int | None = None) -> dict[str, Any]:
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
        shown = len(body.logprob_token_ids) + 1 if body.logprob_token_ids else body.likeliest
        if shown == -1:
            shown = max(map(len, places), default=0)
        ids = sample.token_ids[start:end]
        told: tuple[PlaceLogprobs | None, ...] = places[start:end]
        if isinstance(body, ChatRequest):
            return chat_logprobs(ids, told, self._names, shown)
        if whole and body.echo:
            of_prompt = self._result.prompt_logprobs or ()
            ids, told = (*self._prompt, *ids), (*of_prompt, *told)
        before = text_logprobs(sample.token_ids[:start], places[:start], self._names, 0)
        offset = sum(map(len, before["tokens"]))
        return text_logprobs(ids, told, self._names, shown, offset)


class Chunks:
    """The chunks of a streamed answer.

    Args:
        call: the request.
    """

    def __init__(self, call: Call) -> None:
        self._call = call
        self._chat = isinstance(call.body, ChatRequest)
        options = call.body.stream_options
        self._usage = options is not None and bool(options.include_usage)
        self._continuous = (
            self._usage and options is not None and bool(options.continuous_usage_stats)
        )
        self._told = 0  # tokens

    def opening(self) -> Iterator[dict[str, Any]]:
        """The role of each choice."""
        if self._chat:
            ids = list(self._call.prompt_requests[0].request.token_ids or ())
            first = {"prompt_token_ids": ids} if self._call.body.return_token_ids else {}
            for index in range(len(self._call.prompt_requests) * self._call.body.choices):
                yield self._chunk(index, {"delta": {"role": "assistant", "content": ""}}) | first
                first = {}

    def progress(self, number: int, event: Event) -> dict[str, Any]:
        """An event of a prompt, as a chunk with no text."""
        shown = event.model_dump(mode="json", exclude_none=True)
        return self._chunk(number * self._call.body.choices, self._piece("")) | {
            "ttc": {"event": shown}
        }

    def answer(self, number: int, result: Result) -> Iterator[dict[str, Any]]:
        """A prompt's choices, line by line; the last chunk of each has its finish reason.

        Where usage is requested with every chunk, a chunk's counts the tokens of the choices so
        far; a prompt's last also counts those of the solutions that were not chosen.
        """
        shown = _receipt_and_notes(self._call, number, result)
        told = TokenTold(self._call, number, result)
        chosen = list(_chosen(self._call, number, result))
        rest = result.receipt.sampled_tokens - sum(sample.tokens for _, sample in chosen)
        for index, sample in chosen:
            start, pieces = 0, list(self._pieces(sample, told.echo))
            for place, (name, text, tokens) in enumerate(pieces):
                end, last = start + tokens, place == len(pieces) - 1
                self._told += tokens + (rest if last and index == chosen[-1][0] else 0)
                said = self._piece(text, name) | self._own(told, sample, start, end)
                chunk = self._chunk(index, said, _reason(sample) if last else None)
                yield chunk | ({"ttc": shown | _answer_and_score(sample)} if last else {})
                start = end

    def closing(self) -> Iterator[dict[str, Any]]:
        """Usage, if the client requested it."""
        if self._usage:
            yield _head(self._call, streamed=True) | {"choices": [], "usage": usage(self._call)}

    def _pieces(self, sample: Sample, echo: str) -> Iterator[tuple[str, str, int]]:
        """A solution in lines: field of the message, text, and number of tokens.

        The last has all tokens, unless the request counts them and there is no thought apart.
        """
        said = {name: text for name, text in _said(self._call, sample).items() if text}
        if self._call.body.counts_tokens and len(said) == 1 and not self._call.thinks:
            ((name, text),) = said.items()
            for line, tokens in lines(self._call.tokenizer, text, sample.token_ids):
                yield name, echo + line, tokens
                echo = ""
            return
        parts = [(name, line) for name in said for line in said[name].splitlines(keepends=True)]
        *others, (name, line) = parts or [("content", "")]
        for other, text in others:
            yield other, text, 0
        yield name, echo + line, sample.tokens

    def _own(self, told: TokenTold, sample: Sample, start: int, end: int) -> dict[str, Any]:
        """What a chunk tells of its tokens."""
        own: dict[str, Any] = {"logprobs": told.logprobs(sample, start, end, whole=not start)}
        if self._call.body.return_token_ids:
            own |= told.ids(sample, start, end)
            if not self._chat and not start:
                own["prompt_token_ids"] = told.of_prompt["prompt_token_ids"]
        return own

    def _piece(self, text: str, name: str = "content") -> dict[str, Any]:
        if self._chat:
            return {"delta": {name: text} if text else {}}
        return {"text": text}

    def _chunk(
        self, index: int, said: Mapping[str, Any], reason: str | None = None
    ) -> dict[str, Any]:
        chunk = _head(self._call, streamed=True) | {"choices": [_choice(index, said, reason)]}
        if self._continuous:
            requests = (one.request for one in self._call.prompt_requests)
            prompt = sum(len(request.token_ids or ()) for request in requests)
            return chunk | {"usage": _counted(prompt, self._told)}
        return chunk | {"usage": None} if self._usage else chunk


def _counted(prompt: int, sampled: int) -> dict[str, Any]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": sampled,
        "total_tokens": prompt + sampled,
    }


def _head(call: Call, streamed: bool) -> dict[str, Any]:
    return {
        "id": call.id,
        "object": OBJECTS[isinstance(call.body, ChatRequest), streamed],
        "created": int(call.created),
        "model": call.body.model,
    }


def _choice(index: int, said: Mapping[str, Any], reason: str | None) -> dict[str, Any]:
    return {"index": index, "logprobs": None, **said, "finish_reason": reason}


def _chosen(call: Call, number: int, result: Result) -> Iterator[tuple[int, Sample]]:
    """The choices of a prompt, with their numbers among those of all prompts."""
    wanted = call.body.choices
    return enumerate(result.ranked[:wanted], start=number * wanted)


def _said(call: Call, sample: Sample) -> dict[str, Any]:
    """What a choice says, by the field of a message, as vLLM's server has it.

    In a chat, the thought of a model that has thoughts stands apart, unless the client wants none.
    What is empty is null: the content while the thought has not ended, and a skipped thought.
    """
    if not isinstance(call.body, ChatRequest):
        return {"text": sample.text}
    if not call.thinks:
        return {"content": sample.text}
    content = {"content": sample.content or None}
    if not call.body.include_reasoning:
        return content
    thought = sample.reasoning or ""
    return {"reasoning": thought if thought.strip() else None} | content


def _reason(sample: Sample) -> str:
    return "stop" if sample.ended else "length"


def _answer_and_score(sample: Sample) -> dict[str, Any]:
    score = None if isnan(sample.score) else sample.score
    return {"answer": sample.answer, "score": score}


def _receipt_and_notes(call: Call, number: int, result: Result) -> dict[str, Any]:
    notes = list(call.prompt_requests[number].notes)
    if len(result.ranked) < call.body.choices:
        notes.append(f"the search found {len(result.ranked)} solutions; there are no more choices")
    return {"receipt": result.receipt.model_dump(mode="json"), "notes": notes}
