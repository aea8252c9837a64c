"""A model with the artifact that was calibrated for it: found, checked, opened, and its budgets."""

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
from runtime.frontend.fields import number_in
from runtime.frontend.sampling_overrides import counted
from runtime.models import load_models
from runtime.result import Spend
from runtime.solving.solve import Solver
from runtime.verifiers.loading import VerifierEngine

ARTIFACT_VARIABLE, BUDGET_VARIABLE = "TTC_ARTIFACT", "TTC_BUDGET"
DEFAULT_BUDGET = 16


def find_artifact(model: str | Path, artifact: str | Path | None) -> Artifact:
    """The artifact of a model.

    Args:
        model: an artifact's folder, or a model's name or folder.
        artifact: folder of the model's artifact; None takes the environment's TTC_ARTIFACT.

    Raises:
        InputError: no artifact, one that cannot be used, or one of another model.
    """
    if is_artifact(Path(model)):
        if artifact is not None:
            raise InputError("artifact", str(artifact), f"{model} is one itself; leave this out")
        return Artifact.load(Path(model))
    folder = artifact if artifact is not None else os.environ.get(ARTIFACT_VARIABLE)
    if not folder:
        raise InputError(
            "artifact",
            folder,
            f"name the one that ttc calibrate made for {model}, or set {ARTIFACT_VARIABLE}",
        )
    found = Artifact.load(Path(folder))
    check_model(found, str(model))
    return found


def check_model(artifact: Artifact, model: str) -> None:
    """That a model is the one an artifact was calibrated with.

    Raises:
        InputError: it is another, or cannot be found.
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
    **engine_args: Any,
) -> Solver:
    """A solver with its models loaded. Call it inside the event loop that will use it.

    Args:
        stack: closes what was opened here.
        artifact: what calibration found.
        seed: with the prompt, determines every sample.
        engine: an engine's name, or an open engine; see `borrowed`.
        verifier_engine: what runs the verifiers.
        engine_args: further arguments of vLLM's engine.

    Raises:
        InputError: as `load_models` and `borrowed`, or a seed below 0.
    """
    if not isinstance(seed, int) or seed < 0:
        raise InputError("seed", seed, "give a whole number of 0 or more")
    opened: EngineName | Engine = engine
    if not isinstance(engine, str):
        opened = stack.enter_context(borrowed(engine, artifact))
    return Solver(
        load_models(
            stack, artifact.settings, artifact.folder, opened, verifier_engine, **engine_args
        ),
        artifact,
        seed,
    )


@contextmanager
def borrowed(engine: Any, artifact: Artifact) -> Iterator[Engine]:
    """Somebody's open engine as one of ours, for as long as the block lasts; it stays open.

    Args:
        engine: a `vllm.LLM`; an `AsyncLLM`, in its own event loop; or any
            `runtime.engines.base.Engine`, which must be of the artifact's model: it is not checked.
        artifact: what calibration found.

    Raises:
        InputError: none of these, or of another model than the artifact's.
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
    """That an engine may be used from another event loop than the one it was opened in.

    Raises:
        InputError: vLLM's asynchronous engine, which may not.
    """
    if isinstance(engine, VLLMEngine) or type(engine).__name__ == "AsyncLLM":
        raise InputError(
            "engine", type(engine).__name__, "it has a loop; wrap it in AsyncComputeOptimalLLM"
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


def default_budget(budget: int | None) -> int:
    """Generations a prompt may cost: as given, else the environment's TTC_BUDGET, else 16.

    Raises:
        InputError: not a whole number of 1 or more.
    """
    if budget is not None:
        return counted("budget", budget)
    return counted(BUDGET_VARIABLE, number_in(os.environ.get(BUDGET_VARIABLE, str(DEFAULT_BUDGET))))


def spend_for(
    default: int,
    most: int,
    prompts: int = 1,
    budget: int | None = None,
    total: int | None = None,
    deadline: float | None = None,
    field: str = "n",
) -> tuple[Spend, int, list[str]]:
    """What a call may spend.

    Args:
        default: generations a prompt may cost where a call does not say.
        most: the most solutions that it wants of one prompt.
        prompts: how many prompts it has.
        budget: generations each prompt may cost.
        total: generations that all prompts together may cost.
        deadline: seconds each prompt may take.
        field: what asked for so many solutions, for messages.

    Returns:
        What it may spend; generations a prompt may cost, on average and rounded up where the
        prompts share a total; and a note where the default was too little.

    Raises:
        InputError: more solutions than the budget allows, or than a shared total can promise; or
            as `Spend`.
    """
    if total is not None:
        if most > 1:
            why = "a shared total promises one solution each; give a budget"
            raise InputError(field, most, why)
        shared = Spend(budget=budget or 0, total=counted("total_budget", total), deadline=deadline)
        return shared, -(-total // prompts), []
    each, notes = counted("budget", default if budget is None else budget), []
    if budget is None and most > default:
        each = most
        notes = [f"the budget was {most}, not {default}: so many solutions were asked for"]
    if most > each:
        raise InputError(field, most, f"there are only {each} in the budget; raise it")
    return Spend(budget=each, deadline=deadline), each, notes
