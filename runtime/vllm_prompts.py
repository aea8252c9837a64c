"""Prompts as vLLM's `LLM` takes them: text, token ids or conversations, one or many."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import TemplateError

from allocator.errors import InputError
from runtime.conversation import conversation_text
from runtime.tokenizer import check_token_ids, decode, encode_text


@dataclass(frozen=True)
class Prompt:
    """A prompt, encoded.

    Attributes:
        text: what verifiers read that lay it out in their own way.
        token_ids: what the language model continues.
        shown: what its output calls the prompt; None where it was given as token ids.
    """

    text: str
    token_ids: tuple[int, ...]
    shown: str | None


def prompts_of(given: Any, tokenizer: Any) -> list[Prompt]:
    """Prompts of `LLM.generate`: texts go to the tokenizer as they are, through no chat template.

    A text that begins with the BOS token keeps that one alone; vLLM would add a second.

    Args:
        given: one or many; each a text, a list of token ids, or a dictionary with one of them.
        tokenizer: the language model's.

    Raises:
        InputError: something else, or a dictionary that holds more.
    """
    one = isinstance(given, str | Mapping) or _are_ids(given) or not isinstance(given, Sequence)
    return [_prompt(prompt, tokenizer) for prompt in ([given] if one else given)]


def _are_ids(given: Any) -> bool:
    if not isinstance(given, list) or not given:
        return False
    return all(isinstance(token, int) and not isinstance(token, bool) for token in given)


def _prompt(given: Any, tokenizer: Any) -> Prompt:
    if isinstance(given, str):
        given = {"prompt": given}
    elif _are_ids(given):
        given = {"prompt_token_ids": given}
    if not isinstance(given, Mapping):
        raise InputError("prompts", given, "give a text, a list of token ids, or one in a dict")
    for key, value in given.items():
        if key not in ("prompt", "prompt_token_ids") and value is not None:
            raise InputError(key, value, "only text and token ids can be read; leave it out")
    text, ids = given.get("prompt"), given.get("prompt_token_ids")
    if text is not None and not isinstance(text, str):
        raise InputError("prompt", text, "give a text")
    if ids is None:
        if text is None:
            raise InputError("prompts", dict(given), "give prompt or prompt_token_ids")
        return Prompt(text, encode_text(tokenizer, text), text)
    if not _are_ids(ids):
        raise InputError("prompt_token_ids", ids, "give a list of whole numbers, not an empty one")
    check_token_ids(tokenizer, ids, "prompt_token_ids")
    read = text if text is not None else decode(tokenizer, ids)
    return Prompt(read, tuple(ids), text)


def conversations_of(
    given: Any,
    tokenizer: Any,
    chat_template: str | None = None,
    add_generation_prompt: bool = True,
    chat_template_kwargs: Mapping[str, Any] | None = None,
) -> list[Prompt]:
    """Prompts of `LLM.chat`, through the chat template.

    Args:
        given: one conversation or many; each a list of messages with ``role`` and ``content``.
        tokenizer: the language model's.
        chat_template: in place of the tokenizer's.
        add_generation_prompt: whether the model's turn is begun.
        chat_template_kwargs: what the template is told besides.

    Raises:
        InputError: no messages; one that holds more than a role and text; or a template that is
            missing, or refuses them.
    """
    if not isinstance(given, Sequence):
        raise InputError("messages", given, "give a list of messages, or a list of such lists")
    one = len(given) > 0 and all(isinstance(message, Mapping) for message in given)
    if not (chat_template or tokenizer.chat_template):
        raise InputError("chat_template", chat_template, "the model has none; give one")
    prompts = []
    for messages in [given] if one else given:
        turns = _turns(messages)
        try:
            shown = tokenizer.apply_chat_template(
                turns,
                chat_template=chat_template,
                add_generation_prompt=add_generation_prompt,
                tokenize=False,
                **(chat_template_kwargs or {}),
            )
        except (TemplateError, TypeError, ValueError) as error:
            raise InputError(
                "messages", turns, f"the chat template refuses them ({error})"
            ) from error
        # The template has written the special tokens.
        ids = tokenizer.encode(shown, add_special_tokens=False)
        prompts.append(Prompt(conversation_text(turns), tuple(ids), shown))
    return prompts


def read_template(given: str | Path | None) -> str | None:
    """A chat template given as a text or a file; None takes the model's.

    Raises:
        InputError: neither a file nor a template.
    """
    if given is None:
        return None
    if isinstance(given, str) and any(mark in given for mark in "{}\n"):
        return given
    try:
        return Path(given).read_text()
    except OSError as error:
        raise InputError("chat_template", str(given), f"no template in it ({error})") from None


def _turns(messages: Any) -> list[dict[str, str]]:
    if not isinstance(messages, Sequence) or isinstance(messages, str) or not messages:
        raise InputError("messages", messages, "give a list of messages, one at least")
    return [_turn(message) for message in messages]


def _turn(message: Any) -> dict[str, str]:
    if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
        raise InputError("messages", message, "give each message a role and a content")
    for key, value in message.items():
        if key not in ("role", "content") and value is not None:
            raise InputError(key, value, "a message is read by role and content; leave it out")
    content = message.get("content")
    if isinstance(content, list):
        content = "\n".join(_text_of(part) for part in content)
    if not isinstance(content, str):
        raise InputError("content", content, "give a text, or parts of type 'text'")
    return {"role": message["role"], "content": content}


def _text_of(part: Any) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, Mapping) and part.get("type") == "text" and isinstance(part["text"], str):
        return part["text"]
    raise InputError("content", part, "only parts of type 'text' can be read")
