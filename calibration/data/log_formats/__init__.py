"""Logs as other programs write them: recognised by their columns, read as rows of a log."""

from collections.abc import Mapping

from allocator.errors import InputError
from calibration.data.log_formats.base import LogFormat
from calibration.data.log_formats.lm_eval import LmEval
from calibration.data.log_formats.openai_batch import OpenAIBatch
from calibration.data.log_formats.search_and_learn import SearchAndLearn
from calibration.data.table_io import Rows

__all__ = ["LogFormat", "recognise"]

FORMATS: tuple[type[LogFormat], ...] = (LmEval, SearchAndLearn, OpenAIBatch)
QUESTIONS = {"question_id", "question", "prompt"}


def recognise(rows: Rows, columns: Mapping[str, object], gold: str | None) -> LogFormat | None:
    """The format of a log that another program wrote; None for a table of samples.

    Args:
        rows: the log.
        columns: the names that the user mapped; a log with mapped columns is read as a table.
        gold: the file of gold answers, for a format that has none.

    Raises:
        InputError: a format without one of its columns; gold answers that are missing, cannot be
            read, or have no use.
    """
    here = set(rows.columns)
    table = columns or ("answer" in here and here & QUESTIONS and here & {"correct", "gold"})
    form = None if table else next((form for form in FORMATS if form.marks & here), None)
    if form is not None:
        return form(rows, gold)
    if gold is not None:
        raise InputError(
            "gold", gold, f"it goes with {OpenAIBatch.name}, and {rows.source} is not; leave it out"
        )
    return None
