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

# What stands behind those that do not hold here; the measurements it rests on are on the same page.
WHY = {
    "F3": (
        "Why not all: the testbed's PRM tells hard prompts from easy ones, but hardly the right "
        "from the wrong solutions of one prompt (its AUC within a prompt is in "
        "[the testbed's table](#the-testbed)). A search that it guides alone follows its mistakes "
        "from the smallest budgets on. Guided by the fitted score, into which the log-probability "
        "goes too, beam search is about as good as best-of-N at every budget."
    ),
    "F4": (
        "Why not all: by the PRM alone no search is worth choosing (F3), and what is chosen on one "
        "half of 150 prompts is chosen partly by luck. By the fitted score accuracy is flat from "
        "16 generations on, so a gain at the same accuracy there hangs on tenths of a point."
    ),
    "F6": (
        "Why not: the reviser turns right attempts wrong about as often as wrong ones right (the "
        "table below), so attempts do not get better along a chain, and being alike they bring "
        "less than independent ones."
    ),
    "F7": "Why not: as in F6. What a chain gains nowhere outweighs what its likeness costs.",
    "F8": "Why not for certain: as in F6 and F7, ratios other than all parallel hardly pay here.",
    "F9": (
        "Why not all: in bins 1 to 3 both are right nearly always, the base model from about 16 "
        "generations on. In bin 4 it stays behind whatever it spends: what it does not find, no "
        "search of it does. So the first rows, of bins 1 to 4 together, hang on that bin. "
        "Differences are the base model's accuracy less the larger one's, in every row."
    ),
    "appendix": (
        "Why lookahead is above beam search here: rolled out to the end, a step is scored where "
        "the PRM is less often mistaken. Both stay far below best-of-N, as F3 explains."
    ),
}


def short(figures: Data) -> str:
    """How many of each figure's findings hold."""
    rows = []
    for name, figure in figures["figures"].items():
        verdicts = [finding["verdict"] for finding in figure["findings"]]
        counts = (
            str(verdicts.count(v)) for v in ("holds", "does not hold", "cannot be told apart")
        )
        rows.append((f"{name}: {TITLES[name]}", *counts))
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
        if name in WHY:
            parts.append(WHY[name])
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
