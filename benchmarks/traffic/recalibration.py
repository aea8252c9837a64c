"""Recorded traffic of the testbed, recalibrated: with feedback on all prompts, on some, on none.

The traffic is replayed: the test prompts of benchmarks/testbed/pools, with as many of their samples
as the server would have recorded. The original was calibrated on logged samples of the calibration
prompts, all of them graded. Logs hold independent samples, so both tables hold best-of-N alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from allocator.table import LookupTable
from benchmarks.allocation.pool import read_pool
from benchmarks.testbed.paths import ARTIFACT, POOLS, TEST_POOL
from calibration.data.sample_log import Log, read_log
from calibration.from_logs import fit_log
from calibration.report.diff import WholeChange, clearly_worse, diff_tables
from calibration.sampling.collect import PromptRecord
from runtime.artifact import SETTINGS, load_settings
from runtime.traffic import FILE, RecordedPrompt, RecordedVerdict

SAMPLES, BUDGETS, PILOTS, BINS = 16, (1, 2, 4, 8, 16), (1, 2, 4), 5


@dataclass(frozen=True)
class Recalibrated:
    """A table from recorded traffic, beside the original.

    Attributes:
        feedback: share of the prompts that had feedback.
        notes: what calibration said of it.
        worse: in what it is clearly worse than the original.
        whole: both over all prompts, by budget.
        truth: the same between the table as it would be with feedback on all prompts, and it.
    """

    feedback: float
    notes: tuple[str, ...]
    worse: list[str]
    whole: tuple[WholeChange, ...]
    truth: tuple[WholeChange, ...]


def recalibrated(
    scratch: Path, prompts: int | None = None, shares: Sequence[float] = (1.0, 0.1, 0.0)
) -> list[Recalibrated]:
    """Recalibrate on the same traffic with feedback on these shares of its prompts, all first.

    Args:
        scratch: an empty folder.
        prompts: the number of prompts of either pool; None for all.
        shares: the shares; the first must be 1.
    """
    known = read_pool(POOLS / "calibration.parquet")[:prompts]
    original = table_of(read_log(record(scratch / "original", known, 1.0)))
    traffic = read_pool(TEST_POOL)[:prompts]
    found: list[Recalibrated] = []
    tables: list[LookupTable] = []
    for share in shares:
        log = read_log(record(scratch / f"{share}", traffic, share))
        tables.append(table_of(log))
        found.append(
            Recalibrated(
                share,
                log.notes,
                clearly_worse(original, tables[-1]),
                diff_tables(original, tables[-1]).whole,
                diff_tables(tables[0], tables[-1]).whole,
            )
        )
    return found


def table_of(log: Log) -> LookupTable:
    """The table that calibration makes of a log."""
    return fit_log(log, budgets=BUDGETS, pilots=PILOTS, n_bins=BINS).calibration.table


def record(folder: Path, records: Sequence[PromptRecord], feedback: float) -> Path:
    """What a server records of prompts, and of feedback on a share of them.

    Clients are shown one choice, the best: what they say of it is all that is known.

    Args:
        folder: a new folder.
        records: the prompts, of which the first samples are taken.
        feedback: share of the prompts with feedback; with 1, every choice is judged.
    """
    folder.mkdir(parents=True)
    settings = load_settings(ARTIFACT).with_absolute_paths(ARTIFACT)
    settings.save(folder / SETTINGS)
    judged = np.random.default_rng(0).random(len(records)) < feedback
    with (folder / FILE.format(1)).open("w") as file:
        for number, (record, said) in enumerate(zip(records, judged.tolist(), strict=True)):
            samples = sorted(record.independent.samples[:SAMPLES], key=lambda s: -s.score)
            line = RecordedPrompt.of(
                record.prompt,
                samples,
                request=str(number),
                prompt=0,
                choices=SAMPLES,
                artifact="testbed",
                scoring=settings.scoring,
                show_prompts=False,
            )
            ranks = range(SAMPLES if feedback == 1 else 1) if said else ()
            verdicts = [
                RecordedVerdict(
                    request=line.request,
                    prompt=0,
                    rank=rank,
                    correct=samples[rank].answer == record.gold,
                )
                for rank in ranks
            ]
            for each in (line, *verdicts):
                file.write(each.model_dump_json() + "\n")
    return folder
