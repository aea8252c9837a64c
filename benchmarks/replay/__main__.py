"""Adaptive thinking, replayed on logged thoughts of Qwen3 models.

    python -m benchmarks.replay [FILE ...] [--models qwen3-0.6b,...] [--jobs N]

A FILE has the columns of the default one: thoughts with the answer forced every so many tokens.
Everything is fitted on AIME 2024, of all models together, and reported on AIME 2025 and HMMT
February 2025. The default file supplies AIME 2024 of the models that no FILE has it of.
"""

import argparse
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

from allocator.errors import InputError
from benchmarks.figure import COLOURS
from benchmarks.logged import DATA, OUT
from benchmarks.replay.findings import AUTOTTS, CONFIDENCE, row_of, targets_of
from benchmarks.replay.measure import (
    CONSISTENT,
    FITTED_ON,
    OWN,
    REPORTED,
    UNIFORM,
    Measured,
    Sources,
    fitted,
    measured,
    sources_of,
)
from benchmarks.targets import show_targets, write_result
from calibration.progress import console, progress

DEFAULT = DATA / "qwen3_probes.parquet"


def reported_models(sources: Sources, wanted: str) -> dict[str, list[str]]:
    """The models to report, and the benchmarks that each has.

    Args:
        sources: the samples.
        wanted: names of models, comma-separated, in any case; empty for all.

    Raises:
        InputError: a model of which there is nothing to report.
    """
    found: dict[str, list[str]] = {}
    for model, benchmark in sorted(sources):
        if benchmark in REPORTED:
            found.setdefault(model, []).append(benchmark)
    if not wanted:
        return found
    known = {model.lower(): model for model in found}
    names = [name.strip().lower() for name in wanted.split(",")]
    for name in names:
        if name not in known:
            raise InputError("models", name, f"must be one of {', '.join(known)}")
    return {known[name]: found[known[name]] for name in names}


def with_default(paths: list[Path]) -> dict[tuple[str, str], Path]:
    """The samples of the files; of the default file, what is fitted on, or all if it is alone."""
    if not paths:
        return sources_of([DEFAULT])
    found = sources_of(paths)
    if DEFAULT.is_file():
        others = sources_of([DEFAULT]).items()
        found |= {key: path for key, path in others if key[1] == FITTED_ON and key not in found}
    return found


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Accuracy against tokens, a panel per model."""
    from matplotlib import pyplot as plt

    size = (5.2 * len(rows), 4.6)
    figure, panels = plt.subplots(1, len(rows), figsize=size, layout="constrained", squeeze=False)
    colours = {UNIFORM: COLOURS[0], CONSISTENT: COLOURS[2], OWN: COLOURS[5]}
    for axes, row in zip(panels[0], rows, strict=True):
        for curve in row["curves"]:
            points = sorted(curve["points"], key=lambda point: point["tokens"])
            spent = [point["tokens"] / 1e3 for point in points]
            right = [point["accuracy"] for point in points]
            colour, own = colours[curve["name"]], curve["name"] == OWN
            axes.plot(spent, right, color=colour, lw=2.4 if own else 1.4, label=curve["name"])
            if own:
                bounds = [[point[end] for point in points] for end in ("low", "high")]
                axes.fill_between(spent, *bounds, color=colour, alpha=0.12, lw=0)
        at = row[CONSISTENT]
        axes.plot(at["tokens"][0] / 1e3, at["accuracy"][0], "o", color=COLOURS[2])
        published = AUTOTTS.get(row["model"], ())
        axes.plot(
            [tokens / 1e3 for _, tokens in published],
            [accuracy for accuracy, _ in published],
            "D",
            color=COLOURS[4],
            label="AutoTTS, published",
        )
        axes.set_xscale("log")
        axes.set_xlabel("thousand tokens per question")
        axes.set_ylabel("accuracy")
        axes.yaxis.set_major_formatter("{x:.0%}")
        axes.set_title(f"{row['model']}, {row['questions']} questions", loc="left")
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, loc="lower right", fontsize=8)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE")
    parser.add_argument("--models", default="", help="models to report, comma-separated")
    parser.add_argument("--jobs", type=int, default=-1, help="how many at a time; -1: all cores")
    given, started = parser.parse_args(), time.time()
    try:
        sources = with_default(given.files)
        models = reported_models(sources, given.models)
        with console.status(f"Fitting on {FITTED_ON}"):
            known = fitted(sources, given.jobs)
        results: dict[str, Measured] = {}
        with progress("Replaying", len(models)) as done:
            for model, benchmarks in models.items():
                results[model] = measured(sources, model, benchmarks, known, given.jobs)
                done(None)
    except InputError as error:
        parser.error(str(error))
    rows = [row_of(found, model) for model, found in results.items()]
    content = {
        "fitted_on": [model for model, benchmark in sorted(sources) if benchmark == FITTED_ON],
        "confidence": CONFIDENCE,
        "policy": known.policy.model_dump(mode="json"),
        "tried": [asdict(choice) for choice in known.tried],
        "models": rows,
        "seconds": time.time() - started,
    }
    targets = targets_of(results)
    write_result(OUT / "replay.json", content, targets)
    draw(rows, OUT / "replay.png")
    show_targets(targets)


if __name__ == "__main__":
    main()
