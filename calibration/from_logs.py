"""Calibrate an artifact on samples that exist already: logs, without a model."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from allocator.errors import InputError
from allocator.plan import Plan, Strategy, plan_grid
from allocator.table import Fingerprint
from calibration.attaching.attach import with_models
from calibration.attaching.scores import verifier_scoring
from calibration.data.answer_codes import CORRECT, UNANSWERED
from calibration.data.logged_figures import LoggedFigures
from calibration.data.questions import CalibratedOn
from calibration.data.sample_log import Log
from calibration.fitting.fit import Calibration, fit
from calibration.fitting.log_scoring import baseline_score, fit_log_scoring, log_scores
from calibration.fitting.thinking import fit_thinking
from calibration.new_artifact import fitted_policy, new_artifact, parts_of
from calibration.replay.log_replay import LoggedReplay
from calibration.replay.ways import Way
from calibration.report.summarise import cheapest_by, summarise
from calibration.report.summary import Summary
from calibration.settings import check_budgets, check_tables
from predictors.scoring import Scoring
from runtime.artifact import LOG_VERIFIER, LOGGED_FIGURES, QUESTIONS, FittedPolicy
from runtime.settings import Settings

STRATEGIES: tuple[Strategy, ...] = ("best_of_n",)  # searches cannot be replayed on logged samples


@dataclass(frozen=True)
class FittedLog:
    """What was fitted on a log.

    Attributes:
        log: the samples.
        scoring: how samples are scored; None where nothing but answers was logged.
        replay: the samples with their scores, each by a fit on other questions.
        calibration: the tables and models.
        baseline_score: see `calibration.fitting.log_scoring.baseline_score`.
    """

    log: Log
    scoring: Scoring | None
    replay: LoggedReplay
    calibration: Calibration
    baseline_score: str | None

    @property
    def fitted_policy(self) -> FittedPolicy:
        """What was fitted, as an artifact would give it back."""
        return fitted_policy(self.calibration, self.scoring)

    @property
    def cheapest(self) -> Way:
        """The way to spend that saves most, or the most accurate if none saves."""
        selections = self.replay.selections
        return cheapest_by(self.replay, self.calibration, selections, STRATEGIES, self._logged)

    @property
    def _logged(self) -> LoggedReplay:
        """The samples with the baseline's score, if one was logged."""
        name, scores = self.baseline_score, self.log.scores
        votes = None if name is None else scores.probabilities(name)
        return LoggedReplay(self.log, votes, n_jobs=self.replay.n_jobs)

    def summary(self, warnings: Sequence[str] = ()) -> Summary:
        """The results, for people."""
        tokens = self.log.tokens
        return summarise(
            self.replay,
            self.calibration,
            source=self.log.name,
            selections=self.replay.selections,
            strategies=STRATEGIES,
            samples=self.replay.window,
            sampled_tokens=0 if tokens is None else int(tokens.sum()),
            warnings=warnings,
            logged=self._logged,
        ).model_copy(update={"baseline_score": self.baseline_score})


def budgets_within(log: Log, budgets: Sequence[int]) -> list[int]:
    """The budgets that a log has samples for.

    Raises:
        InputError: there are none, or one is below 1.
    """
    check_budgets(budgets)
    within = [budget for budget in budgets if budget <= log.window]
    if not within:
        raise InputError("budgets", list(budgets), f"the log has {log.window} samples per question")
    return within


def calibrate_from_logs(
    log: Log,
    out: Path,
    *,
    budgets: Sequence[int],
    pilots: Sequence[int],
    n_bins: int,
    n_jobs: int | None = -1,
    settings: Settings | None = None,
) -> Calibration:
    """Fit tables and predictor on logged samples, and write the whole artifact folder.

    Without `settings` the artifact has none: there is no model to decode with. If the log has
    thoughts, what each cap leads to is in the summary, and a policy over width and depth in a file
    of its own.

    Args:
        log: the samples.
        out: the artifact folder, which must not exist yet.
        budgets, pilots, n_bins, n_jobs: as `fit_log` has them.
        settings: the models that the samples are of, and how they were sampled; of recorded
            traffic they are known.

    Raises:
        InputError: unusable input; nothing is left behind.
    """
    _check_pilots(pilots)
    within = budgets_within(log, budgets)
    check_tables(out, within, pilots, n_bins, len(log.answer))
    fitted = fit_log(log, budgets=budgets, pilots=pilots, n_bins=n_bins, n_jobs=n_jobs)
    summary = fitted.summary(_warnings(log, fitted.replay, budgets, within))
    parts = parts_of(fitted.calibration, scoring=fitted.scoring)
    if log.thoughts is not None:
        thinking = fit_thinking(log.thoughts, n_jobs=n_jobs)
        summary = summary.model_copy(update={"caps": thinking.caps})
        parts = replace(parts, thinking=thinking.policy)
    if settings is not None:
        scoring = verifier_scoring(fitted.scoring, {}).scoring
        parts = with_models(parts, settings.model_copy(update={"scoring": scoring}), out)
    with new_artifact(out, parts, summary, "the log is untouched") as folder:
        CalibratedOn.of(log.names).save(folder / QUESTIONS)
        LoggedFigures.of(log).save(folder / LOGGED_FIGURES)
    return fitted.calibration


def fit_log(
    log: Log,
    *,
    budgets: Sequence[int],
    pilots: Sequence[int],
    n_bins: int,
    n_jobs: int | None = -1,
) -> FittedLog:
    """Fit score, tables and predictor on logged samples.

    The tables hold best-of-n alone, weighted by a score that is fitted on everything logged of a
    sample, or by majority where only answers were. Every question is evaluated by a score that was
    fitted on other questions.

    Args:
        log: the samples.
        budgets: budgets of the table, in generations per prompt; those beyond the samples per
            question are left out.
        pilots: numbers of pilot samples to choose among; at least 1, because the prompts of a log
            are not read.
        n_bins: number of difficulty bins.
        n_jobs: see `calibration.replay.parallel`.

    Raises:
        InputError: no sample is correct, or there is a 0 among the pilots.
    """
    _check_pilots(pilots)
    _check_solved(log)
    scoring = held_out = served = None
    if (found := fit_log_scoring(log, n_jobs)) is not None:
        scoring, held_out = found.scoring, found.held_out
        served = log_scores(scoring, log)
    replay = LoggedReplay(log, held_out, n_jobs=n_jobs, served=served)
    selection = replay.selections[0]

    def grid(budget: int, paid: int) -> list[Plan]:
        plans = plan_grid(budget, paid, STRATEGIES)
        return [plan.model_copy(update={"selection": selection}) for plan in plans]

    fingerprint = Fingerprint(
        model=f"log {log.digest}",
        verifier=LOG_VERIFIER,
        answers=log.answers,
        scoring={} if scoring is None else scoring.dumped(),
        sampling={},
    )
    within = [budget for budget in budgets if budget <= replay.window]
    calibration = fit(replay, grid, within, pilots, n_bins, fingerprint, replay.window)
    return FittedLog(log, scoring, replay, calibration, baseline_score(log))


def _check_pilots(pilots: Sequence[int]) -> None:
    if 0 in pilots:
        raise InputError("pilots", 0, "the prompts of a log are not read; leave 0 out")


def _check_solved(log: Log) -> None:
    """Check that a log has a correct sample.

    Raises:
        InputError: it has none; the message has the log's notes, which may say why.
    """
    if log.correct.any():
        return
    why = "no sample of any question is correct; check the columns"
    if log.thoughts is not None and (log.thoughts.forced == CORRECT).any():
        ended = "an answer" if (log.answer == UNANSWERED).all() else "a right answer"
        why = (
            f"no thought ended with {ended}, but forced ones are right: of thoughts that were cut "
            "off, give the last forced answer as the answer, and false in a column finished"
        )
    raise InputError("correct", 0, "; ".join([why, *log.notes]))


def _warnings(
    log: Log, replay: LoggedReplay, budgets: Sequence[int], within: Sequence[int]
) -> list[str]:
    warnings = []
    if len(within) < len(budgets):
        warnings.append(
            f"budgets above {replay.window} are left out: the log has {replay.window} samples per "
            "question"
        )
    if max(within) > (half := replay.binned_budget):
        warnings.append(
            f"at budgets above {half} there are no curves by bin, and the table over measured "
            f"difficulty has one plan for all prompts: {replay.window - half} of the "
            f"{replay.window} samples per question measure difficulty there"
        )
    warnings += log.notes
    if log.left_out:
        warnings.append(f"{log.left_out} questions are left out: they have fewer samples")
    return warnings
