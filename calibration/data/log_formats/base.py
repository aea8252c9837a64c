"""What all formats of logs share."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from allocator.errors import InputError
from calibration.data.table_io import SHOWN_CHARACTERS, Rows


class LogFormat(ABC):
    """How the rows of a program's files become rows of a log, whose answers are whole solutions.

    Args:
        rows: the file, recognised by its first row.
        gold: a file of gold answers; only a format that has none of its own takes one.

    Attributes:
        name: what the file is, for messages.
        marks: columns by one of which the file is recognised.
        fields: the columns that every row has.
        names: what the file calls each column of a log; subclasses set it. `cells` returns these.

    Raises:
        InputError: a column that is missing, or `gold` where it has no use.
    """

    name: ClassVar[str]
    marks: ClassVar[frozenset[str]]
    fields: tuple[str, ...]
    names: Mapping[str, str]

    def __init__(self, rows: Rows, gold: str | None) -> None:
        self.rows = rows
        if gold is not None:
            raise InputError("gold", gold, f"{self.name} have gold answers; leave it out")
        self._check_columns()

    @abstractmethod
    def cells(self, number: int, row: Mapping[str, object]) -> dict[str, object] | None:
        """A row's cells under `names`, or None where the row is left out.

        Args:
            number: the row's, for messages.
            row: the row.

        Raises:
            InputError: it is no row of this format.
        """

    def settle(self, cells: dict[str, list[object]]) -> list[str]:
        """Notes for people about what was left out, after the last row.

        Args:
            cells: each column's cells, one per sample; columns that cannot be used are removed.

        Raises:
            InputError: nothing is left.
        """
        return []

    def check_row(self, number: int, row: Mapping[str, object]) -> None:
        """Refuse a row of another shape.

        Raises:
            InputError: a column is missing.
        """
        for field in self.fields:
            if field not in row:
                raise InputError(
                    self.rows.where(number),
                    ", ".join(row)[:SHOWN_CHARACTERS],
                    f"it has no {field!r}; the file begins as {self.name}, and must continue so",
                )

    def refusal(self, number: int, field: str, cell: object, why: str) -> InputError:
        """An error about a row's field, which may be nested: ``response.body``."""
        shown = str(cell)[:SHOWN_CHARACTERS]
        return InputError(self.rows.where(number), shown, f"its {field!r} {why}")

    def _check_columns(self) -> None:
        lacking = [field for field in self.fields if field not in self.rows.columns]
        if lacking:
            raise InputError(
                "from-logs",
                self.rows.source,
                f"it looks like {self.name}, but has no {lacking[0]!r}; it has "
                f"{', '.join(self.rows.columns)}. To read it as a table, map its columns: "
                "--columns question=NAME,answer=NAME,gold=NAME",
            )
