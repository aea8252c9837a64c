"""The options that name a log of samples, shared by the commands that read one."""

from collections.abc import Collection
from typing import TYPE_CHECKING

import typer
from pydantic import BaseModel, Field

from allocator.errors import InputError
from calibration.cli.options import GOLD_HELP, LOGS_HELP, given
from calibration.data.log_rows import log_columns
from calibration.data.table_io import pairs
from calibration.progress import console
from runtime.verifiers.base import Aggregation

if TYPE_CHECKING:
    from calibration.data.sample_log import Log


class LogOptions(BaseModel):
    """The log, and which of its rows are read."""

    from_logs: str | None = Field(default=None, description=LOGS_HELP)
    where: str = Field(
        default="", description="only the log's rows that hold these values: model=NAME"
    )
    gold: str | None = Field(default=None, description=GOLD_HELP)
    logits: str = Field(
        default="",
        description="columns of scores that are log-odds, comma-separated; else those most of "
        "whose values lie outside [0, 1], some of them below 0",
    )

    def read(self, columns: str, answers: str | None, aggregation: Aggregation | None) -> "Log":
        """The log; what was left out of it is printed.

        Args:
            columns: the source's names of columns, as the user gives them.
            answers, aggregation: see `calibration.data.sample_log.read_log`.

        Raises:
            InputError: as `calibration.data.sample_log.read_log`.
        """
        from calibration.data.sample_log import read_log

        log = read_log(
            str(self.from_logs),
            log_columns(columns),
            pairs("where", self.where),
            answers,
            aggregation,
            self.gold,
            [name.strip() for name in self.logits.split(",")] if self.logits else [],
        )
        for note in log.notes:
            console.print(f"Note: {note}", markup=False)
        return log


# Options that go with --from-logs alone.
LOG_ONLY_OPTIONS = {"where", "gold", "logits"}


def refuse_options(context: typer.Context, names: Collection[str], why: str) -> None:
    """Refuse the first of some options that do not apply.

    Raises:
        InputError: there is one.
    """
    refused = set(given(context)) & set(names)
    if refused:
        first = min(refused)
        raise InputError(first.replace("_", "-"), context.params[first], f"it {why}; leave it out")
