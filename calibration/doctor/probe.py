"""Import one package, and print what it finds as a line of JSON.

`calibration.doctor.imports` runs this file, in a process of its own: an import may end the process.
"""

import json
import sys
from importlib import import_module
from typing import Any


def _torch() -> dict[str, Any]:
    torch: Any = import_module("torch")
    reason = None
    # Here CUDA may start, and must: that there is a GPU does not say that it can.
    if torch.version.cuda is not None and not torch.cuda.is_available():
        try:
            torch.cuda.init()
        except Exception as error:  # whatever torch says is the reason
            reason = str(error).strip().splitlines()[0]
    return {
        "cuda": torch.version.cuda or torch.version.hip,
        "reason": reason,
        "gpus": [_gpu(torch, number) for number in range(torch.cuda.device_count())],
    }


def _gpu(torch: Any, number: int) -> dict[str, Any]:
    found = torch.cuda.get_device_properties(number)
    try:
        free, _ = torch.cuda.mem_get_info(number)
    except RuntimeError:  # asking takes some memory, of which there may be none
        free = None
    return {"name": found.name, "free": free, "total": found.total_memory}


def _lightgbm() -> dict[str, Any]:
    import lightgbm  # noqa: F401

    return {}


def _vllm() -> dict[str, Any]:
    from vllm import LLM  # noqa: F401
    from vllm.platforms import current_platform
    from vllm.v1.engine.async_llm import AsyncLLM  # noqa: F401

    return {"device": current_platform.device_type}


PROBES = {"torch": _torch, "lightgbm": _lightgbm, "vllm": _vllm}

if __name__ == "__main__":
    print(json.dumps(PROBES[sys.argv[1]]()))
