"""Training verifiers: PRM and ORM (section "Verifiers", app. F and J)."""

from array import array
from collections.abc import Callable, Sequence
from functools import partial
from math import isnan, nan
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from allocator.errors import InputError
from calibration.training.fine_tune import (
    Example,
    attention,
    compile_layers,
    fine_tune,
    half_precision,
    padded,
    parts_of,
)
from calibration.training.head_inputs import HeadInputs
from calibration.training.labels import LabelledSolution
from calibration.training.settings import VerifierSettings
from runtime.verifiers.heads import headed
from runtime.verifiers.likelihood import LikelihoodModel

Kind = Literal["prm", "orm"]
# A network's logits at the labelled tokens of some examples, one example's after another's, given
# network, examples and device.
Logits = Callable[[Any, Sequence[Example], str], torch.Tensor]

# Output projections of a decoder layer's two halves, in Llama, Qwen, Mistral and Gemma alike.
RESIDUAL_OUTPUTS = ("self_attn.o_proj.weight", "mlp.down_proj.weight")


def train_verifier(
    kind: Kind,
    base: Path,
    out: Path,
    solutions: Sequence[LabelledSolution],
    settings: VerifierSettings,
    log: Callable[[str], None] = print,
    context: int | None = None,
) -> None:
    """Fine-tune `base` into a verifier and save the best epoch to `out`.

    The loss is binary cross-entropy with the labels. A PRM, a token classifier, learns from every
    token of a step, not from the step's end alone: the label of the end is a fair sample of the
    reward-to-go from each of its tokens, and the model learns sooner *where* a step goes wrong.
    An ORM, a sequence classifier, learns from the last token of the solution alone. With
    `settings.likelihood` either is the language model as it is and a head that learns.

    Args:
        kind: ``prm`` or ``orm``.
        base: the language model's folder.
        out: folder for the verifier, in ordinary Hugging Face format.
        solutions: labelled solutions; every tenth prompt is held out for early stopping.
        settings: the fine-tuning.
        log: called with one line per epoch: losses, and how well the last score separates right
            from wrong solutions of a prompt.
        context: length of the longest text in tokens, where the base's own limit is too short
            for chains.

    Raises:
        InputError, ModelError: as `calibration.training.fine_tune.fine_tune`, or extra layers for
            an architecture without Llama-like layers.
    """
    from transformers import AutoTokenizer

    torch.manual_seed(settings.seed)
    AutoTokenizer.from_pretrained(base).save_pretrained(out)
    model: Any
    network: Any
    logits_of: Logits
    if settings.likelihood:
        model = LikelihoodModel.untrained(base, context)
        network, logits_of = model.head, HeadInputs(model).logits
        if settings.compile:
            compile_layers(model.model)
    else:
        model = add_layers(kind, base, settings, context)
        network, logits_of = headed(model), classifier_logits
    example = prm_example if kind == "prm" else orm_example
    fine_tune(
        model,
        network,
        base,
        [example(s) for s in solutions],
        partial(verifier_loss, logits_of),
        settings,
        out,
        log,
        partial(within_prompts, logits_of),
    )


def add_layers(
    kind: Kind, base: Path, settings: VerifierSettings, context: int | None = None
) -> Any:
    """The language model as a classifier, `extra_layers` deeper.

    The outputs of the added layers start at zero. A small model completes its prediction of the
    next token only in its last layer; added layers can compare it with the actual token.

    Raises:
        InputError: the language model has no Llama-like layers to add.
    """
    from transformers import (
        AutoConfig,
        AutoModelForSequenceClassification,
        AutoModelForTokenClassification,
    )

    config = AutoConfig.from_pretrained(
        base, num_labels=1, attention_dropout=settings.dropout, attn_implementation=attention()
    )
    depth = config.num_hidden_layers
    config.num_hidden_layers += settings.extra_layers
    if getattr(config, "layer_types", None):
        config.layer_types += config.layer_types[-1:] * settings.extra_layers
    config.max_position_embeddings = max(config.max_position_embeddings, context or 0)
    auto = AutoModelForTokenClassification if kind == "prm" else AutoModelForSequenceClassification
    model = auto.from_pretrained(base, config=config, dtype="float32")
    added = [
        f"layers.{depth + i}.{o}" for i in range(settings.extra_layers) for o in RESIDUAL_OUTPUTS
    ]
    weights = [w for name, w in model.named_parameters() if name.endswith(tuple(added))]
    if len(weights) < len(added):
        raise InputError(
            "extra_layers",
            settings.extra_layers,
            f"{config.model_type} has no Llama-like layers to add; leave it at 0",
        )
    for weight in weights:
        torch.nn.init.zeros_(weight)
    return model


def prm_example(solution: LabelledSolution) -> Example:
    """Every token of a step has the step's label; tokens before the rollout have none."""
    targets = array("f", [nan]) * len(solution.token_ids)
    start = solution.start
    for end, label in zip(solution.positions, solution.labels, strict=True):
        targets[start : end + 1] = array("f", [label]) * (end + 1 - start)
        start = end + 1
    return Example(solution.prompt, solution.token_ids, targets, solution.prompt_tokens)


def orm_example(solution: LabelledSolution) -> Example:
    """The last token has the label of the whole solution."""
    targets = array("f", [nan]) * len(solution.token_ids)
    targets[-1] = solution.labels[-1]
    return Example(solution.prompt, solution.token_ids, targets, solution.prompt_tokens)


def classifier_logits(network: Any, batch: Sequence[Example], device: str) -> torch.Tensor:
    """The logits of a classifier that is trained as a whole; see `Logits`."""
    ids, targets = padded(batch, device)
    logits: torch.Tensor = network(ids, use_cache=False)
    return logits[..., 0][~targets.isnan()]


def verifier_loss(
    logits_of: Logits, network: Any, batch: Sequence[Example], device: str
) -> tuple[torch.Tensor, float]:
    """The sum of binary cross-entropies on labelled tokens, and how many there are."""
    targets = torch.tensor([label for example in batch for label in _labels(example)])
    with half_precision(device):
        logits = logits_of(network, batch, device)
    losses = torch.nn.functional.binary_cross_entropy_with_logits(
        logits.float(), targets.to(device), reduction="sum"
    )
    return losses, float(len(targets))


def _labels(example: Example) -> list[float]:
    return [target for target in example.targets if not isnan(target)]


def within_prompts(
    logits_of: Logits, network: Any, examples: Sequence[Example], device: str
) -> str:
    """AUC of the last score against correctness, within prompts and over all of them.

    Over all solutions, a verifier that only separates hard prompts from easy ones has a high AUC;
    a search needs a high AUC within prompts. Unknown where solutions are all right or all wrong.
    """
    by_prompt: dict[int, tuple[list[float], list[bool]]] = {}
    for batch in parts_of(examples, 256):
        labels = [_labels(example) for example in batch]
        logits = logits_of(network, batch, device)
        by_example = torch.split(logits, [len(own) for own in labels])
        for example, of_example, own in zip(batch, by_example, labels, strict=True):
            scores, correct = by_prompt.setdefault(example.prompt, ([], []))
            scores.append(float(of_example[-1]))
            correct.append(own[-1] > 0.5)
    aucs = [
        roc_auc_score(correct, scores)
        for scores, correct in by_prompt.values()
        if 0 < sum(correct) < len(correct)
    ]
    scores = [s for prompt in by_prompt.values() for s in prompt[0]]
    correct = [c for prompt in by_prompt.values() for c in prompt[1]]
    pooled = roc_auc_score(correct, scores) if len(set(correct)) == 2 else float("nan")
    within = np.mean(aucs) if aucs else float("nan")
    shown = ["unknown" if np.isnan(auc) else f"{auc:.3f}" for auc in (within, pooled)]
    return f"AUC within prompts {shown[0]}, over all {shown[1]}"
