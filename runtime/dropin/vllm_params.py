"""vLLM's SamplingParams, read: what can be honoured, and a refusal of all that cannot."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from allocator.errors import InputError
from runtime.dropin.vllm_prompts import Prompt
from runtime.engines.base import SamplingSettings
from runtime.engines.tokenizer import check_token_ids
from runtime.frontend.sampling_overrides import sampling_for, unsigned
from runtime.request import EventHandler, Request, RequestSettings
from runtime.solving.solve import Solver

if TYPE_CHECKING:
    from vllm import SamplingParams

# The answer comes whole, so that outputs of all kinds are the same.
HONOURED = frozenset(
    (
        *("temperature", "top_p", "top_k", "min_p", "max_tokens", "n", "seed", "output_kind"),
        *("stop", "stop_token_ids", "skip_special_tokens", "spaces_between_special_tokens"),
    )
)

# Arguments of vLLM's engine that would make the model another than the one that was calibrated.
NOT_CALIBRATED = ("tokenizer", "revision", "tokenizer_revision", "skip_tokenizer_init")

_NO_LOGPROBS = "only the log-probability of a whole solution is kept"
_WHOLE_TEXT = "answers are read in the text, without stop texts"
_OTHER_SAMPLING = "it changes what the model samples in a way that calibration knew nothing of"
_REASONS = dict.fromkeys(NOT_CALIBRATED, "the artifact has the model as it was calibrated") | {
    "continue_final_message": "the verifier judges whole solutions",
    "tools": "the verifier knows answers, not calls of tools",
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
    "structured_outputs": _OTHER_SAMPLING,
    "min_tokens": _OTHER_SAMPLING,
    "ignore_eos": _OTHER_SAMPLING,
}


@dataclass(frozen=True)
class SamplingOverrides:
    """What a caller requests for one prompt.

    Attributes:
        sampling: how to sample; None takes calibration's.
        n: solutions to return.
        seed: the prompt's; None takes the solver's.
        stop: texts that end a solution.
        stop_tokens: tokens that do so, each with the reason that the output gives for the stop.
        special_tokens: whether the output's text shows special tokens.
        spaces_between_special_tokens: whether it may have spaces between them.
        notes: what the caller should know.
    """

    sampling: SamplingSettings | None = None
    n: int = 1
    seed: int | None = None
    stop: tuple[str, ...] = ()
    stop_tokens: Mapping[int, int | str] = field(default_factory=dict)
    special_tokens: bool = False
    spaces_between_special_tokens: bool = True
    notes: tuple[str, ...] = ()

    def of(self, prompt: Prompt, on_event: EventHandler | None = None) -> Request:
        """A prompt with these overrides."""
        settings = None
        if self.sampling is not None:
            settings = RequestSettings(self.sampling, self.stop, tuple(self.stop_tokens))
        return Request(
            text=prompt.text,
            token_ids=prompt.token_ids,
            settings=settings,
            seed=self.seed,
            solutions=self.n,
            on_event=on_event,
        )


def refuse(**arguments: Any) -> None:
    """Arguments that cannot be honoured.

    Raises:
        InputError: one that is not None, by its name.
    """
    for name, value in arguments.items():
        if value is not None:
            why = _REASONS.get(name, "it cannot be honoured here")
            raise InputError(name, value, f"{why}; leave it out")


def params_for(given: Any, prompts: int) -> list[Any]:
    """Checked SamplingParams, or None, for each of so many prompts.

    Args:
        given: SamplingParams for all, or one a prompt; None takes calibration's settings.
        prompts: how many prompts there are.

    Raises:
        InputError: as many as there are no prompts, or a field that cannot be honoured.
    """
    params = list(given) if isinstance(given, Sequence) else [given] * prompts
    if len(params) != prompts:
        raise InputError("sampling_params", len(params), f"give one for all, or {prompts}")
    for each in params:
        if each is not None:
            _check(each)
    return params


def _check(params: Any) -> None:
    """That all can be honoured: field by field, so that none of a later vLLM's is ignored."""
    from vllm import SamplingParams

    if not isinstance(params, SamplingParams):
        raise InputError("sampling_params", params, "give vllm.SamplingParams")
    # Some fields follow from these.
    usual = type(params)(stop=params.stop, stop_token_ids=params.stop_token_ids)
    for name in params.__struct_fields__:
        value, default = getattr(params, name), getattr(usual, name)
        differs = isinstance(value, np.ndarray) or value != default
        if differs and name not in HONOURED:
            why = _REASONS.get(name, "it cannot be honoured here")
            raise InputError(name, value, f"{why}; leave it at {default!r}")


def overrides(
    params: Any, solver: Solver, budget: int, notes: Sequence[str] = ()
) -> SamplingOverrides:
    """Some SamplingParams as they are honoured.

    Args:
        params: SamplingParams that have been checked; None takes calibration's settings.
        solver: what answers; it has calibration's settings.
        budget: generations that the prompt may cost.
        notes: what the caller should know besides.

    Raises:
        InputError: a value out of its range.
    """
    if params is None:
        return SamplingOverrides(notes=tuple(notes))
    engine = solver.models.engine
    greedy = params.temperature == 0  # the others then say nothing
    sampling, changed = sampling_for(
        solver.settings.sampling,
        budget,
        temperature=params.temperature,
        top_p=None if greedy else params.top_p,
        top_k=None if greedy else params.top_k,
        min_p=None if greedy else params.min_p,
        max_tokens=engine.context_length if params.max_tokens is None else params.max_tokens,
    )
    tokenizer = engine.tokenizer
    special = {} if params.skip_special_tokens else _special_stops(params.stop, tokenizer)
    ends = check_token_ids(tokenizer, params.stop_token_ids, "stop_token_ids")
    return SamplingOverrides(
        sampling=sampling,
        n=params.n,
        seed=unsigned(params.seed),
        stop=tuple(stop for stop in params.stop if stop not in special.values()),
        # The model's own end of sequence needs no request, and vLLM gives no stop reason for it.
        stop_tokens={
            token: reason
            for token, reason in ({end: end for end in ends} | special).items()
            if token != tokenizer.eos_token_id
        },
        special_tokens=not params.skip_special_tokens,
        spaces_between_special_tokens=params.spaces_between_special_tokens,
        notes=(*notes, *changed),
    )


def _special_stops(stops: Sequence[str], tokenizer: Any) -> dict[int, str]:
    """The stop texts that are special tokens: they occur in texts that show special tokens.

    Raises:
        InputError: a stop text that holds a special token and more.
    """
    added = tokenizer.added_tokens_decoder.items()
    special = {token.content: number for number, token in added if token.special}
    for stop in stops:
        if stop not in special and any(token in stop for token in special):
            hint = "it holds a special token and more; give the special token alone"
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
