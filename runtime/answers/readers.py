"""Readers of answers: extraction from solutions, and comparison."""

import asyncio
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, Protocol, TypeVar

from allocator.errors import InputError
from runtime.answers.canonical import canonical_key, text_key
from runtime.answers.extraction import (
    MAX_CHARACTERS,
    answer_line,
    choice,
    find_answer,
    given_choice,
    last_boxed,
    last_choice,
    stated,
)
from runtime.answers.thought import THINK, Thought, after_thought
from runtime.answers.workers import WorkerPool
from runtime.remembering import remember

DEADLINE = 2.0  # seconds
DEFAULT_CHOICES = 10
REMEMBERED = 2**16  # keys of answers that are kept

Value = TypeVar("Value")


class Answers(Protocol):
    """How a task's answers are read and compared.

    Equality is an equivalence, and does not depend on the order of answers. `extract` and
    `canonicalize` may take seconds where an answer is hard to compare; `extract_async` and
    `canonicalize_async` are the same for event loops, which continue meanwhile.
    """

    def extract(self, text: str) -> str | None:
        """The final answer of a solution; None if it has none."""
        ...

    def canonicalize(self, found: Sequence[str | None]) -> list[str | None]:
        """Replace each answer by the first one that equals it."""
        ...

    def undecided(self, found: Iterable[str | None]) -> list[str]:
        """Answers that could not be compared before the deadline; each equals only itself."""
        ...

    async def extract_async(self, text: str) -> str | None:
        """See `extract`."""
        ...

    async def canonicalize_async(self, found: Sequence[str | None]) -> list[str | None]:
        """See `canonicalize`."""
        ...


class Reader:
    """Base of the readers; each defines `_find`, and `_keys` if equal answers may differ as text.

    Args:
        thoughts: marks of thoughts, after which solutions are read.
    """

    def __init__(self, thoughts: Sequence[Thought] = (THINK,)) -> None:
        self._thoughts = tuple(thoughts)

    def extract(self, text: str) -> str | None:
        """See `Answers.extract`."""
        after = after_thought(text, self._thoughts)
        return None if after is None else self._find(after)

    def canonicalize(self, found: Sequence[str | None]) -> list[str | None]:
        """See `Answers.canonicalize`."""
        keys = self._keys([answer for answer in found if answer is not None])
        first: dict[str, str] = {}
        return [None if a is None else first.setdefault(keys[a], a) for a in found]

    def undecided(self, found: Iterable[str | None]) -> list[str]:
        """See `Answers.undecided`."""
        return []

    async def extract_async(self, text: str) -> str | None:
        """See `extract`."""
        return self.extract(text)

    async def canonicalize_async(self, found: Sequence[str | None]) -> list[str | None]:
        """See `canonicalize`."""
        return self.canonicalize(found)

    def _find(self, text: str) -> str | None:
        raise NotImplementedError

    def _keys(self, answers: Sequence[str]) -> dict[str, str]:
        """A key of each answer; equal answers have equal keys."""
        return {answer: answer for answer in answers}


class PatternAnswers(Reader):
    """Answers found by a regular expression and compared letter by letter, without outer space.

    Args:
        pattern: its first group is the answer; the last match in a solution counts.
        thoughts: as `Reader`.

    Raises:
        InputError: not a regular expression, or one without a group.
    """

    def __init__(self, pattern: str, thoughts: Sequence[Thought] = (THINK,)) -> None:
        super().__init__(thoughts)
        try:
            self._pattern = re.compile(pattern, re.MULTILINE)
        except re.error as error:
            raise InputError("answers", pattern, f"not a regular expression: {error}") from None
        if self._pattern.groups < 1:
            raise InputError("answers", pattern, "put the answer in a group, as in '#(.+)'")

    def _find(self, text: str) -> str | None:
        found = self._pattern.findall(text)
        if not found:
            return None
        return str(found[-1] if self._pattern.groups == 1 else found[-1][0])

    def _keys(self, answers: Sequence[str]) -> dict[str, str]:
        return {answer: answer.strip() for answer in answers}


class ChoiceAnswers(Reader):
    """The letter of a multiple choice: boxed, on an answer line, in a sentence, or by itself.

    Args:
        count: how many choices there are, from A.
        thoughts: as `Reader`.

    Raises:
        InputError: fewer than 2 choices, or more than there are letters.
    """

    def __init__(self, count: int, thoughts: Sequence[Thought] = (THINK,)) -> None:
        super().__init__(thoughts)
        if not 2 <= count <= 26:
            raise InputError("answers", f"choices:{count}", "must be 2 to 26 choices")
        self._count = count

    def _find(self, text: str) -> str | None:
        text = text[-MAX_CHARACTERS:]
        for find in (last_boxed, answer_line, stated):
            if (found := find(text)) and (letter := choice(found, self._count)):
                return letter
        return last_choice(text, self._count)

    def _keys(self, answers: Sequence[str]) -> dict[str, str]:
        """Right answers may be ``(B)``, ``b`` or ``B) Paris``, which all are ``B``."""
        return {answer: given_choice(answer, self._count) or answer.strip() for answer in answers}


class MathAnswers(Reader):
    """Answers of mathematics, compared by value; see `runtime.answers.canonical`.

    Texts and numbers are compared at once, expressions in worker processes.

    Args:
        seconds: deadline of one expression. One that takes longer equals itself alone, and is not
            tried again as long as that is remembered.
        thoughts: as `Reader`.
    """

    def __init__(self, seconds: float = DEADLINE, thoughts: Sequence[Thought] = (THINK,)) -> None:
        super().__init__(thoughts)
        self._seconds = seconds
        self._computed: OrderedDict[str, str] = OrderedDict()
        self._overdue: OrderedDict[str, None] = OrderedDict()

    def undecided(self, found: Iterable[str | None]) -> list[str]:
        """See `Answers.undecided`."""
        return [a for a in dict.fromkeys(found) if a is not None and a in self._overdue]

    async def canonicalize_async(self, found: Sequence[str | None]) -> list[str | None]:
        """See `Answers.canonicalize_async`."""
        if not _missing(self._known([answer for answer in found if answer is not None])):
            return self.canonicalize(found)
        return await aside(self.canonicalize, found)

    def _find(self, text: str) -> str | None:
        return find_answer(text)

    def _known(self, answers: Sequence[str]) -> dict[str, str | None]:
        """The key of each answer; None where it has to be computed."""
        return {a: _quick_key(a) or self._computed.get(a) for a in answers}

    def _keys(self, answers: Sequence[str]) -> dict[str, str]:
        known, new = self._known(answers), {}
        if missing := _missing(known):
            found = _POOL.map(self._seconds, _answer_key, missing, MAX_OVERDUE)
            new = {answer: key or _undecided(answer) for answer, key in found.items()}
            overdue = [answer for answer, key in found.items() if key is None]
            remember(self._computed, new, REMEMBERED)
            remember(self._overdue, dict.fromkeys(overdue), REMEMBERED)
        return {a: known[a] or new.get(a) or _undecided(a) for a in answers}


# Overdue expressions in one comparison of many, after which the rest of it are not computed.
MAX_OVERDUE = 4
MAX_BYTES = 4 * 2**30  # of a worker process


def _missing(known: Mapping[str, str | None]) -> list[str]:
    """The answers whose keys have to be computed: a lone answer is compared with none."""
    return sorted(a for a, key in known.items() if key is None) if len(known) > 1 else []


def _undecided(answer: str) -> str:
    """The key of an answer that equals itself alone."""
    return f"undecided({answer})"


class _NotQuickError(Exception):
    """An answer with an expression in it."""


def _no_leaf(_: str) -> str:
    raise _NotQuickError


@lru_cache(maxsize=65536)
def _quick_key(answer: str) -> str | None:
    """The key of an answer of numbers and words; None if it needs sympy."""
    if len(answer) > MAX_CHARACTERS:
        return text_key(answer)
    try:
        return canonical_key(answer, _no_leaf)
    except _NotQuickError:
        return None
    except RecursionError:
        return text_key(answer)


def _answer_key(answer: str) -> str:
    """The key of any answer. Runs in a worker process."""
    from runtime.answers.symbolic import expression_key

    try:
        return canonical_key(answer, expression_key)
    except RecursionError:
        return text_key(answer)


def _import_sympy() -> None:
    """Prepare a worker process, and limit its memory."""
    import resource

    import runtime.answers.symbolic  # noqa: F401

    resource.setrlimit(resource.RLIMIT_AS, (MAX_BYTES, resource.RLIM_INFINITY))


_POOL = WorkerPool(prepare=_import_sympy)
_THREADS = ThreadPoolExecutor(8, thread_name_prefix="ttc-answers")


async def aside(function: Callable[..., Value], *arguments: Any) -> Value:
    """The result of a slow function, without blocking the event loop."""
    return await asyncio.get_running_loop().run_in_executor(_THREADS, function, *arguments)
