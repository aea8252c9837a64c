"""The paper's figures on the testbed, and whether each of its findings holds here.

    python -m benchmarks.figures [F3|F4|F6|F7|F8|F9|appendix] [--fresh]

All figures without an argument, from the samples in the repository, in about three minutes; each as
PNG, SVG and CSV under out/figures, with a sentence computed from the data. Writes
out/figures.json. ``--fresh`` samples the figures' own pools again first, about two hours on 2
cores; the larger model's are made by ``python -m benchmarks.testbed.train_larger``, independent
solutions by ``python -m benchmarks.allocation --fresh``.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.figures.appendix import appendix
from benchmarks.figures.drawing import draw
from benchmarks.figures.exchange import figure_9
from benchmarks.figures.findings import Reproduced, sentence
from benchmarks.figures.larger import PRETRAINING
from benchmarks.figures.pools import Samples, read_samples
from benchmarks.figures.revising import figure_6, figure_7, figure_8
from benchmarks.figures.sampling import SEED, resample
from benchmarks.figures.search import figure_3, figure_4
from benchmarks.targets import at_most, show_targets, write_result
from calibration.progress import console

FIGURES: dict[str, Callable[[Samples], Reproduced]] = {
    "F3": figure_3,
    "F4": figure_4,
    "F6": figure_6,
    "F7": figure_7,
    "F8": figure_8,
    "F9": figure_9,
    "appendix": appendix,
}
SECONDS = 15 * 60


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("only", nargs="?", choices=list(FIGURES), help="one figure alone")
    parser.add_argument("--fresh", action="store_true", help="draw the figures' own samples anew")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for figures.json")
    args = parser.parse_args()
    if args.fresh:
        resample()
    started = time.time()
    samples = read_samples()
    figures, targets = {}, []
    for name, reproduce in FIGURES.items():
        if args.only not in (None, name):
            continue
        if name == "F9" and args.only is None and not PRETRAINING.is_file():
            console.print("F9 is left out: make benchmarks.testbed.train_larger's samples first.")
            continue
        made = reproduce(samples)
        draw(made.figure, args.out / "figures")
        said = sentence(name, made.findings)
        console.print(said, highlight=False, markup=False, soft_wrap=True)
        figures[name] = {
            "sentence": said,
            "findings": [finding.row() for finding in made.findings],
            **made.data,
        }
        targets += [*made.targets, *(finding.target(name) for finding in made.findings)]
    seconds = time.time() - started
    targets.append(at_most("seconds, from samples that are there", (seconds,) * 3, SECONDS))
    show_targets(targets)
    data = {"prompts": samples.by_prm.prompts, "seed": SEED, "figures": figures}
    write_result(args.out / "figures.json", data, targets)
    console.print(f"Wrote {args.out / 'figures.json'} and pictures under {args.out / 'figures'}.")


if __name__ == "__main__":
    main()
