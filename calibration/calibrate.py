"""The second use of the library: calibrate an artifact on a data set."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

from allocator.errors import InputError
from allocator.plan import CONSIDERED, Strategy
from calibration.collect import PromptRecord, collect
from calibration.evaluate import Replay
from calibration.fit import Calibration, fit, searches_needed
from calibration.store import write_records
from runtime.artifact import ORACLE_TABLE, PREDICTOR, SETTINGS, TABLE, Settings, open_decoder
from runtime.engines.loading import EngineName

SAMPLES = "samples.parquet"
LEAST_PROMPTS = 20


async def calibrate(
    prompts: Sequence[tuple[str, str]],
    settings: Settings,
    out: Path,
    *,
    budgets: Sequence[int],
    pilots: int,
    n_bins: int,
    seed: int,
    engine: EngineName = "auto",
    strategies: Sequence[Strategy] = CONSIDERED,
    done: Callable[[PromptRecord], None] = lambda _: None,
) -> Calibration:
    """Sample the prompts, fit tables and predictor, and write the artifact folder whole.

    Args:
        prompts: (prompt, right answer) pairs.
        settings: models, answers and sampling; relative model folders count from here.
        out: the artifact folder, which must not exist yet.
        budgets: budgets of the table, in generations.
        pilots: pilot samples a prompt.
        n_bins: difficulty bins.
        seed: seed of all sampling.
        engine: which engine samples.
        strategies: strategies to choose among.
        done: called with each prompt's record.

    Raises:
        InputError: unusable input; nothing is left behind.
    """
    if out.exists():
        raise InputError("out", str(out), "it exists already; choose another folder, or remove it")
    if not budgets or min(budgets) < 1:
        raise InputError("budgets", list(budgets), "give one or more budgets of at least 1")
    if not 1 <= pilots < max(budgets):
        raise InputError(
            "pilots", pilots, f"choose from 1 to {max(budgets) - 1}, below the top budget"
        )
    unknown = [name for name in strategies if name not in get_args(Strategy)]
    if unknown:
        raise InputError("strategies", unknown, f"choose from {', '.join(get_args(Strategy))}")
    revising = [name for name in strategies if name in ("revisions", "beam_revisions")]
    if revising and settings.reviser is None:
        raise InputError("strategies", revising, "they need a reviser; name one with --reviser")
    if n_bins < 1:
        raise InputError("bins", n_bins, "give at least 1")
    if len(prompts) < LEAST_PROMPTS:
        raise InputError("prompts", len(prompts), f"calibration needs at least {LEAST_PROMPTS}")
    here = Path()
    fingerprint = settings.fingerprint(here)
    async with open_decoder(settings, here, engine) as decoder:
        searches = searches_needed(budgets, pilots, strategies)
        # Half of the samples are replayed, half measure difficulty.
        window = max(budgets)
        records = await collect(decoder, prompts, 2 * window, lambda *_: searches, seed, done)
    if not any(any(record.independent.correct) for record in records):
        raise InputError(
            "answers",
            settings.answers,
            "no sample of any prompt matched its answer; is 'answer' the bare answer, as this "
            f"reads it? (first prompt: expected {records[0].gold!r}, sampled "
            f"{records[0].independent.samples[0].answer!r})",
        )
    calibration = fit(Replay(records, window), budgets, pilots, n_bins, fingerprint, strategies)

    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f"{out.name}.", dir=out.parent) as scratch:
        folder = Path(scratch) / out.name
        folder.mkdir()
        relative = settings.relative_to(out)
        (folder / SETTINGS).write_text(relative.model_dump_json(indent=1) + "\n")
        calibration.table.save(folder / TABLE)
        calibration.oracle_table.save(folder / ORACLE_TABLE)
        calibration.predictor.save(folder / PREDICTOR)
        write_records(records, folder / SAMPLES)
        os.replace(folder, out)
    return calibration
