"""A pool of samples on disk: hundreds of thousands of them in a few megabytes.

Solutions of one prompt are often equal. Each distinct one has one row in the form of the sample
store, with its positions in the run. Scores of steps are kept in half precision, and texts are left
out: the benchmarks do not read them.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from allocator.errors import InputError
from allocator.files import atomic_write
from calibration.sampling.collect import PlanRun, PromptRecord
from calibration.sampling.store import PLAN, records_of, rows_of, schema
from predictors.sample import Sample

# Not the score: sharpened scores of doubtful solutions are too small for half precision.
HALVES = ("logprob", "run_seconds")
POOL_SCHEMA = pa.schema(
    [
        *(
            pa.field(field.name, pa.float16() if field.name in HALVES else field.type)
            for field in schema()
            if field.name not in ("step_scores", "text")
        ),
        pa.field("step_scores", pa.list_(pa.float16())),
        pa.field("places", pa.list_(pa.int32())),
    ]
)


def write_pool(records: Sequence[PromptRecord], path: Path) -> None:
    """Write records atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [row for record in records for row in _distinct(rows_of(record))]
    with atomic_write(path) as scratch:
        table = pa.Table.from_pylist(rows, schema=POOL_SCHEMA)
        pq.write_table(table, scratch, compression="zstd", compression_level=19)


def _distinct(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows with equal solutions of a run merged, in the order of their first draws."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    counted: dict[tuple[Any, ...], int] = {}
    for row in rows:
        run = (*(row[name] for name in PLAN), row["seed"])
        place = counted[run] = counted.get(run, -1) + 1
        # In chains of revisions the score of a solution depends on those before it. The last digits
        # of scores depend on what is scored beside them.
        key = (*run, row["steps"], row["chain"], np.float16(row["score"]))
        if key not in found:
            halves: dict[str, Any] = {name: np.float16(row[name]) for name in HALVES}
            halves["step_scores"] = [np.float16(score) for score in row["step_scores"]]
            found[key] = row | halves | {"places": []}
        found[key]["places"].append(place)
    return list(found.values())


def read_pool(path: Path) -> list[PromptRecord]:
    """Read records back; equal solutions of a prompt are one object.

    Raises:
        InputError: there is no such file, or it is no pool.
    """
    try:
        rows = pq.read_table(path, schema=POOL_SCHEMA).to_pylist()
    except (FileNotFoundError, pa.ArrowInvalid) as error:
        raise InputError("pool", str(path), f"no pool; sample with --fresh ({error})") from None
    places = iter([row.pop("places") for row in rows])
    whole = [row | {"text": "", "score": float(row["score"])} for row in rows]
    return [_drawn(record, places) for record in records_of(whole)]


def _drawn(record: PromptRecord, places: Iterator[list[int]]) -> PromptRecord:
    independent = _in_places(record.independent, places)
    repeats = tuple(
        {plan: _in_places(run, places) for plan, run in repeat.items()} for repeat in record.repeats
    )
    return replace(record, independent=independent, repeats=repeats)


def _in_places(run: PlanRun, places: Iterator[list[int]]) -> PlanRun:
    """The run with each solution at all its positions."""
    order = {place: i for i in range(len(run.samples)) for place in next(places)}
    chosen = [order[place] for place in range(len(order))]
    return replace(
        run,
        samples=tuple(run.samples[i] for i in chosen),
        correct=tuple(run.correct[i] for i in chosen),
    )


def rescored(
    records: Sequence[PromptRecord], score: Callable[[Sample], float]
) -> list[PromptRecord]:
    """The records, each solution with another score.

    Args:
        records: records of any pool.
        score: scores a solution; equal solutions of a run are scored once.
    """

    def again(run: PlanRun) -> PlanRun:
        distinct = {id(sample): sample for sample in run.samples}
        equal = {key: replace(sample, score=score(sample)) for key, sample in distinct.items()}
        return replace(run, samples=tuple(equal[id(sample)] for sample in run.samples))

    found = []
    for record in records:
        repeats = tuple(
            {plan: again(run) for plan, run in repeat.items()} for repeat in record.repeats
        )
        found.append(replace(record, independent=again(record.independent), repeats=repeats))
    return found
