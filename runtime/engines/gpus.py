"""What models need of this machine's GPUs, and what these have free."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from math import prod
from pathlib import Path

from allocator.errors import InputError
from allocator.extras import missing
from runtime.engines.checkpoint import token_bytes, weight_bytes
from runtime.engines.engine_args import EngineArgs
from runtime.engines.environment import has_gpu
from runtime.engines.memory import Gpu, Need, plan_shares


def divide_memory(
    folders: Mapping[str, Path], args: Mapping[str, EngineArgs]
) -> dict[str, EngineArgs]:
    """Arguments of vLLM by which models that are opened together share the GPUs' memory.

    A model that transformers runs has its share left free. There is none for a model whose share
    is set, and none at all without vLLM or without a GPU of NVIDIA's.

    Args:
        folders: the models' folders, by their names.
        args: the arguments of their engines, by the same names.

    Raises:
        InputError: models that do not fit, a GPU that is not there, or an argument out of range.
    """
    needs = {which: need_of(folder, args[which]) for which, folder in folders.items()}
    if not _has_gpus():
        return {which: {} for which in folders}
    # Ray chooses its GPUs itself, on other machines too.
    here = {
        which: replace(need, gpus=tuple(map(_physical, need.gpus)))
        for which, need in needs.items()
        if args[which].get("distributed_executor_backend") != "ray"
    }
    gpus = {number: gpu_memory(int(number)) for need in here.values() for number in need.gpus}
    shares = plan_shares(here, gpus)
    return {
        which: {"gpu_memory_utilization": shares[which]} if which in shares else {}
        for which in folders
    }


def gpu_count(args: EngineArgs, kinds: Sequence[str] = ("tensor", "pipeline", "data")) -> int:
    """The number of GPUs that an engine runs on.

    Args:
        args: its arguments.
        kinds: of parallelism that count.

    Raises:
        InputError: a number out of range.
    """
    return prod(_count(args, f"{kind}_parallel_size") or 1 for kind in kinds)


def visible_gpus(args: Iterable[EngineArgs]) -> int:
    """The GPUs that a process needs to see for engines that it opens together.

    Args:
        args: of each engine.

    Raises:
        InputError: an argument out of range.
    """
    used = {gpu for each in args for gpu in _gpus(each, gpu_count(each))}
    return max(len(used), *(gpu + 1 for gpu in used if isinstance(gpu, int)), 1)


def need_of(folder: Path, args: EngineArgs) -> Need:
    """What a model needs, by its checkpoint and the arguments of its engine.

    Raises:
        InputError: an argument out of range.
    """
    tensor, pipeline = (gpu_count(args, (kind,)) for kind in ("tensor", "pipeline"))
    named = [args.get(name) for name in ("kv_cache_dtype", "dtype")]
    dtype = next((str(d) for d in named if d not in (None, "auto")), "auto")
    token = token_bytes(folder, dtype, tensor)
    return Need(
        gpus=_gpus(args, gpu_count(args)),
        weights=weight_bytes(folder) // (tensor * pipeline),
        token=None if token is None else token // pipeline,
        cache=_count(args, "kv_cache_memory_bytes"),
        share=_share(args),
    )


def gpu_memory(number: int) -> Gpu:
    """A GPU's memory. CUDA is not started in this process: engines could not be forked from it.

    Raises:
        InputError: there is no such GPU.
    """
    from vllm.utils.import_utils import import_pynvml

    nvml = import_pynvml()
    nvml.nvmlInit()
    try:
        memory = nvml.nvmlDeviceGetMemoryInfo(nvml.nvmlDeviceGetHandleByIndex(number))
    except nvml.NVMLError as error:
        raise InputError("device_ids", number, f"there is no such GPU here ({error})") from None
    finally:
        nvml.nvmlShutdown()
    return Gpu(int(memory.total), int(memory.free))


def _has_gpus() -> bool:
    if not has_gpu() or missing("vllm") is not None:
        return False
    from vllm.platforms import current_platform

    return bool(current_platform.is_cuda())


def _gpus(args: EngineArgs, count: int) -> tuple[int | str, ...]:
    """The GPUs that an engine uses: those it names, else the first."""
    named = args.get("device_ids") or list(range(count))
    if (
        not isinstance(named, list)
        or len(named) < count
        or not all(isinstance(gpu, str) or (type(gpu) is int and gpu >= 0) for gpu in named)
    ):
        raise InputError(
            "device_ids", named, f"must be a list of at least {count} numbers or UUIDs of GPUs"
        )
    return tuple(named[:count])


def _physical(device: int | str) -> int:
    """A GPU's number on the machine, from that among the visible ones or from its UUID.

    Raises:
        InputError: there is no such GPU.
    """
    from vllm.platforms import current_platform

    try:
        if isinstance(device, str):
            return int(current_platform.device_control_id_to_physical_device_id(device))
        return int(current_platform.visible_device_id_to_physical_device_id(device))
    except Exception as error:  # NVML has a class for each of its errors
        raise InputError("device_ids", device, f"there is no such GPU here ({error})") from None


def _count(args: EngineArgs, name: str) -> int | None:
    value = args.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InputError(name, value, "must be a whole number of at least 1")
    return value


def _share(args: EngineArgs) -> float | None:
    value = args.get("gpu_memory_utilization")
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value <= 1:
        raise InputError("gpu_memory_utilization", value, "must be above 0 and at most 1")
    return float(value)
