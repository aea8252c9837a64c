"""Answers read and compared by a user's own Python file, ``--answers python:FILE.py``.

The file defines ``extract(text: str) -> str | None``, the final answer of a solution, and
``same(answer: str, other: str) -> bool``, whether two answers are the same. It is run as it is, in
worker processes: trust an artifact that has one as you would a program.
"""

import hashlib
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache, partial
from pathlib import Path
from types import ModuleType

from allocator.errors import InputError, ModelError, shortened
from runtime.answers.readers import DEADLINE, Reader, aside
from runtime.answers.thought import THINK, Thought
from runtime.answers.workers import OverdueError, WorkerPool
from runtime.remembering import remember

PREFIX = "python:"
# Compared pairs that are kept: 724 different answers of one prompt have as many. At 300 bytes a
# pair of short answers that is 80 megabytes.
REMEMBERED = 2**18


class PythonAnswers(Reader):
    """Answers read and compared by a Python file.

    Two answers are equal if `same` says so, or connects them through others.

    Args:
        file: defines ``extract`` and ``same``.
        seconds: deadline of a call. A solution that takes longer to read has no answer, and two
            answers that take longer to compare are different, as long as that is remembered.
        thoughts: marks of thoughts, after which solutions are read.

    Raises:
        InputError: a file that is missing, fails, or does not define both.
    """

    def __init__(
        self, file: Path, seconds: float = DEADLINE, thoughts: Sequence[Thought] = (THINK,)
    ) -> None:
        super().__init__(thoughts)
        self._file, self._source, self._seconds = str(file), _source(file), seconds
        self._pool = _pool(self._file, self._source)
        self._equal: OrderedDict[tuple[str, str], bool] = OrderedDict()
        self._overdue: OrderedDict[str, None] = OrderedDict()
        try:
            self._pool.call(seconds, _load, self._file, self._source)
        except OverdueError as error:
            raise InputError("answers", f"{PREFIX}{file}", f"it does not load: {error}") from None

    def undecided(self, found: Iterable[str | None]) -> list[str]:
        """See `runtime.answers.readers.Answers.undecided`."""
        return [a for a in dict.fromkeys(found) if a is not None and a in self._overdue]

    async def extract_async(self, text: str) -> str | None:
        """See `runtime.answers.readers.Answers.extract_async`.

        Raises:
            ModelError: the file's function fails, or returns something else.
        """
        return await aside(self.extract, text)

    async def canonicalize_async(self, found: Sequence[str | None]) -> list[str | None]:
        """See `runtime.answers.readers.Answers.canonicalize_async`.

        Raises:
            ModelError: as `extract_async`.
        """
        return await aside(self.canonicalize, found)

    def _find(self, text: str) -> str | None:
        try:
            found = self._pool.call(self._seconds, _extract, self._file, self._source, text)
        except OverdueError:
            return None
        return None if found is None else str(found)

    def _keys(self, answers: Sequence[str]) -> dict[str, str]:
        """The least answer of each one's class: of all that pairs connect, in whatever order."""
        distinct = sorted(set(answers))
        least = {answer: answer for answer in distinct}
        for place, answer in enumerate(distinct):
            others = [other for other in distinct[place + 1 :] if least[other] != least[answer]]
            for other, equal in zip(others, self._compared(answer, others), strict=True):
                if equal:
                    first, second = sorted((least[answer], least[other]))
                    least = {a: first if name == second else name for a, name in least.items()}
        return least

    def _compared(self, answer: str, others: Sequence[str]) -> list[bool]:
        """Whether an answer equals each of some others, all in one call if it is in time."""
        pairs = {other: self._equal.get((answer, other)) for other in others}
        unknown = [other for other, equal in pairs.items() if equal is None]
        batches = [unknown] if unknown else []
        while batches:
            batch = batches.pop()
            call = (_equal_to, self._file, self._source, answer, batch)
            try:
                found = self._pool.call(self._seconds, *call)
            except OverdueError:
                if len(batch) > 1:  # which of them it was
                    batches += [batch[: len(batch) // 2], batch[len(batch) // 2 :]]
                    continue
                remember(self._overdue, dict.fromkeys((answer, *batch)), REMEMBERED)
                found = [False]
            new = dict(zip(batch, found, strict=True))
            pairs |= new
            remember(self._equal, {(answer, o): equal for o, equal in new.items()}, REMEMBERED)
        return [bool(pairs[other]) for other in others]


@lru_cache(maxsize=8)
def _pool(file: str, source: bytes) -> WorkerPool:
    return WorkerPool(prepare=partial(_load, file, source))


@lru_cache(maxsize=8)
def _load(file: str, source: bytes) -> None:
    """Run the file, and check that it defines both functions. Runs in a worker process."""
    module = _module(file, source)
    for name in ("extract", "same"):
        if not callable(getattr(module, name, None)):
            raise InputError(
                "answers", f"{PREFIX}{file}", f"define a function {name!r} in the file"
            )


@lru_cache(maxsize=8)
def _module(file: str, source: bytes) -> ModuleType:
    module = ModuleType(f"ttc_grader_{hashlib.sha256(source).hexdigest()[:16]}")
    module.__file__ = file
    # Dataclasses, among others, look up their module there.
    sys.modules[module.__name__] = module
    try:
        # Not imported: that would write a bytecode cache beside the user's file, and later use it.
        exec(compile(source, file, "exec"), module.__dict__)
    except (Exception, SystemExit) as error:  # a user's code may raise anything
        del sys.modules[module.__name__]
        raise InputError("answers", f"{PREFIX}{file}", f"it fails: {error!r}") from None
    return module


def _extract(file: str, source: bytes, text: str) -> str | None:
    found = _called(file, _module(file, source).extract, text)
    if found is None or isinstance(found, str):
        return found
    raise _failed(file, "extract", text, f"returned {found!r}; return a str or None")


def _equal_to(file: str, source: bytes, answer: str, others: Sequence[str]) -> list[bool]:
    return [_same(file, source, answer, other) for other in others]


def _same(file: str, source: bytes, answer: str, other: str) -> bool:
    found = _called(file, _module(file, source).same, answer, other)
    if isinstance(found, bool):
        return found
    raise _failed(file, "same", answer, f"returned {found!r}; return True or False")


def _called(file: str, function: Callable[..., object], *texts: str) -> object:
    try:
        return function(*texts)
    except Exception as error:  # a user's code may raise anything
        raise _failed(file, function.__name__, texts[0], f"raised {error!r}") from None


def _failed(file: str, name: str, text: str, what: str) -> ModelError:
    shown = shortened(text)
    return ModelError(f"grader {file}", f"{name} of {shown!r} {what}")


def grader_file(answers: str, base: Path) -> Path | None:
    """The Python file of an answers setting; None if it has none.

    Args:
        answers: see `runtime.answers.answers_for`.
        base: a relative file counts from here, or from the working folder where it is not here.
    """
    if not answers.startswith(PREFIX):
        return None
    name = answers.removeprefix(PREFIX)
    beside = base / name
    return beside if beside.is_file() else Path(name)


def answers_fingerprint(answers: str, base: Path) -> str:
    """An identity of an answers setting: for a Python file its content, not its path.

    Raises:
        InputError: the file cannot be read.
    """
    file = grader_file(answers, base)
    return answers if file is None else PREFIX + hashlib.sha256(_source(file)).hexdigest()[:16]


def _source(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise InputError(
            "answers", f"{PREFIX}{file}", f"cannot be read: {error.strerror}"
        ) from None
