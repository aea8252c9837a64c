"""Answers read and compared by a user's own Python file, ``--answers python:FILE.py``.

The file defines ``extract(text: str) -> str | None``, the final answer of a solution, and
``same(answer: str, other: str) -> bool``, whether two answers are the same. It is run as it is:
trust an artifact that has one as you would a program.
"""

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from allocator.errors import InputError, ModelError

PREFIX = "python:"
SHOWN_CHARACTERS = 60


class PythonAnswers:
    """Answers read and compared by a Python file.

    Args:
        file: defines ``extract`` and ``same``.

    Raises:
        InputError: a file that is missing, fails, or does not define both.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        module = _run(file)
        self._extract = self._function(module, "extract")
        self._same = self._function(module, "same")

    def extract(self, text: str) -> str | None:
        """The final answer of a solution.

        Raises:
            ModelError: the file's function fails, or returns something else.
        """
        found = self._call(self._extract, "extract", text)
        if found is None or isinstance(found, str):
            return found
        raise self._failed("extract", text, f"returned {found!r}; return a str or None")

    def same(self, answer: str, other: str) -> bool:
        """Whether two answers are the same.

        Raises:
            ModelError: as `extract`.
        """
        found = self._call(self._same, "same", answer, other)
        if isinstance(found, bool):
            return found
        raise self._failed("same", answer, f"returned {found!r}; return True or False")

    def _function(self, module: ModuleType, name: str) -> Callable[..., object]:
        function: object = getattr(module, name, None)
        if not callable(function):
            raise InputError(
                "answers", f"{PREFIX}{self._file}", f"define a function {name!r} in the file"
            )
        return function

    def _call(self, function: Callable[..., object], name: str, *texts: str) -> object:
        try:
            return function(*texts)
        except Exception as error:  # a user's code may raise anything
            raise self._failed(name, texts[0], f"raised {error!r}") from error

    def _failed(self, name: str, text: str, what: str) -> ModelError:
        shown = text[:SHOWN_CHARACTERS] + ("..." if len(text) > SHOWN_CHARACTERS else "")
        return ModelError(f"grader {self._file}", f"{name} of {shown!r} {what}")


def grader_file(answers: str, base: Path) -> Path | None:
    """The Python file that an answers setting names, None where it names none.

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
    """What tells two answers settings apart: of a Python file its content, wherever it lies.

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


def _run(file: Path) -> ModuleType:
    source = _source(file)
    module = ModuleType(f"ttc_grader_{hashlib.sha256(source).hexdigest()[:16]}")
    module.__file__ = str(file)
    # Dataclasses, among others, look their module up there.
    sys.modules[module.__name__] = module
    try:
        # Not imported: that would write, and later believe, a cache beside the user's file.
        exec(compile(source, str(file), "exec"), module.__dict__)
    except (Exception, SystemExit) as error:  # a user's code may raise anything
        del sys.modules[module.__name__]
        raise InputError("answers", f"{PREFIX}{file}", f"it fails: {error!r}") from error
    return module
