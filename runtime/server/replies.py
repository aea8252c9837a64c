"""Answers in OpenAI's format, whole and in chunks; the field ``ttc`` is an addition."""

from collections.abc import Iterator, Mapping
from math import isnan
from typing import Any

from predictors.sample import Sample
from runtime.request import Event
from runtime.result import Result
from runtime.server.call import Call
from runtime.server.protocol import ChatRequest

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
        for index, sample in _chosen(call, number, result):
            said = _said(call, sample)
            if chat:
                said = {"message": {"role": "assistant", "content": None, "refusal": None} | said}
            choices.append(
                _choice(index, said, _reason(sample)) | {"ttc": _answer_and_score(sample)}
            )
    shown = [
        _receipt_and_notes(call, number, result) for number, result in sorted(call.results.items())
    ]
    notes = dict.fromkeys(note for one in shown for note in one["notes"])
    several = {"receipts": [one["receipt"] for one in shown], "notes": list(notes)}
    return _head(call, streamed=False) | {
        "choices": choices,
        "usage": usage(call),
        "ttc": shown[0] if len(shown) == 1 else several,
    }


def usage(call: Call) -> dict[str, Any]:
    """Tokens of a request: all that were sampled, including solutions that were not chosen."""
    receipts = [result.receipt for result in call.results.values()]
    prompt = sum(receipt.prompt_tokens for receipt in receipts)
    sampled = sum(receipt.sampled_tokens for receipt in receipts)
    # The engine reads a prompt once per generation; clients expect it to count once.
    cached = sum(min(receipt.cached_tokens, receipt.prompt_tokens) for receipt in receipts)
    found = {
        "prompt_tokens": prompt,
        "completion_tokens": sampled,
        "total_tokens": prompt + sampled,
        "prompt_tokens_details": {"cached_tokens": cached},
    }
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

    def opening(self) -> Iterator[dict[str, Any]]:
        """The role of each choice."""
        if self._chat:
            for index in range(len(self._call.prompt_requests) * self._call.body.choices):
                yield self._chunk(index, {"delta": {"role": "assistant", "content": ""}})

    def progress(self, number: int, event: Event) -> dict[str, Any]:
        """An event of a prompt, as a chunk with no text."""
        shown = event.model_dump(mode="json", exclude_none=True)
        return self._chunk(number * self._call.body.choices, self._piece("")) | {
            "ttc": {"event": shown}
        }

    def answer(self, number: int, result: Result) -> Iterator[dict[str, Any]]:
        """A prompt's choices, line by line; the last chunk of each has its finish reason."""
        shown = _receipt_and_notes(self._call, number, result)
        for index, sample in _chosen(self._call, number, result):
            for name, text in _said(self._call, sample).items():
                for piece in (text or "").splitlines(keepends=True):
                    yield self._chunk(index, self._piece(piece, name))
            yield self._chunk(index, self._piece(""), _reason(sample)) | {
                "ttc": shown | _answer_and_score(sample)
            }

    def closing(self) -> Iterator[dict[str, Any]]:
        """Usage, if the client requested it."""
        if self._usage:
            yield _head(self._call, streamed=True) | {"choices": [], "usage": usage(self._call)}

    def _piece(self, text: str, name: str = "content") -> dict[str, Any]:
        if self._chat:
            return {"delta": {name: text} if text else {}}
        return {"text": text}

    def _chunk(
        self, index: int, said: Mapping[str, Any], reason: str | None = None
    ) -> dict[str, Any]:
        chunk = _head(self._call, streamed=True) | {"choices": [_choice(index, said, reason)]}
        return chunk | {"usage": None} if self._usage else chunk


def _head(call: Call, streamed: bool) -> dict[str, Any]:
    return {
        "id": call.id,
        "object": OBJECTS[isinstance(call.body, ChatRequest), streamed],
        "created": int(call.created),
        "model": call.body.model,
    }


def _choice(index: int, said: Mapping[str, Any], reason: str | None) -> dict[str, Any]:
    return {"index": index, **said, "logprobs": None, "finish_reason": reason}


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
