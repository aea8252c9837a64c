"""vLLM in process, with continuous batching and prefix caching."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from math import nan
from pathlib import Path
from typing import Any, Protocol

from allocator.errors import ModelError
from predictors.confidence import ConfidenceWindow
from predictors.token_logprobs import PlaceLogprobs
from runtime.engines.base import GIVEN_UP, Completion, SamplingSettings
from runtime.engines.constraint import Constraint
from runtime.engines.token_options import PLAIN, TokenOptions
from runtime.engines.tokenizer import token_texts
from runtime.engines.vllm_core import VLLMCore, capacity, resources
from runtime.engines.vllm_requests import (
    own_and_confidences,
    place_logprobs,
    reading_params,
    sampling_params,
    structured_outputs,
)

# vLLM looks a sampled token up in the list of stop tokens, and copies the list for each request. In
# vocabularies of 128,000 and more, 2,000 tokens hold a line break: they took 2 ms of every request
# and 30 us of every token, on one core for all.
MAX_MARKS = 64


class Core(Protocol):
    """A vLLM engine that answers requests, many at once."""

    engine: Any

    def stream(
        self, token_ids: Sequence[int], params: Any, priority: int = 0
    ) -> AsyncGenerator[Any, None]:
        """The outputs of one request as they come; closing the iterator aborts the request.

        Args:
            token_ids: the prompt.
            params: vLLM's SamplingParams.
            priority: see `runtime.engines.token_options.TokenOptions`.

        Raises:
            ModelError: the engine has died, or refused the request.
        """
        ...

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        ...

    def close(self) -> None:
        """Release the engine. It may be called twice."""
        ...


async def final_output(core: Core, token_ids: Sequence[int], params: Any, priority: int = 0) -> Any:
    """The final output of one request; cancelling the call aborts the request.

    Raises:
        ModelError: the engine has died, or refused the request.
    """
    async with aclosing(core.stream(token_ids, params, priority)) as outputs:
        return [output async for output in outputs][-1]


class VLLMCompletions:
    """Completions by a vLLM engine, started here or by the caller.

    Args:
        core: takes the requests.
        tokenizer: the engine's.
        context_length: the engine's, in tokens.
    """

    def __init__(self, core: Core, tokenizer: Any, context_length: int) -> None:
        self._core, self.tokenizer, self.context_length = core, tokenizer, context_length
        self._marks: dict[str, list[int]] = {}
        self._checked: Constraint | None = None  # the last one: many prompts may have the same

    async def complete(
        self,
        token_ids: Sequence[int],
        *,
        settings: SamplingSettings,
        max_tokens: int,
        seed: int,
        stop: Sequence[str] = (),
        stop_token_ids: Sequence[int] = (),
        logprob: bool = True,
        confidence: ConfidenceWindow | None = None,
        constraint: Constraint | None = None,
        options: TokenOptions = PLAIN,
        thought: bool = False,
    ) -> Completion:
        """Sample one continuation; see `runtime.engines.base.Engine.complete`.

        Args:
            token_ids, settings, max_tokens, seed, stop, stop_token_ids, logprob: as there.
            confidence: see `runtime.engines.base.HasConfidence`. Log-probabilities of the likeliest
                tokens are then not returned.
            constraint: see `runtime.engines.constraint.HasConstraints`.
            options: see `runtime.engines.token_options.HasTokenOptions`.
            thought: see `runtime.engines.base.EndsLoops`.
        """
        if confidence is not None:
            options = replace(options, logprobs=None, logprob_token_ids=())
        marks = {} if options.min_tokens else self._marks_of(stop)
        params = sampling_params(
            settings,
            options,
            max_tokens=max_tokens,
            seed=seed,
            stop=[text for text in stop if text not in marks.values()],
            stop_token_ids=[*marks, *stop_token_ids],
            constraint=constraint,
            thought=thought,
            logprobs=options.logprobs or self._logprobs(logprob, confidence),
            # Every token wakes this process up: only where one of them may end the request.
            each_token=confidence is not None and confidence.settings.threshold is not None,
        )
        output, written = await self._written(token_ids, params, confidence, options.priority)
        if not logprob:
            written = replace(written, logprob=nan)
        if options.logprobs is not None:
            written = replace(written, logprobs=place_logprobs(output.outputs[0].logprobs))
        return written if written.aborted else _ended(written, output, marks, stop_token_ids)

    async def _written(
        self, token_ids: Sequence[int], params: Any, window: ConfidenceWindow | None, priority: int
    ) -> tuple[Any, Completion]:
        """The last output of a request, and its tokens, at most until the solution is lost."""
        if window is None:
            output = await self._final(token_ids, params, priority)
            final = output.outputs[0]
            total = float(final.cumulative_logprob or 0.0)
            cached = output.num_cached_tokens or 0
            return output, Completion(tuple(final.token_ids), total, False, cached)
        ids: list[int] = []
        total = 0.0
        async with aclosing(self._core.stream(token_ids, params, priority)) as outputs:
            async for output in outputs:
                _check(output)
                final = output.outputs[0]
                own, confidences = own_and_confidences(final.logprobs, params.logprobs)
                taken = window.add(confidences)
                ids += final.token_ids[:taken]
                total += sum(own[:taken])
                if window.lost:
                    break
        return output, Completion(
            token_ids=tuple(ids),
            logprob=total,
            ended=False,
            cached_tokens=output.num_cached_tokens or 0,
            aborted=window.lost,
        )

    async def _final(self, token_ids: Sequence[int], params: Any, priority: int = 0) -> Any:
        output = await final_output(self._core, token_ids, params, priority)
        _check(output)
        return output

    def _logprobs(self, logprob: bool, confidence: ConfidenceWindow | None) -> int | None:
        """Log-probabilities to request beside the sampled token's own; None for not even that."""
        if confidence is not None:
            return min(confidence.settings.top, self.max_confidence_top)
        return 0 if logprob else None

    def _marks_of(self, stop: Sequence[str]) -> dict[int, str]:
        """The tokens that end a request as some of the stop texts would, each with its text.

        A stop token ends a request in the engine itself; a stop text is only seen afterwards, by
        the process that decodes, and costs a wasted step. Texts that span tokens need it, and so do
        texts that are in many tokens. Before `min_tokens` vLLM never samples stop tokens, where it
        only skips stop texts.
        """
        marks: dict[int, str] = {}
        for text in stop:
            # One byte: no character that two tokens may share.
            if len(text) == 1 and text.isascii() and text not in self._marks:
                texts = token_texts(self.tokenizer)
                self._marks[text] = [i for i, token in enumerate(texts) if text in token]
            found = self._marks.get(text, [])
            if len(found) <= MAX_MARKS:
                marks |= dict.fromkeys(found, text)
        return marks

    def check_constraint(self, constraint: Constraint) -> None:
        """See `runtime.engines.constraint.HasConstraints`."""
        from vllm import SamplingParams

        if constraint == self._checked:
            return
        config = self.vllm.vllm_config
        try:
            SamplingParams(structured_outputs=structured_outputs(constraint)).verify(
                config.model_config,
                config.speculative_config,
                config.structured_outputs_config,
                self.tokenizer,
            )
        except Exception as error:  # vLLM's own are of many classes, which change by version
            raise constraint.refused(f"vLLM refused it: {error}") from error
        self._checked = constraint

    @property
    def ends_loops(self) -> bool:
        """See `runtime.engines.base.EndsLoops`."""
        return True

    @property
    def max_confidence_top(self) -> int:
        """See `runtime.engines.base.HasConfidence`."""
        return self.vocabulary_size

    @property
    def vocabulary_size(self) -> int:
        """See `runtime.engines.token_options.HasTokenOptions`."""
        return int(self.vllm.vllm_config.model_config.get_vocab_size())

    @property
    def max_logprobs(self) -> int:
        """See `runtime.engines.token_options.HasTokenOptions`; vLLM's argument of that name."""
        most = int(self.vllm.vllm_config.model_config.max_logprobs)
        return self.vocabulary_size if most == -1 else most

    async def text_logprobs(
        self, token_ids: Sequence[int], likeliest: int
    ) -> tuple[PlaceLogprobs | None, ...]:
        """See `runtime.engines.token_options.HasTokenOptions`."""
        output = await self._final(token_ids, reading_params(likeliest))
        return (None, *place_logprobs(output.prompt_logprobs[1:]))

    @property
    def vllm(self) -> Any:
        """vLLM's own engine: an `LLMEngine` or an `AsyncLLM`."""
        return self._core.engine

    @property
    def log_stats(self) -> bool:
        """Whether vLLM keeps statistics of requests: its argument ``disable_log_stats`` is off."""
        return bool(self.vllm.log_stats)

    @property
    def resources(self) -> str:
        """What it runs on, in words."""
        return resources(self.vllm)

    def capacity(self, tokens: int) -> int:
        """See `runtime.engines.base.HasCapacity`."""
        return capacity(self.vllm, tokens)

    @property
    def requests(self) -> int:
        """See `runtime.engines.base.HasRequests`."""
        return int(self.vllm.get_num_unfinished_requests()) if self.alive else 0

    @property
    def alive(self) -> bool:
        """Whether the engine's process runs."""
        return self._core.alive

    def close(self) -> None:
        """Release the engine."""
        self._core.close()


class VLLMEngine(VLLMCompletions):
    """A vLLM engine of its own, in another process.

    Open it inside a running event loop, and use it from that loop only. What opening changes in
    this process, and `close` changes back: see `runtime.engines.vllm_core.VLLMCore.start`.

    Args:
        model: a Hugging Face model folder.
        engine_args: further arguments of vLLM's AsyncEngineArgs, for example
            ``tensor_parallel_size``.

    Raises:
        InputError: vLLM cannot serve the model; the message is vLLM's own.
    """

    def __init__(self, model: Path, **engine_args: Any) -> None:
        core = VLLMCore.start("model", model, engine_args)
        super().__init__(core, core.engine.get_tokenizer(), core.engine.model_config.max_model_len)


def _check(output: Any) -> None:
    """Check an output of a request.

    Raises:
        ModelError: vLLM gave it up: its tokens, if it has any, are no solution.
    """
    reason = output.outputs[0].finish_reason
    if reason in GIVEN_UP:
        raise ModelError("engine", f"vLLM ended the request with the finish reason {reason!r}")


def _ended(
    written: Completion, output: Any, marks: Mapping[int, str], stop_token_ids: Sequence[int]
) -> Completion:
    """A completion with what ended it.

    Args:
        written: the completion.
        output: the last output of its request.
        marks: tokens that hold a stop text, with that text.
        stop_token_ids: tokens that end a solution.
    """
    final = output.outputs[0]
    if final.finish_reason == "repetition":  # its stop reason is not one of the stop texts
        return replace(written, repeating=True)
    # The reason of a stop is the text or token that was requested; an end of sequence has none,
    # or a token of the model's own. A stop token that holds a mark ends the solution.
    reason = final.stop_reason
    stopped_by = reason if isinstance(reason, str) else marks.get(reason)
    if reason in stop_token_ids:
        stopped_by = None
    ended = final.finish_reason == "stop" and stopped_by is None
    return replace(written, ended=ended, stopped_by=stopped_by)
