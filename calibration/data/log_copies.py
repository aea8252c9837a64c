"""Samples that a log holds twice."""

from calibration.data.cells import is_blank
from calibration.data.log_rows import LogRows


def without_copies(log: LogRows) -> LogRows:
    """The samples without those that were written again, as where a file was joined with itself.

    They are known by their numbers, where these tell samples apart: all that is read of the row is
    the same. A note counts the rows left out. Where some rows with the number of another differ
    from it, they are of another run; then those that are alike may be so by chance, and all stay.
    """
    if "sample" not in log.names:
        return log
    questions, samples = [*map(str, log.cells["question"])], log.cells["sample"]
    if len({*zip(questions, map(repr, samples), strict=True)}) == len({*questions}):
        return log  # all samples of a question have one number
    rows: dict[int, list[int]] = {}  # of several samples, where a row lists all of a question
    for place, number in enumerate(log.numbers):
        rows.setdefault(number, []).append(place)
    capped = "thinking_tokens" in log.names  # then a sample has several rows
    names: set[object] = set()
    kept: dict[object, list[int]] = {}
    copies = 0
    for number, places in rows.items():
        numbers = [samples[place] for place in places]
        if all(map(is_blank, numbers)):
            names.add(number)
            kept[number] = places
            continue
        caps = [log.cells["thinking_tokens"][place] for place in places] if capped else []
        names.add((questions[places[0]], repr(numbers), repr(caps)))
        cells = [[column[place] for place in places] for column in log.cells.values()]
        copies += kept.setdefault(repr(cells), places) is not places
    if not copies:
        return log
    written = "1 row is" if copies == 1 else f"{copies} rows are"
    again = f"{written} written again, with the same {log.names['sample']!r} of the same question"
    if len(kept) > len(names):
        log.notes.append(f"{again}; they count, because others with the same one differ")
        return log
    log.notes.append(f"{again}, and left out")
    return log.take([place for places in kept.values() for place in places])
