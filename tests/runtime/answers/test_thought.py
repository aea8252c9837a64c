"""Thought is not an answer, whatever marks it and whether or not the marks are special tokens."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from allocator.errors import InputError
from runtime.answers import answers_for
from runtime.answers.thought import (
    THINK,
    Reading,
    after_thought,
    marked,
    solution_reader,
    thoughts_of,
)
from runtime.engines.base import Completion
from tests.support.fakes import coin_run
from tests.support.tokenizers import byte_tokenizer

HARMONY = ("<|channel|>", "<|message|>", "<|end|>", "<|start|>", "<|return|>")


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"<think>maybe \boxed{3}</think> The answer is 5.", "5"),
        (r"<think>\boxed{7} wait", None),
        (r"maybe \boxed{3}</think>\boxed{5}", "5"),  # the chat template began it
        ("<think>a</think>\\boxed{3}\n<think>b</think>\\boxed{5}", "5"),
        ("\\boxed{3}\n<think>or", None),
        (r"\boxed{3} <think>or", "3"),  # words of the answer
        (r"<think>a</think>\boxed{3}<think>b</think>\boxed{5}", "5"),
        (r"<think>a</think><think>or \boxed{3}", None),
        (r"\boxed{3}", "3"),
    ],
)
def test_an_answer_stands_after_the_last_thought(text: str, answer: str | None) -> None:
    assert answers_for("math").extract(text) == answer
    assert answers_for(r"pattern:(\d)", thoughts=(THINK,)).extract(text) == answer


def test_without_marks_everything_is_read() -> None:
    assert answers_for("math", thoughts=()).extract(r"<think>\boxed{7} wait") == "7"


@pytest.mark.parametrize("special", [True, False])
@pytest.mark.parametrize(
    ("marks", "text", "after"),
    [
        (("[THINK]", "[/THINK]"), "[THINK]3[/THINK]so 5", "so 5"),
        (("[THINK]", "[/THINK]"), "[THINK]3", None),
        (("<seed:think>", "</seed:think>"), "<seed:think>3</seed:think>5", "5"),
        (("<think>", "</think>"), "<think>3</think>5", "5"),
        (HARMONY, "<|channel|>analysis<|message|>maybe 3", None),
        (
            HARMONY,
            "<|channel|>analysis<|message|>maybe 3<|end|><|start|>assistant"
            "<|channel|>final<|message|>so 5",
            "so 5",
        ),
    ],
)
def test_a_models_own_marks_are_found(
    marks: tuple[str, ...], text: str, after: str | None, special: bool
) -> None:
    tokenizer = byte_tokenizer(*marks, special=special)
    reader = solution_reader(tokenizer, thoughts_of("auto", tokenizer))
    assert reader.read(tokenizer.encode(text), ()).content == after


def test_special_tokens_are_no_part_of_an_answer() -> None:
    tokenizer = byte_tokenizer(*HARMONY, special=True)
    reader = solution_reader(tokenizer, thoughts_of("auto", tokenizer))
    ids = tokenizer.encode("<|channel|>analysis<|message|>3<|channel|>final<|message|>5<|return|>")
    assert reader.read(ids, ()) == Reading("analysis3final5", "3", "5")


@pytest.mark.parametrize("special", [True, False])
def test_the_content_may_be_read_with_its_special_tokens(special: bool) -> None:
    tokenizer = byte_tokenizer("[CALL]", "<think>", "</think>", special=special)
    reader = solution_reader(tokenizer, (THINK,))
    ids = tokenizer.encode("<think>3</think>so [CALL]5; 6")
    plain = "so 5" if special else "so [CALL]5"
    found = reader.read(ids, (";",), special_tokens=True)
    assert (found.reasoning, found.content, found.raw_content) == ("3", plain, "so [CALL]5")
    assert reader.read(ids, (";",)) == replace(found, raw_content=None)
    unfinished = tokenizer.encode("<think>3[CALL]")
    assert reader.read(unfinished, (), special_tokens=True).raw_content is None


def test_a_thought_that_the_prompt_began() -> None:
    tokenizer = byte_tokenizer("<think>", "</think>")
    reader = solution_reader(tokenizer, (THINK,))
    begun = reader.begun(tokenizer.encode("user: 3\nassistant: <think>\n"))
    assert begun == "<think>"
    assert reader.read(tokenizer.encode("maybe 3"), (), begun).content is None
    assert reader.read(tokenizer.encode("maybe 3"), ()) == Reading("maybe 3", None, "maybe 3")
    ended = reader.read(tokenizer.encode("maybe 3</think>5"), (), begun)
    assert ended == Reading("maybe 3</think>5", "maybe 3", "5")
    # A prompt that only speaks of thoughts has begun none.
    assert reader.begun(tokenizer.encode("user: <think> 3\nassistant:")) == ""


@pytest.mark.parametrize(
    "content",
    [
        "The `<think>` tag opens a thought. 42",
        "`<think>` opens it, `</think>` closes it. 42",
        "Close it with </think>. 42",
    ],
)
@pytest.mark.parametrize("prompt", ["assistant: ", "assistant: <think>\n"])
@pytest.mark.parametrize("special", [True, False])
def test_an_answer_may_speak_of_the_marks(content: str, prompt: str, special: bool) -> None:
    tokenizer = byte_tokenizer("<think>", "</think>", special=special)
    reader = solution_reader(tokenizer, (THINK,))
    begun = reader.begun(tokenizer.encode(prompt))
    thought = "<think>hmm</think>" if not begun else "hmm</think>"
    found = reader.read(tokenizer.encode(thought + content + ". END it"), (" END",), begun)
    assert found.reasoning == "hmm"
    kept = content if not special else content.replace("<think>", "").replace("</think>", "")
    assert found.content == f"{kept}."
    assert found.text.endswith(f"{kept}.")


def test_an_answer_may_speak_of_the_marks_where_nothing_was_thought() -> None:
    tokenizer = byte_tokenizer("<think>", "</think>")
    reader = solution_reader(tokenizer, (THINK,))
    spoken = tokenizer.encode("Write <think> at first. END it")
    text = "Write <think> at first."
    assert reader.read(spoken, (" END",)) == Reading(text, None, text, stopped=True)
    # A template that skips the thought says that all is the answer.
    skipped = reader.begun(tokenizer.encode("assistant: <think>\n\n</think>\n\n"))
    text = "Write </think> at last. 5"
    assert reader.read(tokenizer.encode(text), (), skipped) == Reading(text, None, text)


def test_marks_may_be_named_and_switched_off() -> None:
    tokenizer = byte_tokenizer()
    (named,) = thoughts_of("[A]...[/A]", tokenizer)
    assert after_thought("[A] 3 [/A] 5", (named,)) == " 5"
    assert thoughts_of("none", tokenizer) == ()
    assert thoughts_of("auto", tokenizer) == (THINK,)


@pytest.mark.parametrize("setting", ["", "think", "<think>", "...", "<a>...", "<a>...<a>"])
def test_unusable_marks(setting: str) -> None:
    with pytest.raises(InputError, match=r"thought: .*two marks"):
        thoughts_of(setting, byte_tokenizer())


class Thinker:
    """Writes one text, whatever is asked."""

    context_length = 128

    def __init__(self, tokenizer: Any, text: str) -> None:
        self.tokenizer, self._ids = tokenizer, tuple(tokenizer.encode(text))

    async def complete(self, *_: Any, **__: Any) -> Completion:
        return Completion(self._ids, -1.0, ended=True)

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("text", "answer"), [("<user>#1\n<assistant>#2<end>", "2"), ("<user>#1\n<end>", None)]
)
def test_a_sample_has_the_answer_after_its_thought(
    tokenizer: Any, text: str, answer: str | None
) -> None:
    marks = (marked("<user>", "<assistant>"),)  # special tokens of the testbed's
    run = coin_run(tokenizer, engine=Thinker(tokenizer, text), thoughts=marks)
    sample = asyncio.run(run.sample(0))
    assert sample.answer == answer
    assert "#1" in sample.text
