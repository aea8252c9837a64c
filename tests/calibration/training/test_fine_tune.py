"""When training ends: on one weight, whose validation losses are given."""

from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from math import inf, nan
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from allocator.errors import InputError, ModelError
from benchmarks.testbed.paths import BASE
from calibration.training import classifiers, reviser
from calibration.training.classifiers import (
    add_layers,
    classifier_logits,
    verifier_loss,
    within_prompts,
)
from calibration.training.fine_tune import Example, _step, fine_tune, passes
from calibration.training.reviser import reviser_loss
from calibration.training.settings import TrainSettings, VerifierSettings
from calibration.training.state import TrainingState, remove_state
from runtime.verifiers.heads import headed

EXAMPLES = [Example(prompt, [1], [1.0]) for prompt in range(20)]


class OneWeight(torch.nn.Module):
    """A model of one weight.

    Args:
        losses: its validation loss in each epoch; its training loss is the weight itself.
    """

    def __init__(self, losses: Sequence[float]) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))
        self.config = SimpleNamespace(max_position_embeddings=8)
        self.losses = [loss for loss in losses for _ in range(2)]  # two held-out examples

    def save_pretrained(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        (folder / "config.json").write_text("{}")


def loss(network: Any, batch: Sequence[Example], device: str) -> tuple[torch.Tensor, float]:
    return network.weight.sum() if network.training else torch.tensor(network.losses.pop(0)), 1.0


def lines(
    out: Path,
    losses: Sequence[float],
    measure: Any = None,
    stopped: bool = False,
    **settings: Any,
) -> list[str]:
    """The log of a training with these validation losses; it may be stopped before the last."""
    found: list[str] = []
    model = OneWeight(losses[:-1] if stopped else losses)
    chosen = TrainSettings(batch=1, max_epochs=len(losses), **settings)
    fine_tune(model, model, BASE, EXAMPLES, loss, chosen, out, found.append, measure)
    return found


@pytest.mark.parametrize(("patience", "epochs"), [(0, 2), (1, 3), (2, 4)])
def test_patience_is_epochs_after_the_best_that_do_not_end_training(
    tmp_path: Path, patience: int, epochs: int
) -> None:
    assert len(lines(tmp_path / "out", [1.0, 2.0, 2.0, 2.0, 2.0], patience=patience)) == epochs


@pytest.mark.parametrize("lost", [nan, inf])
def test_a_training_that_diverges_says_so_and_can_be_begun_anew(
    tmp_path: Path, lost: float
) -> None:
    def never(*_: object) -> str:
        pytest.fail("a diverged model was measured")

    out = tmp_path / "out"
    with pytest.raises(ModelError, match=rf"epoch 1 is no longer finite \({lost}\); lower --learn"):
        lines(out, [lost], never)
    with pytest.raises(ModelError, match=r"training: the validation loss of epoch 2 "):
        lines(out, [1.0, lost])
    # The advice can be followed.
    assert len(lines(out, [1.0, 0.5], learning_rate=1e-6)) == 2


def test_a_finished_training_is_not_repeated_with_the_same(tmp_path: Path) -> None:
    out, losses = tmp_path / "out", [1.0, 0.5]
    assert len(lines(out, losses)) == 2
    assert lines(out, losses) == []
    # Another training in its place is run, and the first is no longer the one that finished.
    for changed in ({"learning_rate": 1e-6}, {"patience": 3}, {}):
        assert len(lines(out, losses, **changed)) == 2
        assert lines(out, losses, **changed) == []
    (out / "config.json").unlink()
    assert len(lines(out, losses)) == 2
    # Interrupted halfway, it is the second that is resumed; the first is not taken for finished.
    with pytest.raises(IndexError):
        lines(out, losses, learning_rate=1e-5, stopped=True)
    with pytest.raises(InputError, match="was begun with"):
        lines(out, losses)
    remove_state(out)
    assert len(lines(out, losses)) == 2


def state_of(network: torch.nn.Module, out: Path) -> TrainingState:
    """The state of a network's training after its first step."""
    optimizer = torch.optim.AdamW(network.parameters())
    network(torch.ones(1)).backward()
    optimizer.step()
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0)
    return TrainingState(out, network, optimizer, schedule, {})


def test_a_state_of_other_weights_is_refused(tmp_path: Path) -> None:
    state_of(torch.nn.Linear(1, 1), tmp_path).save({"epoch": 1})
    assert state_of(torch.nn.Linear(1, 1), tmp_path).load() == {"epoch": 1}
    with pytest.raises(InputError, match="was begun with other weights; remove the folder"):
        state_of(torch.nn.Linear(1, 1, bias=False), tmp_path).load()


def test_weights_without_a_gradient_so_far_are_resumed_too(tmp_path: Path) -> None:
    class Half(torch.nn.Linear):
        def forward(self, given: torch.Tensor) -> torch.Tensor:
            return given * self.bias

    state_of(Half(1, 1), tmp_path).save({"epoch": 1})
    assert state_of(Half(1, 1), tmp_path).load() == {"epoch": 1}


@pytest.mark.parametrize("loss", [partial(verifier_loss, classifier_logits), reviser_loss])
def test_a_batch_in_several_passes_is_learnt_as_in_one(
    loss: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Rounded to half precision, sums depend on how they are made.
    for module in (classifiers, reviser):
        monkeypatch.setattr(module, "half_precision", lambda _: nullcontext())
    rng = np.random.default_rng(0)
    batch = []
    for size in (5, 7, 8, 12, 12, 19):
        targets = rng.integers(1 if loss is reviser_loss else 0, 3, size) / 2
        targets[: size // 2] = nan
        batch.append(Example(0, rng.integers(3, 20, size).tolist(), targets.tolist()))

    def learnt() -> tuple[float, list[torch.Tensor]]:
        torch.manual_seed(0)
        model: Any = AutoModelForCausalLM.from_pretrained(BASE, dtype="float32")
        network = model
        if loss is not reviser_loss:
            model = add_layers("prm", BASE, VerifierSettings(dropout=0))
            network = headed(model)
        optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0)
        network.eval()
        return _step(network, batch, loss, "cpu", optimizer, schedule), list(network.parameters())

    whole, weights = learnt()
    monkeypatch.setattr("calibration.training.fine_tune.PASS_TOKENS", 48)
    assert [len(part) for part in passes(batch)] == [2, 2, 2]
    in_parts, weights_in_parts = learnt()
    assert in_parts == pytest.approx(whole, rel=1e-5)
    for one, other in zip(weights_in_parts, weights, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=0)


def test_an_auc_that_no_prompt_gives_is_said_to_be_unknown() -> None:
    class Sure(torch.nn.Module):
        def forward(self, ids: torch.Tensor, **_: object) -> torch.Tensor:
            return torch.ones(*ids.shape, 1)

    said = within_prompts(classifier_logits, Sure(), EXAMPLES, "cpu")
    assert said == "AUC within prompts unknown, over all unknown"
