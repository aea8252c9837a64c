"""The second use of the library: calibrate an artifact on a data set."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from allocator.errors import InputError
from allocator.latency import Latency
from allocator.plan import CONSIDERED, MAX_BEAMS, SEARCHES, Plan, Strategy, plan_grid
from allocator.table import Fingerprint
from calibration.fitting.fit import Calibration, fit, searches_needed, top_samples
from calibration.fitting.scoring import SAMPLES as SCORING_SAMPLES
from calibration.fitting.scoring import fit_scoring
from calibration.new_artifact import new_artifact, parts_of
from calibration.replay.replay import Replay
from calibration.report.summarise import summarise
from calibration.sampling.collect import PromptRecord, check_answers, in_order
from calibration.sampling.collectors import Collector, Work, open_collector
from calibration.sampling.lock import LOCK, check_writable, exclusive
from calibration.sampling.resume import SampleStore, made_with
from calibration.sampling.steps import PROMPTS as STEP_PROMPTS
from calibration.sampling.steps import SAMPLES as STEP_SAMPLES
from calibration.sampling.steps import missing_steps, steps_of
from calibration.sampling.store import write_records
from runtime.artifact import OF_LOGS, SAMPLES
from runtime.engines.loading import EngineName
from runtime.settings import Settings
from runtime.verifiers.scoring import Scoring

if TYPE_CHECKING:
    from calibration.data.sample_log import Log

ScoringChoice = Literal["fitted", "verifier"]

MIN_PROMPTS = 20
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
    max_beams: int = MAX_BEAMS,
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
        max_beams: of the largest search.
        runs: how often each search is run of each prompt.
        scoring: ``fitted`` makes scores of the verifier's and of log-probabilities, see
            `runtime.verifiers.scoring`; ``verifier`` leaves the verifier's as they are, as in the
            paper.
        ray: address of a Ray cluster that samples, or ``auto``; None samples here.
        workers: engines there; None takes one a GPU, or one a node.
        done: called with each prompt's record; with None for those that an earlier run has
            sampled already.

    Whatever is sampled is kept beside `out`, as it comes, until the artifact is written; called
    again after an interruption, calibration goes on with it. One process at a time works on `out`.

    Raises:
        InputError: unusable input; nothing is left behind, but samples if there are any. Also
            solutions without steps where searches are considered, see `calibration.sampling.steps`.
    """
    _check_choices(out, budgets, pilots, n_bins, len(prompts))
    unknown = [name for name in strategies if name not in get_args(Strategy)]
    if unknown:
        raise InputError("strategies", unknown, f"choose from {', '.join(get_args(Strategy))}")
    for name, value in (("most-beams", max_beams), ("runs", runs)):
        if value < 1:
            raise InputError(name, value, "give at least 1")
    revising = [name for name in strategies if name in ("revisions", "beam_revisions")]
    if revising and settings.reviser is None:
        raise InputError("strategies", revising, "they need a reviser; name one with --reviser")
    folder = out.with_name(f"{out.name}.samples")
    with exclusive(folder / LOCK, out):
        async with open_collector(settings, engine, ray, workers) as collector:
            # Half of the samples are replayed, half measure difficulty.
            window = top_samples(budgets)
            searches = searches_needed(budgets, pilots, strategies, max_beams)
            work = Work(2 * window, tuple(searches), settings.scoring, seed, runs)
            made = made_with(settings.fingerprint(Path()), collector.engine, prompts, work)
            # Fitted weights follow from the rest, and are kept beside the samples.
            made |= {"scoring": scoring, "verifier_family": settings.verifier_family}
            store = SampleStore(folder, made)
            stepwise = any(plan.strategy in SEARCHES for plan in searches)
            if scoring == "fitted":
                fitted = await _fitted_scoring(store, collector, prompts, settings, seed, stepwise)
                settings = settings.model_copy(update={"scoring": fitted})
                work = replace(work, scoring=fitted)
            elif stepwise:
                first: list[PromptRecord] = []
                few = Work(STEP_SAMPLES, (), settings.scoring, seed)
                await collector.collect(prompts[:STEP_PROMPTS], few, first.append, store.journals)
                _check_steps(first, settings)
            await store.fill(collector, prompts, work, done)
            texts = [prompt for prompt, _ in prompts]
            states = await collector.states(texts) if 0 in pilots else None
            paid = [Plan(strategy="best_of_n", n=count) for count in pilots if count]
            plans = plan_grid(max(budgets), 0, strategies, max_beams)
            seconds = await collector.seconds(texts, [*plans, *paid])
        records = in_order(store.records(), prompts)
        check_answers(records, settings.answers)
        replay = Replay(records, window, states=states)
        grid = partial(plan_grid, strategies=strategies, max_beams=max_beams)
        fingerprint = settings.fingerprint(Path())
        calibration = fit(replay, grid, budgets, pilots, n_bins, fingerprint)
        if missing := _missing_steps(records, settings):
            note = f"{missing}; the verifier reads the others at their end alone"
            calibration = replace(calibration, warnings=(*calibration.warnings, note))
        summary = summarise(
            replay,
            calibration,
            source=Path(settings.model).name if Path(settings.model).is_dir() else settings.model,
            selections=("weighted", "majority", "best"),
            strategies=strategies,
            samples=2 * window,
            sampled_tokens=sum(record.sampled_tokens for record in records),
        )
        parts = parts_of(calibration, settings.relative_to(out), Latency.of(seconds))
        with new_artifact(out, parts, summary) as scratch:
            write_records(records, scratch / SAMPLES)
        store.remove()
    return calibration


async def _fitted_scoring(
    store: SampleStore,
    collector: Collector,
    prompts: Sequence[tuple[str, str]],
    settings: Settings,
    seed: int,
    stepwise: bool,
) -> Scoring:
    """Weights of scores, from the first independent solutions of each prompt.

    Their journals stay: sampling goes on with them.

    Raises:
        InputError: no answer is right; or, where searches need steps, the solutions have none.
    """
    if (kept := store.scoring) is not None:
        return kept
    first: list[PromptRecord] = []
    work = Work(SCORING_SAMPLES, (), settings.scoring, seed)
    await collector.collect(prompts, work, first.append, store.journals)
    check_answers(first, settings.answers)
    if stepwise:
        _check_steps(first, settings)
    store.scoring = fitted = fit_scoring(in_order(first, prompts))
    return fitted


def calibrate_from_logs(
    log: "Log", out: Path, *, budgets: Sequence[int], pilots: Sequence[int], n_bins: int
) -> Calibration:
    """Fit tables and predictor on samples that exist already, and write the artifact folder whole.

    Its tables know best-of-n alone, by weighted selection if there are scores and by majority
    otherwise. It has no settings: there is no model to decode with.

    Args:
        log: the samples.
        out: the artifact folder, which must not exist yet.
        budgets: budgets of the table, in generations; those beyond the samples of a question are
            left out.
        pilots: numbers of pilot samples to choose among; at least 1, for a log's prompts are not
            read.
        n_bins: difficulty bins.

    Raises:
        InputError: unusable input; nothing is left behind.
    """
    from calibration.replay.log_replay import LoggedReplay

    replay = LoggedReplay(log)
    within = [budget for budget in budgets if budget <= replay.window]
    if 0 in pilots:
        raise InputError("pilots", 0, "the prompts of a log are not read; leave 0 out")
    _check_choices(out, within, pilots, n_bins, replay.prompts)
    warnings = []
    if len(within) < len(budgets):
        warnings.append(
            f"budgets above {replay.window} are left out: the log has so many samples a question"
        )
    if max(within) > (half := replay.binned_budget):
        warnings.append(
            f"at budgets above {half} there are no curves by bin, and the table over measured "
            f"difficulty has one plan for all prompts: {replay.window - half} of the "
            f"{replay.window} samples a question measure difficulty there"
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
        model=f"log {log.digest}", verifier=OF_LOGS, answers=log.answers, sampling={}
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
    with new_artifact(out, parts_of(calibration), summary, "the log is untouched"):
        pass
    return calibration


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


def _check_choices(
    out: Path, budgets: Sequence[int], pilots: Sequence[int], n_bins: int, prompts: int
) -> None:
    if out.exists():
        raise InputError("out", str(out), "it exists already; choose another folder, or remove it")
    check_writable(out)
    if not budgets or min(budgets) < 1:
        raise InputError("budgets", list(budgets), "give one or more budgets of at least 1")
    # At a budget of 1 no pilot can be paid for; one still tells what difficulty looks like.
    most = max(1, max(budgets) - 1)
    if not any(pilots) or not 0 <= min(pilots) <= max(pilots) <= most:
        raise InputError(
            "pilots",
            list(pilots),
            f"choose from 1 to {most}, below the top budget, and 0 beside others",
        )
    if n_bins < 1:
        raise InputError("bins", n_bins, "give at least 1")
    if prompts < MIN_PROMPTS:
        raise InputError("prompts", prompts, f"calibration needs at least {MIN_PROMPTS}")
