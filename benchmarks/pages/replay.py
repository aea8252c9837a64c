"""Thinking models: how many thoughts, how deep, replayed on logged thoughts."""

from collections.abc import Sequence

from benchmarks.pages.tables import Data, measured_by, table, targets
from calibration.report.words import times

COMMAND = "python -m benchmarks.replay"
BASELINE, CONSISTENT = "self-consistency", "adaptive consistency"
HOW = (
    "The policy is fitted on AIME 2024 of {models} together, and on nothing else. It is "
    "reported on AIME 2025 and HMMT February 2025, of which nothing was used to fit or to "
    "choose; they were looked at seven times while this was made, to see where the targets "
    "stood. Each question's samples are taken in 100 random orders, at most 64 of them. Where "
    "answers tie, accuracy is the chance that the right one is chosen at random. Intervals are "
    "95%, by resampling the questions of each contest 2,000 times. They are wide: there are 60 "
    "questions per model, and some resamples never reach the accuracy (a dash, or tokens of "
    "1,000,000 thousand)."
)
DECIDES = (
    "A vote weighs the odds that its answer is correct, by three columns: the length of the "
    "thought, whether it ended by itself, and how early in it its answer was first probed. "
    "After nearly every thought the policy stops, samples another, or lets the thoughts that "
    "the cap cut off go on to the next cap, by what each is expected to gain per token; "
    "[thinking-policy.md](thinking-policy.md) has the details."
)
COUNTED = (
    "Tokens are those of all thoughts up to the cap, and 20 for each forced answer, of which "
    "there is one every 1,000 tokens of each thought. Whole thoughts of the baselines are not "
    "probed. AutoTTS's published figures count no forced answers, and have no questions to "
    "resample. A curve meets an accuracy where it crosses it after it was made monotone "
    "(isotonic regression), linear in the tokens between two prices, as for all gains on this "
    'page. Where it never does, the factor is "not reached", or 0 among the figures below. The '
    "mean of models is geometric."
)
TRIED = (
    "Caps were compared by accuracy on held-out questions of AIME 2024, averaged over costs of "
    "2 to 32 whole thoughts per question on a logarithmic scale, and over models. A pair is a "
    "first cap, and the one to which the thoughts that it cut off may go on. Votes weigh the odds, "
    "a power of them, or the odds that are known without forced answers before the cap:"
)
NOT_HELPED = (
    "The columns, the penalties and the spacing of probes were chosen on AIME 2024 by the same "
    "kind of figure, from 30,000 to 400,000 tokens. The stages, and the two thoughts of "
    "calibration that count beside a run's own, were not tuned. Tried without a gain: letting "
    "all answers that were probed on the way vote, weighing votes by when the answer had "
    "settled for good or by the share of probes that gave it, more columns of the state "
    "(distinct answers, missing answers, mean length), logistic models of whether the leader "
    "will change, and more than two caps. Differences between neighbouring caps, and between "
    "one cap and two, are smaller than what another 30 questions would change."
)
HEADS = (
    "self-consistency with 64",
    "policy: tokens fewer",
    "adaptive consistency, 0.95",
    "policy: tokens fewer",
)


def full(data: Data) -> str:
    """Every model, the targets, and how it was measured."""
    models = ", ".join(data["fitted_on"])
    return "\n\n".join(
        [
            measured_by(COMMAND, data),
            "How many times fewer tokens the policy needs than each baseline, at its accuracy, on "
            "contests that it was not fitted on:",
            table(
                ("model", "questions", *HEADS, "than AutoTTS, cheaper", "than AutoTTS, dearer"),
                map(_row, data["models"]),
            ),
            "![Accuracy against tokens, for each model](replay.png)",
            targets(data["targets"]),
            HOW.format(models=models),
            DECIDES,
            COUNTED,
            TRIED,
            _tried(data["tried"]),
            NOT_HELPED,
        ]
    )


def _tried(tried: Sequence[Data]) -> str:
    """A row per choice of caps, a column per kind of votes."""
    kinds = list(dict.fromkeys((row["power"], row["probed"]) for row in tried))
    found: dict[str, dict[tuple[float, bool], float]] = {}
    for row in tried:
        found.setdefault(_caps(row["caps"]), {})[row["power"], row["probed"]] = row["accuracy"]
    names = [
        ("odds" if power == 1 else f"odds to the power of {power:g}")
        + ("" if probed else ", not probed")
        for power, probed in kinds
    ]
    rows = [
        (caps, *(f"{100 * of[kind]:.2f}%" if kind in of else "" for kind in kinds))
        for caps, of in found.items()
    ]
    return table(("caps, thinking tokens", *names), rows)


def short(data: Data) -> str:
    """A row per model."""
    rows = [
        (
            row["model"],
            times(*row["ratios"][BASELINE]),
            times(*row["ratios"][CONSISTENT]),
            times(*row["ratios"]["cheaper"]) if "cheaper" in row["ratios"] else "",
        )
        for row in data["models"]
    ]
    baselines = (HEADS[0], HEADS[2], "AutoTTS, cheaper setting")
    return table(("tokens fewer than", *baselines), rows)


def _row(row: Data) -> Sequence[str]:
    cells = [row["model"], str(row["questions"])]
    for name in (BASELINE, CONSISTENT):
        right, spent = row[name]["accuracy"][0], row[name]["tokens"][0]
        cells += [f"{100 * right:.1f}% at {spent / 1e3:.0f}k", times(*row["ratios"][name])]
    cells += [
        times(*row["ratios"][name]) for name in ("cheaper", "dearer") if name in row["ratios"]
    ]
    return [*cells, *[""] * (len(HEADS) + 4 - len(cells))]


def _caps(caps: Sequence[int | None]) -> str:
    return ", then ".join("none" if cap is None else f"{cap:,}" for cap in caps)
