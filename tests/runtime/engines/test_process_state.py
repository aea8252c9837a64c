"""What opening and closing models leaves behind in the process: nothing."""

import asyncio
import gc
import logging
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.testbed.paths import BASE, SETTINGS
from runtime.engines import vllm_core
from runtime.engines.environment import environment_defaults
from runtime.engines.gpus import divide_memory
from runtime.models import open_models
from runtime.server.logs import BELOW, LOGGER, MODELS, ServerLog


def process_state() -> dict[str, Any]:
    """What all code in this process shares, and an engine might change."""
    loggers = {"": logging.getLogger()} | {
        name: logger
        for name, logger in logging.root.manager.loggerDict.items()
        if isinstance(logger, logging.Logger)
    }
    return {
        "threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "dtype": torch.get_default_dtype(),
        "grad": torch.is_grad_enabled(),
        "generator": torch.get_rng_state().tolist(),
        "environment": dict(os.environ),
        "loggers": {
            name: (logger.level, logger.propagate, logger.disabled, list(logger.handlers))
            for name, logger in loggers.items()
        },
        "signals": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "mask": signal.pthread_sigmask(signal.SIG_BLOCK, ()),
        "frozen": gc.get_freeze_count(),
    }


def changed(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """What is not as it was. Loggers that are new are no change of another's."""
    old, new = before["loggers"], after["loggers"]
    return {
        name: (before[name], after[name])
        for name in before
        if name != "loggers" and before[name] != after[name]
    } | {name: (old[name], new[name]) for name in old if old[name] != new[name]}


def test_the_transformers_engine_changes_nothing() -> None:
    async def opened() -> dict[str, Any]:
        before = process_state()
        async with open_models(SETTINGS, Path(), "transformers", "transformers") as models:
            await models.engine.complete(
                models.engine.tokenizer.encode("1+2"),
                settings=SETTINGS.sampling,
                max_tokens=3,
                seed=1,
            )
            while_open = process_state()
        assert changed(before, while_open) == {}
        return changed(before, process_state())

    # Objects that an earlier test's engine froze would lower the count as they die.
    gc.unfreeze()
    asyncio.run(opened())  # imports what it needs, and libraries set their own loggers up
    before = process_state()
    assert asyncio.run(opened()) == {}
    assert changed(before, process_state()) == {}


def test_a_servers_log_gives_the_loggers_back() -> None:
    names = (LOGGER.name, MODELS, *BELOW)
    for name in names:
        logging.getLogger(name)
    before = process_state()
    log = ServerLog()
    assert set(changed(before, process_state())) == set(names)
    log.close()
    assert changed(before, process_state()) == {}


def test_environment_variables_are_set_for_the_block_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TTC_OURS", "mine")
    monkeypatch.delenv("TTC_NEW", raising=False)
    with environment_defaults(TTC_OURS="default", TTC_NEW="default"):
        assert (os.environ["TTC_OURS"], os.environ["TTC_NEW"]) == ("mine", "default")
    assert os.environ["TTC_OURS"] == "mine"
    assert "TTC_NEW" not in os.environ


def test_gpus_are_looked_for_without_starting_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    checks: list[str | None] = []

    def is_available() -> bool:
        checks.append(os.environ.get("PYTORCH_NVML_BASED_CUDA_CHECK"))
        return False

    monkeypatch.delenv("PYTORCH_NVML_BASED_CUDA_CHECK", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", is_available)
    before = process_state()
    divide_memory({"model": BASE}, {"model": {}})
    assert set(checks) == {"1"}
    assert changed(before, process_state()) == {}


@pytest.mark.slow
def test_engines_of_vllm_share_what_the_last_of_them_gives_back() -> None:
    sharing = vllm_core._Sharing()
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        sharing.enter(one_thread=True)
        sharing.enter(one_thread=True)
        assert torch.get_num_threads() == 1
        assert gc.get_freeze_count() > 0
        sharing.leave()
        assert torch.get_num_threads() == 1, "one engine is still open"
        sharing.leave()
        assert torch.get_num_threads() == 2
        assert gc.get_freeze_count() == 0
    finally:
        torch.set_num_threads(before)
