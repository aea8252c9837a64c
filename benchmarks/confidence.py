"""What reading confidence costs in throughput, by the testbed's base model in vLLM.

    python -m benchmarks.confidence

The same solutions are sampled in three ways, side by side in one process, in rounds of which each
has other seeds: without confidence; with confidence, which vLLM gives when a solution is complete;
and with a threshold that no solution falls below, for which every token is read as it comes. The
first round fills the prefix cache and is not counted. `same` is the share of solutions that are
those without confidence, token by token. Intervals are 95%, over rounds.
"""

import argparse
import asyncio
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.targets import bootstrapped, write_result
from benchmarks.testbed.paths import BASE, SETTINGS, TEST_PROMPTS
from calibration.data.datasets import DataSettings, read_graded_prompts
from calibration.progress import console, progress
from predictors.confidence import ConfidenceSettings, ConfidenceWindow
from runtime.engines.base import encode_prompt
from runtime.engines.loading import open_engine

PROMPTS, EACH, ROUNDS = 100, 4, 9
READ = ConfidenceSettings(window=16)
# Log-probabilities are at most 0, so no mean of them negated is below 0.
WAYS = {"without": None, "read": READ, "watched": READ.model_copy(update={"threshold": 0.0})}

Tokens = tuple[int, ...]


async def sampled(
    engine: Any, prompts: list[Tokens], confidence: ConfidenceSettings | None, first_seed: int
) -> list[Tokens]:
    """Solutions of all prompts at once."""

    async def one(number: int, prompt: Tokens) -> Tokens:
        own = {} if confidence is None else {"confidence": ConfidenceWindow(confidence)}
        written = await engine.complete(
            prompt,
            settings=SETTINGS.sampling,
            max_tokens=SETTINGS.sampling.max_tokens,
            seed=first_seed + number,
            **own,
        )
        return tuple(written.token_ids)

    return await asyncio.gather(*(one(i, prompt) for i, prompt in enumerate(EACH * prompts)))


async def measure(prompts: list[str]) -> dict[str, Any]:
    """Generations per second of every way, and what each costs beside `without`."""
    seconds = np.zeros((ROUNDS + 1, len(WAYS)))
    tokens = same = 0
    with open_engine(BASE, "vllm") as engine, progress("Rounds", ROUNDS + 1) as done:
        encoded = [encode_prompt(engine, prompt) for prompt in prompts]
        for number in range(ROUNDS + 1):
            found: dict[int, list[Tokens]] = {}
            # Each way is the first, the second and the last equally often.
            for place in np.roll(range(len(WAYS)), number).tolist():
                started = time.perf_counter()
                confidence = list(WAYS.values())[place]
                found[place] = await sampled(engine, encoded, confidence, number * 10**6)
                seconds[number, place] = time.perf_counter() - started
            if number:
                tokens += sum(map(len, found[0]))
                pairs = [zip(found[0], found[place], strict=True) for place in found if place]
                same += sum(one == other for pair in pairs for one, other in pair)
            done(None)
    generations = EACH * len(prompts)
    rates = generations / seconds[1:]
    return {
        "prompts": len(prompts),
        "generations": generations,
        "rounds": ROUNDS,
        "tokens": tokens / (ROUNDS * generations),
        "same": same / (ROUNDS * generations * (len(WAYS) - 1)),
        "top": min(READ.top, len(engine.tokenizer)),
        "window": READ.window,
        "ways": {
            name: {
                "generations_per_second": _interval(rates[:, place]),
                "times_without": _interval(rates[:, place] / rates[:, 0]),
            }
            for place, name in enumerate(WAYS)
        },
    }


def _interval(values: NDArray[np.float64]) -> dict[str, float]:
    return dict(zip(("value", "low", "high"), bootstrapped(values), strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("out"))
    out = parser.parse_args().out
    graded = read_graded_prompts(str(TEST_PROMPTS), DataSettings())[:PROMPTS]
    data = asyncio.run(measure([prompt for prompt, _ in graded]))
    for name, way in data["ways"].items():
        rate, share = way["generations_per_second"], way["times_without"]
        console.print(
            f"{name}: {rate['value']:.0f} generations/s [{rate['low']:.0f}, {rate['high']:.0f}], "
            f"{share['value']:.2f} [{share['low']:.2f}, {share['high']:.2f}] times those without"
        )
    write_result(out / "confidence.json", data, [])
    console.print(f"Wrote {out / 'confidence.json'}.")


if __name__ == "__main__":
    main()
