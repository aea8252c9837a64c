"""From a caller's prompt and settings to the solver's request: the server and all drop-ins.

Error messages name the caller's own field, which a caller passes where its name differs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from allocator.errors import InputError
from runtime.engines.base import SamplingSettings
from runtime.engines.tokenizer import check_token_ids, decode, encode_text
from runtime.frontend.answer_form import FREE_TEXT, AnswerForm
from runtime.frontend.conversation import conversation_text, render_conversation
from runtime.frontend.reasoning import cap_notes
from runtime.frontend.sampling_overrides import SamplingOverrides, sampling_for
from runtime.frontend.token_fields import TokenFields
from runtime.request import EventHandler, Request, RequestSettings

SEEDS = 2**64  # samplers take seeds of 64 bits, without a sign
# Beside min_tokens vLLM has room for 128, the model's own ends among them. More would end its
# engine on a GPU.
MAX_HELD_STOPS = 112
AS_CALIBRATED = SamplingOverrides()
NO_TOKEN_FIELDS = TokenFields()


@dataclass(frozen=True)
class EncodedPrompt:
    """A prompt as text and as token ids.

    Attributes:
        text: for verifiers and revisers that have a prompt format of their own.
        token_ids: what the language model continues.
        shown: the text that was encoded, chat template included; None if the caller gave only
            token ids.
    """

    text: str
    token_ids: tuple[int, ...]
    shown: str | None = None


@dataclass(frozen=True)
class RequestOptions:
    """What a caller requested of a prompt besides its text, checked.

    Attributes:
        settings: how solutions are sampled.
        solutions: number of solutions to return.
        seed: with the prompt, determines every sample; None uses the solver's.
        notes: differences from what was requested or calibrated, for the caller.
    """

    settings: RequestSettings
    solutions: int = 1
    seed: int | None = None
    notes: tuple[str, ...] = ()

    def request(self, prompt: EncodedPrompt, on_event: EventHandler | None = None) -> Request:
        """The solver's request for a prompt with these options."""
        return Request(
            text=prompt.text,
            token_ids=prompt.token_ids,
            settings=self.settings,
            seed=self.seed,
            solutions=self.solutions,
            on_event=on_event,
        )


def request_options(
    calibrated: SamplingSettings,
    tokenizer: Any,
    budget: int | None,
    overrides: SamplingOverrides = AS_CALIBRATED,
    *,
    solutions: int = 1,
    solutions_field: str = "n",
    seed: int | None = None,
    stop: Sequence[str] = (),
    stop_token_ids: Sequence[int] = (),
    thinking: int | None = None,
    tokens: TokenFields = NO_TOKEN_FIELDS,
    form: AnswerForm = FREE_TEXT,
    notes: Sequence[str] = (),
) -> RequestOptions:
    """Check what a caller requested of a prompt.

    Args:
        calibrated: sampling settings that the artifact was calibrated with.
        tokenizer: the language model's.
        budget: generations that the prompt may cost; None where its budget is in tokens, under
            which `RequestedBudget.resolve` allows one solution.
        overrides: sampling settings in place of calibrated ones.
        solutions: number of solutions to return.
        solutions_field: the caller's name for it, for error messages.
        seed: any integer; it is taken modulo 2**64. None uses the solver's.
        stop: texts that end a solution.
        stop_token_ids: tokens that end a solution.
        thinking: the most tokens that a solution may think, of a model that has thoughts; 0 is no
            thought, None no cap.
        tokens: what the caller requested of single tokens.
        form: the form of the answers.
        notes: notes for the caller that come before those made here.

    Raises:
        InputError: more solutions than the budget, a sampling setting out of its range, a stop
            token outside the vocabulary, or too many of them.
    """
    if budget is not None and solutions > budget:
        hint = f"it is more than the budget of {budget}; raise the budget or lower this"
        raise InputError(solutions_field, solutions, hint)
    sampling, changed = sampling_for(calibrated, budget, overrides)
    ends = check_token_ids(tokenizer, stop_token_ids, "stop_token_ids")
    if tokens.options.min_tokens and len(ends) > MAX_HELD_STOPS:
        hint = (
            f"more tokens than vLLM has room for beside min_tokens; give {MAX_HELD_STOPS} at most"
        )
        raise InputError("stop_token_ids", len(ends), hint)
    return RequestOptions(
        settings=RequestSettings(
            sampling,
            tuple(stop),
            ends,
            thinking=thinking,
            tokens=tokens.options,
            prompt_logprobs=tokens.prompt_logprobs,
            form=form,
        ),
        solutions=solutions,
        seed=None if seed is None else seed % SEEDS,
        notes=(*notes, *changed, *tokens.notes, *cap_notes(thinking), *form.notes),
    )


def are_token_ids(value: Any) -> bool:
    """Whether a value is a list of integers that is not empty."""
    if not isinstance(value, list) or not value:
        return False
    return all(isinstance(token, int) and not isinstance(token, bool) for token in value)


def text_prompt(tokenizer: Any, text: str) -> EncodedPrompt:
    """A prompt given as text, encoded as it is, without a chat template."""
    return EncodedPrompt(text, encode_text(tokenizer, text), text)


def token_prompt(
    tokenizer: Any, token_ids: Sequence[int], field: str, text: str | None = None
) -> EncodedPrompt:
    """A prompt given as token ids.

    Args:
        tokenizer: the language model's.
        token_ids: the ids.
        field: the caller's name for them, for error messages.
        text: the prompt's text, if the caller gave it; None decodes the ids.

    Raises:
        InputError: an id outside the vocabulary.
    """
    known = check_token_ids(tokenizer, token_ids, field)
    shown = decode(tokenizer, known, follows=False) if text is None else text
    return EncodedPrompt(shown, known, text)


def conversation_prompt(
    tokenizer: Any,
    turns: Sequence[Mapping[str, Any]],
    chat_template: str | None = None,
    add_generation_prompt: bool = True,
    variables: Mapping[str, Any] | None = None,
) -> EncodedPrompt:
    """A conversation, through a chat template.

    Args:
        tokenizer: the language model's.
        turns: each with a ``role`` and a ``content``; see `runtime.frontend.conversation.turns_of`.
        chat_template: in place of the tokenizer's.
        add_generation_prompt: whether the model's turn is begun.
        variables: further variables of the template.

    Raises:
        InputError: there is no template, or it fails.
    """
    shown = render_conversation(tokenizer, turns, chat_template, add_generation_prompt, variables)
    # The template has written the special tokens.
    ids = tokenizer.encode(shown, add_special_tokens=False)
    return EncodedPrompt(conversation_text(turns), tuple(ids), shown)
