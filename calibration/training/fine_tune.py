"""The fine-tuning that PRM, ORM and reviser share: batches, schedule, early stopping, resuming."""

import gc
import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import torch

from allocator.errors import InputError, ModelError
from calibration.training.settings import VALIDATION_SHARE, TrainSettings
from calibration.training.state import TrainingState
from runtime.engines.checkpoint import model_fingerprint
from runtime.engines.environment import has_gpu

Loss = Callable[[Any, Sequence["Example"], str], tuple[torch.Tensor, float]]
Measure = Callable[[Any, Sequence["Example"], str], str]

# Settings that may change when an interrupted training is resumed: no step depends on them.
CHANGEABLE = {"patience", "compile", "dtype"}

# Tokens that a pass reads at most, padding included. A GPU has no room for the passes of a whole
# batch of long solutions: a batch takes several, whose gradients add up.
PASS_TOKENS = 8192


def half_precision(device: str) -> torch.autocast:
    """Run forward passes in bfloat16, where the device has instructions for it.

    On a CPU without them bfloat16 is fifty times slower than float32.

    Args:
        device: ``cuda`` or ``cpu``.
    """
    able = device == "cuda" or torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.autocast(device, dtype=torch.bfloat16, enabled=able)


def attention() -> str:
    """The attention to train with, by its name in transformers.

    On a CPU ``eager`` is the faster for short sequences. It keeps every score for the way back,
    whose number is quadratic in the length.
    """
    return "sdpa" if has_gpu() else "eager"


def release_memory() -> None:
    """Give a finished training's memory on a GPU back, which torch would keep, to other users."""
    gc.collect()
    torch.cuda.empty_cache()


def compile_layers(network: torch.nn.Module) -> None:
    """Compile every layer of a model by itself.

    Layers share one compiled form: a model of many layers compiles as soon as one layer does,
    where compiling it as a whole takes minutes.
    """
    for module in network.modules():
        if isinstance(module, torch.nn.ModuleList):
            for layer in module:
                layer.compile(dynamic=True)


@dataclass(frozen=True, eq=False)
class Example:
    """A sequence and its targets. Equal to itself alone.

    Attributes:
        prompt: number of the prompt it belongs to; whole prompts are held out.
        token_ids: the tokens.
        targets: one value per token, which the loss compares with; NaN adds no loss.
        prompt_tokens: how many of the tokens stand before the solution.
    """

    prompt: int
    token_ids: Sequence[int]
    targets: Sequence[float]
    prompt_tokens: int = 0


def fine_tune(
    model: Any,
    network: Any,
    base: Path,
    examples: Sequence[Example],
    loss: Loss,
    settings: TrainSettings,
    out: Path,
    log: Callable[[str], None] = print,
    measure: Measure | None = None,
    keep_last: bool = False,
) -> None:
    """Train `model`, and keep in `out` the epoch with the lowest loss on held-out prompts.

    Training ends after `max_epochs`, or with the first epoch that is more than `patience` epochs
    after the best: a patience of 0 ends it with the first epoch that is no better.

    The state after every epoch is kept in a folder beside `out`: called again after an
    interruption, it resumes from there; with another base, other examples or settings it is
    refused. Once training has finished the folder says so, until the caller removes it with
    `calibration.training.state.remove_state`: called again with the same, nothing is trained.

    Args:
        model: a transformers model, which is saved.
        network: the module to run, which holds the model's weights: the model itself, or a part.
        base: folder of the language model that it was made from.
        examples: what to train on; every tenth prompt is held out for early stopping.
        loss: the sum of some examples' losses, and what to divide it by, given network, examples
            and device.
        settings: the fine-tuning.
        out: folder for the best epoch's model.
        log: called with one line per epoch.
        measure: describes the network's quality on the held-out examples, for the log.
        keep_last: keep the last epoch in place of the best.

    Raises:
        InputError: too few prompts to hold any out, or an interrupted training in `out` was begun
            with something else.
        ModelError: the validation loss is no longer finite.
    """
    training, held_out = _split(examples)
    device = "cuda" if has_gpu() else "cpu"
    network.to(device)
    optimizer, schedule = _optimizer(network, len(training), settings)
    begun_with = {
        "model": model_fingerprint(base),
        "examples": _digest(examples),
        **settings.model_dump(exclude=CHANGEABLE),
    }
    made_with = {
        **begun_with,
        **settings.model_dump(include={"patience", "dtype"}),
        "context": model.config.max_position_embeddings,
    }
    state = TrainingState(out, network, optimizer, schedule, begun_with)
    if state.is_finished(made_with):
        return
    kept = state.load()
    epoch, stale = int(kept.get("epoch", 0)), int(kept.get("stale", 0))
    best = kept.get("best", float("inf"))
    if settings.compile:
        compile_layers(network)
    while epoch < settings.max_epochs and stale <= settings.patience:
        epoch += 1
        seed = settings.seed + epoch
        shuffled = batches(training, settings.batch, seed)
        training_loss = _epoch(network, shuffled, loss, device, optimizer, schedule, seed)
        validation = _validate(network, held_out, loss, settings.batch, device)
        if not isfinite(validation):
            state.remove()  # it leads here again, and is in the way of another learning rate
            raise ModelError(
                "training",
                f"the validation loss of epoch {epoch} is no longer finite ({validation}); lower "
                "--learning-rate",
            )
        with torch.no_grad():
            quality = f", {measure(network, held_out, device)}" if measure else ""
        log(
            f"epoch {epoch}: training loss {training_loss:.4f}, "
            f"validation loss {validation:.4f}{quality}"
        )
        stale += 1
        if validation < best:
            best, stale = validation, 0
        if keep_last or not stale:
            model.save_pretrained(out)
        state.save({"epoch": epoch, "best": best, "stale": stale})
    if settings.dtype != "float32":
        type(model).from_pretrained(out, dtype=settings.dtype).save_pretrained(out)
    state.finish(made_with)


def _digest(examples: Sequence[Example]) -> str:
    found = hashlib.sha256()
    for example in examples:
        length = len(example.token_ids)
        found.update(np.array([example.prompt, example.prompt_tokens, length]).tobytes())
        found.update(np.array(example.token_ids, dtype=np.int64).tobytes())
        found.update(np.array(example.targets, dtype=float).tobytes())
    return found.hexdigest()[:16]


def _split(examples: Sequence[Example]) -> tuple[list[Example], list[Example]]:
    training = [e for e in examples if e.prompt % VALIDATION_SHARE]
    held_out = [e for e in examples if e.prompt % VALIDATION_SHARE == 0]
    if not training or not held_out:
        raise InputError("examples", len(examples), "train on more prompts: one in ten is held out")
    return training, held_out


def _optimizer(
    network: Any, examples: int, settings: TrainSettings
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LambdaLR]:
    """AdamW; the learning rate rises over the first thirtieth of the steps, then falls to 0."""
    learnt = [weights for weights in network.parameters() if weights.requires_grad]
    optimizer = torch.optim.AdamW(learnt, lr=settings.learning_rate, betas=(0.9, 0.95))
    steps = settings.max_epochs * -(-examples // settings.batch)
    warm_up = max(1, steps // 30)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda s: min((s + 1) / warm_up, max(0.0, 1 - s / steps))
    )
    return optimizer, schedule


def _epoch(
    network: Any,
    shuffled: Iterable[Sequence[Example]],
    loss: Loss,
    device: str,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LambdaLR,
    seed: int,
) -> float:
    """Take one step per batch; returns the mean of their losses. `seed` is that of dropout."""
    torch.manual_seed(seed)
    network.train()
    losses = [_step(network, batch, loss, device, optimizer, schedule) for batch in shuffled]
    return float(np.mean(losses))


def _step(
    network: Any,
    batch: Sequence[Example],
    loss: Loss,
    device: str,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LambdaLR,
) -> float:
    """Take one optimizer step, with gradients clipped to norm 1; returns the batch's mean loss."""
    total = weight = 0.0
    for part in passes(batch):
        losses, count = loss(network, part, device)
        losses.backward()  # type: ignore[no-untyped-call]
        total, weight = total + losses.item(), weight + count
    for weights in network.parameters():
        if weights.grad is not None:
            weights.grad /= weight
    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimizer.step()
    schedule.step()
    optimizer.zero_grad(set_to_none=True)
    return total / weight


def _validate(
    network: Any, held_out: Sequence[Example], loss: Loss, batch: int, device: str
) -> float:
    """Mean loss on the held-out examples; leaves the network in evaluation mode."""
    network.eval()
    with torch.no_grad():
        found = [loss(network, part, device) for part in parts_of(held_out, batch)]
    return sum(float(losses) for losses, _ in found) / sum(weight for _, weight in found)


def batches(examples: Sequence[Example], size: int, seed: int) -> list[list[Example]]:
    """Shuffled batches of examples of similar length, so that there is little padding.

    Examples are sorted by length within windows of a shuffle: sorted as a whole, the examples of
    one prompt, alike in length and target, would share a batch.
    """
    rng = np.random.default_rng(seed)
    order, window = rng.permutation(len(examples)), 32 * size
    cut = []
    for start in range(0, len(order), window):
        part = sorted(
            (examples[i] for i in order[start : start + window]), key=lambda e: len(e.token_ids)
        )
        cut += [part[i : i + size] for i in range(0, len(part), size)]
    return [cut[i] for i in rng.permutation(len(cut))]


def passes(batch: Sequence[Example]) -> list[Sequence[Example]]:
    """A batch in as many parts as passes of at most `PASS_TOKENS` take it."""
    rows = max(1, PASS_TOKENS // _width(batch))
    return [batch[start : start + rows] for start in range(0, len(batch), rows)]


def parts_of(examples: Sequence[Example], size: int) -> list[Sequence[Example]]:
    """All examples, in parts that a pass reads; in batches they would be `size`."""
    return list(chain.from_iterable(map(passes, batches(examples, size, seed=0))))


def _width(batch: Sequence[Example]) -> int:
    """Tokens of the longest example, and of all others with their padding."""
    return -(-max(len(example.token_ids) for example in batch) // 8) * 8


def padded(batch: Sequence[Example], device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and targets of a batch, padded on the right; shape (batch, width) each.

    Padding comes after all tokens with a loss, so causal attention needs no mask. Widths are
    multiples of 8: with few distinct shapes a compiled model is reused.
    """
    width = _width(batch)
    ids = torch.zeros(len(batch), width, dtype=torch.long)
    targets = torch.full((len(batch), width), torch.nan)
    for row, example in enumerate(batch):
        ids[row, : len(example.token_ids)] = torch.tensor(example.token_ids)
        targets[row, : len(example.targets)] = torch.tensor(example.targets)
    return ids.to(device), targets.to(device)
