"""The second use of the library: calibrate an artifact on a data set."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal, get_args

from allocator.errors import InputError
from allocator.latency import Latency
from allocator.plan import CONSIDERED, MOST_BEAMS, Plan, Strategy, plan_grid
from allocator.table import Fingerprint
from calibration.collect import PromptRecord, check_answers, in_order
from calibration.collectors import Work, open_collector
from calibration.evaluate import Replay
from calibration.fit import Calibration, fit, searches_needed
from calibration.resume import SampleStore, made_with
from calibration.scoring import SAMPLES as SCORING_SAMPLES
from calibration.scoring import fit_scoring
from calibration.store import write_records
from calibration.summarise import summarise
from calibration.summary import Summary
from runtime.artifact import (
    CURVES,
    LATENCY,
    ORACLE_TABLE,
    PRICES,
    PROSPECTS,
    REFERENCE,
    SETTINGS,
    TABLE,
    Settings,
)
from runtime.engines.loading import EngineName

if TYPE_CHECKING:
    from calibration.logs import Log

ScoringChoice = Literal["fitted", "verifier"]

SAMPLES = "samples.parquet"
LEAST_PROMPTS = 20
# Searches of each prompt: with one, plans that search would be chosen by its luck.
RUNS = 4


async def calibrate(
    prompts: Sequence[tuple[str, str]],
    settings: Settings,
    out: Path,
    *,
    budgets: Sequence[int],
    pilots: Sequence[int],
    n_bins: int,
    seed: int,
    engine: EngineName = "auto",
    strategies: Sequence[Strategy] = CONSIDERED,
    most_beams: int = MOST_BEAMS,
    runs: int = RUNS,
    scoring: ScoringChoice = "fitted",
    ray: str | None = None,
    workers: int | None = None,
    done: Callable[[PromptRecord | None], None] = lambda _: None,
) -> Calibration:
    """Sample the prompts, fit tables and predictor, and write the artifact folder whole.

    Args:
        prompts: (prompt, right answer) pairs.
        settings: models, answers and sampling; relative model folders count from here.
        out: the artifact folder, which must not exist yet.
        budgets: budgets of the table, in generations.
        pilots: numbers of pilot samples to choose among; 0 reads the prompt alone.
        n_bins: difficulty bins.
        seed: seed of all sampling.
        engine: which engine samples.
        strategies: strategies to choose among.
        most_beams: of the largest search.
        runs: how often each search is run of each prompt.
        scoring: ``fitted`` makes scores of the verifier's and of log-probabilities, see
            `runtime.scoring`; ``verifier`` leaves the verifier's as they are, as the paper does.
        ray: address of a Ray cluster that samples, or ``auto``; None samples here.
        workers: engines there; None takes one a GPU, or one a node.
        done: called with each prompt's record; with None for those that an earlier run has
            sampled already.

    Samples are kept beside `out` until the artifact is written; called again after an
    interruption, calibration goes on with them.

    Raises:
        InputError: unusable input; nothing is left behind, but samples if there are any.
    """
    _check_choices(out, budgets, pilots, n_bins, len(prompts))
    unknown = [name for name in strategies if name not in get_args(Strategy)]
    if unknown:
        raise InputError("strategies", unknown, f"choose from {', '.join(get_args(Strategy))}")
    for name, value in (("most-beams", most_beams), ("runs", runs)):
        if value < 1:
            raise InputError(name, value, "give at least 1")
    revising = [name for name in strategies if name in ("revisions", "beam_revisions")]
    if revising and settings.reviser is None:
        raise InputError("strategies", revising, "they need a reviser; name one with --reviser")
    here = Path()
    async with open_collector(settings, engine, ray, workers) as collector:
        if scoring == "fitted":
            first: list[PromptRecord] = []
            work = Work(SCORING_SAMPLES, (), settings.scoring, seed)
            await collector.collect(prompts, work, first.append)
            check_answers(first, settings.answers)
            fitted = fit_scoring(in_order(first, prompts))
            settings = settings.model_copy(update={"scoring": fitted})
        # Half of the samples are replayed, half measure difficulty.
        window = max(budgets)
        searches = searches_needed(budgets, pilots, strategies, most_beams)
        work = Work(2 * window, tuple(searches), settings.scoring, seed, runs)
        fingerprint = settings.fingerprint(here)
        store = SampleStore(
            out.with_name(f"{out.name}.samples"),
            made_with(fingerprint, collector.engine, prompts, work),
        )
        await store.fill(collector, prompts, work, done)
        texts = [prompt for prompt, _ in prompts]
        states = await collector.states(texts) if 0 in pilots else None
        paid = [Plan(strategy="best_of_n", n=count) for count in pilots if count]
        plans = plan_grid(window, 0, strategies, most_beams)
        seconds = await collector.seconds(texts, [*plans, *paid])
    records = in_order(store.records(), prompts)
    check_answers(records, settings.answers)
    replay = Replay(records, window, states=states)
    grid = partial(plan_grid, strategies=strategies, most_beams=most_beams)
    calibration = fit(replay, grid, budgets, pilots, n_bins, fingerprint)
    summary = summarise(
        replay,
        calibration,
        source=Path(settings.model).name if Path(settings.model).is_dir() else settings.model,
        selections=("weighted", "majority", "best"),
        strategies=strategies,
        samples=2 * window,
        sampled_tokens=sum(record.sampled_tokens for record in records),
    )
    with new_artifact(out, calibration, summary) as folder:
        Latency.of(seconds).save(folder / LATENCY)
        relative = settings.relative_to(out)
        (folder / SETTINGS).write_text(relative.model_dump_json(indent=1) + "\n")
        write_records(records, folder / SAMPLES)
    store.remove()
    return calibration


def calibrate_from_logs(
    log: "Log", out: Path, *, budgets: Sequence[int], pilots: Sequence[int], n_bins: int
) -> Calibration:
    """Fit tables and predictor on samples that exist already, and write the artifact folder whole.

    Its tables know best-of-n alone, by weighted selection if there are scores and by majority
    otherwise. It has no settings: there is no model to decode with.

    Args:
        log: the samples.
        out: the artifact folder, which must not exist yet.
        budgets: budgets of the table, in generations; those beyond half of the samples are left
            out.
        pilots: numbers of pilot samples to choose among; at least 1, for a log's prompts are not
            read.
        n_bins: difficulty bins.

    Raises:
        InputError: unusable input; nothing is left behind.
    """
    from calibration.logged import LoggedReplay

    replay = LoggedReplay(log)
    within = [budget for budget in budgets if budget <= replay.window]
    pilots = [paid for paid in pilots if paid]
    _check_choices(out, within, pilots, n_bins, replay.prompts)
    warnings = []
    if len(within) < len(budgets):
        warnings.append(
            f"budgets above {replay.window} are left out: of {2 * replay.window} samples a "
            "question, half measure its difficulty"
        )
    if log.left_out:
        warnings.append(f"{log.left_out} questions are left out: they have fewer samples")
    if not log.correct.any():
        raise InputError("correct", 0, "no sample of any question is correct; check the columns")
    selection = replay.selections[0]

    def grid(budget: int, paid: int) -> list[Plan]:
        plans = plan_grid(budget, paid, ("best_of_n",))
        return [plan.model_copy(update={"selection": selection}) for plan in plans]

    fingerprint = Fingerprint(
        model=f"log {log.digest}", verifier="log", answers="logged", sampling={}
    )
    calibration = fit(replay, grid, within, pilots, n_bins, fingerprint)
    summary = summarise(
        replay,
        calibration,
        source=log.name,
        selections=replay.selections,
        strategies=("best_of_n",),
        samples=log.answer.shape[1],
        sampled_tokens=0 if log.tokens is None else int(log.tokens.sum()),
        warnings=warnings,
    )
    with new_artifact(out, calibration, summary):
        pass
    return calibration


@contextmanager
def new_artifact(out: Path, calibration: Calibration, summary: Summary) -> Iterator[Path]:
    """A folder with all that tables need, for more to be put in; it takes its place at the end.

    Raises:
        InputError: the disk is full, or the folder cannot be written to.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f"{out.name}.", dir=out.parent) as scratch:
            folder = Path(scratch) / out.name
            folder.mkdir()
            calibration.table.save(folder / TABLE)
            calibration.oracle_table.save(folder / ORACLE_TABLE)
            for paid, known in calibration.difficulty.items():
                known.model.save(folder, paid)
            calibration.curves.save(folder / CURVES)
            calibration.prospects.prospects.save(folder / PROSPECTS)
            calibration.prospects.prices.save(folder / PRICES)
            calibration.reference.save(folder / REFERENCE)
            summary.save(folder)
            yield folder
            os.replace(folder, out)
    except OSError as error:
        raise InputError(
            "out",
            str(out),
            f"cannot be written ({error.strerror or error}); samples are kept: make room and run "
            "the same command again",
        ) from None


def _check_choices(
    out: Path, budgets: Sequence[int], pilots: Sequence[int], n_bins: int, prompts: int
) -> None:
    if out.exists():
        raise InputError("out", str(out), "it exists already; choose another folder, or remove it")
    if not budgets or min(budgets) < 1:
        raise InputError("budgets", list(budgets), "give one or more budgets of at least 1")
    if not any(pilots) or not 0 <= min(pilots) <= max(pilots) < max(budgets):
        raise InputError(
            "pilots",
            list(pilots),
            f"choose from 1 to {max(budgets) - 1}, below the top budget, and 0 beside others",
        )
    if n_bins < 1:
        raise InputError("bins", n_bins, "give at least 1")
    if prompts < LEAST_PROMPTS:
        raise InputError("prompts", prompts, f"calibration needs at least {LEAST_PROMPTS}")
