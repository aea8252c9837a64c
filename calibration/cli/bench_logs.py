"""``ttc bench --from-logs``: measure on logged samples, without a model."""

import time
from collections.abc import Sequence
from pathlib import Path

from allocator.errors import InputError
from calibration.bench import table_for
from calibration.bench_logs import (
    LogFindings,
    check_share,
    count_parts,
    measure_log,
    measure_splits,
)
from calibration.cli.calibrate_options import TableOptions
from calibration.cli.log_options import LogOptions
from calibration.cli.options import numbers
from calibration.data.sample_log import Log
from calibration.from_logs import budgets_within
from calibration.progress import console, progress
from calibration.report.bench_result import BenchResult
from calibration.report.methods import leading_way, stored_baseline, stored_baseline_score
from calibration.report.provenance import provenance
from calibration.report.words import count
from calibration.unseen import few_prompts, unseen_questions
from runtime.artifact import FittedPolicy
from runtime.verifiers.base import Aggregation

SPLITS = 5


def bench_log(
    options: LogOptions,
    *,
    columns: str,
    answers: str | None,
    aggregation: Aggregation | None,
    artifact: Path | None,
    split: float | None,
    splits: int,
    budgets: str,
    seed: int,
    n_jobs: int,
) -> BenchResult:
    """The result of an artifact on a log, or of calibrations on parts of the log.

    Args:
        options: which log.
        columns, answers, aggregation: how it is read, see `LogOptions.read`.
        artifact: the artifact to measure; None with `split`.
        split: share of the questions to calibrate on; None with `artifact`.
        splits: number of shuffles of the questions, with `split`.
        budgets: budgets to measure, comma-separated; empty for all.
        seed: of the first shuffle.
        n_jobs: see `calibration.replay.parallel`.

    Raises:
        InputError: not one of artifact and split, or unusable input.
    """
    started = time.time()
    some = numbers("budgets", budgets) if budgets else []
    left_out: int | None = 0
    if artifact is not None and split is None:
        if splits != SPLITS:
            raise InputError("splits", splits, "it goes with --split; leave it out")
        policy = FittedPolicy.load(artifact)
        table, folder = table_for(policy.policy.table, some), policy.folder
        log, left_out = unseen_questions(options.read(columns, answers, aggregation), folder)
        with console.status("Measuring"):
            way, baseline = leading_way(folder), stored_baseline(folder)
            score = stored_baseline_score(folder)
            found = measure_log(log, policy, table, way, n_jobs, baseline, score)
        measured = str(artifact)
    elif split is not None and artifact is None:
        if splits < 1:
            raise InputError("splits", splits, "must be 1 or more")
        log = options.read(columns, answers, aggregation)
        found = _split(log, split, range(seed, seed + splits), some, n_jobs)
        measured = f"calibrations on {split:.0%} of the log, {count(splits, 'shuffle')}"
    else:
        raise InputError(
            "artifact" if split is None else "split",
            split,
            "give --artifact to measure one, or --split 0.5 to calibrate on a part of the log and "
            "measure on the rest; one of the two",
        )
    return BenchResult(
        **dict(found.findings),
        **provenance(),
        source=log.name,
        artifact=measured,
        fingerprint=found.table.fingerprint,
        foreign=(),
        left_out=left_out,
        notes=(
            *few_prompts(found.findings.prompts),
            *_notes(log),
            *found.notes,
        ),
        resumed=0,
        engine="none: samples are from the log",
        samples=log.window,
        searches=(),
        sampled_tokens=0 if log.tokens is None else int(log.tokens.sum()),
        seconds=time.time() - started,
        seed=seed,
        targets=found.findings.as_targets(),
    )


def _split(
    log: Log, share: float, seeds: Sequence[int], budgets: Sequence[int], n_jobs: int
) -> LogFindings:
    tables = TableOptions()
    within = budgets_within(log, budgets or numbers("budgets", tables.budgets))
    # Tables without pilots would read the prompt alone: a log's prompts are not read.
    pilots = [count for count in tables.pilots_within(within) if count]
    check_share(share, len(log.answer))
    parts = count_parts(share) * len(seeds)
    with progress("Calibrating and measuring", parts) as done:
        return measure_splits(log, share, seeds, within, pilots, tables.bins, n_jobs, done)


def _notes(log: Log) -> tuple[str, ...]:
    notes = [f"The log: {note}." for note in log.notes]
    if log.left_out:
        notes.append(f"{log.left_out} questions are left out: they have fewer samples.")
    return tuple(notes)
