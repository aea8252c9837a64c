"""Recommendations, derived from a calibration's results."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile

from allocator.table import LookupTable
from calibration.replay.ways import Way
from calibration.report import snippets
from calibration.report.artifact_files import Contents
from calibration.report.methods import (
    MAJORITY,
    best,
    beyond,
    headline,
    is_oracle,
    measured_ways,
    named,
    policy_of,
)
from calibration.report.savings import NOTABLE
from calibration.report.summary import Group, PredictorSummary, Summary
from calibration.report.words import count, percent
from runtime.artifact import read_scoring

# If half the 95% interval of a bin's accuracy is wider, it hides differences between plans.
WIDE = 0.1
# Spearman's rank correlation below which the bins mix easy and hard prompts.
WEAK = 0.7
# Samples that must measure pass@1 for a weak correlation to be the predictor's fault. Where every
# pass@1 is equally frequent, a perfect predictor reaches 0.71 with two samples, 0.90 with eight.
MEASURED_BY = 8
HOPELESS = 0.1


@dataclass(frozen=True)
class Recommendation:
    """What to do and why, and how, if a command does it.

    Attributes:
        head: what to do.
        text: why.
        command: for a shell; in an artifact made from logs, a program.
        code: a program that does the same as the command.
    """

    head: str
    text: str
    command: str = ""
    code: str = ""


def recommendations(contents: Contents, summary: Summary) -> list[Recommendation]:
    """What to do next, the use of the artifact first."""
    return [
        *_use(contents, summary),
        *_sharpen(contents, summary),
        *_predict_better(contents, summary),
        *_search_further(contents, summary),
    ]


def _use(contents: Contents, summary: Summary) -> Iterator[Recommendation]:
    everyone, saved = summary.groups[0], summary.gain
    way, found = headline(summary), beyond(summary)
    if way is not None and found is not None:
        yield from _spend(contents, summary, way, found.point.generations, found.point.accuracy)
        return
    if saved is not None and saved.times > 1:
        yield from _spend(contents, summary, saved.way, saved.generations, saved.accuracy)
        return
    baseline = named(everyone, summary.baseline)
    if not baseline or not baseline.points:
        yield from _spend(contents, summary, "bins", contents.table.rows[-1].budget, 1)
        return
    top = best(baseline)
    least = top.accuracy - NOTABLE
    plain = next(point for point in baseline.points if point.accuracy >= least)
    cheaper = [
        (way, point)
        for way, curve in measured_ways(everyone).items()
        for point in curve.points
        if point.accuracy >= least and point.generations < plain.generations
    ]
    if not cheaper:
        by_votes = summary.baseline == MAJORITY
        said = f"Majority of {plain.budget}" if by_votes else f"Best-of-{plain.budget}"
        yield Recommendation(
            f"Use {'majority' if by_votes else 'best-of-N'} at budget {plain.budget}",
            f"Choosing by difficulty and stopping early saved nothing here. {said} "
            f"for every prompt reaches {percent(plain.accuracy)}"
            + ("." if plain is baseline.points[-1] else "; more gain less than a point."),
            _solve(contents, plain.budget, f"best_of_n:{plain.budget}" + by_votes * ":majority"),
        )
        return
    way, point = min(cheaper, key=lambda found: found[1].generations)
    why = (
        f"It comes within a point of {summary.baseline.split()[0]} at its best "
        f"({percent(top.accuracy)} with {count(top.generations, 'generation')}) for less. "
    )
    yield from _spend(contents, summary, way, point.generations, least, why)


def _spend(
    contents: Contents,
    summary: Summary,
    way: Way,
    generations: float,
    accuracy: float,
    why: str = "",
) -> Iterator[Recommendation]:
    """Use the artifact by one of its ways, with so many generations per prompt on average.

    By bins, the budget is the smallest whose measured accuracy is as high as requested.
    """
    folder, budget = contents.folder, contents.table.rows[-1].budget
    by_bins = policy_of(summary.groups[0])
    enough = [
        p.budget for p in (by_bins.points if by_bins else ()) if p.accuracy >= accuracy - 1e-9
    ]
    budget = int(enough[0]) if enough else budget
    requested = snippets.amount(way, budget if way == "bins" else generations)
    if contents.settings is None:
        yield from _without_models(contents, way, budget, snippets.amount("price", generations))
    else:
        head = {
            "bins": f"Answer prompts with budget {requested}",
            "price": f"Answer prompts at an average budget of {requested}",
            "total": f"Answer prompts together, within one total of {generations:.1f} for each",
        }[way]
        receipt = {
            "bins": "predicted difficulty, bin, plan and cost.",
            "price": "price, plan and cost.",
            "total": "plan and cost.",
        }[way]
        yield Recommendation(
            head,
            f"{why}Each answer comes with a receipt: {receipt}",
            snippets.command(folder, way, requested),
            snippets.program(folder, way, requested),
        )
    if way == "bins" and (enough_for_all := saturated(contents.table)) is not None:
        yield Recommendation(
            f"Do not pay for more than budget {enough_for_all}",
            f"From budget {enough_for_all} to {contents.table.rows[-1].budget} the table chooses "
            "the same plans: larger searches were not clearly better.",
        )


def _without_models(
    contents: Contents, way: Way, budget: int, average: float
) -> Iterator[Recommendation]:
    artifact, scoring = str(contents.folder), read_scoring(contents.folder)
    why = "The artifact was made from logs, so it names no models for ttc solve to load. "
    if way == "bins":
        yield Recommendation(
            "Use the table in your own program",
            f"{why}Give the table a budget and each prompt's predicted pass@1; it gives back the "
            "plans.",
            snippets.table_program(contents.folder, budget),
        )
    else:
        yield Recommendation(
            f"Stop early in your own program, at {average} generations per prompt on average",
            f"{why}The stop rule decides from each prompt's answers and scores so far: stop, or "
            "sample more. It loads no model.",
            snippets.stop_program(artifact, scoring, average),
        )
    yield Recommendation(
        "Attach models to solve and serve with it",
        "Once the models of the log are at hand, ttc attach writes an artifact that names them. "
        "It compares a few of their samples with the log first.",
        snippets.attach_command(artifact, scoring),
    )


def saturated(table: LookupTable) -> int | None:
    """The smallest budget whose plans all larger budgets share; None if the largest differs."""
    last = table.rows[-1]
    same = list(
        takewhile(
            lambda row: (row.pilots, row.edges, row.cells) == (last.pilots, last.edges, last.cells),
            reversed(table.rows),
        )
    )
    return same[-1].budget if len(same) > 1 else None


def _sharpen(contents: Contents, summary: Summary) -> Iterator[Recommendation]:
    if summary.gain is not None and summary.gain.low <= 1 < summary.gain.times:
        yield Recommendation(
            "Add prompts to be sure of the saving",
            f"The interval of the saving ({summary.gain.low:.1f} to {summary.gain.high:.1f} times) "
            f"includes 1, no saving at all. It rests on {summary.prompts:,} prompts; four times as "
            "many would halve its width, about.",
        )
    cells = [cell for row in contents.table.rows for cell in row.cells if len(row.cells) > 1]
    widest = max(cells, key=lambda cell: cell.high - cell.low, default=None)
    if widest and (half := (widest.high - widest.low) / 2) > WIDE:
        yield Recommendation(
            "Add prompts to tell plans apart within a bin",
            f"With {widest.prompts} prompts the least certain bin's accuracy is known to about "
            f"±{100 * half:.0f} points. Wherever plans differ by less, the cheaper one was taken. "
            "Four times the prompts halve the interval; fewer bins (--bins) help too.",
        )


def _predict_better(contents: Contents, summary: Summary) -> Iterator[Recommendation]:
    predictor = summary.predictor
    if predictor is None:
        yield Recommendation(
            "Give it something to predict difficulty from",
            "No predictor was fitted, so difficulty is not known before a prompt is answered. "
            "That takes a few scored solutions of each prompt.",
        )
    elif predictor.rank_correlation < WEAK and _well_measured(predictor):
        more = 2 * predictor.pilots
        pilots = f"Take more pilots (--pilots {more}), or use"
        if more >= contents.table.rows[-1].budget:
            pilots = "Use"
        yield Recommendation(
            "Improve the prediction of difficulty",
            f"Predicted and measured difficulty agree only in part (rank correlation "
            f"{predictor.rank_correlation:.2f}, where 1 is perfect). {pilots} a better verifier "
            "(ttc train prm).",
        )
    policy = policy_of(summary.groups[0])
    oracle = next((c for c in summary.groups[0].curves if is_oracle(c.name) and c.points), None)
    if policy and policy.points and oracle:
        missed = best(oracle).accuracy - best(policy).accuracy
        if missed > NOTABLE:
            yield Recommendation(
                "Better prediction of difficulty would pay",
                f"With difficulty known exactly, compute-optimal would reach "
                f"{percent(best(oracle).accuracy)}, {100 * missed:.1f} points more than with "
                "predicted difficulty. More pilots or a better verifier come closer to it.",
            )


def _well_measured(predictor: PredictorSummary) -> bool:
    return predictor.measured_by is None or predictor.measured_by >= MEASURED_BY


def _search_further(contents: Contents, summary: Summary) -> Iterator[Recommendation]:
    hardest = summary.groups[-1]
    top = _most(hardest)
    if len(summary.groups) > 1 and top is not None and top < HOPELESS:
        yield Recommendation(
            "The hardest prompts need another model",
            f"No method and no budget solves more than {percent(top)} of {hardest.name}. More "
            "samples will not help there: it takes a better language model, or a reviser "
            "(ttc train reviser).",
        )
    policy = policy_of(summary.groups[0])
    if policy and len(policy.points) > 1 and saturated(contents.table) is None:
        before, last = policy.points[-2:]
        if last.accuracy - before.accuracy > NOTABLE:
            yield Recommendation(
                "Try larger budgets",
                f"From budget {before.budget} to {last.budget} compute-optimal still gained "
                f"{100 * (last.accuracy - before.accuracy):.1f} points. Calibrate with larger ones "
                "(--budgets).",
            )


def _most(group: Group) -> float | None:
    return max((p.accuracy for curve in group.curves for p in curve.points), default=None)


def _solve(contents: Contents, budget: float, plan: str) -> str:
    if contents.settings is None:
        return ""
    return snippets.command(contents.folder, "bins", budget, plan)
