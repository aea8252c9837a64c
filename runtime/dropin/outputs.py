"""Answers as vLLM's RequestOutput, each with its receipt. Needs vLLM."""

import time
from collections.abc import Sequence
from math import isnan
from typing import Any

from vllm import CompletionOutput, RequestOutput
from vllm.logprobs import Logprob
from vllm.v1.metrics.stats import RequestStateStats

from predictors.sample import Sample
from predictors.token_logprobs import PlaceLogprobs
from runtime.answers.thought import before_any, letters_after
from runtime.dropin.unanswered import UnansweredError
from runtime.dropin.vllm_params import VLLMOptions
from runtime.engines.tokenizer import decode, decode_solution
from runtime.frontend.prompt_request import EncodedPrompt
from runtime.request import Event
from runtime.result import Failure, Receipt, Result


class ComputeOptimalOutput(RequestOutput):  # type: ignore[misc]
    """vLLM's RequestOutput with a receipt.

    Its `metrics` are of the whole work on the prompt: all tokens that were sampled, and the time to
    the answer. The answer is chosen at the end, so its first token comes with its last.

    Attributes:
        receipt: what was decided for the prompt and what it cost; None until it is answered.
        notes: differences from what was requested or calibrated.
        reasoning: the thought of each completion, without its marks; None where it has none. The
            completion's text has all of it, as vLLM's.
        event: the event that an unfinished output reports; None in a finished one.
    """

    receipt: Receipt | None = None
    notes: tuple[str, ...] = ()
    reasoning: tuple[str | None, ...] = ()
    event: Event | None = None


def all_answered(
    request_ids: Sequence[str],
    prompts: Sequence[EncodedPrompt],
    options: Sequence[VLLMOptions],
    results: Sequence[Result | Failure],
    tokenizer: Any,
) -> list[ComputeOptimalOutput]:
    """The outputs of several prompts; arguments as of `answered`, one per prompt.

    Raises:
        UnansweredError: a model failed on some of them.
    """
    outputs, failed = [], {}
    requests = zip(request_ids, prompts, options, results, strict=True)
    for request_id, prompt, own_options, result in requests:
        if isinstance(result, Failure):
            failed[request_id] = result.error
        else:
            outputs.append(answered(request_id, prompt, own_options, result, tokenizer))
    if failed:
        raise UnansweredError(failed, outputs)
    return outputs


def answered(
    request_id: str, prompt: EncodedPrompt, options: VLLMOptions, result: Result, tokenizer: Any
) -> ComputeOptimalOutput:
    """The output of an answered prompt: its best solutions, one per answer first.

    Args:
        request_id: id of the request.
        prompt: the prompt.
        options: its options.
        result: its result.
        tokenizer: the language model's.
    """
    solutions, notes = options.request.solutions, options.request.notes
    best = result.ranked[:solutions]
    if len(best) < solutions:
        notes = (*notes, f"{solutions} solutions were requested; the search found {len(best)}")
    completions = [
        _completion(index, sample, options, tokenizer) for index, sample in enumerate(best)
    ]
    output = _output(request_id, prompt, completions, True, result.receipt.cached_tokens)
    output.receipt, output.notes = result.receipt, notes
    output.metrics = _metrics(result) if options.metrics else None
    if result.prompt_logprobs is not None:
        output.prompt_logprobs = [place and _logprobs(place) for place in result.prompt_logprobs]
    output.reasoning = tuple(sample.reasoning for sample in best)
    return output


def underway(request_id: str, prompt: EncodedPrompt, event: Event) -> ComputeOptimalOutput:
    """An unfinished output that reports an event; its completion is empty."""
    output = _output(request_id, prompt, [CompletionOutput(0, "", [], None, None)], False)
    output.event = event
    return output


def aborted(request_id: str, prompt: EncodedPrompt) -> ComputeOptimalOutput:
    """The last output of an aborted prompt."""
    completion = CompletionOutput(0, "", [], None, None, finish_reason="abort")
    return _output(request_id, prompt, [completion], True)


def _output(
    request_id: str,
    prompt: EncodedPrompt,
    completions: list[CompletionOutput],
    finished: bool,
    cached_tokens: int | None = None,
) -> ComputeOptimalOutput:
    return ComputeOptimalOutput(
        request_id=request_id,
        prompt=prompt.shown,
        prompt_token_ids=list(prompt.token_ids),
        prompt_logprobs=None,
        outputs=completions,
        finished=finished,
        num_cached_tokens=cached_tokens,
    )


def _completion(
    index: int, sample: Sample, options: VLLMOptions, tokenizer: Any
) -> CompletionOutput:
    return CompletionOutput(
        index=index,
        text=_with_special_tokens(sample, options, tokenizer)
        if options.special_tokens
        else sample.text,
        token_ids=list(sample.token_ids),
        cumulative_logprob=None if isnan(sample.logprob) else sample.logprob,
        logprobs=None
        if options.request.settings.tokens.logprobs is None
        else [_logprobs(place) for place in sample.logprobs or ()],
        finish_reason="stop" if sample.ended else "length",
        stop_reason=_stop_reason(sample, options, tokenizer),
    )


def _metrics(result: Result) -> RequestStateStats:
    seconds = result.receipt.seconds
    end = time.monotonic() - (time.time() - result.finished_at)
    return RequestStateStats(
        num_generation_tokens=result.receipt.sampled_tokens,
        arrival_time=result.finished_at - seconds,
        queued_ts=end - seconds,
        scheduled_ts=end - seconds,
        first_token_ts=end,
        last_token_ts=end,
        first_token_latency=seconds,
    )


def _logprobs(place: PlaceLogprobs) -> dict[int, Logprob]:
    return {token: Logprob(one.logprob, one.rank, one.text) for token, one in place.items()}


def _stop_reason(sample: Sample, options: VLLMOptions, tokenizer: Any) -> int | str | None:
    for last in sample.token_ids[-1:]:
        if last in options.stop_reasons:
            return options.stop_reasons[last]
    whole = decode(tokenizer, sample.token_ids)
    cut = (
        stop for stop in options.request.settings.stops if whole.startswith(stop, len(sample.text))
    )
    return next(cut, None)


def _with_special_tokens(sample: Sample, options: VLLMOptions, tokenizer: Any) -> str:
    """A solution's text with its special tokens, except the one that ended it."""
    reason = _stop_reason(sample, options, tokenizer)
    settings = options.request.settings
    by_token = sample.ended and reason not in settings.stops
    ids = sample.token_ids[: -1 if by_token else None]
    how = {
        "skip_special_tokens": False,
        "spaces_between_special_tokens": options.spaces_between_special_tokens,
    }
    text = decode_solution(tokenizer, ids, **how)
    thought = sample.reasoning or ""  # within which stop texts do not count
    start = max(text.find(thought), 0) + len(thought)
    letters = letters_after(text, tokenizer, ids, settings.tokens.min_tokens, **how)
    return text[:start] + before_any(settings.stops, text[start:], letters)
