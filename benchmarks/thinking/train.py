"""Training of the teacher and of the thinking model: one loop for both."""

import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from benchmarks.thinking.paths import CONTEXT
from calibration.training.fine_tune import compile_layers, half_precision
from calibration.training.state import TrainingState

WARM_UP = 50
KEPT_EVERY = 50
SEED = 1
RESIDUAL_OUTPUTS = ("self_attn.o_proj.weight", "mlp.down_proj.weight")

Batches = Iterator[tuple[torch.Tensor, torch.Tensor]]


def deepened(model: Path, tokenizer: Any, layers: int, attention: str) -> Any:
    """A model with more layers, a larger vocabulary and a longer context.

    The outputs of the added layers start at zero, so that at first the model computes the same.

    Args:
        model: folder of a Llama whose vocabulary begins the tokenizer's.
        tokenizer: the tokenizer of the result.
        layers: layers to add on top.
        attention: ``eager``, the faster for short sequences on CPU, or ``sdpa``, for long ones.
    """
    torch.manual_seed(SEED)
    config = AutoConfig.from_pretrained(model)
    depth = config.num_hidden_layers
    config.num_hidden_layers += layers
    config.max_position_embeddings = CONTEXT
    config.eos_token_id, config.pad_token_id = tokenizer.eos_token_id, tokenizer.pad_token_id
    deeper = AutoModelForCausalLM.from_pretrained(
        model, config=config, dtype=torch.float32, attn_implementation=attention
    )
    for layer in deeper.model.layers[depth:]:
        for name, weight in layer.named_parameters():
            if name in RESIDUAL_OUTPUTS:
                torch.nn.init.zeros_(weight)
    deeper.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    return deeper


def cross_entropy(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy over the weights of the targets, shape (batch, width, vocabulary)."""
    predicted = logits[:, :-1].float().log_softmax(-1)
    return -(targets[:, 1:] * predicted).sum() / targets[:, 1:].sum()


def train(
    model: Any,
    tokenizer: Any,
    source: Callable[[], Batches],
    out: Path,
    *,
    steps: int,
    peak_rate: float,
) -> None:
    """Train with AdamW, a short warm-up and a cosine to 5% of the peak rate.

    An interrupted training resumes when it is started again.

    Args:
        model: a causal language model, which is saved.
        tokenizer: saved with it.
        source: makes the endless (ids, targets); the same ones each time.
        out: folder for the model.
        steps: batches to train on.
        peak_rate: the highest learning rate.

    Raises:
        InputError: the interrupted training had another learning rate.
    """
    compile_layers(model)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=peak_rate, betas=(0.9, 0.98), weight_decay=0.1, fused=True
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda s: min((s + 1) / WARM_UP, 0.05 + 0.475 * (1 + np.cos(np.pi * min(s / steps, 1)))),
    )
    state = TrainingState(out, model, optimizer, schedule, {"peak_rate": peak_rate})
    state.load()
    first, started, seen, running = schedule.last_epoch, time.time(), 0, 0.0
    model.train()
    # Batches from before the interruption are drawn again and skipped.
    for step, (ids, targets) in enumerate(islice(source(), first, steps), first + 1):
        with half_precision("cpu"):
            # Padding is on the right and has no loss, so causal attention needs no mask for it.
            logits = model(input_ids=ids, use_cache=False).logits
        loss = cross_entropy(logits, targets)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        seen, running = seen + ids.numel(), running + loss.item()
        if step % KEPT_EVERY == 0:
            rate = seen / (time.time() - started)
            print(f"step {step} loss {running / KEPT_EVERY:.4f} {rate:,.0f} tokens/s", flush=True)
            running = 0.0
            state.save({})
    model.eval().save_pretrained(out)
    tokenizer.save_pretrained(out)
    state.remove()
