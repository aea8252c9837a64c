"""Requests to vLLM: its SamplingParams, and the log-probabilities that it returns."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from predictors.confidence import token_confidence
from predictors.token_logprobs import PlaceLogprobs, TokenLogprob
from runtime.engines.base import SamplingSettings
from runtime.engines.constraint import Constraint
from runtime.engines.token_options import TokenOptions

if TYPE_CHECKING:
    from vllm import SamplingParams
    from vllm.sampling_params import StructuredOutputsParams

# Thoughts that may be this long end where a pattern of up to 64 tokens is repeated so often that it
# is an endless loop: they cost the most and answer nothing. Answers such as tables may repeat
# themselves as often.
LONG = 1024
# A shorter pattern, repeated, is one of these sizes, too. vLLM tries each after every token, on one
# core for all requests.
REPETITION = {"min_pattern_size": 33, "max_pattern_size": 64, "min_count": 8}


def sampling_params(
    settings: SamplingSettings,
    options: TokenOptions,
    *,
    max_tokens: int,
    seed: int,
    stop: Sequence[str],
    stop_token_ids: Sequence[int],
    constraint: Constraint | None,
    thought: bool,
    logprobs: int | None,
    each_token: bool,
) -> "SamplingParams":
    """The parameters of one completion; see `runtime.engines.base.Engine.complete`.

    Args:
        settings, options, max_tokens, seed, stop, stop_token_ids: as there.
        constraint: what the completion is held to.
        thought: whether a thought is sampled; see `loop_detection`.
        logprobs: likeliest tokens to return at each place; None returns not even the sampled one's
            log-probability.
        each_token: return an output after every token, in place of one at the end.
    """
    from vllm import SamplingParams
    from vllm.sampling_params import RepetitionDetectionParams, RequestOutputKind

    loops = loop_detection(options, max_tokens, constraint) if thought else None
    return SamplingParams(
        temperature=settings.temperature,
        top_p=settings.top_p,
        top_k=settings.top_k,
        min_p=settings.min_p,
        max_tokens=max_tokens,
        min_tokens=options.min_tokens,
        ignore_eos=options.ignore_eos,
        seed=seed,
        stop=list(stop),
        stop_token_ids=list(stop_token_ids),
        include_stop_str_in_output=True,
        # Token by token, where a whole text is soon decoded.
        detokenize=bool(stop) or options.logprobs is not None,
        skip_special_tokens=False,  # marks of thoughts are special tokens of some models
        repetition_detection=RepetitionDetectionParams(**loops) if loops else None,
        structured_outputs=None if constraint is None else structured_outputs(constraint),
        logprobs=logprobs,
        logprob_token_ids=list(options.logprob_token_ids) or None,
        logit_bias=dict(options.logit_bias) or None,
        allowed_token_ids=list(options.allowed_token_ids) or None,
        flat_logprobs=True,  # no object a token
        output_kind=RequestOutputKind.DELTA if each_token else RequestOutputKind.FINAL_ONLY,
        skip_clone=True,  # of this request alone
    )


def loop_detection(
    options: TokenOptions, max_tokens: int, constraint: Constraint | None
) -> dict[str, int] | None:
    """What vLLM is to take for an endless loop in a thought: its RepetitionDetectionParams.

    Args:
        options: of the request. A thought that must not end by itself (`ignore_eos`) has no loop.
        max_tokens: how long the thought may be. A short one has none.
        constraint: what the completion is held to, which never loops by itself.
    """
    may_loop = constraint is None and not options.ignore_eos and max_tokens >= LONG
    return REPETITION if may_loop else None


def structured_outputs(constraint: Constraint) -> "StructuredOutputsParams":
    """A constraint as vLLM has it."""
    from vllm.sampling_params import StructuredOutputsParams

    return StructuredOutputsParams(**constraint.fields)


def reading_params(likeliest: int) -> "SamplingParams":
    """The parameters of a request for a text's own log-probabilities.

    Args:
        likeliest: likeliest tokens to return at each place.
    """
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    return SamplingParams(
        max_tokens=1,
        prompt_logprobs=likeliest,
        flat_logprobs=True,
        output_kind=RequestOutputKind.FINAL_ONLY,
    )


def place_logprobs(found: Iterable[Mapping[int, Any]]) -> tuple[PlaceLogprobs, ...]:
    """Log-probabilities at each place of a text.

    Args:
        found: vLLM's, of a request whose text is decoded: at each place ``Logprob`` by token id.
    """
    return tuple(
        {
            token: TokenLogprob(entry.logprob, entry.rank, entry.decoded_token or "")
            for token, entry in place.items()
        }
        for place in found
    )


def own_and_confidences(flat: Any, top: int) -> tuple[list[float], list[float]]:
    """Log-probability and confidence of each token.

    Args:
        flat: vLLM's flat log-probabilities. At each place stands the sampled token's own, then
            those of the likeliest; outputs that vLLM has merged leave out the second of two equal.
        top: number of the likeliest.
    """
    own = [flat.logprobs[start] for start in flat.start_indices]
    confidences = [token_confidence(flat.logprobs[end - top : end]) for end in flat.end_indices]
    return own, confidences
