"""The paper's figures, and which of its findings hold here."""

from benchmarks.pages.tables import Data, measured_by, table, targets

COMMAND = "python -m benchmarks.figures"
TITLES = {
    "F3": "Search methods against budget, and by difficulty",
    "F4": "Compute-optimal search",
    "F6": "Revisions: along a chain, and sequential against parallel",
    "F7": "The ratio of sequential to parallel, by budget and difficulty",
    "F8": "Compute-optimal revisions",
    "F9": "Test-time compute against a larger model",
    "appendix": "Aggregation, PRM against ORM, lookahead",
}


def short(figures: Data) -> str:
    """How many of each figure's findings hold."""
    rows = []
    for name, figure in figures["figures"].items():
        verdicts = [finding["verdict"] for finding in figure["findings"]]
        counts = (
            str(verdicts.count(v)) for v in ("holds", "does not hold", "cannot be told apart")
        )
        rows.append((f"{name}: {TITLES[name].lower()}", *counts))
    return table(("figure", "hold here", "do not", "cannot be told apart"), rows)


def full(figures: Data) -> str:
    """Each figure with its findings and its further numbers."""
    parts = [
        measured_by(COMMAND, figures),
        f"{figures['prompts']} held-out prompts. A finding holds where the whole interval is on "
        "its side, does not where all of it is on the other, and cannot be told apart otherwise. "
        "The last column says by how much, in points of accuracy unless times are named.",
    ]
    further = [row for row in figures["targets"] if row["name"].split(":")[0] in TITLES]
    for name, figure in figures["figures"].items():
        rows = ((f["claim"], f["verdict"], _measured(f)) for f in figure["findings"])
        parts += [
            f"### {name}: {TITLES[name]}",
            f"![{TITLES[name]}](figures/{name}.png)",
            table(("finding of the paper", "here", "by [95%]"), rows),
        ]
        claims = tuple(f"{name}: {finding['claim']}" for finding in figure["findings"])
        more = [
            row
            for row in further
            if row["name"].startswith(f"{name}:") and not row["name"].startswith(claims)
        ]
        if more:
            parts.append(targets(more))
    return "\n\n".join(parts)


def _measured(finding: Data) -> str:
    if finding["unit"] == "times":
        return "{:.1f} times [{:.1f}, {:.1f}]".format(*finding["measured"])
    return "{:+.1f} [{:+.1f}, {:+.1f}]".format(*(100 * value for value in finding["measured"]))
