"""How long the install, the first commands and the demo take."""

from benchmarks.pages.tables import Data, measured_by, targets

COMMAND = "python -m benchmarks.startup"


def short(startup: Data) -> str:
    """The times, in one sentence."""
    times = [
        f"{target['name'].removeprefix('seconds of ')} {target['value']:.3g}"
        for target in startup["targets"]
    ]
    return f"In seconds, on {startup['machine']}: {', '.join(times)} (`{COMMAND}`)."


def full(startup: Data) -> str:
    """The four times."""
    return "\n\n".join(
        (
            measured_by(COMMAND, startup),
            "The install is that of `make demo`, into an environment of its own, with uv's cache "
            f"empty; the demo then answers {startup['prompts']} prompts by two methods there, with "
            "vLLM's start. Both are timed once, the two commands "
            f"{startup['repeats']} times: the median, and in brackets the least and the greatest.",
            targets(startup["targets"]),
        )
    )
