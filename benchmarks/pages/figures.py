"""The paper's figures, and which of its findings are reproduced here."""

from benchmarks.pages.tables import Data, measured_by, table, targets

COMMAND = "python -m benchmarks.figures"
# What the pages call the verdicts of the benchmark.
VERDICTS = {
    "holds": "reproduced",
    "does not hold": "contradicted",
    "cannot be told apart": "undecided",
}
TITLES = {
    "F3": "Search methods against budget, and by difficulty",
    "F4": "Compute-optimal search",
    "F6": "Revisions: along a chain, and sequential against parallel",
    "F7": "The ratio of sequential to parallel, by budget and difficulty",
    "F8": "Compute-optimal revisions",
    "F9": "Test-time compute against a larger model",
    "appendix": "Aggregation, PRM against ORM, lookahead",
}

# Why some findings are not reproduced; the measurements behind it are on the same page.
WHY = {
    "F3": (
        "Why not all: the testbed's PRM separates hard prompts from easy ones well, but correct "
        "from incorrect solutions of one prompt poorly (its AUC within a prompt is in "
        "[the testbed's table](#the-testbed)). A search guided by the PRM alone therefore exploits "
        "its errors at every budget. Guided by the fitted score, which includes the "
        "log-probability, beam search is about as good as best-of-N at every budget."
    ),
    "F4": (
        "Why not all: by the PRM alone no search is better than best-of-N (F3), so a search chosen "
        "on one half of 150 prompts is partly noise. By the fitted score, accuracy is almost flat "
        "beyond 16 generations, so a gain at equal accuracy depends on differences of tenths of a "
        "point."
    ),
    "F6": (
        "Why not: the reviser changes correct attempts to incorrect ones about as often as the "
        "reverse (table below), so attempts do not improve along a chain. Attempts of a chain are "
        "similar, so they are worth less than independent ones."
    ),
    "F7": "Why not: as in F6. The gain of a chain never outweighs the cost of similar attempts.",
    "F8": "Why undecided: as in F6 and F7, ratios other than fully parallel gain little here.",
    "F9": (
        "Why not all: in bins 1 to 3 both models are nearly always correct, the base model from "
        "about 16 generations on. In bin 4 the base model is less accurate at every budget: search "
        "cannot select a correct solution that the model does not sample. That bin decides the "
        "first rows, over bins 1 to 4 together. Every difference is the base model's accuracy "
        "minus the larger model's."
    ),
    "appendix": (
        "Why lookahead is above beam search here: a rollout moves the score closer to the end of "
        "the solution, where the PRM is more accurate. Both stay far below best-of-N, as F3 "
        "explains."
    ),
}


def short(figures: Data) -> str:
    """How many findings of each figure are reproduced."""
    rows = []
    for name, figure in figures["figures"].items():
        verdicts = [finding["verdict"] for finding in figure["findings"]]
        counts = (str(verdicts.count(verdict)) for verdict in VERDICTS)
        rows.append((f"{name}: {TITLES[name]}", *counts))
    return table(("figure", "reproduced", "contradicted", "undecided"), rows)


def full(figures: Data) -> str:
    """Each figure with its findings and its further numbers."""
    parts = [
        measured_by(COMMAND, figures),
        f"{figures['prompts']} held-out prompts. A finding is reproduced if the whole interval is "
        "on its side, contradicted if the whole interval is on the other side, and undecided "
        "otherwise. The last column is the measured difference, in points of accuracy unless it "
        "says times.",
    ]
    further = [row for row in figures["targets"] if row["name"].split(":")[0] in TITLES]
    for name, figure in figures["figures"].items():
        rows = ((f["claim"], VERDICTS[f["verdict"]], _measured(f)) for f in figure["findings"])
        parts += [
            f"### {name}: {TITLES[name]}",
            f"![{TITLES[name]}](figures/{name}.png)",
            table(("finding of the paper", "here", "measured [95%]"), rows),
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
