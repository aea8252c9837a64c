"""Records on disk as they are collected: an interrupted collection resumes."""

import asyncio
import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from allocator.errors import InputError, ModelError
from allocator.files import atomic_write, reports_unwritable
from allocator.lock import LOCK
from allocator.table import Fingerprint
from calibration.sampling.collect import PromptRecord, Work
from calibration.sampling.collectors import Collector
from calibration.sampling.journal import KEPT, Journals
from calibration.sampling.store import read_records, sampled_prompts, write_records
from predictors.scoring import Scoring
from runtime.settings import MODELS

IDENTITY, SCORING, UNFINISHED = "made_with.json", "scoring.json", "unfinished"
FLUSH_SECONDS = 1.0


def made_with(
    fingerprint: Fingerprint, engine: str, prompts: Sequence[tuple[str, str]], work: Work
) -> dict[str, Any]:
    """Everything that records depend on.

    Args:
        fingerprint: models, answers and sampling.
        engine: which engine samples.
        prompts: (prompt, right answer) pairs.
        work: what is sampled of each.
    """
    return fingerprint.model_dump() | {
        "engine": engine,
        "prompts": hashlib.sha256(repr(list(prompts)).encode()).hexdigest(),
        "samples": work.samples,
        "searches": [str(plan) for plan in work.plans],
        "runs": work.runs,
        "seed": work.seed,
    }


def _differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """Names of what differs; of settings within settings, their own."""
    for name in {**then, **now}:
        before, after = then.get(name), now.get(name)
        if isinstance(before, dict) and isinstance(after, dict):
            yield from _differences(before, after)
        elif before != after:
            yield name


class SampleStore:
    """Part files of records, each written atomically, and journals of unfinished prompts.

    Records are read back from disk even by the run that wrote them: a resumed calibration ends in
    the same table as an uninterrupted one.

    Args:
        folder: the folder of the parts; created if there is none.
        made_with: what the records depend on; parts that depend on something else are refused.

    Attributes:
        done: prompts whose records were in the store when it was opened.
        journals: samples of unfinished prompts.

    Raises:
        InputError: the folder holds records made with something else, or other files, or cannot
            be written.
    """

    def __init__(self, folder: Path, made_with: Mapping[str, Any]) -> None:
        self.folder = folder
        self._waiting: list[PromptRecord] = []
        self._flushed = time.monotonic()
        identity = json.dumps(made_with, sort_keys=True, default=str)
        path = folder / IDENTITY
        stored = path.read_text() if path.is_file() else None
        if stored is None and folder.is_dir():  # in the end the whole folder is removed
            others = sorted(found.name for found in folder.iterdir() if found.name != LOCK)
            if others:
                hint = f"it holds {others[0]}, which is no calibration's; choose another --out"
                raise InputError("samples", str(folder), hint)
        self._parts = sorted(folder.glob("part-*.parquet"))
        # A folder without samples may be replaced.
        if self._parts and stored is not None and stored != identity:
            differing = _differences(json.loads(stored), json.loads(identity))
            raise InputError(
                "samples",
                str(folder),
                f"they were made with other {', '.join(differing)}; remove them, or choose "
                "another --out",
            )
        if stored != identity:
            with reports_unwritable("out", folder):
                folder.mkdir(parents=True, exist_ok=True)
                (folder / SCORING).unlink(missing_ok=True)
                with atomic_write(path) as scratch:
                    scratch.write_text(identity)
        self.done = set().union(*map(sampled_prompts, self._parts))
        models = {name: made_with.get(name) for name in ("engine", *MODELS, "verifier_family")}
        self.journals = Journals(folder / UNFINISHED, json.dumps(models))
        self.journals.remove(self.done)

    @property
    def scoring(self) -> Scoring | None:
        """The scoring that was fitted on the first samples; None until then."""
        path = self.folder / SCORING
        return Scoring.model_validate_json(path.read_bytes()) if path.is_file() else None

    @scoring.setter
    def scoring(self, fitted: Scoring) -> None:
        with atomic_write(self.folder / SCORING) as scratch:
            scratch.write_text(fitted.model_dump_json())

    async def fill(
        self,
        collector: Collector,
        prompts: Sequence[tuple[str, str]],
        work: Work,
        done: Callable[[PromptRecord | None], None] = lambda _: None,
    ) -> None:
        """Sample the prompts that are not stored yet; samples from before an error are kept.

        Args:
            collector: samples them.
            prompts: (prompt, right answer) pairs.
            work: what to sample of each.
            done: called with each prompt's record; with None for those that were stored already.

        Raises:
            InputError, ModelError: as `calibration.sampling.collect.collect`, or the disk is full.
        """

        missing = self.missing(prompts)
        kept = len(prompts) - len(missing)

        def keep(record: PromptRecord) -> None:
            nonlocal kept
            self.add(record)
            kept += 1
            done(record)

        for _ in range(kept):
            done(None)
        flushing = asyncio.ensure_future(self._flush_regularly())
        try:
            await collector.collect(missing, work, keep, self.journals)
        except ModelError as error:
            where = f"the samples of {kept} of {len(prompts)} prompts are kept in {self.folder}"
            raise ModelError(error.model, f"{error.what}; {where}") from error
        finally:
            flushing.cancel()
            self.flush()

    def missing(self, prompts: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        """The prompts that were not stored when the store was opened."""
        return [pair for pair in prompts if pair[0] not in self.done]

    def add(self, record: PromptRecord) -> None:
        """Store a record; while `fill` runs it is on disk within a second.

        Raises:
            InputError: the disk is full or missing; what was written before is kept.
        """
        self._waiting.append(record)
        if time.monotonic() - self._flushed > FLUSH_SECONDS:
            self.flush()

    async def _flush_regularly(self) -> None:
        """Write records regularly: with a slow model the next one may take hours."""
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            with suppress(InputError):  # the next record, or the end, reports it
                self.flush()

    def flush(self) -> None:
        """Write the records that are not on disk yet.

        Raises:
            InputError: they cannot be written.
        """
        if not self._waiting:
            return
        path = self.folder / f"part-{len(self._parts):06d}.parquet"
        with reports_unwritable("samples", path, KEPT):
            write_records(self._waiting, path)
        self._parts.append(path)
        self.journals.remove(record.prompt for record in self._waiting)
        self._waiting, self._flushed = [], time.monotonic()

    def records(self) -> list[PromptRecord]:
        """All records."""
        self.flush()
        return self._read()

    def _read(self) -> list[PromptRecord]:
        return [record for part in self._parts for record in read_records(part)]

    def remove(self) -> None:
        """Remove the parts: the artifact holds the records now."""
        shutil.rmtree(self.folder)
