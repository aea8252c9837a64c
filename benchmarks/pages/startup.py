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
    """The four measured times."""
    return "\n\n".join(
        (
            measured_by(COMMAND, startup),
            "The install is the one of `make demo`, into a new environment with an empty uv cache. "
            f"The demo then answers {startup['prompts']} prompts there by two methods; its time "
            "includes the start of vLLM. Both are timed once. The two commands are timed "
            f"{startup['repeats']} times: the median is shown, in brackets minimum and maximum.",
            targets(startup["targets"]),
        )
    )
