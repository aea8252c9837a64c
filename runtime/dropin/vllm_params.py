"""vLLM's SamplingParams: the fields that are honoured, and refusal of all others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from allocator.errors import InputError
from runtime.engines.base import SamplingSettings
from runtime.engines.engine_args import NOT_CALIBRATED
from runtime.frontend.answer_form import FREE_TEXT, AnswerForm, structured_form
from runtime.frontend.prompt_request import RequestOptions, request_options
from runtime.frontend.reasoning import BUDGET, check_thinks
from runtime.frontend.sampling_overrides import SamplingOverrides
from runtime.models import Models
from runtime.request import smallest_cap

if TYPE_CHECKING:
    from vllm import SamplingParams
    from vllm.sampling_params import StructuredOutputsParams

# An answer is returned whole, so output_kind makes no difference to it.
HONOURED = frozenset(
    (
        *("temperature", "top_p", "top_k", "min_p", "max_tokens", "n", "seed", "output_kind"),
        *("stop", "stop_token_ids", "skip_special_tokens", "spaces_between_special_tokens"),
        *("thinking_token_budget", "structured_outputs"),
    )
)

_NO_LOGPROBS = "only the log-probability of a whole solution is kept"
_WHOLE_TEXT = "answers are extracted from the text without its stop text"
_OTHER_SAMPLING = "it changes the samples, and the policy was calibrated without it"
_REASONS = dict.fromkeys(
    NOT_CALIBRATED, "the artifact determines the model that was calibrated"
) | {
    "continue_final_message": "the verifier scores whole solutions",
    "logprobs": _NO_LOGPROBS,
    "prompt_logprobs": _NO_LOGPROBS,
    "logprob_token_ids": _NO_LOGPROBS,
    "detokenize": _WHOLE_TEXT,
    "include_stop_str_in_output": _WHOLE_TEXT,
    "presence_penalty": _OTHER_SAMPLING,
    "frequency_penalty": _OTHER_SAMPLING,
    "repetition_penalty": _OTHER_SAMPLING,
    "logit_bias": _OTHER_SAMPLING,
    "bad_words": _OTHER_SAMPLING,
    "allowed_token_ids": _OTHER_SAMPLING,
    "min_tokens": _OTHER_SAMPLING,
    "ignore_eos": _OTHER_SAMPLING,
}


@dataclass(frozen=True)
class VLLMOptions:
    """SamplingParams of one prompt, as they are honoured.

    Attributes:
        request: options of the solver's request.
        stop_reasons: the output's stop reason of each stop token.
        special_tokens: whether the output's text shows special tokens.
        spaces_between_special_tokens: whether it may have spaces between them.
    """

    request: RequestOptions
    stop_reasons: Mapping[int, int | str] = field(default_factory=dict)
    special_tokens: bool = False
    spaces_between_special_tokens: bool = True


def refuse(**arguments: Any) -> None:
    """Refuse arguments that are not supported.

    Raises:
        InputError: an argument that is not None, by its name.
    """
    for name, value in arguments.items():
        if value is not None:
            why = _REASONS.get(name, "it is not supported")
            raise InputError(name, value, f"{why}; leave it out")


def params_for(given: Any, prompts: int) -> list[Any]:
    """Checked SamplingParams, or None, for each prompt.

    Args:
        given: SamplingParams for all prompts, or one per prompt; None uses the calibrated settings.
        prompts: number of prompts.

    Raises:
        InputError: another number of SamplingParams than of prompts, or a field that is not
            supported.
    """
    params = list(given) if isinstance(given, Sequence) else [given] * prompts
    if len(params) != prompts:
        raise InputError("sampling_params", len(params), f"give one for all prompts, or {prompts}")
    for each in params:
        if each is not None:
            _check(each)
    return params


def _check(params: Any) -> None:
    """Check every field, so that a field of a later vLLM is not ignored."""
    from vllm import SamplingParams

    if not isinstance(params, SamplingParams):
        raise InputError("sampling_params", params, "must be vllm.SamplingParams")
    # vLLM derives some fields from these.
    usual = type(params)(stop=params.stop, stop_token_ids=params.stop_token_ids)
    for name in params.__struct_fields__:
        value, default = getattr(params, name), getattr(usual, name)
        differs = isinstance(value, np.ndarray) or value != default
        if differs and name not in HONOURED:
            why = _REASONS.get(name, "it is not supported")
            raise InputError(name, value, f"{why}; leave it at {default!r}")


def vllm_options(
    params: Any,
    calibrated: SamplingSettings,
    models: Models,
    budget: int,
    thinking: int | None = None,
    notes: Sequence[str] = (),
    form: AnswerForm = FREE_TEXT,
) -> VLLMOptions:
    """SamplingParams as they are honoured.

    Args:
        params: SamplingParams that `params_for` has checked; None uses the calibrated settings.
        calibrated: sampling settings that the artifact was calibrated with.
        models: the models.
        budget: generations that the prompt may cost.
        thinking: tokens that a solution may think, by the template's variables; None is no cap.
        notes: further notes for the caller.
        form: the form of the answers, where SamplingParams have no structured outputs.

    Raises:
        InputError: a value that is out of its range, or that the model cannot honour.
    """
    tokenizer = models.engine.tokenizer
    if params is None:
        return VLLMOptions(
            request_options(
                calibrated, tokenizer, budget, thinking=thinking, notes=notes, form=form
            )
        )
    check_thinks(BUDGET, params.thinking_token_budget, models.thinks)
    greedy = params.temperature == 0  # vLLM then ignores the other three
    overrides = SamplingOverrides(
        temperature=params.temperature,
        top_p=None if greedy else params.top_p,
        top_k=None if greedy else params.top_k,
        min_p=None if greedy else params.min_p,
        max_tokens=models.engine.context_length if params.max_tokens is None else params.max_tokens,
    )
    special = {} if params.skip_special_tokens else _special_stops(params.stop, tokenizer)
    stop_reasons: dict[int, int | str] = {
        token: reason
        for token, reason in ({end: end for end in params.stop_token_ids} | special).items()
        # The model's own end of sequence needs no request, and vLLM gives no stop reason for it.
        if token != tokenizer.eos_token_id
    }
    request = request_options(
        calibrated,
        tokenizer,
        budget,
        overrides,
        solutions=params.n,
        seed=params.seed,
        stop=[stop for stop in params.stop if stop not in special.values()],
        stop_token_ids=tuple(stop_reasons),
        thinking=smallest_cap(params.thinking_token_budget, thinking),
        notes=notes,
        form=_held(form, params.structured_outputs),
    )
    return VLLMOptions(
        request,
        stop_reasons,
        special_tokens=not params.skip_special_tokens,
        spaces_between_special_tokens=params.spaces_between_special_tokens,
    )


def _held(form: AnswerForm, structured: "StructuredOutputsParams | None") -> AnswerForm:
    """The form of answers that are held to structured outputs, and may be calls of tools."""
    if structured is None:
        return form
    set_here = {
        field.name: value
        for field in fields(structured)
        if field.init and (value := getattr(structured, field.name)) not in (None, False)
    }
    held = structured_form("structured_outputs", set_here)
    return held if form.calls is None else replace(form, constraint=held.constraint)


def _special_stops(stops: Sequence[str], tokenizer: Any) -> dict[int, str]:
    """The stop texts that are special tokens, by token id.

    Raises:
        InputError: a stop text that has a special token and further text.
    """
    added = tokenizer.added_tokens_decoder.items()
    special = {token.content: number for number, token in added if token.special}
    for stop in stops:
        if stop not in special and any(token in stop for token in special):
            hint = "it has a special token and further text; give the special token alone"
            raise InputError("stop", stop, hint)
    return {special[stop]: stop for stop in stops if stop in special}


def params_of(sampling: SamplingSettings) -> "SamplingParams":
    """Settings as vLLM's SamplingParams."""
    from vllm import SamplingParams

    return SamplingParams(
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        min_p=sampling.min_p,
        max_tokens=sampling.max_tokens,
    )
