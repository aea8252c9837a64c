"""Sampled records as Parquet, one row per sample."""

from collections.abc import Sequence
from functools import cache
from itertools import groupby
from math import isnan, nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from allocator.errors import InputError
from allocator.files import atomic_write
from allocator.plan import Plan
from calibration.sampling.collect import PlanRun, PromptRecord
from predictors.sample import Sample

if TYPE_CHECKING:
    import pyarrow as pa

# The fields that identify a sampled plan; how its answer is selected does not matter.
PLAN = ("strategy", "n", "beam_width", "lookahead", "length", "thinking")


@cache
def schema() -> "pa.Schema":
    """Columns of a sample."""
    import pyarrow as pa

    return pa.schema(
        [
            ("prompt", pa.string()),
            ("gold", pa.string()),
            ("prompt_tokens", pa.int32()),
            ("strategy", pa.string()),
            ("n", pa.int32()),
            ("beam_width", pa.int32()),
            ("lookahead", pa.int32()),
            ("length", pa.int32()),
            ("thinking", pa.int32()),
            ("seed", pa.int64()),
            ("run_sampled_tokens", pa.int64()),
            ("run_seconds", pa.float32()),
            ("steps", pa.list_(pa.list_(pa.int32()))),
            ("text", pa.string()),
            ("answer", pa.string()),
            ("step_scores", pa.list_(pa.float32())),
            ("score", pa.float32()),
            ("chain", pa.int32()),
            ("logprob", pa.float32()),
            ("ended", pa.bool_()),
            ("thought_tokens", pa.int32()),
            ("forced", pa.bool_()),
            ("confidence", pa.float32()),
            ("confidence_at", pa.int32()),
            ("correct", pa.bool_()),
        ]
    )


def write_records(records: Sequence[PromptRecord], path: Path) -> None:
    """Write records atomically."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [row for record in records for row in rows_of(record)]
    with atomic_write(path) as scratch:
        pq.write_table(pa.Table.from_pylist(rows, schema=schema()), scratch, compression="zstd")


def read_records(path: Path) -> list[PromptRecord]:
    """Read records back, in the order written.

    Raises:
        InputError: there is no such file, or it holds no records.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows = pq.read_table(path, schema=schema()).to_pylist()
    except (FileNotFoundError, pa.ArrowInvalid) as error:
        raise InputError(
            "samples", str(path), f"no sample store; collect again ({error})"
        ) from None
    return records_of(rows)


def sampled_prompts(path: Path) -> set[str]:
    """The prompts of the records in a file.

    Raises:
        InputError: there is no such file, or it holds no records.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return set(pq.read_table(path, columns=["prompt"])["prompt"].to_pylist())
    except (FileNotFoundError, pa.ArrowInvalid, KeyError) as error:
        raise InputError("samples", str(path), f"no sample store ({error})") from None


def is_independent(plan: Plan) -> bool:
    """Whether a plan samples independent solutions that think as the model does by default."""
    return plan.strategy == "best_of_n" and plan.thinking is None


def records_of(rows: Sequence[dict[str, Any]]) -> list[PromptRecord]:
    """Records from rows; the rows of a record stand together, in order."""
    records = []
    for (prompt, gold), of_prompt in groupby(rows, key=lambda r: (r["prompt"], r["gold"])):
        repeats: list[dict[Plan, PlanRun]] = []
        width = 0
        keys = (*PLAN, "seed")
        for settings, of_run in groupby(of_prompt, key=lambda r: [r[name] for name in keys]):
            listed = list(of_run)
            width = listed[0]["prompt_tokens"]
            plan = Plan.model_validate(dict(zip(PLAN, settings, strict=False)))
            # A plan that occurs again was run again.
            repeat = next((known for known in repeats if plan not in known), None)
            if repeat is None:
                repeats.append(repeat := {})
            repeat[plan] = PlanRun(
                tuple(_sample(row) for row in listed),
                tuple(row["correct"] for row in listed),
                listed[0]["run_sampled_tokens"],
                listed[0]["run_seconds"],
                listed[0]["seed"],
            )
        independent = next(plan for plan in repeats[0] if is_independent(plan))
        first = repeats[0].pop(independent)
        records.append(PromptRecord(prompt, gold, width, first, tuple(repeats)))
    return records


def rows_of(record: PromptRecord) -> list[dict[str, Any]]:
    """A record as rows of `schema`, one per sample."""
    independent = Plan(strategy="best_of_n", n=len(record.independent.samples))
    return [
        {
            "prompt": record.prompt,
            "gold": record.gold,
            "prompt_tokens": record.prompt_tokens,
            **{name: getattr(plan, name) for name in PLAN},
            "seed": run.seed,
            "run_sampled_tokens": run.sampled_tokens,
            "run_seconds": run.seconds,
            "steps": sample.steps,
            "text": sample.text,
            "answer": sample.answer,
            "step_scores": sample.step_scores,
            "score": sample.score,
            "chain": sample.chain,
            "logprob": sample.logprob,
            "ended": sample.ended,
            "thought_tokens": sample.thinking,
            "forced": sample.forced,
            "confidence": None if isnan(sample.confidence) else sample.confidence,
            "confidence_at": sample.confidence_at,
            "correct": correct,
        }
        for plan, run in [
            (independent, record.independent),
            *(entry for repeat in record.repeats for entry in repeat.items()),
        ]
        for sample, correct in zip(run.samples, run.correct, strict=True)
    ]


def _sample(row: dict[str, Any]) -> Sample:
    return Sample(
        steps=tuple(tuple(step) for step in row["steps"]),
        text=row["text"],
        answer=row["answer"],
        step_scores=tuple(row["step_scores"]),
        score=row["score"],
        chain=row["chain"],
        logprob=row["logprob"],
        ended=row["ended"],
        thinking=row["thought_tokens"],
        forced=bool(row["forced"]),
        confidence=nan if row["confidence"] is None else row["confidence"],
        confidence_at=row["confidence_at"],
    )
