"""How the memory of GPUs is divided between the models that share them."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import floor

from allocator.errors import InputError

# Share of every GPU that is left to what vLLM takes beyond its own share (CUDA graphs, the
# allocator's fragments) and to this process.
RESERVE = 0.1
# Bytes that an engine needs on a GPU beside weights and cache: CUDA's context and activations.
OVERHEAD = 2 * 2**30


@dataclass(frozen=True)
class Gpu:
    """A GPU's memory, in bytes."""

    total: int
    free: int


@dataclass(frozen=True)
class Need:
    """What a model needs of each of its GPUs.

    Attributes:
        gpus: their numbers or UUIDs.
        weights: bytes of its weights.
        token: bytes of one token's keys and values; None where they are unknown.
        cache: bytes of all keys and values, where the user has set them.
        share: of a GPU's memory, where the user has set it.
    """

    gpus: tuple[int | str, ...]
    weights: int
    token: int | None
    cache: int | None = None
    share: float | None = None

    @property
    def least(self) -> int:
        """Bytes without which the model does not start."""
        return self.weights + OVERHEAD + (self.cache or 0)


def plan_shares(needs: Mapping[str, Need], gpus: Mapping[int | str, Gpu]) -> dict[str, float]:
    """The share of a GPU's memory that each model gets, where the user has set none.

    Each gets its weights. Models that share a GPU read the same solutions, so their caches should
    hold as many tokens: what is left is divided by the bytes of a token's keys and values (by the
    weights, if those of any model are unknown). A model on several GPUs gets the same share of
    each, the least of them.

    Args:
        needs: by the model's name.
        gpus: by their numbers or UUIDs, as the needs name them.

    Returns:
        vLLM's `gpu_memory_utilization` of each model that has no share yet.

    Raises:
        InputError: weights that do not fit into a GPU's free memory.
    """
    planned: dict[str, float] = {}
    for number, gpu in gpus.items():
        here = {name: need for name, need in needs.items() if number in need.gpus}
        for name, share in _shares_of_one(number, gpu, here).items():
            planned[name] = min(share, planned.get(name, 1.0))
    return planned


def _shares_of_one(number: int | str, gpu: Gpu, needs: Mapping[str, Need]) -> dict[str, float]:
    open_ones = {name: need for name, need in needs.items() if need.share is None}
    taken = sum(need.share * gpu.total for need in needs.values() if need.share is not None)
    room = gpu.free - RESERVE * gpu.total - taken
    rest = room - sum(need.least for need in open_ones.values())
    if open_ones and rest < 0:
        raise _too_full(number, gpu, taken, open_ones)
    growing = {name: need for name, need in open_ones.items() if need.cache is None}
    known = all(need.token is not None for need in growing.values())
    parts = {name: need.token if known else need.weights for name, need in growing.items()}
    whole = sum(part or 0 for part in parts.values()) or 1
    return {
        # Rounded down, lest the shares together exceed what is free.
        name: floor(1000 * (need.least + rest * (parts.get(name) or 0) / whole) / gpu.total) / 1000
        for name, need in open_ones.items()
    }


def _too_full(number: int | str, gpu: Gpu, taken: float, needs: Mapping[str, Need]) -> InputError:
    wanted = ", ".join(f"{name} {_gib(need.least)}" for name, need in needs.items())
    others = f", {_gib(taken)} are set for others" if taken else ""
    return InputError(
        f"GPU {number}",
        f"{_gib(gpu.free)} of {_gib(gpu.total)} free",
        f"too little: {wanted} at least{others}, {_gib(RESERVE * gpu.total)} stay in reserve; put "
        "a model on another GPU (device_ids), on several (tensor_parallel_size), or set each "
        "one's gpu_memory_utilization yourself",
    )


def _gib(size: float) -> str:
    return f"{size / 2**30:.1f} GiB"
