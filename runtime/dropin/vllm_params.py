"""vLLM's SamplingParams: the fields that are honoured, and refusal of all others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from allocator.errors import InputError
from runtime.engines.base import SamplingSettings
from runtime.engines.engine_args import NOT_CALIBRATED
from runtime.engines.token_options import TokenOptions
from runtime.engines.vllm import VLLMCompletions
from runtime.frontend.answer_form import FREE_TEXT, AnswerForm, structured_form
from runtime.frontend.prompt_request import RequestOptions, request_options
from runtime.frontend.reasoning import BUDGET, check_thinks
from runtime.frontend.sampling_overrides import SamplingOverrides
from runtime.frontend.token_fields import TokenFields, bias_of, token_fields
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
        *("logprobs", "prompt_logprobs", "logprob_token_ids"),
        *("min_tokens", "ignore_eos", "logit_bias", "allowed_token_ids"),
    )
)

_WHOLE_TEXT = "answers are extracted from the text without its stop text"
_OTHER_SAMPLING = "it changes the samples, and the policy was calibrated without it"
_REASONS = dict.fromkeys(
    NOT_CALIBRATED, "the artifact determines the model that was calibrated"
) | {
    "continue_final_message": "the verifier scores whole solutions",
    "detokenize": _WHOLE_TEXT,
    "include_stop_str_in_output": _WHOLE_TEXT,
    "presence_penalty": _OTHER_SAMPLING,
    "frequency_penalty": _OTHER_SAMPLING,
    "repetition_penalty": _OTHER_SAMPLING,
    "bad_words": _OTHER_SAMPLING,
}


@dataclass(frozen=True)
class VLLMOptions:
    """SamplingParams of one prompt, as they are honoured.

    Attributes:
        request: options of the solver's request.
        stop_reasons: the output's stop reason of each stop token.
        special_tokens: whether the output's text shows special tokens.
        spaces_between_special_tokens: whether it may have spaces between them.
        metrics: whether the output has metrics, as vLLM's has with its statistics on.
    """

    request: RequestOptions
    stop_reasons: Mapping[int, int | str] = field(default_factory=dict)
    special_tokens: bool = False
    spaces_between_special_tokens: bool = True
    metrics: bool = False


def refuse(**arguments: Any) -> None:
    """Refuse arguments that are not supported.

    Raises:
        InputError: an argument that is not None, by its name.
    """
    for name, value in arguments.items():
        if value is not None:
            why = _REASONS.get(name, "it is not supported")
            raise InputError(name, value, f"{why}; leave it out")


@dataclass(frozen=True)
class PromptParams:
    """What a call requests of one prompt.

    Attributes:
        given: its SamplingParams, checked; None uses the calibrated settings.
        priority: see `runtime.engines.token_options.TokenOptions`.
    """

    given: Any = None
    priority: int = 0

    @property
    def n(self) -> int:
        """Number of solutions."""
        return 1 if self.given is None else int(self.given.n)

    @property
    def shows_progress(self) -> bool:
        """Whether outputs are returned before the final one."""
        from vllm.sampling_params import RequestOutputKind

        return self.given is None or self.given.output_kind != RequestOutputKind.FINAL_ONLY


def params_for(given: Any, prompts: int, priority: Any = None) -> list[PromptParams]:
    """What a call requests of each prompt.

    Args:
        given: SamplingParams for all prompts, or one per prompt; None uses the calibrated settings.
        prompts: number of prompts.
        priority: one for all prompts, or one per prompt; None is 0.

    Raises:
        InputError: another number of SamplingParams or priorities than of prompts, or one that is
            not supported.
    """
    params = list(given) if isinstance(given, Sequence) else [given] * prompts
    if len(params) != prompts:
        raise InputError("sampling_params", len(params), f"give one for all prompts, or {prompts}")
    for each in params:
        if each is not None:
            _check(each)
    priorities = _priorities(priority, prompts)
    return [PromptParams(*both) for both in zip(params, priorities, strict=True)]


def _priorities(given: Any, prompts: int) -> list[int]:
    found = list(given) if isinstance(given, Sequence) else [given or 0] * prompts
    if len(found) != prompts:
        raise InputError("priority", given, f"give one for all prompts, or {prompts}")
    for one in found:
        if not isinstance(one, int) or isinstance(one, bool) or not -(2**63) <= one < 2**63:
            raise InputError("priority", given, "must be an integer of 64 bits")
    return found


def _check(params: Any) -> None:
    """Check every field, so that a field of a later vLLM is not ignored."""
    from vllm import SamplingParams

    if not isinstance(params, SamplingParams):
        raise InputError("sampling_params", params, "must be vllm.SamplingParams")
    # vLLM derives some fields from these.
    usual = type(params)(
        stop=params.stop,
        stop_token_ids=params.stop_token_ids,
        prompt_logprobs=params.prompt_logprobs,
    )
    for name in params.__struct_fields__:
        value, default = getattr(params, name), getattr(usual, name)
        differs = isinstance(value, np.ndarray) or value != default
        if differs and name not in HONOURED:
            why = _REASONS.get(name, "it is not supported")
            raise InputError(name, value, f"{why}; leave it at {default!r}")


def vllm_options(
    requested: PromptParams,
    calibrated: SamplingSettings,
    models: Models,
    budget: int | None,
    thinking: int | None = None,
    notes: Sequence[str] = (),
    form: AnswerForm = FREE_TEXT,
) -> VLLMOptions:
    """SamplingParams as they are honoured.

    Args:
        requested: what `params_for` has checked.
        calibrated: sampling settings that the artifact was calibrated with.
        models: the models.
        budget: generations that the prompt may cost; None where its budget is in tokens.
        thinking: tokens that a solution may think, by the template's variables; None is no cap.
        notes: further notes for the caller.
        form: the form of the answers, where SamplingParams have no structured outputs.

    Raises:
        InputError: a value that is out of its range, or that the model cannot honour.
    """
    tokenizer, params = models.engine.tokenizer, requested.given
    metrics = isinstance(models.engine, VLLMCompletions) and models.engine.log_stats
    if params is None:
        tokens = _tokens(requested, models, calibrated.max_tokens)
        return VLLMOptions(
            request_options(
                calibrated,
                tokenizer,
                budget,
                thinking=thinking,
                tokens=tokens,
                notes=notes,
                form=form,
            ),
            metrics=metrics,
        )
    check_thinks(BUDGET, params.thinking_token_budget, models.thinks)
    longest = models.engine.context_length if params.max_tokens is None else params.max_tokens
    special = {} if params.skip_special_tokens else _special_stops(params.stop, tokenizer)
    stop_reasons: dict[int, int | str] = {
        token: reason
        for token, reason in ({end: end for end in params.stop_token_ids} | special).items()
        # The model's own end of sequence needs no request, unless it is ignored, and vLLM gives no
        # stop reason for it.
        if token != tokenizer.eos_token_id or params.ignore_eos
    }
    request = request_options(
        calibrated,
        tokenizer,
        budget,
        _overrides(params, longest),
        solutions=params.n,
        seed=params.seed,
        stop=[stop for stop in params.stop if stop not in special.values()],
        stop_token_ids=tuple(stop_reasons),
        thinking=smallest_cap(params.thinking_token_budget, thinking),
        tokens=_tokens(requested, models, longest),
        notes=notes,
        form=_held(form, params.structured_outputs),
    )
    return VLLMOptions(
        request,
        stop_reasons,
        special_tokens=not params.skip_special_tokens,
        spaces_between_special_tokens=params.spaces_between_special_tokens,
        metrics=metrics,
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


def _overrides(params: Any, longest: int) -> SamplingOverrides:
    greedy = params.temperature == 0  # vLLM then ignores the other three
    return SamplingOverrides(
        temperature=params.temperature,
        top_p=None if greedy else params.top_p,
        top_k=None if greedy else params.top_k,
        min_p=None if greedy else params.min_p,
        max_tokens=longest,
    )


def _tokens(requested: PromptParams, models: Models, longest: int) -> TokenFields:
    params = requested.given
    if params is None:
        options = TokenOptions(priority=requested.priority)
        return token_fields(options, None, models.engines, longest)
    options = TokenOptions(
        logprobs=params.logprobs,
        logprob_token_ids=tuple(params.logprob_token_ids or ()),
        min_tokens=params.min_tokens,
        ignore_eos=params.ignore_eos,
        logit_bias=bias_of(params.logit_bias),
        allowed_token_ids=tuple(params.allowed_token_ids or ()),
        priority=requested.priority,
    )
    return token_fields(options, params.prompt_logprobs, models.engines, longest)


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
