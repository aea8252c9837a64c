"""Training of the testbed's base models goes on where it was cut off."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from allocator.errors import InputError
from benchmarks.testbed import train_base
from benchmarks.testbed.task import CHARACTERS, problems
from calibration.training.state import TrainingState

STEPS = 6


def weights(out: Path, peak_rate: float = 1e-3) -> dict[str, torch.Tensor]:
    train_base.train(
        problems, CHARACTERS, out, width=32, layers=1, steps=STEPS, tokens=256, peak_rate=peak_rate
    )
    found: dict[str, torch.Tensor] = load_file(out / "model.safetensors")
    return found


@pytest.mark.slow
def test_a_training_that_was_cut_off_ends_in_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_base, "KEPT_EVERY", 2)
    # Compiling takes longer than all else here, and is not what is tested.
    monkeypatch.setattr(torch, "compile", lambda model, **_: model)
    whole = weights(tmp_path / "whole")

    class Cut(Exception):
        pass

    save = TrainingState.save

    def save_twice(self: Any, counters: Mapping[str, float]) -> None:
        save(self, counters)
        if self._schedule.last_epoch == 4:
            raise Cut

    out = tmp_path / "cut"
    kept = tmp_path / "cut.training-state"
    with monkeypatch.context() as cut_off:
        cut_off.setattr(TrainingState, "save", save_twice)
        with pytest.raises(Cut):
            weights(out)
    assert sorted(path.name for path in kept.iterdir()) == ["4.safetensors", "counters.json"]
    with pytest.raises(
        InputError, match=r"begun with \{.peak_rate.: 0.001\}, not \{.peak_rate.: 0.1"
    ):
        weights(out, peak_rate=0.1)
    resumed = weights(out)
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert not kept.exists()
