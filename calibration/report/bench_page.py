"""The page of ``ttc bench``, drawn from ``bench.json`` alone."""

from pathlib import Path

from allocator.files import atomic_write
from calibration.replay.ways import CHOSEN
from calibration.report import words
from calibration.report.bench_result import BenchResult
from calibration.report.figures import accuracy_figure
from calibration.report.page import both, made_with, rendered
from calibration.report.summary import Group, Summary

# Words that the page does not use.
UNUSED = ("oracle", "revisions")
GLOSSARY = {word: meaning for word, meaning in words.GLOSSARY.items() if word not in UNUSED}


def write_page(result: BenchResult, out: Path) -> None:
    """Write the page atomically."""
    with atomic_write(out) as scratch:
        scratch.write_text(page(result), encoding="utf-8")


def page(result: BenchResult) -> str:
    """The page, as HTML."""
    summary = as_summary(result)
    title = words.title(summary, result.policy)
    says = f"Accuracy against generations per prompt, one curve per method. {title}"
    everyone = summary.groups[0]
    units = words.shown_units(row.unit for row in result.gains)
    figure = accuracy_figure(everyone, result.baseline, result.policy, result.saving, says)
    return rendered(
        "bench.html.jinja",
        title=title,
        subtitle=words.subtitle(summary, result.policy),
        chosen=chosen(result),
        result=result,
        figure=both(figure),
        gained=list(dict.fromkeys(row.budget for row in result.gains)),
        units=units,
        spent=words.listed(list(units.values())),
        shares=list(dict.fromkeys(row.share for row in result.gains)),
        times={(row.method, row.budget, row.unit, row.share): row for row in result.gains},
        measured_with=measured_with(result),
        made_with=made_with(result.fingerprint, None),
        glossary=GLOSSARY,
    )


def chosen(result: BenchResult) -> str:
    """Which way to spend the gain is of, and who chose it, in a sentence."""
    if result.policy == CHOSEN:
        return (
            "Generations are spent in the way that each calibration found the cheapest; it was not "
            "chosen on these prompts."
        )
    if result.way is None:
        return (
            f"Generations are spent {words.spent('bins')}: the artifact's calibration did not "
            "compare ways to spend."
        )
    return (
        f"Generations are spent {words.spent(result.way)}, the way that the artifact's calibration "
        "leads with; it was not chosen on these prompts."
    )


def as_summary(result: BenchResult) -> Summary:
    """The same figures as a calibration's summary has them."""
    # A larger budget may take fewer pilots, and spend less: lines are drawn by what is spent.
    curves = [
        curve.model_copy(
            update={"points": tuple(sorted(curve.points, key=lambda point: point.generations))}
        )
        for curve in result.curves
    ]
    everyone = Group(
        name="all prompts",
        prompts=result.prompts,
        easiest=result.easiest,
        hardest=result.hardest,
        curves=tuple(curves),
    )
    return Summary(
        source=result.source,
        prompts=result.prompts,
        samples=result.samples,
        sampled_tokens=result.sampled_tokens,
        baseline=result.baseline,
        groups=(everyone,),
        gain=result.saving,
        warnings=result.warnings,
    )


def measured_with(result: BenchResult) -> list[tuple[str, str]]:
    """What was measured, where and with which versions, as text."""
    rows: list[tuple[str, object]] = [
        ("data set", result.source),
        ("artifact", result.artifact),
        ("engine", result.engine),
        ("searches sampled", ", ".join(result.searches) or "none"),
        ("seed", result.seed),
        ("date", result.date),
        ("machine", result.machine),
        ("python", result.python),
        *result.versions.items(),
    ]
    return [(name, words.setting(value)) for name, value in rows]
