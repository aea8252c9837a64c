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
        "Why not all: both verifiers are better than the paper's (their AUC is below), so that "
        "there are few errors to exploit: beam search is above best-of-N at N = 64, too, and "
        "best-of-64 solves many prompts of the hardest bin. In the easy bins both answer every "
        "prompt. The weaker PRM of the same size, whose backbone has seen half as many tokens, "
        "shows it: by its scores, too, in the figures below, beam search falls below best-of-N at "
        "N = 64, in the easy bins as well, as in the paper, and the hardest bin gains little. But "
        "then beam search is not clearly above anywhere."
    ),
    "F4": (
        "The gain is measured at 95% of the way: where best-of-N levels off, tenths of a point "
        "decide what all of the way costs; that is among the figures below. Votes are weighted "
        "by the score itself, as in the paper. The library's are sharpened, by which best-of-N "
        "gains most: what oracle bins save is then less, and not clearly above four times, as "
        "the figures below say. The artifact's own policy, which may end a prompt after its "
        "pilots, is in [the benchmark of "
        "allocation](#one-budget-for-all-prompts-and-stopping-early)."
    ),
    "F7": "Why undecided: in the easiest bin both ways answer every prompt.",
    "F8": (
        "Parallel attempts level off, so that the budget at which all of their accuracy is matched "
        "depends on tenths of a point; the finding is at 95% of the way."
    ),
    "F9": (
        "At equal FLOPs, with those of the verifier, which the paper leaves out: here it has one "
        "to three times the base model's parameters. Every difference is the base model's accuracy "
        "minus the larger model's. Searches and revisions of up to 64 generations were sampled; "
        "curves end there, mostly below what R = 0.16 allows. Where differences are small, further "
        "test prompts were compared, whose number is below: at R = 22 searches by a PRM of the "
        "model's size, at R = 0.16 revisions, each bin with the ratio that was best in it on the "
        "first prompts. The larger model was trained from three seeds, and its accuracy is their "
        "average."
    ),
    "appendix": (
        "The ways to read a PRM's steps, and the ORM, were compared on further test prompts, whose "
        "number is below, for they differ by tenths of a point. Why not all: each tells right "
        "solutions from wrong ones as well as the others, as their AUC says, and where the answer "
        "of the greatest score is taken nothing differs. What differs is the weight of a vote: a "
        "product of steps leaves wrong solutions hardly any, which helps, and the least step takes "
        "from right ones, which does not."
    ),
}


def short(figures: Data) -> str:
    """How many findings of each figure are reproduced."""
    rows = []
    for name, figure in figures["figures"].items():
        verdicts = [finding["verdict"] for finding in figure["findings"]]
        counts = (str(verdicts.count(verdict)) for verdict in VERDICTS)
        rows.append((f"{name}: {TITLES[name]}", *counts))
    parts = [table(("figure", "reproduced", "contradicted", "undecided"), rows)]
    if drawn := figures["figures"].get("F9", {}).get("trainings_drawn"):  # F9 may be left out
        left = sum(finding["verdict"] == "holds" for finding in drawn)
        parts.append(
            "Intervals are over prompts. F9 compares with the average of three trainings of the "
            f"larger model: with the trainings drawn, too, {left} of its {len(drawn)} findings are "
            "reproduced."
        )
    return "\n\n".join(parts)


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
            parts.append(" ".join((WHY[name], *_drawn(figure))))
        claims = tuple(f"{name}: {finding['claim']}" for finding in figure["findings"])
        more = [
            row
            for row in further
            if row["name"].startswith(f"{name}:") and not row["name"].startswith(claims)
        ]
        if more:
            parts.append(targets(more))
    return "\n\n".join(parts)


def _drawn(figure: Data) -> list[str]:
    """What is left of findings where the larger model's trainings are drawn, too."""
    if not (drawn := figure.get("trainings_drawn")):
        return []
    lost = [finding for finding in drawn if finding["verdict"] != "holds"]
    named = "; ".join(f"{finding['claim']} ({_measured(finding)})" for finding in lost)
    return [
        "The intervals are over prompts. One training differs from another by more: with the "
        f"trainings drawn, too, {len(drawn) - len(lost)} of the {len(drawn)} are reproduced (and "
        "draws of three say less than there is)" + (f"; undecided then: {named}." if lost else ".")
    ]


def _measured(finding: Data) -> str:
    if finding["unit"] == "times":
        return "{:.1f} times [{:.1f}, {:.1f}]".format(*finding["measured"])
    return "{:+.1f} [{:+.1f}, {:+.1f}]".format(*(100 * value for value in finding["measured"]))
