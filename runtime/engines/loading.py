"""Choosing and opening an engine."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from allocator.errors import InputError
from allocator.extras import missing, require
from runtime.engines.base import Engine

EngineName = str
ENGINE_NAME_HELP = "auto, vllm, transformers, or URLs of vllm servers, comma-separated"


def named_kind(
    name: EngineName, field: str = "engine"
) -> Literal["auto", "vllm", "transformers", "servers"]:
    """What an engine's name stands for, on any machine.

    Args:
        name: the name.
        field: what it is in messages.

    Raises:
        InputError: an unknown name.
    """
    if name.startswith(("http://", "https://")):
        return "servers"
    for kind in ("auto", "vllm", "transformers"):
        if name == kind:
            return kind
    hint = "choose auto, vllm or transformers, or give the URL of a vllm server"
    raise InputError(field, name, hint)


def engine_kind(name: EngineName) -> Literal["vllm", "transformers", "servers"]:
    """Which engine a name stands for on this machine; nothing is opened.

    Raises:
        InputError: an unknown name, or vLLM by name without being installed.
    """
    if named_kind(name) == "servers":
        return "servers"
    if name == "vllm":
        require("vllm", "engine", name)
    return "vllm" if missing("vllm") is None and name != "transformers" else "transformers"


@contextmanager
def open_engine(
    model: Path, name: EngineName = "auto", served: str | None = None, **engine_args: Any
) -> Iterator[Engine]:
    """An engine for as long as the block lasts.

    Must be opened inside the event loop that will use it.

    Args:
        model: the language model's folder.
        name: ``vllm`` or ``transformers``; ``auto`` takes vLLM where it is installed; or the URLs
            of servers such as `vllm serve`, comma-separated.
        served: the name the model has among servers that serve several.
        engine_args: further arguments of vLLM's engine; no other has any.

    Raises:
        InputError: an unknown name, a server that does not answer, vLLM by name without being
            installed, or an argument that the engine does not have.
    """
    kind = engine_kind(name)
    if engine_args and kind != "vllm":
        field, value = next(iter(engine_args.items()))
        raise InputError(field, value, f"an argument of vLLM's engine, and this is {name}")
    if kind == "servers":
        from runtime.engines.openai import OpenAIEngine

        remote = OpenAIEngine(name.split(","), model, served)
        try:
            yield remote
        finally:
            remote.close()
        return
    engine: Engine
    if kind == "transformers":
        from runtime.engines.transformers import TransformersEngine

        engine = TransformersEngine(model)
    else:
        from runtime.engines.vllm import VLLMEngine

        engine = VLLMEngine(model, **engine_args)
    try:
        yield engine
    finally:
        engine.close()
