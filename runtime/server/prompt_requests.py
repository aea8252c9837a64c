"""From a request's body to the solver's requests: prompts, sampling, budget, deadline."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from allocator.errors import InputError
from runtime.frontend.answer_form import AnswerForm, CallFormat
from runtime.frontend.budget import RequestedBudget
from runtime.frontend.call_syntax import call_syntax
from runtime.frontend.conversation import (
    conversation_text,
    template_notes,
    template_variables,
    turns_of,
)
from runtime.frontend.prompt_request import (
    EncodedPrompt,
    conversation_prompt,
    request_options,
    text_prompt,
    token_prompt,
)
from runtime.frontend.reasoning import BUDGET, check_thinks, template_thinking
from runtime.frontend.sampling_overrides import SamplingOverrides
from runtime.frontend.token_fields import TokenFields, token_fields
from runtime.frontend.tool_fields import ToolRequest
from runtime.frontend.tools import tool_variables, tools_form
from runtime.request import Request, smallest_cap
from runtime.result import Spend
from runtime.server.protocol import ChatRequest, CompletionRequest
from runtime.solving.solve import Solver


@dataclass(frozen=True)
class PromptRequest:
    """One prompt of a request, checked.

    Attributes:
        request: the prompt and its settings.
        spend: what it may cost.
        notes: notes for the client.
    """

    request: Request
    spend: Spend
    notes: tuple[str, ...]

    @property
    def calls(self) -> CallFormat | None:
        """The calls of tools that its solutions may make; None where there are no tools."""
        return None if self.request.settings is None else self.request.settings.form.calls


def prompt_requests(
    body: ChatRequest | CompletionRequest,
    solver: Solver,
    budget: int,
    tool_parser: str = "auto",
) -> list[PromptRequest]:
    """The prompts of a body, each checked before work on any begins.

    Args:
        body: the request's.
        solver: what will answer them.
        budget: generations that each may cost.
        tool_parser: how the model writes calls of tools, as `call_syntax` has it.

    Raises:
        InputError: a value that the solver cannot use.
    """
    ttc = body.ttc
    requested = RequestedBudget(
        budget=None if ttc.in_tokens else budget,
        deadline=ttc.deadline,
        budget_tokens=ttc.budget_tokens,
        average_tokens=ttc.average_tokens,
    )
    resolved = requested.resolve(budget, body.choices)
    solver.check_spend(resolved.spend)
    tokenizer, thinks = solver.models.engine.tokenizer, solver.models.thinks
    check_thinks(BUDGET, body.thinking_budget, thinks)
    variables: Mapping[str, Any] = {}
    cap = None
    if isinstance(body, ChatRequest):
        variables, cap = template_thinking(
            tokenizer.chat_template,
            template_variables(body.chat_template_kwargs, tokenizer),
            thinks,
            body.reasoning_effort,
        )
    form = _form(body, tokenizer, tool_parser)
    options = request_options(
        solver.settings.sampling,
        tokenizer,
        resolved.per_prompt,
        _overrides(body),
        solutions=body.choices,
        seed=body.seed,
        stop=body.stop,
        stop_token_ids=body.stop_token_ids,
        thinking=smallest_cap(body.thinking_budget, cap),
        tokens=_tokens(body, solver),
        form=form,
    )
    notes = (*options.notes, *template_notes(variables))
    if isinstance(body, ChatRequest):
        variables = {**variables, **tool_variables(body.tools, form)}
        prompts = [_conversation(body, tokenizer, variables)]
    else:
        prompts = [
            text_prompt(tokenizer, prompt)
            if isinstance(prompt, str)
            else token_prompt(tokenizer, prompt, "prompt")
            for prompt in body.prompt
        ]
    requests = [options.request(_truncated(body, tokenizer, prompt)) for prompt in prompts]
    for request in requests:
        solver.start(request)  # checks that the prompt fits
    return [PromptRequest(request, resolved.spend, notes) for request in requests]


def _form(body: ChatRequest | CompletionRequest, tokenizer: Any, tool_parser: str) -> AnswerForm:
    """The form of a body's answers.

    Raises:
        InputError: tools that cannot be called, or a vote on calls where there are no tools.
    """
    if isinstance(body, ChatRequest) and body.tools and body.tool_choice != "none":
        request = ToolRequest(tuple(body.tools), body.tool_choice, body.parallel_tool_calls)
        syntax = call_syntax(tool_parser, tokenizer)
        return tools_form(request, tokenizer.chat_template, syntax, body.ttc.tool_vote)
    if body.ttc.tool_vote != "call":
        raise InputError("ttc.tool_vote", body.ttc.tool_vote, "there are no tools; leave it out")
    return body.form


def _overrides(body: ChatRequest | CompletionRequest) -> SamplingOverrides:
    return SamplingOverrides(
        temperature=body.temperature,
        top_p=body.top_p,
        top_k=body.top_k,
        min_p=body.min_p,
        max_tokens=body.longest,
    )


def _tokens(body: ChatRequest | CompletionRequest, solver: Solver) -> TokenFields:
    longest = body.longest or solver.settings.sampling.max_tokens
    field, given = "logprobs", None
    if isinstance(body, ChatRequest):  # there it is a switch, and the number has its own field
        field, given = ("top_logprobs", None) if body.top_logprobs else ("logprobs", body.logprobs)
    return token_fields(body.options, body.of_prompt, solver.models.engines, longest, field, given)


def _conversation(body: ChatRequest, tokenizer: Any, variables: Mapping[str, Any]) -> EncodedPrompt:
    """A conversation through the chat template, or as the token ids that it is known to have.

    A model without a template reads a lone user's turn as plain text, as in calibration.
    """
    turns = turns_of(body.messages)
    if (known := body.kv_transfer_params) is not None:
        field = "kv_transfer_params.prompt_token_ids"
        return token_prompt(tokenizer, known.prompt_token_ids, field)
    lone = [turn["role"] for turn in turns] == ["user"] and not variables
    if lone and not tokenizer.chat_template:
        return text_prompt(tokenizer, conversation_text(turns))
    return conversation_prompt(tokenizer, turns, variables=variables)


def _truncated(
    body: ChatRequest | CompletionRequest, tokenizer: Any, prompt: EncodedPrompt
) -> EncodedPrompt:
    """A prompt of as many tokens as are requested; verifiers read what is left of it."""
    kept = body.truncate_prompt_tokens
    if kept is None or kept >= len(prompt.token_ids):
        return prompt
    first = body.truncation_side == "right"
    ids = prompt.token_ids[:kept] if first else prompt.token_ids[-kept:]
    return token_prompt(tokenizer, ids, "prompt")
