"""The demo: what the policy saves on held-out prompts at a budget chosen by calibration."""

from benchmarks.demo import MARGIN
from benchmarks.pages.tables import Data, measured_by, saving, table, targets
from calibration.report.words import UNITS, flops, listed

COMMAND = "make demo"


def short(demo: Data) -> str:
    """The methods compared, their results, and the picture."""
    return "\n\n".join(
        (
            f"{demo['prompts']} held-out prompts of the testbed through `{demo['engine']}`, "
            f"{demo['seconds']:.0f} seconds on {demo['machine']} (`{COMMAND}`). " + _chosen(demo),
            _methods(demo),
            _gained(demo),
            "![Accuracy against average generations](docs/demo.png)",
        )
    )


def full(demo: Data) -> str:
    """Every table of the demo."""
    groups = [
        (
            f"{group['pass_at_1']:.0%}",
            str(group["prompts"]),
            f"{group['generations']:.1f}",
            f"{group['accuracy']:.0%}",
            f"{group['baseline']:.0%}",
        )
        for group in demo["difficulty"]
    ]
    budgets = [f"{point['generations']:g}" for point in demo["curve"]]
    curve = [
        f"{point['value']:.1%} [{point['low']:.0%}, {point['high']:.0%}]" for point in demo["curve"]
    ]
    return "\n\n".join(
        (
            measured_by(COMMAND, demo),
            f"{demo['prompts']} held-out prompts. {_chosen(demo)}",
            _methods(demo),
            _gained(demo),
            "By true difficulty, the easiest prompts first:",
            table(
                (
                    "true pass@1",
                    "prompts",
                    "policy's generations",
                    "policy correct",
                    "baseline correct",
                ),
                groups,
            ),
            "Best-of-N weighted with fewer of the same samples:",
            table(budgets, [curve]),
            targets(demo["targets"]),
        )
    )


def _chosen(demo: Data) -> str:
    found = demo["calibration"]
    return (
        "The policy's method and budget were chosen on the calibration prompts: the cheapest that "
        f"is {100 * MARGIN:.0f} points more accurate than best-of-{demo['budget']} weighted, which "
        f'has {found["baseline"]:.1%} there. That is "{demo["method"]}" at '
        f"{found['generations']:.1f} generations per prompt, with {found['accuracy']:.1%}."
    )


def _methods(demo: Data) -> str:
    rows = [
        (
            method["name"],
            f"{right['value']:.1%} [{right['low']:.0%}, {right['high']:.0%}]",
            f"{method['generations']:.1f}",
            f"{method['tokens']:,.0f}",
            *([flops(method["flops"])] if "flops" in method else []),
            f"{method['seconds']:.0f}",
        )
        for method, right in zip(demo["methods"], demo["accuracy"], strict=True)
    ]
    costs = [f"{UNITS[unit]} per prompt" for unit in demo["gains"]]
    return table(("method", "accuracy [95%]", *costs, "seconds"), rows)


def _gained(demo: Data) -> str:
    matched, policy = demo["matched"], demo["methods"][0]
    fewer = [f"{saving(row)} times fewer {UNITS[unit]}" for unit, row in demo["gains"].items()]
    low, middle, high = (f"{100 * demo['difference'][k]:+.1f}" for k in ("low", "value", "high"))
    return (
        f"The policy spent {listed(fewer)}; its accuracy is {middle} [{low}, {high}] "
        "points relative to the baseline. To reach the policy's accuracy, best-of-N weighted needs "
        f"{matched['value']:.1f} [{matched['low']:.1f}, {matched['high']:.1f}] generations per "
        f"prompt (counted as {demo['budget']} if it does not reach it). The policy spent "
        f"{policy['generations']:.1f} where {demo['calibration']['generations']:.1f} were "
        "requested: over a few hundred prompts, many of them in flight at once, a requested "
        "average is met only approximately."
    )
