"""Answers in OpenAI's format, whole and in chunks; the field ``ttc`` is an addition."""

from collections.abc import Iterator, Mapping
from hashlib import blake2b
from math import isnan
from typing import Any

from predictors.sample import Sample
from runtime.answers.calls import CallParser
from runtime.request import Event
from runtime.result import Result
from runtime.server.call import Call
from runtime.server.protocol import ChatRequest
from runtime.server.token_data import ChoiceTokens, lines

OBJECTS = {
    (True, False): "chat.completion",
    (True, True): "chat.completion.chunk",
    (False, False): "text_completion",
    (False, True): "text_completion",
}
CALLS = "tool_calls"  # a message's field, and the finish reason of a choice that has it


def reply(call: Call) -> dict[str, Any]:
    """The whole answer to a request."""
    chat = isinstance(call.body, ChatRequest)
    choices = []
    for number, result in sorted(call.results.items()):
        choice_tokens = ChoiceTokens(call, number, result)
        for index, sample in _chosen(call, number, result):
            message = _message_fields(call, index, sample)
            reason = _reason(sample, message)
            if chat:
                given = {"role": "assistant", "content": None, "refusal": None} | message
                fields = {"message": given}
            else:
                text = choice_tokens.echo + message["text"]
                fields = {"text": text} | choice_tokens.prompt_fields
            choices.append(
                _choice(index, fields, reason)
                | {"logprobs": choice_tokens.logprobs(sample, whole=True)}
                | choice_tokens.id_fields(sample)
                | {"ttc": _answer_and_score(sample)}
            )
    shown = [
        _receipt_and_notes(call, number, result) for number, result in sorted(call.results.items())
    ]
    notes = dict.fromkeys(note for one in shown for note in one["notes"])
    several = {"receipts": [one["receipt"] for one in shown], "notes": list(notes)}
    prompt_fields = ChoiceTokens(call, 0, call.results[0]).prompt_fields if chat else {}
    return (
        _envelope(call, streamed=False)
        | {
            "choices": choices,
            "usage": usage(call),
            "ttc": shown[0] if len(shown) == 1 else several,
        }
        | prompt_fields
    )


def usage(call: Call) -> dict[str, Any]:
    """Tokens of a request: all that were sampled, including solutions that were not chosen."""
    receipts = [result.receipt for result in call.results.values()]
    prompt = sum(receipt.prompt_tokens for receipt in receipts)
    sampled = sum(receipt.sampled_tokens for receipt in receipts)
    # The engine reads a prompt once per generation; clients expect it to count once.
    cached = sum(min(receipt.cached_tokens, receipt.prompt_tokens) for receipt in receipts)
    found = _usage_of(prompt, sampled) | {"prompt_tokens_details": {"cached_tokens": cached}}
    if call.thinks:
        thought = sum(receipt.thinking_tokens for receipt in receipts)
        found["completion_tokens_details"] = {"reasoning_tokens": thought}
    return found


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
        self._tokens_sent = 0

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
        """A prompt's choices: text line by line, then calls of tools, each in two chunks.

        The last chunk of each choice has its finish reason. So has that of a choice for which the
        search found no solution: clients wait for it. Where usage is requested with every chunk, a
        chunk's counts the tokens of the choices so far; a prompt's last also counts those of the
        solutions that were not chosen.
        """
        shown = _receipt_and_notes(self._call, number, result)
        choice_tokens = ChoiceTokens(self._call, number, result)
        chosen = list(_chosen(self._call, number, result))
        rest = result.receipt.sampled_tokens - sum(sample.tokens for _, sample in chosen)
        for index, sample in chosen:
            message = _message_fields(self._call, index, sample)
            start, pieces = 0, list(self._pieces(sample, message, choice_tokens.echo))
            for place, (piece, tokens) in enumerate(pieces):
                end, last = start + tokens, place == len(pieces) - 1
                self._tokens_sent += tokens + (rest if last and index == chosen[-1][0] else 0)
                first = place == 0
                token_fields = self._token_fields(choice_tokens, sample, start, end, first)
                reason = _reason(sample, message) if last else None
                chunk = self._chunk(index, piece | token_fields, reason)
                yield chunk | ({"ttc": shown | _answer_and_score(sample)} if last else {})
                start = end
        for place in range(len(chosen), self._call.body.choices):
            index = number * self._call.body.choices + place
            chunk = self._chunk(index, self._piece(""), "stop")
            yield chunk | {"ttc": shown | {"answer": None, "score": None}}

    def closing(self) -> Iterator[dict[str, Any]]:
        """Usage, if the client requested it."""
        if self._usage:
            yield _envelope(self._call, streamed=True) | {"choices": [], "usage": usage(self._call)}

    def _pieces(
        self, sample: Sample, message: Mapping[str, Any], echo: str
    ) -> Iterator[tuple[dict[str, Any], int]]:
        """A choice's message in pieces, each with its number of tokens.

        The last has all tokens, unless the request counts them and the solution is one text.
        """
        texts = {name: text for name, text in message.items() if text and name != CALLS}
        whole = len(texts) == 1 and CALLS not in message and not self._call.thinks
        if self._call.body.counts_tokens and whole:
            ((name, text),) = texts.items()
            for line, tokens in lines(self._call.tokenizer, text, sample.token_ids):
                yield self._piece(echo + line, name), tokens
                echo = ""
            return
        pieces = [self._piece(echo)] if echo else []
        pieces += [
            self._piece(line, name)
            for name, text in texts.items()
            for line in text.splitlines(keepends=True)
        ]
        for number, call in enumerate(message.get(CALLS, ())):
            function = call["function"]
            begun = call | {"function": function | {"arguments": ""}}
            for part in (begun, {"function": {"arguments": function["arguments"]}}):
                pieces.append({"delta": {CALLS: [{"index": number} | part]}})
        *others, last = pieces or [self._piece("")]
        for other in others:
            yield other, 0
        yield last, sample.tokens

    def _token_fields(
        self, choice_tokens: ChoiceTokens, sample: Sample, start: int, end: int, first: bool
    ) -> dict[str, Any]:
        """The fields of a chunk's tokens; a choice's first also has those of an echoed prompt."""
        token_fields: dict[str, Any] = {
            "logprobs": choice_tokens.logprobs(sample, start, end, whole=first)
        }
        if self._call.body.return_token_ids:
            token_fields |= choice_tokens.id_fields(sample, start, end)
            if not self._chat and first:
                token_fields["prompt_token_ids"] = choice_tokens.prompt_fields["prompt_token_ids"]
        return token_fields

    def _piece(self, text: str, name: str = "content") -> dict[str, Any]:
        if self._chat:
            return {"delta": {name: text} if text else {}}
        return {"text": text}

    def _chunk(
        self, index: int, fields: Mapping[str, Any], reason: str | None = None
    ) -> dict[str, Any]:
        choices = [_choice(index, fields, reason)]
        chunk = _envelope(self._call, streamed=True) | {"choices": choices}
        if self._continuous:
            requests = (one.request for one in self._call.prompt_requests)
            prompt = sum(len(request.token_ids or ()) for request in requests)
            return chunk | {"usage": _usage_of(prompt, self._tokens_sent)}
        return chunk | {"usage": None} if self._usage else chunk


def _usage_of(prompt: int, sampled: int) -> dict[str, Any]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": sampled,
        "total_tokens": prompt + sampled,
    }


def _envelope(call: Call, streamed: bool) -> dict[str, Any]:
    return {
        "id": call.id,
        "object": OBJECTS[isinstance(call.body, ChatRequest), streamed],
        "created": int(call.created),
        "model": call.body.model,
    }


def _choice(index: int, fields: Mapping[str, Any], reason: str | None) -> dict[str, Any]:
    return {"index": index, "logprobs": None, **fields, "finish_reason": reason}


def _chosen(call: Call, number: int, result: Result) -> Iterator[tuple[int, Sample]]:
    """The choices of a prompt, with their numbers among those of all prompts."""
    wanted = call.body.choices
    return enumerate(result.ranked[:wanted], start=number * wanted)


def _message_fields(call: Call, index: int, sample: Sample) -> dict[str, Any]:
    """The fields of a choice's message, as vLLM's server has it.

    In a chat, the thought of a model that has thoughts stands apart, unless the client wants none.
    What is empty is null: the content while the thought has not ended or beside calls of tools,
    and a skipped thought.

    Args:
        call: the request.
        index: the choice's number.
        sample: what was chosen.
    """
    if not isinstance(call.body, ChatRequest):
        return {"text": sample.text}
    if not call.thinks:
        return _content_and_calls(call, index, sample, sample.text)
    content = _content_and_calls(call, index, sample, sample.content or None)
    if not call.body.include_reasoning:
        return content
    thought = sample.reasoning or ""
    return {"reasoning": thought if thought.strip() else None} | content


def _content_and_calls(call: Call, index: int, sample: Sample, text: str | None) -> dict[str, Any]:
    """A choice's calls and the text before them; without calls the text that is given."""
    form = call.prompt_requests[0].calls  # a chat has one prompt
    if form is None or text is None:
        return {"content": text}
    written = text if sample.raw_content is None else sample.raw_content
    content, calls = CallParser(form).parse(written)
    if not calls:
        return {"content": text}
    made = [
        {
            "id": _call_id(call.record.id, index, number),
            "type": "function",
            "function": {"name": one.name, "arguments": one.arguments},
        }
        for number, one in enumerate(calls)
    ]
    return {"content": content if content.strip() else None, CALLS: made}


def _call_id(record: str, index: int, number: int) -> str:
    """A call's id: nine letters and digits, which templates such as Mistral's insist on."""
    return blake2b(f"{record}-{index}-{number}".encode()).hexdigest()[:9]


def _reason(sample: Sample, message: Mapping[str, Any]) -> str:
    if CALLS in message:
        return CALLS
    return "stop" if sample.ended else "length"


def _answer_and_score(sample: Sample) -> dict[str, Any]:
    score = None if isnan(sample.score) else sample.score
    return {"answer": sample.answer, "score": score}


def _receipt_and_notes(call: Call, number: int, result: Result) -> dict[str, Any]:
    notes = list(call.prompt_requests[number].notes)
    if len(result.ranked) < call.body.choices:
        notes.append(f"the search found {len(result.ranked)} solutions; there are no more choices")
    return {"receipt": result.receipt.model_dump(mode="json"), "notes": notes}
