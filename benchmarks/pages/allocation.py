"""Savings by allocation method, difficulty prediction, a second task, and real traces."""

from collections.abc import Sequence

from benchmarks.pages.tables import Data, measured_by, saving, table, targets
from calibration.replay.curve_summary import Unit
from calibration.replay.saving_rows import SHARES
from calibration.replay.ways import WAYS
from calibration.report.words import UNITS, listed

COMMAND = "python -m benchmarks.allocation"
# The methods in the README: those that the library offers, and the upper bound.
NEARLY = min(SHARES)
CHIEF = (
    *WAYS.values(),
    "bound: every prompt known",
)


def short(allocation: Data) -> str:
    """The savings of the methods that the library offers."""
    first, second = allocation["arithmetic"], allocation["rewriting"]
    at, units = _budgets(first), [unit for unit in _units(first) if unit != "tokens"]
    return "\n\n".join(
        (
            f"{first['prompts']} held-out prompts of the testbed, {first['seeds']} seeds "
            f"(`{COMMAND}`, {allocation['seconds'] / 60:.0f} minutes). The table shows how many "
            f"times fewer {listed([UNITS[unit] for unit in units])} each method needs to get "
            f"{NEARLY:.0%} of the way from one solution's accuracy to that of best-of-N weighted "
            f"with N = {', '.join(map(str, at))}, with 95% intervals over prompts. All of the way "
            "is in [docs/results.md](docs/results.md): where a curve is flat, that depends on "
            "tenths of a point. A dash for a low end: in some resamples of the prompts, the method "
            "never gets there.",
            _savings([r for r in first["gains"] if r["method"] in CHIEF], at, units, NEARLY),
            "![Accuracy against generations](docs/allocation.png)",
            f"A second task, rewriting strings: {second['prompts']} held-out prompts, calibrated "
            "by `ttc calibrate` alone. At the same share of the way:",
            _savings(
                [row for row in second["gains"] if row["method"] in WAYS.values()],
                _budgets(second)[-1:],
                units,
                NEARLY,
            ),
            "![Accuracy against generations, rewriting](docs/allocation-rewriting.png)",
        )
    )


def full(allocation: Data) -> str:
    """Every table of the benchmark."""
    first, second = allocation["arithmetic"], allocation["rewriting"]
    names = ("spearman", "calibration error", "coverage", "width")
    parts = [
        measured_by(COMMAND, allocation),
        f"{first['prompts']} held-out prompts of the testbed, {first['seeds']} seeds. How many "
        "times less each method spends to reach the accuracy of best-of-N weighted, with every "
        "generation counted. A table's budget bounds what one prompt may cost; here somebody pays "
        "for the average, and uses only those budgets of the table that, on the calibration "
        "prompts, no other one matched with fewer generations:",
        _savings(first["gains"], _budgets(first), _units(first)),
        "The curves are almost flat at large budgets, so a tiny difference in accuracy changes "
        f"these factors a lot. The same at {NEARLY:.0%} of the way to that accuracy from one "
        "solution's:",
        _savings(first["gains"], _budgets(first), _units(first), NEARLY),
        targets(allocation["targets"]),
        "Accuracy of compute-optimal minus that of best-of-N weighted at equal budgets, in points:",
        table(
            [str(row["budget"]) for row in first["differences"]],
            [
                [
                    f"{100 * row['value']:+.1f} [{100 * row['low']:+.1f}, {100 * row['high']:+.1f}]"
                    for row in first["differences"]
                ]
            ],
        ),
        "Difficulty of these prompts, predicted and compared with fresh samples:",
        table(
            ("pilots", "Spearman", "calibration error", "coverage of 90% intervals", "their width"),
            (
                (pilots, *("{:.3f} [{:.3f}, {:.3f}]".format(*figures[name]) for name in names))
                for pilots, figures in first["difficulty"].items()
            ),
        ),
        "Regressors of difficulty on the same folds of 400 calibration prompts: Spearman "
        "correlation, and its difference from LightGBM's on the same inputs. The library uses "
        "LightGBM with pilots (the random forest hardly differs), and ridge without.",
        _regressors(first["regressors"]),
        f"A second task, rewriting strings, calibrated with `ttc calibrate` alone; "
        f"{second['prompts']} held-out prompts:",
        _savings(second["gains"], _budgets(second), _units(second)),
        f"At {NEARLY:.0%} of the way:",
        _savings(second["gains"], _budgets(second), _units(second), NEARLY),
    ]
    if "traces" in allocation:
        parts += _traces(allocation["traces"])
    return "\n\n".join(parts)


def _budgets(task: Data) -> list[int]:
    return sorted({row["budget"] for row in task["gains"]})


def _units(task: Data) -> list[Unit]:
    """The units in which its savings were counted."""
    counted = {row["unit"] for row in task["gains"]}
    return [unit for unit in UNITS if unit in counted]


def _regressors(rows: Sequence[Data]) -> str:
    return table(
        ("pilots", "inputs", "regressor", "Spearman", "difference from LightGBM"),
        (
            (
                str(row["pilots"]),
                row["inputs"],
                row["regressor"],
                *(
                    f"{row[name]['value']:.3f} [{row[name]['low']:.3f}, {row[name]['high']:.3f}]"
                    for name in ("spearman", "spearman_gain")
                ),
            )
            for row in rows
        ),
    )


def _traces(traces: Data) -> list[str]:
    models = list(traces.values())
    return [
        "Real traces of Qwen3 on three contests, using votes and lengths only, fitted on two "
        "contests and tested on the third. Mean samples per question needed to reach the accuracy "
        "of uniform majority with 64:",
        table(
            ("", *traces),
            (
                (
                    name,
                    *(
                        "{:.1f} [{:.1f}, {:.1f}]".format(*model["needed"][name]["samples"])
                        for model in models
                    ),
                )
                for name in models[0]["needed"]
            ),
        ),
    ]


def _savings(
    rows: Sequence[Data], at: Sequence[int], units: Sequence[Unit], share: float = 1.0
) -> str:
    found = {(r["method"], r["budget"], r["unit"]): saving(r) for r in rows if r["share"] == share}
    columns = [(budget, unit) for budget in at for unit in units]
    return table(
        ("method", *(f"{UNITS[unit]}, N = {budget}" for budget, unit in columns)),
        (
            (method, *(found[method, budget, unit] for budget, unit in columns))
            for method in dict.fromkeys(row["method"] for row in rows)
        ),
    )
