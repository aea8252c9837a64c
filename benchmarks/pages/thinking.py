"""Our own thinking model, end to end: how many thoughts, and how deep."""

from benchmarks.pages.tables import Data, measured_by, table, targets
from calibration.report.words import times

COMMAND = "python -m benchmarks.thinking"
HOW = (
    "A tiny model that thinks: it computes a chain of operations, does it again, and goes on "
    "until two tries agree (`benchmarks/thinking/`, trained by `make thinking`). `ttc calibrate` "
    "with `--thinking` made the artifact on other prompts. Every method then answered the same "
    "{prompts} held-out prompts in real vLLM; all sampled tokens count, those of pilots and "
    "probes too. Uniform self-consistency is averaged over all subsets of 16 full thoughts."
)
CACHED = (
    "Where thoughts that were cut off at {cap} tokens are thought on, the engine has {cached:.0%} "
    "of the tokens before the longer thought and before its answer in its cache."
)
SHORT = (
    "A tiny thinking model of our own, end to end in real vLLM (`{command}`): self-consistency "
    "with 16 full thoughts is right for {accuracy} of {prompts} held-out prompts, at {tokens:,.0f} "
    "tokens. The policy needs {fewer} times fewer tokens for that (a dash: in some resamples of "
    "the prompts it never reaches it)."
)


def short(data: Data) -> str:
    """What the policy saves, in two sentences."""
    baseline, saved = data["curves"][0]["points"][-1], data["targets"][0]
    return SHORT.format(
        command=COMMAND,
        accuracy=_accuracy(baseline),
        prompts=data["prompts"],
        tokens=baseline["tokens"],
        fewer=times(saved["value"], saved["low"], saved["high"]),
    )


def full(data: Data) -> str:
    """All methods, the targets, and how it was measured."""
    rows = [
        (curve["name"], f"{point['budget']:g}", f"{point['tokens']:.0f}", _accuracy(point))
        for curve in data["curves"]
        for point in curve["points"]
    ]
    return "\n\n".join(
        [
            measured_by(COMMAND, data),
            HOW.format(prompts=data["prompts"]),
            "![Accuracy against tokens, for each method](thinking.png)",
            targets(data["targets"]),
            table(("method", "thoughts or budget", "tokens per prompt", "accuracy"), rows),
            CACHED.format(**data),
        ]
    )


def _accuracy(point: Data) -> str:
    return f"{point['accuracy']:.1%} [{point['low']:.1%}, {point['high']:.1%}]"
