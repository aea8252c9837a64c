"""An artifact, and the difference of two, for the terminal."""

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from allocator.latency import Latency
from allocator.price import PricePoint
from calibration.cli.console import new_table, render_table
from calibration.replay.ways import WAYS
from calibration.report.artifact_files import Contents
from calibration.report.diff import TableDiff
from calibration.report.page import made_with
from calibration.report.summary import Summary
from calibration.report.words import chosen, count, number, percent, saving, spent, subtitle, title


def inspected(contents: Contents) -> Iterator[RenderableType]:
    """Result, table, settings, predictor and warnings, as far as the artifact holds them."""
    summary = contents.summary
    if summary is None:
        yield Text("It has no summary.json, so predictor and gain are unknown.")
    else:
        yield Text(title(summary), style="bold")
        yield Text(" ".join((subtitle(summary), chosen(summary))).strip())
        if summary.ways:
            yield _ways(summary)
    yield render_table(contents.table)
    if contents.tokens is not None:
        yield render_table(contents.tokens.table)
    if contents.price_rows:
        yield _bought(contents.price_rows)
    if contents.latency.timed:
        yield _timed(contents.latency)
    made_with_table = new_table("The table holds for this, and for nothing else", "made with", "")
    for name, value in made_with(contents.table.fingerprint, contents.settings):
        made_with_table.add_row(escape(name), escape(value))
    yield made_with_table
    if contents.settings is None:
        yield Text("No settings: it was made from logs. ttc attach gives it models to run.")
    if summary is not None:
        yield from _summarised(summary)


def _ways(summary: Summary) -> Table:
    first, counted = summary.ways[0], any(saved.flops is not None for saved in summary.ways)
    shown = new_table(
        f"How many times fewer than {summary.baseline}, which takes {number(first.baseline)} "
        f"generations for {percent(first.accuracy)} [95%]",
        *("way", "spent", "generations", "tokens", *(["FLOPs"] if counted else [])),
    )
    by_way = {saved.way: saved for saved in summary.ways}
    for way in WAYS:
        if (saved := by_way.get(way)) is None:
            shown.add_row(spent(way), "", "not reached", "")
            continue
        others = [saved.tokens, saved.flops] if counted else [saved.tokens]
        cells = ("not counted" if cost is None else saving(cost) for cost in others)
        shown.add_row(spent(way), number(saved.generations), saving(saved), *cells)
    return shown


def _bought(points: Sequence[PricePoint]) -> Table:
    """Average budgets, and accuracy on the calibration prompts."""
    shown = new_table("What --average-budget buys", "average budget", "accuracy", "price")
    for point in points:
        shown.add_row(f"{point.generations:.1f}", percent(point.accuracy), f"{point.price:.2g}")
    return shown


def _timed(latency: Latency) -> Table:
    shown = new_table("One prompt at a time", "plan", "seconds, for --deadline")
    for timed in latency.timed:
        shown.add_row(str(timed.plan), f"{timed.seconds:.3g}")
    return shown


def differences(diff: TableDiff) -> Iterator[RenderableType]:
    """All differences, those of the fingerprints first."""
    if diff.empty:
        yield Text(f"No differences ({count(diff.compared, 'cell')} compared).")
        return
    changes = [*diff.made_with, *diff.budgets, *diff.rows]
    if changes:
        shown = new_table("Made and laid out differently", "where", "what", "A", "B")
        for change in changes:
            values = _shown(change.before), _shown(change.after)
            shown.add_row(change.where, change.what, *values)
        yield shown
    if diff.cells:
        shown = new_table(
            "Plans and accuracies", "budget", "bin", "plan", "accuracy", "B less A [95%]"
        )
        for cell in diff.cells:
            plans = str(cell.before.plan), str(cell.after.plan)
            shown.add_row(
                str(cell.budget),
                str(cell.bin or "all"),
                plans[0] if plans[0] == plans[1] else "\n-> ".join(plans),
                f"{percent(cell.before.accuracy)} -> {percent(cell.after.accuracy)}",
                f"{_points(cell.difference)} [{_points(cell.low)}, {_points(cell.high)}]"
                + ("\nsignificant" if cell.significant else ""),
                style="bold" if cell.significant else "",
            )
        yield shown
    if diff.whole:
        shown = new_table("Over all prompts", "budget", "accuracy", "B less A [95%]")
        for whole in diff.whole:
            shown.add_row(
                str(whole.budget),
                f"{percent(whole.before.accuracy)} -> {percent(whole.after.accuracy)}",
                f"{_points(whole.difference)} [{_points(whole.low)}, {_points(whole.high)}]"
                + ("\nsignificant" if whole.significant else ""),
                style="bold" if whole.significant else "",
            )
        yield shown
    significant = sum(cell.significant for cell in diff.cells)
    yield Text(
        f"{count(diff.compared, 'cell')} compared, {significant} with a significant difference "
        "in accuracy (95%, Holm-corrected over all of them), in points."
    )


def _summarised(summary: Summary) -> Iterator[RenderableType]:
    yield Text(
        f"{summary.source}: {count(summary.prompts, 'prompt')}, "
        f"{count(summary.samples, 'independent solution')} each, "
        f"{count(summary.sampled_tokens, 'token')} sampled."
    )
    if summary.predictor is not None:
        yield Text(
            f"Predictor: {count(summary.predictor.pilots, 'pilot')}, rank correlation "
            f"{summary.predictor.rank_correlation:.2f} with measured pass@1 on unseen prompts."
        )
    for warning in summary.warnings:
        yield Text(f"warning: {warning}", style="yellow")


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(f"{edge:g}" for edge in value)
    return "none" if value is None else escape(str(value).replace("\n", r"\n"))


def _points(value: float) -> str:
    return f"{100 * value:+.1f}"
