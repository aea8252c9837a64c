"""How far a request lets a model think: an effort, a variable of the chat template, or a budget."""

import re
from collections.abc import Mapping
from typing import Any, Literal, get_args

from allocator.errors import InputError
from runtime.request import smallest_cap

Effort = Literal["none", "minimal", "low", "medium", "high"]

EFFORT, SWITCH, BUDGET = "reasoning_effort", "enable_thinking", "thinking_token_budget"
# Thinking tokens that an effort allows where the chat template does not read it; None is no cap.
EFFORT_CAPS: Mapping[str, int | None] = {
    "none": 0,
    "minimal": 512,
    "low": 2048,
    "medium": 8192,
    "high": None,
}


def template_thinking(
    template: Any, variables: Mapping[str, Any], thinks: bool, effort: Effort | None = None
) -> tuple[dict[str, Any], int | None]:
    """What a request's effort and its chat template's variables come to.

    The template gets the effort, and with it `enable_thinking` unless the request sets that, as
    vLLM's server does. An effort that the template does not read is a cap on thoughts.

    Args:
        template: the chat template; None where there is none.
        variables: the variables that the request sets; see
            `runtime.frontend.conversation.template_variables`.
        thinks: whether the model has thoughts.
        effort: the request's `reasoning_effort`; None takes the one among `variables`.

    Returns:
        The template's variables; and the thinking tokens that each solution may have: 0 is no
        thought, None no cap.

    Raises:
        InputError: an effort that neither the template nor a cap can honour.
    """
    handed = dict(variables)
    if effort is not None:
        added = {SWITCH: effort != "none"} | handed | {EFFORT: effort}
        handed |= {name: value for name, value in added.items() if reads(template, name)}
    field, value = EFFORT, effort
    if effort is None:
        field, value = f"chat_template_kwargs.{EFFORT}", variables.get(EFFORT)
    caps: list[int | None] = []
    if value is not None and not reads(template, EFFORT):
        caps.append(_effort_cap(field, value, thinks))
    if value == "none" or handed.get(SWITCH) is False:
        caps.append(0)  # whatever a template makes of it, a plan must not begin a thought
    return handed, smallest_cap(*caps) if thinks else None


def reads(template: Any, name: str) -> bool:
    """Whether a chat template, or one of several, reads a variable."""
    return template is not None and re.search(rf"\b{name}\b", str(template)) is not None


def check_thinks(field: str, value: Any, thinks: bool) -> None:
    """Check that a model has thoughts, which a request caps.

    Args:
        field: the caller's name for the cap.
        value: the cap; None is none.
        thinks: whether the model has thoughts.

    Raises:
        InputError: it has none.
    """
    if value is not None and not thinks:
        raise InputError(
            field,
            value,
            "the model must have thoughts to cap: marks of them in its vocabulary, or named in "
            "its artifact's settings (thought); leave it out",
        )


def cap_notes(thinking: int | None) -> list[str]:
    """Notes for a caller who caps thoughts, or has none; see `template_thinking`."""
    if thinking is None:
        return []
    depth = f"at most {thinking} tokens" if thinking else "off"
    return [f"thinking is {depth}, as requested; the table holds for the depth of its plans"]


def _effort_cap(field: str, value: Any, thinks: bool) -> int | None:
    if value not in get_args(Effort):
        hint = f"the chat template does not read it; choose one of {', '.join(get_args(Effort))}"
        raise InputError(field, value, hint)
    cap = EFFORT_CAPS[value]
    check_thinks(field, value if cap else None, thinks)
    return cap
