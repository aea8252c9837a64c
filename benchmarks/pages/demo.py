"""The demo: what allocation gains on held-out prompts."""

from benchmarks.pages.tables import Data, gain, measured_by, table

COMMAND = "make demo"


def short(demo: Data) -> str:
    """The gain in a sentence, a table and a picture."""
    gains = {(row["method"], row["unit"]): gain(row) for row in demo["gains"]}
    methods = dict.fromkeys(row["method"] for row in demo["gains"])
    rows = [(m, gains[m, "generations"], gains[m, "tokens"]) for m in methods]
    return "\n\n".join(
        (
            f"{demo['prompts']} held-out prompts of the testbed through `{demo['engine']}`, "
            f"{demo['seconds'] / 60:.0f} minutes on {demo['cores']} CPU cores (`{COMMAND}`). How "
            f"many times less each method spends than best-of-{demo['budget']} weighted, at the "
            "same accuracy, pilots counted, with 95% intervals over prompts:",
            table(("method", "generations", "tokens"), rows),
            "![Accuracy against average generations](docs/demo.png)",
        )
    )


def full(demo: Data) -> str:
    """Accuracy of each method by budget."""
    budgets = sorted({p["budget"] for curve in demo["curves"] for p in curve["points"]})
    rows = []
    for curve in demo["curves"]:
        points = {p["budget"]: p for p in curve["points"]}
        cells = [
            f"{p['accuracy']:.1%} [{p['low']:.0%}, {p['high']:.0%}]<br>{p['generations']:.1f}"
            if (p := points.get(budget))
            else ""
            for budget in budgets
        ]
        rows.append((curve["name"], *cells))
    return "\n\n".join(
        (
            measured_by(COMMAND, demo),
            f"{demo['prompts']} held-out prompts. Accuracy by budget, with the generations really "
            "spent on average below it:",
            table(("method", *map(str, budgets)), rows),
        )
    )
