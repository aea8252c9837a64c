"""Arguments of vLLM's engines that the user sets: how they are read, and which are refused."""

import json
from collections.abc import Mapping
from dataclasses import fields
from difflib import get_close_matches
from typing import Any

from allocator.errors import InputError
from allocator.extras import missing
from runtime.engines.loading import engine_kind

# Arguments of vLLM's AsyncEngineArgs by name, as JSON or TOML has them.
EngineArgs = dict[str, Any]

# The setting that holds the arguments of each model's engine.
ARGS = {
    "model": "engine_args",
    "verifier": "verifier_args",
    "reviser": "reviser_args",
    "reviser_verifier": "verifier_args",
}

# What front ends say of these settings.
VERIFIER_ENGINE_HELP = (
    "what runs the verifiers: auto, vllm, transformers, or URLs of vllm servers, comma-separated"
)
ENGINE_HELP = (
    'arguments of the language model\'s vLLM engine, as JSON: {"tensor_parallel_size": 2}; they '
    "replace the artifact's of the same names"
)
VERIFIER_HELP = 'likewise of the verifiers\': {"device_ids": [1]} puts them on the second GPU'
REVISER_HELP = "likewise of the reviser's"

# Arguments that would change the model that was calibrated.
NOT_CALIBRATED = ("tokenizer", "revision", "tokenizer_revision", "skip_tokenizer_init")
DECIDED = ("model", "model_weights", "hf_config_path", "runner", "convert", *NOT_CALIBRATED)
# By these a family of verifiers says where and how vLLM reads it.
OF_FAMILIES = ("hf_overrides", "pooler_config", "worker_extension_cls")

# Arguments that change what a model samples or scores: they are part of its fingerprint.
RESULTS = (
    *("hf_overrides", "kv_cache_dtype", "logits_processors", "quantization"),
    "quantization_config",
)


def read_args(field: str, given: Any) -> EngineArgs:
    """Arguments as a JSON text or a mapping has them.

    Raises:
        InputError: neither of them, or a text that is no JSON object.
    """
    hint = 'must be a JSON object, such as {"tensor_parallel_size": 2}'
    try:
        args = json.loads(given) if isinstance(given, str) else given
    except (json.JSONDecodeError, RecursionError) as error:
        raise InputError(field, given, f"{hint} ({error})") from None
    if not isinstance(args, Mapping):
        raise InputError(field, given, hint)
    return dict(args)


def check_args(field: str, args: Mapping[str, Any]) -> None:
    """Check the names of arguments; vLLM itself checks their values when the engine starts.

    Nothing is checked without vLLM: whoever opens the model refuses them then.

    Args:
        field: the setting that holds them.
        args: by name.

    Raises:
        InputError: vLLM's engine has no argument of a name, or it is not the user's to set.
    """
    if not args or missing("vllm") is not None:
        return
    known = engine_fields()
    decided = (*DECIDED, *OF_FAMILIES) if field == ARGS["verifier"] else DECIDED
    for name, value in args.items():
        if name in decided:
            raise InputError(name, value, f"the artifact decides this; leave it out of {field}")
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else "leave it out"
            raise InputError(name, value, f"vLLM's engine has no such argument ({field}); {hint}")


def engine_fields() -> frozenset[str]:
    """Names of the arguments of vLLM's engine."""
    from vllm.engine.arg_utils import AsyncEngineArgs

    return frozenset(field.name for field in fields(AsyncEngineArgs))


def given_args(
    engine_args: Mapping[str, Any] | None = None,
    verifier_args: Mapping[str, Any] | None = None,
    reviser_args: Mapping[str, Any] | None = None,
    engine: str = "vllm",
    verifier_engine: str = "auto",
) -> dict[str, EngineArgs]:
    """Arguments that a caller gives, checked, by the settings that hold them.

    Args:
        engine_args: of the language model's engine; None for none, here and below.
        verifier_args: of the verifiers'.
        reviser_args: of the reviser's.
        engine: the engine that the caller requests, by name.
        verifier_engine: the verifiers', likewise.

    Raises:
        InputError: as `check_args`, or arguments of an engine that is not vLLM's own here.
    """
    given = {
        "engine_args": dict(engine_args or {}),
        "verifier_args": dict(verifier_args or {}),
        "reviser_args": dict(reviser_args or {}),
    }
    for field, args in given.items():
        of_verifiers = field == "verifier_args"
        there = verifier_engine if of_verifiers else engine
        # Of the verifiers' arguments transformers takes the device.
        takers = ("vllm", "transformers") if of_verifiers else ("vllm",)
        if args and engine_kind(there) not in takers:
            raise InputError(field, args, f"arguments of vLLM's engine, and this is {there}")
        check_args(field, args)
    return {field: args for field, args in given.items() if args}


def in_fingerprint(args: Mapping[str, Any]) -> str:
    """What of the arguments changes results, as text; empty where nothing does."""
    return "".join(
        f", {name} {json.dumps(value, sort_keys=True, default=str)}"
        for name, value in _changes(args).items()
    )


def check_unchanged(field: str, args: Mapping[str, Any]) -> None:
    """Check that a model gives the same in transformers, where vLLM's arguments do not apply.

    Raises:
        InputError: an argument changes its results.
    """
    for name, value in _changes(args).items():
        raise InputError(
            name, value, f"it changes results ({field}), and only vLLM has it; choose vllm"
        )


def _changes(args: Mapping[str, Any]) -> EngineArgs:
    return {name: args[name] for name in RESULTS if args.get(name) not in (None, "auto", {})}
