"""Training a reviser (section 6.1): correct answers, given chains of incorrect ones."""

from collections.abc import Callable, Sequence
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rapidfuzz.distance import Levenshtein

from allocator.errors import InputError
from calibration.training.fine_tune import (
    Example,
    attention,
    fine_tune,
    half_precision,
    padded,
)
from calibration.training.labels import LabelledSolution
from calibration.training.settings import ReviserSettings, TrainSettings
from runtime.reviser import ATTEMPTS_IN_CONTEXT, Tokens, revision_context


def chains_of(
    solutions: Sequence[LabelledSolution],
    again: Sequence[Tokens],
    decode: Callable[[Sequence[int]], str],
    settings: ReviserSettings,
) -> list[Example]:
    """Training examples: a chain of attempts at a prompt, then a correct one as target.

    The number of attempts is uniform over 0 to 4, limited by how many there are. In a share
    `settings.mixed` of the chains they are any of the prompt's other solutions, as in use, where
    attempts are often correct already. In the others, the paper's, all are incorrect; the last is
    the one closest to the target by character edit distance, the others are random.

    The target's tokens have weight 1, those of steps that the last attempt does not have
    `settings.changed_weight`.

    Args:
        solutions: sampled solutions, their last label 1 where they are correct; those of a prompt
            stand together.
        again: what `runtime.reviser.ask_again` gives, for each prompt.
        decode: token ids as text.
        settings: how the chains are made; `context` limits each with its target.

    Raises:
        InputError: most chains have no room for any attempt.
    """
    rng = np.random.default_rng(settings.seed)
    examples, chains_without_room, chains_with_attempts = [], 0, 0
    for prompt, of_prompt in groupby(solutions, key=lambda s: s.prompt):
        listed = list(of_prompt)
        prompt_ids = tuple(listed[0].token_ids[: listed[0].start])
        right, wrong = (
            [_steps(s) for s in listed if (s.labels[-1] > 0.5) is correct]
            for correct in (True, False)
        )
        texts = [decode(_whole(attempt)) for attempt in wrong]
        for index in rng.permutation(len(right))[: settings.chains]:
            target = right[index]
            whole = _whole(target)
            mixed = settings.mixed and rng.random() < settings.mixed
            pool = [*right[:index], *right[index + 1 :], *wrong] if mixed else wrong
            length = min(int(rng.integers(ATTEMPTS_IN_CONTEXT + 1)), len(pool))
            chain = []
            if mixed or length:
                order = rng.permutation(len(pool)).tolist()
                if not mixed:
                    written = decode(whole)
                    distances = [Levenshtein.distance(written, text) for text in texts]
                    closest = int(np.argmin(distances))
                    order.remove(closest)
                    order.insert(length - 1, closest)
                chain = [pool[i] for i in order[:length]]
            room = settings.context - len(whole)
            context = revision_context(prompt_ids, again[prompt], [*map(_whole, chain)], room)
            chains_with_attempts += bool(chain)
            chains_without_room += bool(chain) and context == prompt_ids
            last = set(chain[-1]) if chain else set(target)
            weights = [
                1.0 if step in last else settings.changed_weight for step in target for _ in step
            ]
            targets = [float("nan")] * len(context) + weights
            examples.append(Example(prompt, context + whole, targets))
    if 2 * chains_without_room > chains_with_attempts:
        raise InputError(
            "context",
            settings.context,
            f"{chains_without_room} of {chains_with_attempts} chains have no room for any attempt "
            "before their target, and teach no revision; raise it",
        )
    return examples


def _steps(solution: LabelledSolution) -> list[Tokens]:
    """A solution's steps."""
    ends = [position + 1 for position in solution.positions]
    return [
        tuple(solution.token_ids[start:end]) for start, end in pairwise([solution.start, *ends])
    ]


def _whole(steps: Sequence[Tokens]) -> Tokens:
    return tuple(token for step in steps for token in step)


def reviser_context(base: Path, context: int) -> int:
    """The context of a reviser in tokens: the base's where that is longer.

    Args:
        base: the language model's folder.
        context: as requested.
    """
    from transformers import AutoConfig

    return max(int(AutoConfig.from_pretrained(base).max_position_embeddings), context)


def train_reviser(
    base: Path,
    out: Path,
    examples: Sequence[Example],
    settings: TrainSettings,
    context: int,
    log: Callable[[str], None] = print,
) -> None:
    """Fine-tune `base` on chains and save the last epoch to `out`.

    Training ends with the first epoch that is more than `patience` epochs after the best, and keeps
    that last epoch: the paper overfits slightly on purpose, because training chains differ from
    the chains that the reviser sees in use (app. H).

    Args:
        base: the language model's folder.
        out: folder for the reviser.
        examples: the result of `chains_of`.
        settings: the fine-tuning.
        context: the reviser's context in tokens, where it is longer than the base's.
        log: called with one line per epoch.

    Raises:
        InputError, ModelError: as `calibration.training.fine_tune.fine_tune`.
    """
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    torch.manual_seed(settings.seed)
    AutoTokenizer.from_pretrained(base).save_pretrained(out)
    config = AutoConfig.from_pretrained(
        base, attention_dropout=settings.dropout, attn_implementation=attention()
    )
    config.max_position_embeddings = reviser_context(base, context)
    model = AutoModelForCausalLM.from_pretrained(base, config=config, dtype="float32")
    fine_tune(model, model, base, examples, reviser_loss, settings, out, log, keep_last=True)


def reviser_loss(network: Any, batch: Sequence[Example], device: str) -> tuple[torch.Tensor, float]:
    """The weighted sum of cross-entropies of the correct solutions' tokens, and their weights'."""
    ids, targets = padded(batch, device)
    weights = targets[:, 1:]
    learnt = ~weights.isnan()
    with half_precision(device):
        logits = network(input_ids=ids, use_cache=False).logits[:, :-1]
    each = torch.nn.functional.cross_entropy(
        logits[learnt].float(), ids[:, 1:][learnt], reduction="none"
    )
    return (each * weights[learnt]).sum(), float(weights[learnt].sum())
