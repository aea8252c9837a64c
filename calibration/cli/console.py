"""What the commands share: output, tables and the way errors are shown."""

import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any

import typer
from rich import box
from rich.console import Console, RenderableType
from rich.table import Table

from allocator.errors import InputError, ModelError
from calibration.progress import console

if TYPE_CHECKING:
    from allocator.table import LookupTable
    from calibration.replay.cap_table import CapRow

READER_GONE = 141  # exit status of a program that SIGPIPE ended, as shells report it


class _Answer(Console):
    def on_broken_pipe(self) -> None:
        raise


def write_answer(*parts: RenderableType) -> None:
    """Write a command's result to standard output: strings as they are, or rich's parts.

    An empty line precedes every table except at the beginning.

    A closed pipe, as after ``head``, ends the command without a message.
    """
    try:
        for number, part in enumerate(parts):
            if number and isinstance(part, Table):
                sys.stdout.write("\n")
            if isinstance(part, str):
                sys.stdout.write(part)
            else:
                _Answer().print(part)
        sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes standard output again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(READER_GONE) from None


def new_table(title: str, *heads: str) -> Table:
    """An empty table that is readable in 80 columns, without colour and in a file.

    Text too wide for its column is wrapped; nothing is cut off.
    """
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
    )
    for head in heads:
        table.add_column(head, overflow="fold")
    return table


def render_table(table: "LookupTable") -> Table:
    """A lookup table: a row per budget and bin, easiest bin first.

    FLOPs per prompt are shown where they were counted.
    """
    from calibration.report.words import flops

    counted = any(cell.flops is not None for row in table.rows for cell in row.cells)
    shown = new_table(
        f"Plans by {table.difficulty} difficulty, bin 1 the easiest; budgets in "
        f"{table.rows[0].unit}",
        *("budget", "pilots", "bin", "plan", "accuracy [95%]"),
        *(["FLOPs"] if counted else []),
    )
    for row in table.rows:
        for number, cell in enumerate(row.cells, start=1):
            shown.add_row(
                *((str(row.budget), str(row.pilots)) if number == 1 else ("", "")),
                str(number) if row.edges else "all",
                str(cell.plan),
                f"{cell.accuracy:.0%} [{cell.low:.0%}, {cell.high:.0%}]",
                *([] if cell.flops is None else [flops(cell.flops)]),
            )
        shown.add_section()
    return shown


def render_caps(rows: "Sequence[CapRow]") -> Table:
    """What each cap on thinking tokens leads to: a row per cap and number of thoughts."""
    shown = new_table(
        "Caps on thinking tokens, the same number of thoughts for every question",
        *("cap", "thoughts", "tokens", "majority", "weighted votes"),
    )
    for number, row in enumerate(rows):
        first = number == 0 or rows[number - 1].cap != row.cap
        if first and number:
            shown.add_section()
        cap = "none" if row.cap is None else f"{row.cap:,}"
        shown.add_row(
            cap if first else "",
            str(row.samples),
            f"{row.tokens:,.0f}",
            f"{row.majority:.1%}",
            f"{row.weighted:.1%}",
        )
    return shown


def say(kind: str, text: str, colour: str) -> None:
    """One line on standard error. The user's words may look like markup: printed as they are."""
    console.print(f"{kind}:", style=colour, end=" ")
    console.print(" ".join(text.splitlines()), soft_wrap=True, highlight=False, markup=False)


class _Said(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        say("models", record.getMessage(), "cyan")


@contextmanager
def _says_what_models_got() -> Iterator[None]:
    """Print what `runtime.models` logs, for as long as the block lasts."""
    logger, handler = logging.getLogger("ttc.models"), _Said()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def reports_errors(command: Callable[..., Any]) -> Callable[..., Any]:
    """An error ends with one clear line on standard error: status 2 for input, 1 for a model."""

    @wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            with _says_what_models_got():
                return command(*args, **kwargs)
        except (InputError, ModelError) as error:
            say("error", str(error), "red")
            raise typer.Exit(2 if isinstance(error, InputError) else 1) from None

    return wrapped
