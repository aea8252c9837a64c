"""Write the README's figures and docs/results.md from what the benchmarks measured.

    python -m benchmarks.pages [logged demo allocation figures peers throughput serving ...]

Copies the named results and their pictures from out/ into docs/, then writes the pages from all
results in docs/. A test checks that the pages agree with them.
"""

import argparse
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.pages import (
    allocation,
    demo,
    figures,
    logged,
    peers,
    replay,
    simulator,
    speed,
    startup,
    testbed,
    thinking,
    traffic,
)
from benchmarks.pages.tables import Data

ROOT = Path(__file__).parent.parent.parent
README, DOCS, OUT = ROOT / "README.md", ROOT / "docs", Path("out")
RESULTS = DOCS / "results.md"


@dataclass(frozen=True)
class Section:
    """One benchmark's part of the pages.

    Attributes:
        title: on the results page.
        full: writes the section of the results page.
        short: writes the README's block between the marks of this name; None for no block.
        pictures: files under out/ that the benchmark draws.
    """

    title: str
    full: Callable[[Data], str]
    short: Callable[[Data], str] | None = None
    pictures: tuple[str, ...] = ()


SECTIONS = {
    "logged": Section("Real models", logged.full, logged.short, ("logged.png",)),
    "replay": Section("Thinking models", replay.full, replay.short, ("replay.png",)),
    "thinking": Section(
        "Width and depth, end to end", thinking.full, thinking.short, ("thinking.png",)
    ),
    "demo": Section("The demo", demo.full, demo.short, ("demo.png",)),
    "allocation": Section(
        "One budget for all prompts, and stopping early",
        allocation.full,
        allocation.short,
        ("allocation.png", "allocation-rewriting.png"),
    ),
    "figures": Section(
        "The paper's findings",
        figures.full,
        figures.short,
        tuple(f"figures/{name}.png" for name in figures.TITLES),
    ),
    "peers": Section("Other libraries on the same work", peers.full, peers.short),
    "throughput": Section("Speed of search", speed.throughput, speed.throughput_short),
    "simulator": Section("Search on H100s, simulated", simulator.full),
    "serving": Section("The server", speed.serving, speed.serving_short),
    "traffic": Section("Learning from traffic", traffic.full),
    "startup": Section("The first minutes", startup.full, startup.short),
    "testbed": Section("The testbed", testbed.full),
    "testbed-again": Section("The testbed, trained again", testbed.again),
}
HEAD = """# Results

Each section was measured by the command at its head, and says on what: logged samples of real
models, or models of this repository, run or simulated.
`python -m benchmarks.pages` wrote this page from the commands' output. Intervals are 95%. Seeds are
fixed, so accuracies are reproducible; times depend on the machine."""


def take(name: str) -> None:
    """Copy a result and its pictures from out/ into docs/."""
    for file in (f"{name}.json", *SECTIONS[name].pictures):
        (DOCS / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(OUT / file, DOCS / file)


def read(name: str) -> Data:
    """A result in docs/."""
    return dict(json.loads((DOCS / f"{name}.json").read_text()))


def measured() -> dict[str, Section]:
    """The sections whose results are in docs/."""
    return {n: section for n, section in SECTIONS.items() if (DOCS / f"{n}.json").is_file()}


def render_readme(text: str) -> str:
    """The README with its blocks written from the results in docs/."""
    for name, section in measured().items():
        if section.short is not None:
            block = section.short(read(name))
            marks = re.compile(f"(<!-- {name}:begin -->\n).*?(<!-- {name}:end -->)", re.DOTALL)
            text = marks.sub(lambda m, b=block: f"{m[1]}{b}\n{m[2]}", text)  # type: ignore[misc]
    return text


def render_results() -> str:
    """The results page, written from the results in docs/."""
    parts = [f"## {section.title}\n\n{section.full(read(n))}" for n, section in measured().items()]
    return "\n\n".join([HEAD, *parts]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="results to take")
    names = parser.parse_args().names
    if unknown := set(names) - set(SECTIONS):
        parser.error(f"no such results: {', '.join(sorted(unknown))}")
    for name in names:
        take(name)
    RESULTS.write_text(render_results())
    README.write_text(render_readme(README.read_text()))


if __name__ == "__main__":
    main()
