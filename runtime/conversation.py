"""A conversation as one text: what verifiers read that lay the prompt out in their own way."""

from collections.abc import Mapping, Sequence

TURNS = ("user", "assistant")


def conversation_text(messages: Sequence[Mapping[str, str]]) -> str:
    """A lone turn of the user as it stands, as calibration had it; several each after its role.

    What is told besides, such as a system message, comes as it stands. An empty line stands
    between messages.

    Args:
        messages: each with a ``role`` and a ``content``.
    """
    several = sum(message["role"] in TURNS for message in messages) > 1
    return "\n\n".join(
        f"{message['role'].capitalize()}: {message['content']}"
        if several and message["role"] in TURNS
        else message["content"]
        for message in messages
    )
