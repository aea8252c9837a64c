"""Calibrate an artifact on samples that exist already: logs, without a model."""

from collections.abc import Sequence
from pathlib import Path

from allocator.errors import InputError
from allocator.plan import Plan, plan_grid
from allocator.table import Fingerprint
from calibration.data.sample_log import Log
from calibration.fitting.fit import Calibration, fit
from calibration.new_artifact import new_artifact, parts_of
from calibration.replay.log_replay import LoggedReplay
from calibration.report.summarise import summarise
from calibration.settings import check_tables
from runtime.artifact import OF_LOGS


def calibrate_from_logs(
    log: Log,
    out: Path,
    *,
    budgets: Sequence[int],
    pilots: Sequence[int],
    n_bins: int,
    n_jobs: int | None = -1,
) -> Calibration:
    """Fit tables and predictor on logged samples, and write the whole artifact folder.

    The tables hold best-of-n alone, by weighted selection if there are scores and by majority
    otherwise. The artifact has no settings: there is no model to decode with.

    Args:
        log: the samples.
        out: the artifact folder, which must not exist yet.
        budgets: budgets of the table, in generations per prompt; those beyond the samples per
            question are left out.
        pilots: numbers of pilot samples to choose among; at least 1, because the prompts of a log
            are not read.
        n_bins: number of difficulty bins.
        n_jobs: see `calibration.replay.parallel`.

    Raises:
        InputError: unusable input; nothing is left behind.
    """
    replay = LoggedReplay(log, n_jobs=n_jobs)
    within = [budget for budget in budgets if budget <= replay.window]
    if 0 in pilots:
        raise InputError("pilots", 0, "the prompts of a log are not read; leave 0 out")
    check_tables(out, within, pilots, n_bins, replay.prompts)
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
        warnings=_warnings(log, replay, budgets, within),
    )
    with new_artifact(out, parts_of(calibration), summary, "the log is untouched"):
        pass
    return calibration


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
    if log.left_out:
        warnings.append(f"{log.left_out} questions are left out: they have fewer samples")
    return warnings
