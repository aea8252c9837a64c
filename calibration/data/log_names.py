"""What a log calls its questions: whether names are of one question each, and its other names."""

from collections.abc import Sequence

from allocator.errors import InputError
from calibration.data.cells import is_blank
from calibration.data.log_rows import LogRows
from calibration.data.table_io import SHOWN_CHARACTERS

# Of two texts that begin alike, this much of their common beginning is shown.
SHOWN_BEFORE = 20


def read_aliases(rows: LogRows, names: Sequence[str], told_apart: bool) -> dict[str, list[str]]:
    """What else the log calls the question of each row, by the log's columns.

    One question under two numbers would be in calibration and in the test of it. Two questions
    under one number would vote together.

    Args:
        rows: the rows.
        names: the name of each row's question.
        told_apart: whether the user chose the column of these names: then questions may share a
            text, and have several. A column in which any do names none of them.

    Raises:
        InputError: a text of several names, a name of several texts, or one of several gold
            answers, where nobody chose.
    """
    found: dict[str, list[str]] = {}
    confirmed = told_apart
    for column in rows.aliases:
        cells = rows.parsed(column, _name)
        shared = _clash(cells, names)
        if shared is not None and not told_apart:
            raise _shared_text(rows, column, names, cells, shared)
        several = _clash(names, rows.parsed(column, _tidy))
        # A column in which every name has a text of its own has told that names differ: a further
        # one may word a question in several ways.
        if several is not None and not confirmed:
            raise _several_texts(rows, column, names, cells, several)
        if shared is None and several is None:
            found[rows.names[column]] = cells
            confirmed = confirmed or any(cells)
    # Files of other programs have no columns to choose, and their golds are compared when graded.
    if not told_apart and not rows.solutions and "gold" in rows.names:
        _check_golds(rows, names)
    return found


def _clash(names: Sequence[str], cells: Sequence[str]) -> tuple[int, int] | None:
    """The first row whose name has another cell than before, and that name's first row.

    None where there is no such row. Blank names and cells are of no account.
    """
    first: dict[str, int] = {}
    for row, (name, cell) in enumerate(zip(names, cells, strict=True)):
        if name and cell and cells[before := first.setdefault(name, row)] != cell:
            return before, row
    return None


def _shared_text(
    rows: LogRows, column: str, names: Sequence[str], cells: Sequence[str], at: tuple[int, int]
) -> InputError:
    before, row = at
    own, other = rows.names["question"], rows.names[column]
    why = (
        f"is that of {own} {names[before]!r} too; say which column tells questions apart: "
        f"--columns question={other}, or question={own}"
    )
    return rows.refusal(rows.numbers[row], column, cells[row], why)


def _several_texts(
    rows: LogRows, column: str, names: Sequence[str], cells: Sequence[str], at: tuple[int, int]
) -> InputError:
    before, row = at
    own, other = rows.names["question"], rows.names[column]
    first, second = _shown_apart(cells[before], cells[row])
    why = (
        f"differs from that of {rows.rows.unit} {rows.numbers[before]}, {first!r}, though both "
        f"have {own} {names[row]!r}: their samples would vote together. Say which column tells "
        f"questions apart: --columns question={other}, or question={own} if these are two wordings "
        "of one question; or read a part of the log in which it does: --where COLUMN=VALUE, such "
        "as subject=NAME"
    )
    return rows.refusal(rows.numbers[row], column, second, why)


def _check_golds(rows: LogRows, names: Sequence[str]) -> None:
    """Check that each name has one gold answer, as a question has.

    Raises:
        InputError: one has several.
    """
    golds = rows.parsed("gold", _tidy)
    if (at := _clash(names, golds)) is None:
        return
    before, row = at
    own = rows.names["question"]
    why = (
        f"must be {golds[before][:SHOWN_CHARACTERS]!r}, as in the question's first row, "
        f"{rows.rows.unit} {rows.numbers[before]}. If {own} {names[row]!r} is several questions, "
        "say which column tells them apart: --columns question=NAME; or read a part of the log in "
        f"which {own} does: --where COLUMN=VALUE, such as subject=NAME. If these are two ways to "
        f"write one answer: --columns question={own}"
    )
    raise rows.refusal(rows.numbers[row], "gold", golds[row], why)


def _shown_apart(one: str, other: str) -> tuple[str, str]:
    """Two texts, shortened so that they differ."""
    pairs = enumerate(zip(one, other, strict=False))
    alike = next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))
    long = max(len(one), len(other)) > SHOWN_CHARACTERS
    start = max(0, alike - SHOWN_BEFORE) if long else 0
    begin = "..." if start else ""
    shown = SHOWN_CHARACTERS - len(begin)
    return begin + one[start : start + shown], begin + other[start : start + shown]


def _name(cell: object) -> str:
    return "" if is_blank(cell) else str(cell)


def _tidy(cell: object) -> str:
    """A cell as text, with white space, the order of keys and whole numbers normalised."""
    if isinstance(cell, list):  # the messages of a chat
        return repr([_tidy(each) for each in cell])
    if isinstance(cell, dict):
        return repr([(key, _tidy(cell[key])) for key in sorted(cell)])
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    return "" if is_blank(cell) else " ".join(str(cell).split())
