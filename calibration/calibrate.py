"""Calibrate an artifact on a data set of graded prompts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from allocator.errors import InputError
from allocator.latency import Latency
from allocator.lock import LOCK, exclusive
from allocator.plan import SEARCHES, Plan
from allocator.table import Fingerprint
from calibration.fitting.abort_threshold import fit_confidence
from calibration.fitting.fit import Calibration, fit, plans_with, searches_needed, top_samples
from calibration.fitting.log_scoring import SAMPLES as SCORING_SAMPLES
from calibration.fitting.log_scoring import fit_scoring
from calibration.fitting.race import leaders
from calibration.fitting.recorded_thoughts import recorded_thoughts
from calibration.fitting.thinking import fit_thinking
from calibration.fitting.token_table import TokenTable, fit_token_table
from calibration.new_artifact import new_artifact, parts_of
from calibration.replay.parallel import check_jobs
from calibration.replay.replay import Replay
from calibration.report.summarise import summarise
from calibration.report.summary import Summary
from calibration.sampling.collect import PromptRecord, Work, check_answers, in_order, unanswered
from calibration.sampling.collectors import Collector, open_collector
from calibration.sampling.resume import SampleStore, made_with
from calibration.sampling.steps import PROMPTS as STEP_PROMPTS
from calibration.sampling.steps import SAMPLES as STEP_SAMPLES
from calibration.sampling.steps import missing_steps, steps_of
from calibration.sampling.store import write_records
from calibration.settings import CalibrationSettings, check_tables
from predictors.scoring import Scoring
from runtime.artifact import SAMPLES
from runtime.engines.loading import EngineName
from runtime.settings import Settings
from runtime.solutions.thinker import deepest_cap
from runtime.verifiers.loading import VerifierEngine


async def calibrate(
    prompts: Sequence[tuple[str, str]],
    settings: Settings,
    out: Path,
    options: CalibrationSettings,
    *,
    engine: EngineName = "auto",
    verifier_engine: VerifierEngine = "auto",
    ray: str | None = None,
    workers: int | None = None,
    n_jobs: int | None = -1,
    done: Callable[[PromptRecord | None], None] = lambda _: None,
) -> Calibration:
    """Sample the prompts, fit tables and predictor, and write the whole artifact folder.

    Samples are kept in a folder beside `out` as they come, until the artifact is written: called
    again after an interruption, calibration resumes. One process at a time works on `out`.

    Args:
        prompts: (prompt, right answer) pairs.
        settings: models, answers and sampling; relative model folders are relative to the working
            directory.
        out: the artifact folder, which must not exist yet.
        options: what to sample of each prompt and which tables to fit.
        engine: which engine samples.
        verifier_engine: what runs the verifiers.
        ray: address of a Ray cluster that samples, or ``auto``; None samples in this process.
        workers: number of engines on the cluster; None takes one per GPU, or one per node.
        n_jobs: cores that fit the tables; see `calibration.replay.parallel`.
        done: called with each prompt's record; with None for those that an earlier run sampled.

    Raises:
        InputError: unusable input; nothing is left behind except samples, if there are any. Also
            solutions without steps where searches are considered, see `calibration.sampling.steps`.
    """
    check_jobs(n_jobs)
    check_tables(out, options.budgets, options.pilots, options.n_bins, len(prompts))
    options.check_searches(settings.reviser is not None, settings.verifier is not None)
    marks = settings.marks(Path()) if options.thinking else None
    max_tokens = settings.sampling.max_tokens
    options.check_thinking(None if marks is None else deepest_cap(max_tokens, marks))
    _check_confidence(settings)
    folder = out.with_name(f"{out.name}.samples")
    with exclusive(folder / LOCK, out):
        opening = open_collector(settings, engine, ray, workers, verifier_engine)
        async with opening as collector:
            sampled = await _sample(collector, prompts, settings, options, folder, done)
        settings = sampled.settings
        records = in_order(sampled.store.records(), prompts)
        check_answers(records, settings.answers)
        calibration, summary = _fit(records, sampled, options, n_jobs)
        written = _with_confidence(settings, records).relative_to(out)
        parts = parts_of(calibration, written, Latency.of(sampled.seconds))
        with new_artifact(out, parts, summary) as scratch:
            write_records(records, scratch / SAMPLES)
        sampled.store.remove()
    return calibration


@dataclass(frozen=True)
class _Sampled:
    """What was sampled.

    Attributes:
        store: holds the record of every prompt.
        settings: the settings, with the scoring that the samples have.
        searches: the searches that all prompts have.
        states: the model's state after each prompt, shape (prompts, hidden); None where no table
            reads it, or the engine has none.
        seconds: how long each plan takes.
    """

    store: SampleStore
    settings: Settings
    searches: Sequence[Plan]
    states: NDArray[np.float32] | None = None
    seconds: dict[Plan, float] = field(default_factory=dict)


async def _sample(
    collector: Collector,
    prompts: Sequence[tuple[str, str]],
    settings: Settings,
    options: CalibrationSettings,
    folder: Path,
    done: Callable[[PromptRecord | None], None],
) -> _Sampled:
    searches = searches_needed(options.budgets, options.pilots, options.grid)
    # Half of the samples are replayed, half measure difficulty.
    window = top_samples(options.budgets)
    depths = options.depths(window)
    plans = (*searches, *depths)
    work = Work(2 * window, plans, settings.scoring, options.seed, options.runs)
    made = made_with(settings.fingerprint(Path()), collector.engine, prompts, work)
    # Fitted weights follow from the rest, and are kept beside the samples.
    made |= {"scoring": options.scoring, "verifier_family": settings.verifier_family}
    made |= {"raced": options.raced}
    if settings.confidence is not None:
        made |= {"confidence": settings.confidence.model_dump()}
    store = SampleStore(folder, made)
    stepwise = any(plan.strategy in SEARCHES for plan in searches)
    if options.scoring == "fitted":
        fitted = await _fitted_scoring(store, collector, prompts, settings, options.seed, stepwise)
        settings = settings.model_copy(update={"scoring": fitted})
        work = replace(work, scoring=fitted)
    elif stepwise:
        first: list[PromptRecord] = []
        few = Work(STEP_SAMPLES, (), settings.scoring, options.seed)
        await collector.collect(prompts[:STEP_PROMPTS], few, first.append, store.journals)
        _check_steps(first, settings)
    # In a file of prompts the first ones may be the easiest, or of one subject.
    order = np.random.default_rng(options.seed).permutation(len(prompts))
    raced, others = (
        [prompts[i] for i in part] for part in np.split(order, [min(options.raced, len(order))])
    )
    await store.fill(collector, raced, work, done)
    if others:
        searches = leaders(Replay(in_order(store.records(), raced), window), searches)
        await store.fill(collector, others, replace(work, plans=(*searches, *depths)), done)
    sampled = _Sampled(store, settings, searches)
    texts = [prompt for prompt, _ in prompts]
    pilot_plans = [Plan(strategy="best_of_n", n=count) for count in options.pilots if count]
    considered = plans_with(searches, options.grid(max(options.budgets), 0))
    seconds = await collector.seconds(texts, [*considered, *pilot_plans])
    states = await collector.states(texts) if 0 in options.pilots else None
    return replace(sampled, states=states, seconds=seconds)


def _fit(
    records: Sequence[PromptRecord],
    sampled: _Sampled,
    options: CalibrationSettings,
    n_jobs: int | None,
) -> tuple[Calibration, Summary]:
    settings = sampled.settings
    window = top_samples(options.budgets)
    sizes = settings.sizes(Path())
    replay = Replay(records, window, states=sampled.states, n_jobs=n_jobs, sizes=sizes)
    fingerprint = settings.fingerprint(Path())

    def grid(budget: int, pilots: int) -> list[Plan]:
        return plans_with(sampled.searches, options.grid(budget, pilots))

    calibration = fit(replay, grid, options.budgets, options.pilots, options.n_bins, fingerprint)
    if options.thinking:
        likelihood = bool(settings.scoring.sqrt_nll)
        tokens = _token_table(records, replay, options, fingerprint, likelihood)
        thoughts = recorded_thoughts(records, options.thinking)
        thinking = fit_thinking(thoughts, n_jobs=n_jobs).policy
        warnings = (*calibration.warnings, *tokens.notes)
        calibration = replace(calibration, tokens=tokens, thinking=thinking, warnings=warnings)
    notes = [*unanswered(records, settings.sampling.max_tokens)]
    if missing := _missing_steps(records, settings):
        notes.append(f"{missing}; the verifier scores the others at their end alone")
    calibration = replace(calibration, warnings=(*calibration.warnings, *notes))
    summary = summarise(
        replay,
        calibration,
        source=Path(settings.model).name if Path(settings.model).is_dir() else settings.model,
        selections=("weighted", "majority", "best"),
        strategies=options.strategies,
        samples=2 * window,
        sampled_tokens=sum(record.sampled_tokens for record in records),
    )
    return calibration, summary


def _token_table(
    records: Sequence[PromptRecord],
    replay: Replay,
    options: CalibrationSettings,
    fingerprint: Fingerprint,
    likelihood: bool,
) -> TokenTable:
    """The table in tokens. Pilots are short: of the least depth, which may be no thought."""
    least = min(depth for depth in options.thinking if depth is not None)
    return fit_token_table(
        Replay(
            records,
            replay.window,
            n_jobs=replay.n_jobs,
            pilot_thinking=least,
            sizes=replay.sizes,
        ),
        options.thinking,
        options.token_budgets,
        options.pilots,
        options.n_bins,
        fingerprint,
        likelihood,
    )


async def _fitted_scoring(
    store: SampleStore,
    collector: Collector,
    prompts: Sequence[tuple[str, str]],
    settings: Settings,
    seed: int,
    stepwise: bool,
) -> Scoring:
    """The weights of scores, fitted on the first independent solutions of each prompt.

    The journals of these solutions are kept, and later sampling reuses them.

    Raises:
        InputError: no answer is right; or searches need steps and the solutions have none.
    """
    if (kept := store.scoring) is not None:
        return kept
    first: list[PromptRecord] = []
    work = Work(SCORING_SAMPLES, (), settings.scoring, seed)
    await collector.collect(prompts, work, first.append, store.journals)
    check_answers(first, settings.answers)
    if stepwise:
        _check_steps(first, settings)
    store.scoring = fitted = fit_scoring(in_order(first, prompts), settings.verifier is not None)
    return fitted


def _check_confidence(settings: Settings) -> None:
    if settings.confidence is not None and settings.confidence.threshold is not None:
        raise InputError(
            "confidence",
            settings.confidence.threshold,
            "calibration samples whole solutions and finds the threshold; leave it out",
        )


def _with_confidence(settings: Settings, records: Sequence[PromptRecord]) -> Settings:
    """The settings to run with: confidence with its threshold, as far as it is of use."""
    if settings.confidence is None:
        return settings
    fitted = fit_confidence(records, settings.confidence, settings.scoring)
    return settings.model_copy(update={"confidence": fitted})


def _check_steps(records: Sequence[PromptRecord], settings: Settings) -> None:
    if missing := _missing_steps(records, settings):
        raise InputError(
            "step_end",
            settings.sampling.step_end,
            f"{missing}. Without steps a search is best-of-N at a higher price: choose another "
            "--step-end, or --strategies best_of_n",
        )


def _missing_steps(records: Sequence[PromptRecord], settings: Settings) -> str | None:
    samples = [sample for record in records for sample in record.independent.samples]
    counts, texts = [steps_of(sample) for sample in samples], [sample.text for sample in samples]
    return missing_steps(counts, texts, settings.sampling.step_end)
