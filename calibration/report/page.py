"""``ttc report``: one self-contained page of HTML, and its figures beside it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from allocator.errors import InputError
from allocator.files import atomic_write, reports_unwritable
from allocator.table import Fingerprint
from calibration.replay.ways import WAYS
from calibration.report import words
from calibration.report.advice import recommendations
from calibration.report.artifact_files import Contents
from calibration.report.figures import (
    PALETTE,
    Drawing,
    accuracy_figure,
    bins_figure,
    inline,
    reliability_figure,
)
from calibration.report.heatmap import heat_map
from calibration.report.methods import headline, is_oracle, measured_ways
from calibration.report.summary import Summary
from runtime.artifact import LOG_VERIFIER
from runtime.settings import MODELS, Settings

if TYPE_CHECKING:
    from markupsafe import Markup

REPORT = "report.html"


def write_report(folder: Path, out: Path) -> list[Path]:
    """Write an artifact's report.

    Args:
        folder: the artifact folder.
        out: the HTML file; each figure is written beside it, named after it, as SVG, and the first
            as PNG too.

    Returns:
        The files written, the page first.

    Raises:
        InputError: no artifact or no summary there, a damaged one, or `out` cannot be a file.
    """
    contents, summary = Contents.load(folder), Summary.load(folder)
    if out.is_dir() or not out.parent.is_dir():
        raise InputError("out", str(out), "give a file in a folder that exists")
    drawings = draw(summary)
    files = {out: page(contents, summary, drawings).encode()}
    for drawing in drawings:
        figure = out.with_name(f"{out.stem}-{drawing.name}.svg")
        files[figure] = drawing.wide.encode()
        if drawing.picture:
            files[figure.with_suffix(".png")] = drawing.picture
    for path, content in files.items():
        with (
            reports_unwritable("out", path, "the artifact is whole"),
            atomic_write(path) as scratch,
        ):
            scratch.write_bytes(content)
    return list(files)


def draw(summary: Summary) -> list[Drawing]:
    """The figures that a summary has data for."""
    everyone, *bins = summary.groups
    drawings = []
    if any(curve.points for curve in everyone.curves):
        axes = "Accuracy against generations per prompt, one curve per method."
        says = f"{axes} {words.title(summary)}"
        leading = WAYS[headline(summary) or "bins"]
        drawings.append(accuracy_figure(everyone, summary.baseline, leading, summary.gain, says))
    if any(curve.points for group in bins for curve in group.curves):
        says = f"The same curves in each of {len(bins)} bins, from the easiest to the hardest."
        drawings.append(bins_figure(bins, summary.baseline, says))
    if summary.predictor is not None and summary.predictor.reliability:
        correlation = summary.predictor.rank_correlation
        says = f"Measured against predicted pass@1; rank correlation {correlation:.2f}."
        drawings.append(reliability_figure(summary.predictor, says))
    return drawings


def page(contents: Contents, summary: Summary, drawings: list[Drawing]) -> str:
    """The page, as HTML."""
    everyone = summary.groups[0]
    return rendered(
        "page.html.jinja",
        title=words.title(summary),
        subtitle=words.subtitle(summary),
        chosen=words.chosen(summary),
        summary=summary,
        ways=measured_ways(everyone),
        prices=contents.price_rows,
        baseline=summary.baseline,
        has_oracle=any(is_oracle(curve.name) for curve in everyone.curves),
        figures={drawing.name: both(drawing) for drawing in drawings},
        table=heat_map(contents.table),
        oracle_table=heat_map(contents.oracle_table) if contents.oracle_table else None,
        token_table=heat_map(contents.tokens.table) if contents.tokens else None,
        contents=contents,
        made_with=made_with(contents.table.fingerprint, contents.settings),
        steps=recommendations(contents, summary),
        glossary=words.GLOSSARY,
    )


def rendered(template: str, **values: Any) -> str:
    """Render a template with the words, colours and style that all pages share."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("calibration.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": words.percent,
        "number": words.number,
        "flops": words.flops,
        "count": words.count,
        "factor": words.factor,
        "saving": words.saving,
        "spent": words.spent,
    }
    return environment.get_template(template).render(
        **values, interval=words.interval, palette=PALETTE
    )


def made_with(fingerprint: Fingerprint, settings: Settings | None) -> list[tuple[str, str]]:
    """Models with their fingerprints, and settings, as text; absent ones are left out.

    Args:
        fingerprint: a table's fingerprint.
        settings: settings that name the models; None if there are none.
    """
    rows: list[tuple[str, object]] = []
    for name, value in fingerprint.model_dump(exclude_none=True).items():
        if name == "aggregation" and fingerprint.verifier == LOG_VERIFIER:
            continue  # a log has every aggregation that was logged
        if isinstance(value, dict):
            rows += [(f"{name}: {inner}", of_inner) for inner, of_inner in value.items()]
        elif settings is not None and name in MODELS:
            rows.append((name, f"{getattr(settings, name)} ({value})"))
        else:
            rows.append((name, value))
    if settings is not None and settings.confidence is not None:
        rows.append(("confidence", words.confidence_words(settings.confidence)))
    return [(name.replace("_", " "), words.setting(value)) for name, value in rows]


def both(drawing: Drawing) -> "Markup":
    """A figure for wide and for narrow screens; the style sheet shows one of them."""
    from markupsafe import Markup, escape

    says = str(escape(drawing.says))
    shown = "".join(
        f'<div class="{width}">{inline(svg, f"{drawing.name}-{width}", says)}</div>'
        for width, svg in (("wide", drawing.wide), ("narrow", drawing.narrow))
    )
    return Markup(shown)
