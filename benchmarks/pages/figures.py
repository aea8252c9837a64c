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
        "Why not all: a PRM made of the base model itself judges hardly better than votes, so that "
        "beam search by it is at most level with best-of-N, and falls below it at N = 64; in the "
        "easy bins both answer every prompt. Guided by the fitted score, which rests on a "
        "stronger model's likelihoods, beam search is above best-of-N at every budget: there are "
        "few errors of the verifier to exploit, and it does not fall below at N = 64."
    ),
    "F4": (
        "Why undecided: by a PRM of the model's size best-of-N levels off at the accuracy of "
        "votes, and a tenth of a point changes the gain many times. By the fitted score the gain "
        "is above 4, and the interval begins just below. The artifact's own policy, which may end "
        "a prompt after its pilots, is in "
        "[the benchmark of allocation](#one-budget-for-all-prompts-and-stopping-early)."
    ),
    "F7": "Why undecided: in the easiest bin both ways answer every prompt.",
    "F8": (
        "Why undecided: parallel attempts level off, so that the budget at which they are matched "
        "hangs on tenths of a point."
    ),
    "F9": (
        "Why not all: the larger model answered 150 of the prompts. Search by a PRM of the model's "
        "size stays below the larger model in bin 4. Revisions, and search by the fitted score, "
        "are about as accurate as the larger model over all prompts, so that it does not beat them "
        "even where inference is dear (R = 22). Every difference is the base model's accuracy "
        "minus the larger model's."
    ),
    "appendix": (
        "Why not all: the PRM's steps are read from likelihoods that add up along the solution, so "
        "that its last step and its least are nearly the same figure. At equal cost lookahead is "
        "within a point of beam search."
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
