"""Draw what each strategy does, from real searches of one held-out prompt: docs/strategies.png.

    python -m benchmarks.diagrams

In a search by steps a dot is a partial solution that was sampled, at the number of its steps; a
larger one was sampled several times. In revisions a dot is an attempt, with its answer. The colour
is the verifier's score; lines lead from what was continued, or revised, to what came of it.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from allocator.plan import Plan, parse_plan
from benchmarks.testbed.paths import REVISER, REVISER_ORM, SETTINGS
from predictors.sample import Sample
from runtime.artifact import open_decoder
from runtime.prompt_run import Decoder, PromptRun
from runtime.strategies import STRATEGIES
from runtime.verifiers.base import Context, Verdict

PROMPT, ANSWER, SEED = "342*5+5*2-2*8", "424", 2
SEARCHES = ("best_of_n:12", "beam_search:12:3", "beam_search:12:3:1", "dvts:12:3")
REVISIONS = ("revisions:12:4", "beam_revisions:12:3:4")
OUT = Path("docs") / "strategies.png"

# How a dot is drawn, coloured by the verifier's score.
DOTS: dict[str, Any] = {
    "cmap": "RdYlGn",
    "vmin": 0,
    "vmax": 1,
    "edgecolors": "0.3",
    "linewidths": 0.5,
    "zorder": 2,
}

Node = tuple[Any, ...]


class Recorder:
    """A verifier that notes every text it is asked about, with its score."""

    def __init__(self, verifier: Any) -> None:
        self._verifier = verifier
        self.seen: list[tuple[tuple[tuple[int, ...], ...], float]] = []

    async def score(self, context: Context, steps: Sequence[tuple[int, ...]]) -> Verdict:
        """See `runtime.verifiers.base.Verifier.score`."""
        verdict: Verdict = await self._verifier.score(context, steps)
        for end, score in enumerate(verdict.step_scores, start=1):
            self.seen.append((tuple(steps[:end]), score))
        return verdict

    def close(self) -> None:
        """Nothing: the caller that opened the verifier closes it."""


async def searched(decoder: Decoder, plan: Plan) -> tuple[dict[Node, float], Counter[Node]]:
    """Scores of all nodes, and how often each was sampled."""
    recorder = Recorder(decoder.verifier)
    run = PromptRun(replace(decoder, verifier=recorder), PROMPT, SEED)
    await STRATEGIES[plan.strategy](run, plan, ())
    scores, counts = dict(recorder.seen), Counter(node for node, _ in recorder.seen)
    return scores, counts


async def revised(decoder: Decoder, plan: Plan) -> list[Sample]:
    """The attempts of all chains, in order."""
    run = PromptRun(decoder, PROMPT, SEED)
    return await run.canonicalize(await STRATEGIES[plan.strategy](run, plan, ()))


def draw(axes: Any, scores: dict[Node, float], counts: Counter[Node], title: str) -> Any:
    """One strategy's tree."""
    by_depth: dict[int, list[Node]] = {}
    for node in sorted(scores, key=lambda n: (len(n), n)):
        by_depth.setdefault(len(node), []).append(node)
    place = {(): (0.0, 0.5)}
    for depth, nodes in by_depth.items():
        for i, node in enumerate(nodes):
            place[node] = (float(depth), (i + 0.5) / len(nodes))
    for node in scores:
        (x0, y0), (x1, y1) = place.get(node[:-1], place[()]), place[node]
        axes.plot([x0, x1], [y0, y1], color="0.75", linewidth=0.8, zorder=1)
    nodes = list(scores)
    dots = axes.scatter(
        [place[n][0] for n in nodes],
        [place[n][1] for n in nodes],
        s=[18 + 14 * min(counts[n] - 1, 8) for n in nodes],
        c=[scores[n] for n in nodes],
        **DOTS,
    )
    finish(axes, title, "steps", sorted(by_depth))
    return dots


def draw_chains(axes: Any, attempts: Sequence[Sample], title: str) -> None:
    """Revision chains, one a row."""
    chains: dict[int, list[Sample]] = {}
    for attempt in attempts:
        chains.setdefault(attempt.chain or 0, []).append(attempt)
    for row, chain in enumerate(chains.values()):
        places, y = range(1, len(chain) + 1), -float(row)
        axes.plot(places, [y] * len(chain), color="0.75", linewidth=0.8, zorder=1)
        axes.scatter(
            places,
            [y] * len(chain),
            s=60,
            c=[attempt.score for attempt in chain],
            **DOTS,
        )
        for place, attempt in zip(places, chain, strict=True):
            right = attempt.answer == ANSWER
            axes.annotate(
                attempt.answer or "none",
                (place, y),
                (0, 9),
                textcoords="offset points",
                ha="center",
                fontsize=8,
                weight="bold" if right else "normal",
            )
    axes.set_ylim(-len(chains) + 0.4, 0.7)
    axes.set_xlim(0.6, max(map(len, chains.values())) + 0.4)
    finish(axes, title, "attempts (bold: right)", range(1, max(map(len, chains.values())) + 1))


def finish(axes: Any, title: str, along: str, ticks: Sequence[int]) -> None:
    """What all panels have in common."""
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(along, fontsize=9)
    axes.set_yticks([])
    axes.set_xticks(ticks)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


async def run() -> None:
    figure, grid = plt.subplots(3, 2, figsize=(9, 9), constrained_layout=True)
    settings = SETTINGS.model_copy(
        update={"reviser": str(REVISER), "reviser_verifier": str(REVISER_ORM)}
    )
    async with open_decoder(settings, Path(), "transformers", "transformers") as decoder:
        for axes, text in zip(grid.flat[:4], SEARCHES, strict=True):
            plan = parse_plan(text)
            dots = draw(axes, *await searched(decoder, plan), str(plan))
        for axes, text in zip(grid.flat[4:], REVISIONS, strict=True):
            plan = parse_plan(text)
            draw_chains(axes, await revised(decoder, plan), str(plan))
    figure.colorbar(dots, ax=grid, label="verifier's score", shrink=0.5)
    figure.suptitle(f"One prompt, {PROMPT}, answered in six ways", fontsize=11)
    figure.savefig(OUT, dpi=130)


def main() -> None:
    asyncio.run(run())
    print(f"Wrote {OUT}")


if __name__ == "__main__":
    main()
