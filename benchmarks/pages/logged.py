"""Real models: what logs of their samples show."""

from benchmarks.pages.tables import Data, measured_by, saving, table, targets
from calibration.replay.saving_rows import saving_row

COMMAND = "python -m benchmarks.logged"
# What each log is, for people, and where its samples are from.
LOGS = {
    "Llama-3.1-8B": "Llama-3.1-8B-Instruct (INT4), questions of MATH-500, scored by a PRM",
    "Qwen3-1.7B": "Qwen3-1.7B, AIME 2024 and 2025, HMMT February 2025, no verifier",
    "Qwen3-0.6B": "Qwen3-0.6B, the same contests, no verifier",
}
TRIED = (
    "Tried on the same splits without a clear gain: votes weighted by a model of whole answers "
    "(number, sum, mean and greatest score), boosted trees for the score, all numbers of samples "
    "as stages, other penalties and fewer columns of the gain model, and fitting the stopping rule "
    "to accuracy less price directly (better by 5% here, worse on Qwen3)."
)
SAME = 8  # budget, in samples per question, at which accuracies are compared
SOURCES = (
    "The samples are public: Llama's are runs of mert-cemri/search-and-learn (Apache-2.0), Qwen3's "
    "are the test environment of zhengkid/AutoTTS. "
    "[docs/logs.md](docs/logs.md#the-readmes-samples) says how the files are made of them, and "
    "where the benchmark looks for them."
)


def short(logged: Data) -> str:
    """What the cheapest way saves on each log."""
    first = logged["logs"]["Llama-3.1-8B"]
    return "\n\n".join(
        (
            "Samples of real models, replayed on questions that calibration had not seen "
            f"(`{COMMAND}`). The questions are halved five times; each half is tested by a "
            "calibration on the other. The table shows how many times fewer samples and tokens the "
            "library needs for the baseline's accuracy, and for 95% of the way to it from one "
            "sample's; and by how many points it is more accurate at a budget of "
            f"{SAME} samples per question, on average. Intervals are 95%, over questions.",
            _savings(logged),
            f"There are only {first['prompts']} and {logged['logs']['Qwen3-1.7B']['prompts']} "
            "questions, so the intervals of the factors are wide. A dash for their low end: in "
            "some resamples of the questions the method never reaches the baseline's accuracy. "
            "Each row is one command, such as:",
            f"```\n{_wrapped(logged['commands']['Llama-3.1-8B'])}\n```",
            SOURCES,
            "![Accuracy against generations, for each model](docs/logged.png)",
        )
    )


def full(logged: Data) -> str:
    """Every method on every log, and what each ingredient brings."""
    parts = [measured_by(COMMAND, logged), _savings(logged)]
    for name, found in logged["logs"].items():
        upper = found["budgets"][-1]
        parts += [
            f"### {name}",
            f"{LOGS[name]}: {found['prompts']} questions, {found['samples']} samples each. "
            f"`{logged['commands'][name]}`. Accuracy at each budget, in samples per question:",
            _accuracies(found),
            f"How many times less than {found['baseline']} with N = {upper} each method takes:",
            _gains(found, upper),
        ]
    parts += [
        "### What each ingredient brings",
        "On the splits of Llama-3.1-8B: by which score votes are weighted, and what ends a prompt. "
        "Times fewer samples and tokens than best-of-16 weighted by the last step:",
        _ingredients(logged["ingredients"]),
        _cause(logged),
        targets(logged["targets"]),
    ]
    return "\n\n".join(parts)


def _savings(logged: Data) -> str:
    rows = []
    for name, found in logged["logs"].items():
        top = found["budgets"][-1]
        (point,) = (
            point
            for curve in found["curves"]
            if curve["name"] == found["baseline"]
            for point in curve["points"]
            if point["budget"] == top
        )
        own = saving_row(found["gains"], found["policy"], top, "generations", 1.0)
        cells = [
            saving(saving_row(found["gains"], found["policy"], top, unit, share))
            for unit, share in (("generations", 1.0), ("tokens", 1.0), ("generations", 0.95))
        ]
        baseline = f"{found['baseline']}, N = {top}: {point['accuracy']:.1%}"
        method = f"{found['policy']}: {top / own['value']:.1f} samples"
        rows.append((LOGS[name], baseline, method, *cells, _more(found)))
    heads = ("samples of", "baseline", "method", "fewer samples", "fewer tokens")
    return table((*heads, "fewer samples, at 95%", f"points more, budget {SAME}"), rows)


def _more(found: Data) -> str:
    """The difference in accuracy at the same cost, in points."""
    (row,) = (row for row in found["differences"] if row["budget"] == SAME)
    value, low, high = (100 * row[key] for key in ("value", "low", "high"))
    return f"{value:+.1f} [{low:+.1f}, {high:+.1f}]"


def _accuracies(found: Data) -> str:
    budgets = found["budgets"]
    rows = []
    for curve in found["curves"]:
        at = {point["budget"]: point for point in curve["points"]}
        if set(budgets) <= set(at):
            rows.append((curve["name"], *(f"{at[b]['accuracy']:.1%}" for b in budgets)))
    return table(("method", *map(str, budgets)), rows)


def _gains(found: Data, budget: int) -> str:
    rows = []
    for curve in found["curves"]:
        cells = [
            saving(saving_row(found["gains"], curve["name"], budget, unit, share))
            for share in (1.0, 0.95)
            for unit in ("generations", "tokens")
        ]
        rows.append((curve["name"], *cells))
    return table(("method", "samples", "tokens", "samples, at 95%", "tokens, at 95%"), rows)


def _ingredients(rows: list[Data]) -> str:
    names = list(dict.fromkeys(row["method"] for row in rows))
    shown = []
    for name in names:
        cells = [
            saving(saving_row(rows, name, 16, unit, share))
            for share in (1.0, 0.95)
            for unit in ("generations", "tokens")
        ]
        shown.append((*name.split("; "), *cells))
    heads = ("votes are weighted by", "a prompt ends", "samples", "tokens")
    return table((*heads, "samples, at 95%", "tokens, at 95%"), shown)


def _cause(logged: Data) -> str:
    """Why the target is not reached, in the figures of the ingredients."""
    first = logged["logs"]["Llama-3.1-8B"]
    top = first["budgets"][-1]
    at = {
        curve["name"]: point["accuracy"]
        for curve in first["curves"]
        for point in curve["points"]
        if point["budget"] == top
    }
    uniform, bound = (
        saving_row(logged["ingredients"], f"fitted score; {rule}", top, "generations", 1.0)["value"]
        for rule in ("the same number for all", "each question's curve known (bound)")
    )
    fitted = at["best-of-N weighted, fitted score"]
    times = f"{uniform:.1f}"
    fewer = "as many samples" if times == "1.0" else f"{times} times fewer samples"
    return (
        "The target of 3 is not reached. With the same number for all, the fitted score adds "
        f"{100 * (fitted - at[first['baseline']]):.1f} points to the baseline at N = {top}, and "
        f"needs {fewer} at the accuracy of votes by the last step; the rest is stopping. If each "
        f"question's own curve were known, the same votes would need {bound:.1f} times fewer: "
        "what is missing is knowing from a few samples which questions more samples would solve. "
        "At 95% of the way the curves are steeper, and the saving larger and more certain.\n\n"
        + TRIED
    )


def _wrapped(command: str) -> str:
    """A command over two lines, as the README shows commands."""
    before, _, after = command.partition(" --budgets")
    return f"{before} \\\n    --budgets{after}"
