"""Training a process reward model without human labels (the paper's section "Verifiers", app. D).

Solutions are sampled from the language model itself. From the end of every step, Monte Carlo
rollouts are run to the end and graded; the share that ends correct is the step's soft label. The
PRM is the language model with a new head, fine-tuned on those labels by binary cross-entropy,
with early stopping on held-out prompts.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, Field

from allocator.errors import InputError
from runtime.answers import Answers
from runtime.concurrency import bounded, together
from runtime.engine import Engine, SamplingSettings, derive_seed, encode_prompt
from runtime.steps import StepSplitter

PROMPTS_IN_FLIGHT = 64
VALIDATION_SHARE = 10  # one prompt in ten, as the paper


class LabelSettings(BaseModel):
    """How many solutions and rollouts make the labels. The paper uses 16 and 16."""

    samples: int = Field(default=16, ge=1, description="solutions sampled of each prompt")
    rollouts: int = Field(default=16, ge=1, description="rollouts from the end of every step")
    seed: int = Field(default=0, description="seed of all sampling")


class TrainSettings(BaseModel):
    """The fine-tuning. The paper's values, but for the learning rate, suit any size of model."""

    learning_rate: float = Field(
        default=3e-5, gt=0, description="AdamW's, falling in a line to a hundredth"
    )
    batch: int = Field(default=128, ge=1, description="solutions a batch")
    dropout: float = Field(default=0.05, ge=0, lt=1, description="attention dropout")
    max_epochs: int = Field(default=20, ge=1, description="epochs at most")
    patience: int = Field(default=2, ge=1, description="epochs without improvement until the stop")
    seed: int = Field(default=0, description="seed of head, order and dropout")


@dataclass(frozen=True)
class LabelledSolution:
    """One sampled solution with a soft label a step.

    Attributes:
        prompt: index of its prompt.
        token_ids: prompt and solution.
        positions: index of each step's last token.
        labels: share of correct rollouts from there, in [0, 1].
    """

    prompt: int
    token_ids: tuple[int, ...]
    positions: tuple[int, ...]
    labels: tuple[float, ...]


async def label_prompts(
    engine: Engine,
    answers: Answers,
    sampling: SamplingSettings,
    prompts: Sequence[tuple[str, str]],
    settings: LabelSettings,
    done: Callable[[object], None] = lambda _: None,
) -> list[LabelledSolution]:
    """Sample and label solutions of every prompt.

    Solutions without a readable answer are dropped. Steps that several solutions of a prompt
    share are rolled out once, and a finished solution is its own rollout.

    Args:
        engine: the language model.
        answers: reads and compares answers.
        sampling: how to sample.
        prompts: (prompt, gold answer) pairs.
        settings: numbers of solutions and rollouts.
        done: called as each prompt is done.
    """
    splitter = StepSplitter(engine.tokenizer, sampling.step_end)

    async def rollouts(prompt_ids: Sequence[int], prefix: tuple[int, ...], count: int) -> list[Any]:
        room = min(sampling.max_tokens, engine.context_length - len(prompt_ids)) - len(prefix)
        return await together(
            engine.complete(
                [*prompt_ids, *prefix],
                settings=sampling,
                max_tokens=room,
                seed=derive_seed(settings.seed, *prompt_ids, "rollout", *prefix, i),
            )
            for i in range(count)
            if room > 0
        )

    def grade(token_ids: Sequence[int], gold: str) -> bool | None:
        answer = answers.extract(engine.tokenizer.decode(token_ids, skip_special_tokens=True))
        return None if answer is None else answers.same(gold, answer)

    async def one(item: tuple[int, tuple[str, str]]) -> list[LabelledSolution]:
        index, (prompt, gold) = item
        prompt_ids = encode_prompt(engine, prompt)
        known: dict[tuple[int, ...], float] = {}
        solutions = []
        for completion in await rollouts(prompt_ids, (), settings.samples):
            correct = grade(completion.token_ids, gold)
            if correct is not None:
                known[completion.token_ids] = float(correct)
                solutions.append(splitter.split(completion.token_ids))
        prefixes = sorted(
            {
                tuple(token for step in steps[:end] for token in step)
                for steps in solutions
                for end in range(1, len(steps))
            }
        )
        ends = await together(
            rollouts(prompt_ids, prefix, settings.rollouts) for prefix in prefixes
        )
        for prefix, completions in zip(prefixes, ends, strict=True):
            right = [grade((*prefix, *end.token_ids), gold) is True for end in completions]
            known[prefix] = float(np.mean(right)) if right else 0.0
        return [_labelled(index, prompt_ids, steps, known) for steps in solutions]

    per_prompt = await bounded(one, list(enumerate(prompts)), PROMPTS_IN_FLIGHT, done)
    return [solution for solutions in per_prompt for solution in solutions]


def _labelled(
    index: int,
    prompt_ids: tuple[int, ...],
    steps: Sequence[tuple[int, ...]],
    known: dict[tuple[int, ...], float],
) -> LabelledSolution:
    prefix: tuple[int, ...] = ()
    positions, labels = [], []
    for step in steps:
        prefix += step
        positions.append(len(prompt_ids) + len(prefix) - 1)
        labels.append(known[prefix])
    return LabelledSolution(index, prompt_ids + prefix, tuple(positions), tuple(labels))


def train_prm(
    base: Path,
    out: Path,
    solutions: Sequence[LabelledSolution],
    settings: TrainSettings,
    log: Callable[[str], None] = print,
) -> None:
    """Fine-tune `base` into a token-classification PRM and save the best epoch to `out`.

    Args:
        base: the language model's folder.
        out: folder for the PRM, in ordinary Hugging Face format.
        solutions: labelled solutions; every tenth prompt is held out for early stopping.
        settings: the fine-tuning.
        log: called with a line an epoch.

    Raises:
        InputError: too few prompts to hold any out.
    """
    from transformers import AutoModelForTokenClassification, AutoTokenizer

    torch.manual_seed(settings.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = AutoModelForTokenClassification.from_pretrained(
        base, num_labels=1, attention_dropout=settings.dropout, attn_implementation="eager"
    ).to(device)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.learning_rate, betas=(0.9, 0.95), fused=True
    )
    training = [s for s in solutions if s.prompt % VALIDATION_SHARE]
    held_out = [s for s in solutions if s.prompt % VALIDATION_SHARE == 0]
    steps = settings.max_epochs * -(-len(training) // settings.batch)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.01, total_iters=steps)
    if not training or not held_out:
        raise InputError("solutions", len(solutions), "label more prompts: one in ten is held out")
    rng, best, stale = np.random.default_rng(settings.seed), float("inf"), 0
    for epoch in range(1, settings.max_epochs + 1):
        model.train()
        losses = []
        for batch in _batches(training, settings.batch, rng):
            loss = _loss(model, batch, device)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad(set_to_none=True)
            losses.append(loss.item())
        model.eval()
        validation = _validation_loss(model, held_out, settings.batch, device)
        log(f"epoch {epoch}: training loss {np.mean(losses):.4f}, validation loss {validation:.4f}")
        if validation < best:
            best, stale = validation, 0
            model.save_pretrained(out)
            AutoTokenizer.from_pretrained(base).save_pretrained(out)
        else:
            stale += 1
            if stale == settings.patience:
                return


def _batches(
    solutions: Sequence[LabelledSolution], size: int, rng: np.random.Generator
) -> list[list[LabelledSolution]]:
    """Shuffled batches of solutions of about the same length, so that little is padding.

    Lengths are sorted within windows of a shuffle only: sorted as a whole, the solutions of one
    prompt, alike in length and label, would fill batches by themselves.
    """
    order, window = rng.permutation(len(solutions)), 32 * size
    batches = []
    for start in range(0, len(order), window):
        part = sorted(
            (solutions[i] for i in order[start : start + window]), key=lambda s: len(s.token_ids)
        )
        batches += [part[i : i + size] for i in range(0, len(part), size)]
    return [batches[i] for i in rng.permutation(len(batches))]


def _loss(model: Any, batch: Sequence[LabelledSolution], device: str) -> torch.Tensor:
    """Binary cross-entropy on the soft labels, averaged over the batch's steps."""
    width = -(-max(len(s.token_ids) for s in batch) // 8) * 8
    ids = torch.zeros(len(batch), width, dtype=torch.long)
    for row, solution in enumerate(batch):
        ids[row, : len(solution.token_ids)] = torch.tensor(solution.token_ids)
    rows = torch.tensor([row for row, s in enumerate(batch) for _ in s.positions])
    columns = torch.tensor([position for s in batch for position in s.positions])
    labels = torch.tensor([label for s in batch for label in s.labels])
    with torch.autocast(device, dtype=torch.bfloat16):
        # Padding follows every position that is read, so causal attention needs no mask for it.
        logits = model(input_ids=ids.to(device)).logits[rows, columns, 0].float()
    return torch.nn.functional.binary_cross_entropy_with_logits(logits, labels.to(device))


@torch.inference_mode()
def _validation_loss(
    model: Any, solutions: Sequence[LabelledSolution], size: int, device: str
) -> float:
    batches = _batches(solutions, size, np.random.default_rng(0))
    total = sum(_loss(model, b, device).item() * sum(len(s.labels) for s in b) for b in batches)
    return total / sum(len(s.labels) for s in solutions)
