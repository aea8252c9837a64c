"""Efforts, switches and budgets of thought: what the template gets, and what becomes a cap."""

from typing import Any

import pytest

from allocator.errors import InputError
from runtime.engines.base import SamplingSettings
from runtime.frontend.prompt_request import request_options
from runtime.frontend.reasoning import (
    EFFORT_CAPS,
    Effort,
    cap_notes,
    check_thinks,
    reads,
    template_thinking,
)
from runtime.request import RequestSettings, smallest_cap
from tests.support.thinking import EFFORTFUL, SWITCHED, TEMPLATE, thinking_tokenizer


@pytest.mark.parametrize(
    ("caps", "smallest"),
    [
        ((), None),
        ((None, None), None),
        ((None, 7), 7),
        ((9, None), 9),
        ((9, 7), 7),
        ((0, 7), 0),
        ((None, 0), 0),
    ],
)
def test_the_smallest_cap_counts_and_none_is_no_cap(
    caps: tuple[int | None, ...], smallest: int | None
) -> None:
    assert smallest_cap(*caps) == smallest


def test_a_request_caps_what_a_plan_allows() -> None:
    settings = RequestSettings(SamplingSettings(), thinking=500)
    caps = [settings.thinking_cap(plan) for plan in (None, 2000, 500, 100, 0)]
    assert caps == [500, 500, 500, 100, 0]
    free = RequestSettings(SamplingSettings())
    assert [free.thinking_cap(plan) for plan in (None, 2000, 0)] == [None, 2000, 0]


@pytest.mark.parametrize("effort", ["minimal", "low", "medium", "high"])
def test_an_effort_goes_to_the_template_that_reads_it(effort: Effort) -> None:
    assert template_thinking(EFFORTFUL, {"a": 1}, True, effort) == (
        {"a": 1, "reasoning_effort": effort},
        None,
    )
    # The model may have no marks of thoughts: what the template does with it is its own affair.
    assert template_thinking(EFFORTFUL, {}, False, effort) == ({"reasoning_effort": effort}, None)


@pytest.mark.parametrize("template", [None, TEMPLATE])
@pytest.mark.parametrize(
    ("effort", "cap"),
    [("none", 0), ("minimal", 512), ("low", 2048), ("medium", 8192), ("high", None)],
)
def test_an_effort_that_no_template_reads_is_a_cap(
    template: str | None, effort: Effort, cap: int | None
) -> None:
    assert template_thinking(template, {}, True, effort) == ({}, cap)
    variables = {"reasoning_effort": effort}
    assert template_thinking(template, variables, True) == (variables, cap)
    assert EFFORT_CAPS[effort] == cap


@pytest.mark.parametrize(("effort", "on"), [("none", False), ("low", True), ("high", True)])
def test_an_effort_turns_the_switch_that_the_request_leaves(effort: Effort, on: bool) -> None:
    handed, cap = template_thinking(SWITCHED, {}, True, effort)
    assert (handed, cap) == ({"enable_thinking": on}, EFFORT_CAPS[effort])
    handed, _ = template_thinking(SWITCHED, {"enable_thinking": False}, True, effort)
    assert handed == {"enable_thinking": False}


@pytest.mark.parametrize("template", [TEMPLATE, SWITCHED])
def test_a_switch_that_is_off_is_no_thought_with_any_template(template: str) -> None:
    off = {"enable_thinking": False}
    assert template_thinking(template, off, True) == (off, 0)
    assert template_thinking(template, off, True, "medium") == (off, 0)
    assert template_thinking(template, {"enable_thinking": True}, True)[1] is None
    assert template_thinking(template, off, False) == (off, None)


def test_no_effort_is_no_thought_even_where_the_template_reads_it() -> None:
    assert template_thinking(EFFORTFUL, {}, True, "none") == ({"reasoning_effort": "none"}, 0)


@pytest.mark.parametrize(
    ("variables", "thinks", "effort", "field", "hint"),
    [
        ({}, False, "low", "reasoning_effort", "must have thoughts to cap"),
        (
            {"reasoning_effort": "low"},
            False,
            None,
            "chat_template_kwargs.reasoning_effort",
            "must have thoughts",
        ),
        (
            {"reasoning_effort": "much"},
            True,
            None,
            "chat_template_kwargs.reasoning_effort",
            "choose one of none, minimal, low, medium, high",
        ),
        ({"reasoning_effort": [1]}, True, None, "chat_template_kwargs.reasoning_effort", "one of"),
    ],
)
def test_an_effort_that_nothing_honours_is_refused(
    variables: dict[str, Any], thinks: bool, effort: Any, field: str, hint: str
) -> None:
    with pytest.raises(InputError) as refused:
        template_thinking(TEMPLATE, variables, thinks, effort)
    assert refused.value.field == field
    assert hint in refused.value.hint


@pytest.mark.parametrize("effort", ["none", "high"])
def test_an_effort_that_changes_nothing_is_accepted(effort: Effort) -> None:
    assert template_thinking(TEMPLATE, {}, False, effort) == ({}, None)


def test_a_budget_needs_thoughts() -> None:
    check_thinks("thinking_token_budget", None, False)
    check_thinks("thinking_token_budget", 9, True)
    for budget in (0, 9):
        with pytest.raises(InputError, match=f"thinking_token_budget: {budget}: .*have thoughts"):
            check_thinks("thinking_token_budget", budget, False)


def test_templates_are_searched_for_whole_names() -> None:
    assert reads(SWITCHED, "enable_thinking")
    assert not reads("{{ not_enable_thinking }}", "enable_thinking")
    assert reads({"default": TEMPLATE, "tool_use": SWITCHED}, "enable_thinking")
    assert not reads(None, "enable_thinking")


def test_a_cap_is_a_setting_and_a_note() -> None:
    options = request_options(SamplingSettings(), thinking_tokenizer(), 4, thinking=500)
    assert options.settings.thinking == 500
    assert options.notes == (
        "thinking is at most 500 tokens, as requested; the table holds for the depth of its plans",
    )
    (note,) = cap_notes(0)
    assert note.startswith("thinking is off, as requested")
    assert cap_notes(None) == []
