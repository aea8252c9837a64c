"""A conversation as one text: what verifiers read that lay the prompt out in their own way."""

from collections.abc import Mapping, Sequence


def conversation_text(messages: Sequence[Mapping[str, str]]) -> str:
    """A lone user message as it stands, as calibration had it; several each after its role.

    Args:
        messages: each with a ``role`` and a ``content``.
    """
    if len(messages) == 1 and messages[0]["role"] == "user":
        return messages[0]["content"]
    return "\n\n".join(f"{turn['role'].capitalize()}: {turn['content']}" for turn in messages)
