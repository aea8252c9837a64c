"""A model that thinks as long as it is scripted to, of which everything can be computed by hand."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from math import nan
from typing import Any

import numpy as np

from predictors.confidence import ConfidenceWindow
from runtime.answers import PatternAnswers
from runtime.answers.thought import thoughts_of
from runtime.engines.base import Completion, SamplingSettings
from runtime.engines.steps import StepSplitter
from runtime.models import Models
from runtime.prompt_run import PromptRun
from runtime.request import RequestSettings
from runtime.solutions.marks import thought_marks
from runtime.verifiers.constant import NoVerifier
from tests.support.tokenizers import byte_tokenizer

END = "<end>"
SETTINGS = RequestSettings(SamplingSettings(step_end="\n", max_tokens=200))
# Chat templates: one that reads no variable, one with Qwen3's switch, one that reads the effort.
TEMPLATE = "{% for m in messages %}U:{{ m.content }}{% endfor %}A:"
SWITCHED = (
    TEMPLATE + "{% if enable_thinking is defined and enable_thinking is false %}"
    "<think>\n\n</think>\n\n{% endif %}"
)
EFFORTFUL = "{{ reasoning_effort | default('medium') }} " + TEMPLATE


def thinking_tokenizer() -> Any:
    """A token per character; the marks of thoughts and the end of a turn are one token each."""
    return byte_tokenizer("<think>", "</think>", END)


class ScriptedThinker:
    """Thinks `length` letters ``a``, then answers how many it has thought.

    Args:
        length: letters of its thoughts.
        begins: whether it begins thoughts of its own accord.
        thought: the letters; they are repeated.
        within: ends its turn within every thought, after the letters.
    """

    context_length = 1000

    def __init__(
        self, length: int, begins: bool = True, thought: str = "a", within: bool = False
    ) -> None:
        self.tokenizer = thinking_tokenizer()
        self.length, self.begins, self.thought, self.within = length, begins, thought, within
        self.requests: list[tuple[str, int]] = []
        self.temperatures: list[float] = []

    async def complete(
        self,
        token_ids: Sequence[int],
        *,
        settings: SamplingSettings,
        max_tokens: int,
        seed: int,
        stop: Sequence[str] = (),
        stop_token_ids: Sequence[int] = (),
        logprob: bool = True,
    ) -> Completion:
        await asyncio.sleep(0)
        before = self.tokenizer.decode(token_ids).partition("A:")[2]
        self.requests.append((before, max_tokens))
        self.temperatures.append(settings.temperature)
        prompt = self.tokenizer.decode(token_ids)
        ids = self.tokenizer.encode(self._rest(before, prompt, seed))[:max_tokens]
        text, stopped_by = "", None
        for number, token in enumerate(ids, start=1):
            text += self.tokenizer.decode([token])
            stopped_by = next((mark for mark in stop if mark in text), None)
            if stopped_by or token in stop_token_ids or text.endswith(END):
                ids = ids[:number]
                break
        ended = text.endswith(END) or ids[-1] in stop_token_ids
        found = -0.1 * len(ids) if logprob else nan
        return Completion(tuple(ids), found, ended=ended, stopped_by=stopped_by)

    def _rest(self, before: str, prompt: str, seed: int) -> str:
        """What it writes after what stands there."""
        if "</think>" in before:
            thought, _, after = before.partition("<think>")[2].partition("</think>")
            rest = f"#{len(thought.strip())}\n{END}"
            whole = f"\n\n{rest}"
            return whole.removeprefix(after) if whole.startswith(after) else rest
        if "<think>" not in before:
            if not self.begins or before:
                return f"plain\n#0{END}".removeprefix(before)
            return self._thought("<think>\n", 0)
        opening = "\n" if before.endswith("<think>") else ""
        return self._thought(opening, len(before.partition("<think>")[2].strip()))

    def _thought(self, opening: str, done: int) -> str:
        letters = (self.thought * self.length)[done : self.length]
        after = END if self.within else f"\n</think>\n\n#{self.length}\n{END}"
        return opening + letters + after

    def close(self) -> None:
        pass


class UnsureThinker(ScriptedThinker):
    """Is unsure of letters ``x``, whose confidence is 1; that of all others is 10.

    Args:
        thought: its letters, as many as it thinks.
    """

    max_confidence_top = 256

    def __init__(self, thought: str) -> None:
        super().__init__(len(thought), thought=thought)

    async def complete(
        self, token_ids: Sequence[int], *, confidence: ConfidenceWindow | None = None, **how: Any
    ) -> Completion:
        found = await super().complete(token_ids, **how)
        if confidence is None:
            return found
        letters = [self.tokenizer.decode([token]) for token in found.token_ids]
        taken = confidence.add([1.0 if letter == "x" else 10.0 for letter in letters])
        return replace(
            found,
            token_ids=found.token_ids[:taken],
            ended=found.ended and not confidence.lost,
            aborted=confidence.lost,
        )


class LoopingThinker(ScriptedThinker):
    """Writes one text. A thought ends after 64 equal letters: it is taken for an endless loop.

    Args:
        text: what it writes, thought and answer.
    """

    ends_loops = True
    LOOP = 64

    def __init__(self, text: str) -> None:
        super().__init__(0)
        self.text = text
        self.thoughts: list[bool] = []  # of each request, whether it was said to sample one

    async def complete(
        self, token_ids: Sequence[int], *, thought: bool = False, **how: Any
    ) -> Completion:
        self.thoughts.append(thought)
        found = await super().complete(token_ids, **how)
        for end in range(self.LOOP, len(found.token_ids) + 1 if thought else 0):
            ids = found.token_ids[:end]
            if len(set(ids[-self.LOOP :])) == 1:
                return replace(found, token_ids=ids, ended=False, stopped_by=None, repeating=True)
        return found

    def _rest(self, before: str, prompt: str, seed: int) -> str:
        return self.text.removeprefix(before)


class FindingThinker(ScriptedThinker):
    """Finds the answer of a prompt after a while, thinks on a little, and then gives it.

    A prompt is four digits: the answer, its difficulty, and two that tell it from others. A thought
    is letters ``a`` until the answer is found, which takes the longer the greater the difficulty,
    and then ``b``. Before, an answer is a guess; the guess of a prompt of difficulty 0 is right.
    """

    def __init__(self) -> None:
        super().__init__(0)

    def _rest(self, before: str, prompt: str, seed: int) -> str:
        rng, answer, difficulty = np.random.default_rng(seed), prompt[0], prompt[1]
        letters = int(rng.integers(1, 6 * int(difficulty) + 2))
        if "</think>" in before:
            known = "b" in before.partition("</think>")[0] or difficulty == "0"
            return f"#{answer if known else rng.integers(10)}{END}"
        thought = before.partition("<think>")[2]
        opening = "" if "<think>" in before else "<think>\n"
        opening += "" if "b" in thought else "a" * letters
        return f"{opening}{'b' * max(0, 5 - thought.count('b'))}\n</think>\n\n#{answer}{END}"


def finding_prompts(count: int) -> list[tuple[str, str]]:
    """Prompts of `FindingThinker`, of every difficulty equally often, with their answers."""
    return [(f"{i % 10}{i % 7}{i:02d}A:", str(i % 10)) for i in range(count)]


def thinking_models(engine: Any, cutoff: str = "", thought: str = "auto") -> Models:
    """A model that thinks, without a verifier."""
    thoughts = thoughts_of(thought, engine.tokenizer)
    return Models(
        engine,
        NoVerifier(),
        PatternAnswers(r"#(\d+)", thoughts),
        StepSplitter(engine.tokenizer, "\n"),
        thoughts=thoughts,
        marks=thought_marks(engine.tokenizer, thought, cutoff),
    )


def thinking_run(
    engine: Any,
    settings: RequestSettings = SETTINGS,
    prompt: str = "U:?A:",
    cutoff: str = "",
    thought: str = "auto",
    **fields: Any,
) -> PromptRun:
    """A prompt of a model that thinks; `fields` are further ones of its models."""
    models = thinking_models(engine, cutoff, thought)
    return PromptRun(replace(models, **fields), settings, prompt, 0)


def thinker(length: int, template: str = TEMPLATE, **how: Any) -> ScriptedThinker:
    """A `ScriptedThinker` with a chat template."""
    engine = ScriptedThinker(length, **how)
    engine.tokenizer.chat_template = template
    return engine
