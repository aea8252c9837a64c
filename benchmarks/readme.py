"""Write the README's figures from what the benchmarks measured, kept in docs/.

    cp out/{demo,allocation,testbed,throughput,serving}.json out/{demo,allocation}.png docs/
    python -m benchmarks.readme

A test holds README and docs/ to the same numbers.
"""

import json
import re
from pathlib import Path
from statistics import mean
from typing import Any

ROOT = Path(__file__).parent.parent
README, DOCS = ROOT / "README.md", ROOT / "docs"


def demo_block(demo: dict[str, Any]) -> str:
    """The gain in a sentence, the picture and the table."""
    top = demo["budget"]
    gains = {
        (row["method"], row["unit"]): f"{row['value']:.1f} [{row['low']:.1f}, {row['high']:.1f}]"
        if row["value"] > 0
        else "not reached"
        for row in demo["gains"]
    }
    methods = list(dict.fromkeys(row["method"] for row in demo["gains"]))
    budgets = sorted({p["budget"] for curve in demo["curves"] for p in curve["points"]})
    lines = [
        f"{demo['prompts']} held-out prompts of the testbed through `{demo['engine']}`, "
        f"{demo['seconds'] / 60:.0f} minutes on {demo['cores']} CPU cores (`make demo`). How many "
        f"times less each method spends than best-of-{top} weighted, at the same accuracy, pilots "
        "counted, with 95% intervals over prompts:",
        "",
        "| method | generations | tokens |",
        "|---|---|---|",
        *(f"| {m} | {gains[m, 'generations']} | {gains[m, 'tokens']} |" for m in methods),
        "",
        "![Accuracy against average generations](docs/demo.png)",
        "",
        "Accuracy by budget, with the generations really spent on average below it:",
        "",
        "| method | " + " | ".join(map(str, budgets)) + " |",
        "|---|" + "---|" * len(budgets),
    ]
    for curve in demo["curves"]:
        points = {p["budget"]: p for p in curve["points"]}
        cells = [
            f"{p['accuracy']:.1%} [{p['low']:.0%}, {p['high']:.0%}]<br>{p['generations']:.1f}"
            if (p := points.get(budget))
            else ""
            for budget in budgets
        ]
        lines.append(f"| {curve['name']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def testbed_block(testbed: dict[str, Any]) -> str:
    """What the testbed measured of itself, a row a figure."""
    lines = [
        "| measured on " + str(testbed["prompts"]) + " test prompts | value [95%] |",
        "|---|---|",
    ]
    lines += [
        f"| {row['name']} | {row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}] |"
        for row in testbed["targets"]
    ]
    return "\n".join(lines)


def throughput_block(throughput: dict[str, Any]) -> str:
    """What each contender did, and the ratios that were to be met."""
    keys = ("seconds", "sampled_tokens", "cached_tokens", "verifier_tokens", "engine_calls")
    lines = [
        "| | seconds | accuracy | sampled tokens | cached | verifier tokens | requests |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, turns in throughput["turns"].items():
        means = {key: mean(turn[key] for turn in turns) for key in keys}
        right = [answer for turn in turns for answer in turn["correct"]]
        cells = [
            f"{means['seconds']:.1f}",
            f"{mean(right):.0%}" if right else "-",
            *(f"{means[key]:,.0f}" for key in keys[1:]),
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += ["", "| ratio | value [95%] | target |", "|---|---|---|"]
    for row in throughput["targets"]:
        verdict = {True: ", met", False: ", not met", None: ""}[row["met"]]
        target = "-" if row["target"] is None else f"{row['target']:g}{verdict}"
        value = f"{row['value']:.3g} [{row['low']:.3g}, {row['high']:.3g}]"
        lines.append(f"| {row['name']} | {value} | {target} |")
    return "\n".join(lines)


def allocation_block(allocation: dict[str, Any]) -> str:
    """What each method gains, how well difficulty is predicted, the second task, real traces."""
    first = allocation["arithmetic"]
    at = sorted({row["budget"] for row in first["gains"]})
    lines = [
        f"{first['prompts']} held-out prompts of the testbed, {first['seeds']} seeds "
        "(`python -m benchmarks.allocation`, "
        f"{allocation['seconds'] / 60:.0f} minutes). How many times less each method spends than "
        "best-of-N weighted with N = " + ", ".join(map(str, at)) + " does, at its accuracy, every "
        "generation counted, with 95% intervals over prompts:",
        "",
        *_gains(first["gains"], at),
        "",
        "![Accuracy against generations](docs/allocation.png)",
        "",
        "Curves are flat where they end, so a hair of accuracy decides much there. Within half a "
        "point of its accuracy, the same in generations: "
        + "; ".join(
            f"{row['method']}, N = {row['budget']}: {row['value']:.1f} "
            f"[{row['low']:.1f}, {row['high']:.1f}]"
            for row in first["nearly"]
        )
        + ".",
        "",
        "| goal | value [95%] | |",
        "|---|---|---|",
        *(
            f"| {row['name']}, goal {row['target']:g} | {row['value']:.3g} "
            f"[{row['low']:.3g}, {row['high']:.3g}] | {'met' if row['met'] else 'not met'} |"
            for row in allocation["targets"]
            if row["target"] is not None
        ),
        "",
        "Compute-optimal less best-of-N weighted at the same budget, in points: "
        + "; ".join(
            f"{row['budget']}: {100 * row['value']:+.1f} "
            f"[{100 * row['low']:+.1f}, {100 * row['high']:+.1f}]"
            for row in first["differences"]
        )
        + ".",
        "",
        "Difficulty, predicted for these prompts and measured on fresh samples:",
        "",
        "| pilots | Spearman | calibration error | coverage of 90% intervals | their width |",
        "|---|---|---|---|---|",
    ]
    for pilots, figures in first["difficulty"].items():
        names = ("spearman", "calibration error", "coverage", "width")
        cells = " | ".join("{:.3f} [{:.3f}, {:.3f}]".format(*figures[name]) for name in names)
        lines.append(f"| {pilots} | {cells} |")
    lines += [
        "",
        "Regressors of difficulty on the same folds of 400 calibration prompts: Spearman, and by "
        "how much it is above LightGBM's on the same inputs. From pilots LightGBM is kept, from "
        "which the forest hardly differs; without them ridge.",
        "",
        "| pilots | inputs | regressor | Spearman | above LightGBM's |",
        "|---|---|---|---|---|",
    ]
    for row in first["regressors"]:
        figures = " | ".join(
            f"{row[name]['value']:.3f} [{row[name]['low']:.3f}, {row[name]['high']:.3f}]"
            for name in ("spearman", "spearman_gain")
        )
        lines.append(f"| {row['pilots']} | {row['inputs']} | {row['regressor']} | {figures} |")
    second = allocation["rewriting"]
    at = sorted({row["budget"] for row in second["gains"]})
    lines += [
        "",
        f"A second task, strings rewritten, calibrated by `ttc calibrate` alone; "
        f"{second['prompts']} held-out prompts:",
        "",
        *_gains(second["gains"], at),
    ]
    if "traces" in allocation:
        lines += [
            "",
            "Real traces of Qwen3 on three contests, votes and lengths alone, fitted on two and "
            "tested on the third: mean samples a question for the accuracy that uniform majority "
            "reaches with 64:",
            "",
            "| | " + " | ".join(allocation["traces"]) + " |",
            "|---|" + "---|" * len(allocation["traces"]),
        ]
        models = list(allocation["traces"].values())
        for name in models[0]["needed"]:
            found = [model["needed"][name]["samples"] for model in models]
            cells = " | ".join("{:.1f} [{:.1f}, {:.1f}]".format(*samples) for samples in found)
            lines.append(f"| {name} | {cells} |")
    return "\n".join(lines)


def serving_block(serving: dict[str, Any]) -> str:
    """What was to be shown of the server, a row a figure."""
    load, overhead = serving["load"], serving["overhead"]
    rates = overhead["requests a second"]
    lines = [
        f"{load['clients']} clients for {load['seconds']:.0f} seconds with budgets of "
        f"{', '.join(map(str, load['budgets']))}: {load['answered']:,} of {load['sent']:,} "
        f"requests answered. At budget 1 {rates[0]:.0f} requests a second, where `vllm serve` "
        f"answers {rates[1]:.0f}, in {overhead['turns']} turns each.",
        "",
        "| goal | value [95%] | |",
        "|---|---|---|",
    ]
    for row in serving["targets"]:
        verdict = {True: "met", False: "not met", None: ""}[row["met"]]
        value = f"{row['value']:.3g}"
        if row["low"] != row["high"]:
            value += f" [{row['low']:.3g}, {row['high']:.3g}]"
        lines.append(f"| {row['name']} | {value} | {verdict} |")
    return "\n".join(lines)


def _gains(rows: list[dict[str, Any]], at: list[int]) -> list[str]:
    heads = [f"{unit}, N = {budget}" for budget in at for unit in ("generations", "tokens")]
    lines = ["| method | " + " | ".join(heads) + " |", "|---|" + "---|" * len(heads)]
    found = {(r["method"], r["budget"], r["unit"]): r for r in rows}
    for method in dict.fromkeys(row["method"] for row in rows):
        cells = []
        for budget in at:
            for unit in ("generations", "tokens"):
                row = found[method, budget, unit]
                value = f"{row['value']:.1f}" if row["value"] > 0 else "not reached"
                cells.append(f"{value} [{row['low']:.1f}, {row['high']:.1f}]")
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    return lines


def render(text: str) -> str:
    """The README with its figures as docs/ has them."""
    blocks = {
        "demo": demo_block,
        "allocation": allocation_block,
        "testbed": testbed_block,
        "throughput": throughput_block,
        "serving": serving_block,
    }
    for name, block in blocks.items():
        figures = block(json.loads((DOCS / f"{name}.json").read_text()))
        between = re.compile(f"(<!-- {name}:begin -->\n).*?(<!-- {name}:end -->)", re.DOTALL)
        text = between.sub(lambda m, f=figures: f"{m[1]}{f}\n{m[2]}", text)  # type: ignore[misc]
    return text


if __name__ == "__main__":
    README.write_text(render(README.read_text()))
