"""Width and depth of thought, end to end: what compute-optimal thinking saves in real vLLM.

    python -m benchmarks.thinking

The artifact was calibrated on other prompts: see `make thinking`. About 25 minutes on two cores.
"""

import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from benchmarks.figure import COLOURS
from benchmarks.targets import at_least, show_targets, write_result
from benchmarks.thinking.gain import POLICY, SAMPLES, TABLE, UNIFORM, Gained, measured
from benchmarks.thinking.paths import ARTIFACT, TEST_PROMPTS
from calibration.progress import console
from calibration.replay.curves import resamples, saving_factor, summarized
from calibration.report.targets import reported

OUT = Path("out")
PROMPTS, SEED = 300, 0
CAP = 64  # thinking tokens from which thoughts are deepened
TIMES = 3.0  # fewer tokens than self-consistency with 16 full thoughts


def draw(found: Gained, path: Path) -> None:
    """Accuracy against tokens, one line per method."""
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6.4, 4.4))
    for colour, curve in zip(COLOURS, found.curves.values(), strict=False):
        tokens, correct = curve.tokens.mean(axis=1), curve.correct.mean(axis=1)
        axes.plot(tokens, 100 * correct, "o-", color=colour, label=curve.name, markersize=3.5)
    axes.set_xscale("log")
    axes.set_xlabel("sampled tokens per prompt")
    axes.set_ylabel("accuracy, %")
    axes.set_title("How long to think, and how often: thinking model of the testbed", fontsize=10)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main() -> None:
    """Measure, draw, and write out/thinking.json."""
    rows = [json.loads(line) for line in TEST_PROMPTS.read_text().splitlines()][:PROMPTS]
    graded = [(row["prompt"], row["answer"]) for row in rows]
    found = measured(ARTIFACT, graded, CAP, SEED, console.print)
    draws = resamples(len(graded))
    uniform = found.curves[UNIFORM]
    targets = []
    for name in (POLICY, TABLE):
        fewer = saving_factor(uniform, float(SAMPLES), found.curves[name], draws, unit="tokens")
        says = f"{name}: times fewer tokens than self-consistency with {SAMPLES}, at its accuracy"
        targets.append(at_least(says, fewer, TIMES) if name == POLICY else reported(says, fewer))
    show_targets(targets)
    data = {
        "prompts": len(graded),
        "seed": SEED,
        "cap": CAP,
        "cached": found.cached,
        "curves": [summarized(c, draws).model_dump(mode="json") for c in found.curves.values()],
    }
    write_result(OUT / "thinking.json", data, targets)
    draw(found, OUT / "thinking.png")
    console.print(f"Wrote {OUT / 'thinking.json'} and {OUT / 'thinking.png'}.")


if __name__ == "__main__":
    main()
