"""The two errors that this library raises on purpose: bad input, and a model that fails."""

LONGEST = 500  # characters of a value in a message


def shortened(text: str, longest: int = 60) -> str:
    """A text for messages, cut short."""
    return text if len(text) <= longest else text[: longest - 3] + "..."


def shown(value: object) -> str:
    """A value as messages show it: its `repr`, cut short; its type where Python can write none."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer of over 4,300 digits, or very deep nesting
        return f"<{type(value).__name__}>"
    return shortened(text, LONGEST)


class InputError(ValueError):
    """Input that cannot be used: which field, the value it had, and what to do about it.

    The command line prints it without a traceback and exits with status 2.
    """

    def __init__(self, field: str, value: object, hint: str) -> None:
        self.field, self.value, self.hint = field, value, hint
        super().__init__(f"{field}: {shown(value)}: {hint}")

    def __reduce__(self) -> tuple[type["InputError"], tuple[str, object, str]]:
        # Made anew from its parts where it arrives from another process.
        return type(self), (self.field, self.value, self.hint)


class ModelError(RuntimeError):
    """A language model, verifier or grader that has died, hangs or answers nonsense.

    The command line prints it without a traceback and exits with status 1.
    """

    def __init__(self, model: str, what: str) -> None:
        self.model, self.what = model, what
        super().__init__(f"{model}: {what}")

    def __reduce__(self) -> tuple[type["ModelError"], tuple[object, ...]]:
        return type(self), (self.model, self.what)
