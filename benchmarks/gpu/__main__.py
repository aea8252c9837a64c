"""What only a GPU shows, in one command.

    python -m benchmarks.gpu --model Qwen/Qwen2.5-Math-7B-Instruct \\
        --verifier Qwen/Qwen2.5-Math-PRM-7B

Opens a language model and a verifier in vLLM, times best-of-N and beam search, and compares the
verifier's scores with those of transformers. Needs an NVIDIA GPU with room for both models, and
ends with status 2 where there is none. Writes out/gpu.json.
"""

import argparse
import asyncio
import sys
from importlib.util import find_spec
from pathlib import Path

from benchmarks.targets import show_targets, write_result
from calibration.progress import console
from runtime.engines.base import SamplingSettings
from runtime.settings import Settings


def missing_gpu() -> str | None:
    """Why this machine cannot run the benchmark; None where it can."""
    if find_spec("vllm") is None:
        return "vLLM is not installed"
    # vLLM's own word for it, which starts no CUDA in this process: its engines are forked.
    from vllm.platforms import current_platform

    if not current_platform.is_cuda():
        return f"vLLM runs on {current_platform.device_type or 'nothing'} here"
    return None if current_platform.device_count() else "CUDA_VISIBLE_DEVICES hides it"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", default="Qwen/Qwen2.5-Math-7B-Instruct")
    parser.add_argument("--verifier", default="Qwen/Qwen2.5-Math-PRM-7B")
    parser.add_argument("--verifier-family", default="auto")
    parser.add_argument("--prompts", type=int, default=64)
    parser.add_argument("--n", type=int, default=16, help="generations per prompt")
    parser.add_argument("--max-tokens", type=int, default=2048, help="longest solution")
    parser.add_argument("--out", type=Path, default=Path("out"))
    return parser.parse_args()


def main() -> None:
    given = arguments()
    if (reason := missing_gpu()) is not None:
        print(f"error: this benchmark needs an NVIDIA GPU: {reason}", file=sys.stderr)
        sys.exit(2)
    from vllm.platforms import current_platform

    from benchmarks.gpu.measure import measure, prompts_of

    settings = Settings(
        model=given.model,
        verifier=given.verifier,
        verifier_family=given.verifier_family,
        answers="math",
        sampling=SamplingSettings(temperature=0.8, max_tokens=given.max_tokens),
    )
    data, targets = asyncio.run(measure(settings, prompts_of(given.prompts), given.n))
    names = [current_platform.get_device_name(i) for i in range(current_platform.device_count())]
    show_targets(targets)
    write_result(given.out / "gpu.json", {"gpus": names, **data}, targets)
    console.print(f"Wrote {given.out / 'gpu.json'}.")


if __name__ == "__main__":
    main()
