"""Prompts as vLLM's `LLM` takes them: text, token ids or conversations, one or many."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from allocator.errors import InputError
from runtime.frontend.answer_form import FREE_TEXT, AnswerForm, CallVote
from runtime.frontend.call_syntax import call_syntax
from runtime.frontend.conversation import read_messages, turns_of
from runtime.frontend.prompt_request import (
    EncodedPrompt,
    are_token_ids,
    conversation_prompt,
    text_prompt,
    token_prompt,
)
from runtime.frontend.tool_fields import ToolRequest, read_tools
from runtime.frontend.tools import tool_variables, tools_form


def prompts_of(given: Any, tokenizer: Any) -> list[EncodedPrompt]:
    """Prompts of `LLM.generate`: texts are encoded as they are, without a chat template.

    A text that begins with the BOS token gets no second one; vLLM would add one.

    Args:
        given: one or many, in any sequence, array or series; each a text, token ids, or a
            dictionary with one of them.
        tokenizer: the language model's.

    Raises:
        InputError: another type, or a dictionary with further fields.
    """
    given = _listed(given)
    one = not isinstance(given, list) or are_token_ids(given)
    return [_prompt(prompt, tokenizer) for prompt in ([given] if one else given)]


def _listed(given: Any) -> Any:
    """A sequence, array, series or tensor as a list; anything else as it is."""
    if hasattr(given, "tolist"):
        given = given.tolist()  # and its numbers as Python's
    if isinstance(given, Sequence) and not isinstance(given, str | bytes):
        return [part.tolist() if hasattr(part, "tolist") else part for part in given]
    return given


def _prompt(given: Any, tokenizer: Any) -> EncodedPrompt:
    given = _listed(given)
    if isinstance(given, str):
        given = {"prompt": given}
    elif are_token_ids(given):
        given = {"prompt_token_ids": given}
    if not isinstance(given, Mapping):
        raise InputError(
            "prompts", given, "must be a text, a list of token ids, or a dict with one of them"
        )
    text, ids = given.get("prompt"), _listed(given.get("prompt_token_ids"))
    for name, value in given.items():
        if name not in ("prompt", "prompt_token_ids") and not _is_empty(value):
            raise InputError(name, value, "only text and token ids are supported; leave it out")
    if text is not None and not isinstance(text, str):
        raise InputError("prompt", text, "must be a text")
    if ids is None:
        if text is None:
            raise InputError("prompts", dict(given), "give prompt or prompt_token_ids")
        return text_prompt(tokenizer, text)
    if not are_token_ids(ids):
        raise InputError("prompt_token_ids", ids, "must be a list of integers, at least one")
    return token_prompt(tokenizer, ids, "prompt_token_ids", text)


def _is_empty(value: Any) -> bool:
    return value is None or (hasattr(value, "__len__") and len(value) == 0)


def conversations_of(
    given: Any,
    tokenizer: Any,
    chat_template: str | None = None,
    add_generation_prompt: bool = True,
    variables: Mapping[str, Any] | None = None,
) -> list[EncodedPrompt]:
    """Prompts of `LLM.chat`, through the chat template.

    Args:
        given: one conversation or many; each a list of messages with ``role`` and ``content``.
        tokenizer: the language model's.
        chat_template: in place of the tokenizer's.
        add_generation_prompt: whether the model's turn is begun.
        variables: further variables of the template.

    Raises:
        InputError: no messages, one that is not supported, or a template that is missing or
            fails.
    """
    given = _listed(given)
    if not isinstance(given, list):
        raise InputError("messages", given, "must be a list of messages, or a list of such lists")
    one = len(given) > 0 and all(isinstance(message, Mapping | BaseModel) for message in given)
    prompts = []
    for number, messages in enumerate([given] if one else given):
        try:
            turns = turns_of(read_messages(_listed(messages)))
            prompt = conversation_prompt(
                tokenizer, turns, chat_template, add_generation_prompt, variables
            )
        except InputError as error:
            if one:
                raise
            field = error.field.replace("messages", f"messages[{number}]", 1)
            raise InputError(field, error.value, error.hint) from error
        prompts.append(prompt)
    return prompts


def tools_of(
    given: Any, template: Any, tokenizer: Any, parser: str, vote: CallVote
) -> tuple[dict[str, Any], AnswerForm]:
    """The chat template's variables that show tools, and the form of solutions that call them.

    Args:
        given: the tools, each a mapping as OpenAI defines it; None or empty for none.
        template: the chat template.
        tokenizer: the language model's.
        parser: how the model writes calls; see `call_syntax`.
        vote: what of calls is voted on, see `CallFormat`.

    Raises:
        InputError: as `read_tools`, `call_syntax` and `tools_form`; or a vote on calls without
            tools.
    """
    tools = read_tools(given or ())
    if vote != "call" and not tools:
        raise InputError("tool_vote", vote, "there are no tools; leave it out")
    syntax = call_syntax(parser, tokenizer)
    if not tools:
        return {}, FREE_TEXT
    form = tools_form(ToolRequest(tuple(tools)), template, syntax, vote)
    return tool_variables(tools, form), form


def read_template(given: str | Path | None) -> str | None:
    """A chat template given as text or as a file; None uses the model's.

    Raises:
        InputError: neither a file nor a template.
    """
    if given is None:
        return None
    if isinstance(given, str) and any(mark in given for mark in "{}\n"):
        return given
    try:
        return Path(given).read_text()
    except (OSError, ValueError) as error:
        raise InputError(
            "chat_template", str(given), f"must be a template or a file with one ({error})"
        ) from None
