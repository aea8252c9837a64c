"""How fast search runs, and the server under load."""

from collections.abc import Mapping
from statistics import mean

from benchmarks.pages.tables import Data, measured_by, spread, table, targets

THROUGHPUT, SERVING = "python -m benchmarks.throughput", "python -m benchmarks.serving"


def throughput_short(throughput: Data) -> str:
    """The figures that have a goal."""
    return targets(row for row in throughput["targets"] if row["target"] is not None)


def throughput(data: Data) -> str:
    """The measurements of each contender, and every figure."""
    keys = (
        "seconds",
        "sampled_tokens",
        "cached_tokens",
        "verifier_tokens",
        "verifier_passes",
        "engine_calls",
    )
    rows = []
    for name, turns in data["turns"].items():
        means = {key: mean(turn[key] for turn in turns) for key in keys}
        right = [answer for turn in turns for answer in turn["correct"]]
        rows.append(
            (
                name,
                f"{means['seconds']:.1f}",
                f"{mean(right):.0%}" if right else "-",
                *(f"{means[key]:,.0f}" for key in keys[1:]),
            )
        )
    heads = (
        "",
        "seconds",
        "accuracy",
        "sampled tokens",
        "cached",
        "verifier tokens",
        "passes",
        "requests",
    )
    parts = (
        measured_by(THROUGHPUT, data),
        table(heads, rows),
        _passes(data["passes"]),
        targets(data["targets"]),
    )
    return "\n\n".join(parts)


def _passes(times: Mapping[str, Mapping[str, float]]) -> str:
    """What a pass of the verifier takes."""
    found = (
        f"{1000 * of['fixed']:.1f} ms, {1e6 * of['per_text']:.0f} microseconds per text and "
        f"{1e6 * of['per_token']:.0f} per token ({name})"
        for name, of in times.items()
    )
    return f"A pass of the verifier takes, with nothing beside it, {'; '.join(found)}."


def serving_short(serving: Data) -> str:
    """The load test and the overhead, in two sentences."""
    load, overhead = serving["load"], serving["overhead"]
    rates = overhead["requests a second"]
    named = {row["name"]: row for row in serving["targets"]}
    return (
        f"{load['clients']} clients for {load['seconds']:.0f} seconds with budgets of "
        f"{', '.join(map(str, load['budgets']))}: {load['answered']:,} of {load['sent']:,} "
        f"requests were answered, with a median latency of "
        f"{spread(named['seconds per request, median'])} seconds. At budget 1, `ttc serve` answers "
        f"{rates[0]:.0f} requests per second and `vllm serve` {rates[1]:.0f} ({overhead['turns']} "
        "turns each)."
    )


def serving(data: Data) -> str:
    """The same, and every figure."""
    return "\n\n".join((measured_by(SERVING, data), serving_short(data), targets(data["targets"])))
