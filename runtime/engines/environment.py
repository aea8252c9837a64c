"""Environment variables that are set for a while, and the GPU that is looked for under one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def environment_defaults(**defaults: str) -> Iterator[None]:
    """Environment variables that are set for as long as the block lasts, where they were not."""
    added = {name: value for name, value in defaults.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


def has_gpu() -> bool:
    """Whether torch can use a GPU here.

    CUDA is not started in this process. vLLM forks its engines, and an engine cannot use a CUDA
    that its parent has started.
    """
    import torch

    # torch then counts GPUs in the driver's NVML, as vLLM has it do once it is imported.
    with environment_defaults(PYTORCH_NVML_BASED_CUDA_CHECK="1"):
        return torch.cuda.is_available()  # noqa: TID251
