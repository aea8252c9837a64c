"""Samples that a log holds twice."""

from calibration.data.cells import is_blank
from calibration.data.log_rows import LogRows


def without_copies(log: LogRows) -> LogRows:
    """The samples without those that were written again, as where a file was joined with itself.

    They are known by their numbers, where these tell samples apart: all that is read of the row is
    the same. A note counts the rows left out.
    """
    if "sample" not in log.names:
        return log
    questions, samples = map(str, log.cells["question"]), map(repr, log.cells["sample"])
    if len({*zip(questions, samples, strict=True)}) == len({*map(str, log.cells["question"])}):
        return log  # all samples of a question have one number
    rows: dict[int, list[int]] = {}  # of several samples, where a row lists all of a question
    for place, number in enumerate(log.numbers):
        rows.setdefault(number, []).append(place)
    kept: dict[str, list[int]] = {}
    copies = 0
    for number, places in rows.items():
        cells = [[column[place] for place in places] for column in log.cells.values()]
        numbered = not all(is_blank(log.cells["sample"][place]) for place in places)
        key = repr(cells) if numbered else str(number)
        copies += kept.setdefault(key, places) is not places
    if not copies:
        return log
    written = "1 row is" if copies == 1 else f"{copies} rows are"
    log.notes.append(
        f"{written} written again, with the same {log.names['sample']!r} of the same question, "
        "and left out"
    )
    return log.taken([place for places in kept.values() for place in places])
