"""Find the artifact of a model, check that they belong together, and open a solver."""

import importlib.util
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from allocator.errors import InputError
from runtime.artifact import Artifact, is_artifact
from runtime.engines.base import Engine
from runtime.engines.checkpoint import model_fingerprint, resolve_model
from runtime.engines.loading import EngineName
from runtime.engines.vllm import Core, VLLMCompletions, VLLMEngine
from runtime.engines.vllm_core import VLLMCore
from runtime.engines.vllm_sync import VLLMSyncCore
from runtime.models import load_models
from runtime.solving.solve import Solver
from runtime.verifiers.loading import VerifierEngine

ARTIFACT_VARIABLE = "TTC_ARTIFACT"


def find_artifact(
    model: str | Path, artifact: str | Path | None, trust_grader: str = ""
) -> Artifact:
    """The artifact of a model.

    Args:
        model: an artifact's folder, or a model's name or folder.
        artifact: the model's artifact, a folder or a name on the Hub; None uses the environment's
            TTC_ARTIFACT.
        trust_grader: see `runtime.artifact.Artifact.load`.

    Raises:
        InputError: no artifact, one that cannot be used, or one of another model.
    """
    if is_artifact(Path(model)):
        if artifact is not None:
            raise InputError(
                "artifact", str(artifact), f"{model} is an artifact itself; leave this out"
            )
        return Artifact.load(model, trust_grader=trust_grader)
    chosen = artifact if artifact is not None else os.environ.get(ARTIFACT_VARIABLE)
    if not chosen:
        raise InputError(
            "artifact",
            chosen,
            f"give the artifact that ttc calibrate made for {model}, or set {ARTIFACT_VARIABLE}; "
            "if it is itself an artifact on the Hub, open it with from_pretrained",
        )
    found = Artifact.load(chosen, trust_grader=trust_grader)
    check_model(found, str(model))
    return found


def check_model(artifact: Artifact, model: str) -> None:
    """Check that a model is the one that an artifact was calibrated with.

    Raises:
        InputError: another model, or one that cannot be found.
    """
    calibrated = artifact.settings.folder(artifact.folder, "model")
    folder = resolve_model(model)
    if model_fingerprint(folder) != model_fingerprint(calibrated):
        raise InputError(
            "model", model, f"{artifact.folder} was calibrated for {calibrated}; use that model"
        )


def open_solver(
    stack: ExitStack,
    artifact: Artifact,
    seed: int,
    engine: Any = "auto",
    verifier_engine: VerifierEngine = "auto",
) -> Solver:
    """A solver with its models loaded. Call it inside the event loop that will use it.

    Args:
        stack: closes what is opened here.
        artifact: the artifact.
        seed: with the prompt, determines every sample.
        engine: an engine's name, or an open engine; see `borrowed`.
        verifier_engine: the engine of the verifiers.

    Raises:
        InputError: as `load_models` and `borrowed`, or a seed below 0.
    """
    if not isinstance(seed, int) or seed < 0:
        raise InputError("seed", seed, "must be an integer of at least 0")
    opened: EngineName | Engine = engine
    if not isinstance(engine, str):
        opened = stack.enter_context(borrowed(engine, artifact))
    models = load_models(stack, artifact.settings, artifact.folder, opened, verifier_engine)
    return Solver(models, artifact, seed)


@contextmanager
def borrowed(engine: Any, artifact: Artifact) -> Iterator[Engine]:
    """An open engine of the caller's as an `Engine`, for the length of the block; it stays open.

    Args:
        engine: a `vllm.LLM`; an `AsyncLLM`, in its own event loop; or any
            `runtime.engines.base.Engine`, of which the model is not checked.
        artifact: the artifact.

    Raises:
        InputError: another type, or an engine of another model than the artifact's.
    """
    if hasattr(engine, "complete"):
        yield engine
        return
    core = _core(engine)
    try:
        check_model(artifact, engine.model_config.model)
        yield VLLMCompletions(core, engine.get_tokenizer(), engine.model_config.max_model_len)
    finally:
        core.close()


def check_loop(engine: Any) -> None:
    """Check that an engine may be used from another event loop than its own.

    Raises:
        InputError: vLLM's asynchronous engine, which may not.
    """
    if isinstance(engine, VLLMEngine) or type(engine).__name__ == "AsyncLLM":
        raise InputError(
            "engine",
            type(engine).__name__,
            "it is bound to its event loop; wrap it in ttc_allocator.AsyncLLM",
        )


def _core(engine: Any) -> Core:
    if importlib.util.find_spec("vllm") is not None:
        from vllm import LLM
        from vllm.v1.engine.async_llm import AsyncLLM

        if isinstance(engine, LLM):
            return VLLMSyncCore(engine)
        if isinstance(engine, AsyncLLM):
            return VLLMCore("the vLLM engine", engine)
    raise InputError(
        "engine",
        type(engine).__name__,
        "must be a vllm.LLM, an AsyncLLM or a runtime.engines.base.Engine",
    )
