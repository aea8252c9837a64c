"""Other libraries on the same work."""

from benchmarks.pages.tables import Data, measured_by, table, targets
from benchmarks.peers.measure import HEADS, cells_of

COMMAND = "python -m benchmarks.peers"
# Measured with both verifiers' passes logged.
CAUSE = (
    "What its_hub's best-of-N does not do: score a prompt whose solutions are all alike, as those "
    "of easy prompts often are with N = 4, and ask the server for log-probabilities, which our "
    "fitted score reads. Ours scores every solution, for receipts and the watch for drift read the "
    "scores. Where a run takes few seconds, turns differ by more than most of these ratios."
)


def short(peers: Data) -> str:
    """One row per contender: its accuracy and time at each budget."""
    budgets = sorted({row["budget"] for row in peers["rows"]})
    found = {(row["library"], row["method"], row["budget"]): row for row in peers["rows"]}
    contenders = dict.fromkeys((row["library"], row["method"]) for row in peers["rows"])
    heads = [f"{what}, N = {n}" for n in budgets for what in ("accuracy", "seconds")]
    rows = []
    for library, method in contenders:
        cells = []
        for budget in budgets:
            row = found[library, method, budget]
            cells += [f"{row['accuracy']:.1%}", f"{row['seconds']:.1f}"]
        rows.append((f"{library}: {method}", *cells))
    return table(("", *heads), rows)


def full(peers: Data) -> str:
    """The results of each contender, the comparison with ours, and what was not measured."""
    packages = ", ".join(f"`{r}`" for all_of in peers["requirements"].values() for r in all_of)
    parts = [
        measured_by(COMMAND, peers),
        f"{peers['prompts']} held-out prompts, all at once, {peers['turns']} turns each; "
        f"peers: {packages}. Generations and tokens are per prompt; tokens are counted at the "
        "server.",
        table(HEADS, cells_of(peers["rows"])),
        targets(peers["targets"]),
        CAUSE,
    ]
    if peers["not measured"]:
        reasons = (f"- {what}: {why}" for what, why in peers["not measured"].items())
        parts.append("Not measured, and the reason:\n\n" + "\n".join(reasons))
    return "\n\n".join(parts)
