"""The one error that bad input raises, in every package."""


class InputError(ValueError):
    """Input that cannot be used: which field, the value it had, and what to do about it.

    The command line prints it without a traceback and exits with status 2.
    """

    def __init__(self, field: str, value: object, mend: str) -> None:
        self.field, self.value, self.mend = field, value, mend
        super().__init__(f"{field}: {value!r}: {mend}")
