"""A model with the `generate` of Hugging Face transformers, under a calibrated artifact's policy.

It needs no vLLM.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from allocator.errors import InputError, ModelError
from runtime.artifact import Artifact
from runtime.dropin.background import SolverThread
from runtime.dropin.calibrated import default_budget, open_solver, spend_for
from runtime.engines.base import SamplingSettings
from runtime.engines.tokenizer import check_token_ids, decode
from runtime.frontend.sampling_overrides import counted, sampling_for
from runtime.request import Request, RequestSettings
from runtime.result import Failure, Receipt, Result, Spend
from runtime.solving.solve import Solver

HONOURED = (
    "max_new_tokens",
    "do_sample",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "num_return_sequences",
    "pad_token_id",
    "return_dict_in_generate",
)
# Values that change nothing, and what tells of a model's configuration only.
NEUTRAL = {"use_cache": True, "num_beams": 1, "repetition_penalty": 1.0, "length_penalty": 1.0}
OF_THE_MODEL = ("bos_token_id", "transformers_version", "_from_model_config")


@dataclass(frozen=True)
class ComputeOptimalGeneration:
    """What `ComputeOptimalModel.generate` returns where a dictionary is asked for.

    Attributes:
        sequences: prompts and solutions, shape (prompts * num_return_sequences, tokens); a
            prompt's best solution comes first, then the best of its other answers.
        receipts: what was decided for each prompt, and what it cost.
        notes: where solutions were not sampled as asked, or not as calibrated, in words.
    """

    sequences: torch.Tensor
    receipts: tuple[Receipt, ...]
    notes: tuple[str, ...]


class ComputeOptimalModel:
    """A calibrated model with the `generate` of transformers.

    Args:
        artifact: the model's artifact.
        budget: generations a prompt may cost where a call does not say; None takes the
            environment's TTC_BUDGET, else 16. Where more sequences are asked for it is as many.
        seed: with the prompt, determines every sample.

    Raises:
        InputError: models that cannot be loaded.
    """

    def __init__(self, artifact: Artifact, *, budget: int | None = None, seed: int = 0) -> None:
        self.artifact, self.budget = artifact, default_budget(budget)

        def opened(stack: ExitStack) -> Solver:
            return open_solver(stack, artifact, seed, "transformers", "transformers")

        self._thread = SolverThread(opened)
        engine: Any = self._thread.solver.models.engine
        self.tokenizer: Any = engine.tokenizer
        self._ends: frozenset[int] = engine.end_ids
        own = engine.generation_config
        self._named_ends = set(_listed(own.eos_token_id)) - {None}
        pads = (own.pad_token_id, self.tokenizer.pad_token_id, *_listed(own.eos_token_id))
        self._pad: int = next((pad for pad in pads if pad is not None), 0)

    @classmethod
    def from_pretrained(
        cls, artifact: str | Path, *, budget: int | None = None, seed: int = 0
    ) -> "ComputeOptimalModel":
        """The model of an artifact.

        Args:
            artifact: the artifact's folder.
            budget: as the constructor's.
            seed: likewise.

        Raises:
            InputError: an artifact that cannot be used.
        """
        return cls(Artifact.load(Path(artifact)), budget=budget, seed=seed)

    def generate(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        generation_config: Any = None,
        *,
        budget: int | None = None,
        total_budget: int | None = None,
        deadline: float | None = None,
        **overrides: Any,
    ) -> torch.Tensor | ComputeOptimalGeneration:
        """Answer prompts.

        Args:
            input_ids: prompts, shape (prompts, tokens), the shorter padded on the left.
            attention_mask: 0 where `input_ids` is padding; None where there is none.
            generation_config: a transformers GenerationConfig; `overrides` come before it.
            budget: generations each prompt may cost.
            total_budget: generations that all prompts together may cost, in place of `budget`.
            deadline: seconds each prompt may take.
            overrides: max_new_tokens, do_sample, temperature, top_p, top_k, min_p,
                num_return_sequences, pad_token_id and return_dict_in_generate, as transformers
                has them; what is left out is as calibrated. Others are refused.

        Returns:
            Prompts and solutions, shape (prompts * num_return_sequences, tokens), padded on the
            right; with return_dict_in_generate a `ComputeOptimalGeneration`.

        Raises:
            InputError: what cannot be used or honoured, by its name.
            ModelError: a model failed on a prompt.
        """
        asked = self._asked(generation_config, overrides)
        for name in ("num_return_sequences", "max_new_tokens"):
            counted(name, asked.get(name, 1))
        count = asked.get("num_return_sequences", 1)
        prompts = self._prompts(input_ids, attention_mask)
        spend, share, notes = spend_for(
            self.budget,
            count,
            len(prompts),
            budget,
            total_budget,
            deadline,
            field="num_return_sequences",
        )
        sampling, changed = _sampling(asked, self.artifact.settings.sampling, share)
        results = self._solved(prompts, sampling, count, spend)
        if any(len(result.ranked) < count for result in results):
            changed.append(f"some searches ended with fewer than {count}; those rows are padding")
        solutions = [solution for result in results for solution in _best(result, count)]
        pad = asked.get("pad_token_id", self._pad)
        sequences = _appended(input_ids.repeat_interleave(count, dim=0), solutions, pad)
        if not asked.get("return_dict_in_generate"):
            return sequences
        receipts = tuple(result.receipt for result in results)
        return ComputeOptimalGeneration(sequences, receipts, (*notes, *changed))

    def _solved(
        self, prompts: Sequence[list[int]], sampling: SamplingSettings, count: int, spend: Spend
    ) -> list[Result]:
        """The results of prompts, each with so many solutions as far as its budget goes."""
        requests = [
            Request(
                text=decode(self.tokenizer, ids),
                token_ids=tuple(ids),
                settings=RequestSettings(sampling),
                solutions=count,
            )
            for ids in prompts
        ]
        return [_answered(result) for result in self._thread.solve_all(requests, spend)]

    def _asked(self, config: Any, overrides: Mapping[str, Any]) -> dict[str, Any]:
        """What is asked for that can be honoured; all else is refused, unless it says nothing."""
        given = {} if config is None else config.to_diff_dict()
        asked = {}
        for name, value in (given | dict(overrides)).items():
            says_nothing = value is None or (isinstance(value, bool | int | float) and not value)
            if name in HONOURED:
                if value is not None:
                    asked[name] = value
            elif name == "eos_token_id" and value is not None:
                if not self._named_ends <= set(_listed(value)) <= self._ends:
                    raise InputError(name, value, "the model's own end solutions; leave it out")
            elif name not in OF_THE_MODEL and not says_nothing and value != NEUTRAL.get(name):
                raise InputError(name, value, "it cannot be honoured here; leave it out")
        return asked

    def _prompts(self, input_ids: Any, mask: Any) -> list[list[int]]:
        """Token ids of each prompt, checked and without its padding."""
        if not isinstance(input_ids, torch.Tensor) or input_ids.dim() != 2 or not len(input_ids):
            raise InputError("input_ids", input_ids, "give a tensor of shape (prompts, tokens)")
        if mask is None:  # as transformers does
            mask = torch.ones_like(input_ids)
            if self._pad not in self._ends:
                mask = input_ids.ne(self._pad)
        if mask.shape != input_ids.shape:
            raise InputError("attention_mask", tuple(mask.shape), "give it the shape of input_ids")
        if (mask.long().diff(dim=1) < 0).any():
            raise InputError("attention_mask", mask.tolist(), "pad prompts on their left")
        prompts = [row[kept.bool()].tolist() for row, kept in zip(input_ids, mask, strict=True)]
        for ids in prompts:
            check_token_ids(self.tokenizer, ids, "input_ids")
        return prompts

    def close(self) -> None:
        """Release the models. Calling it twice is fine; so is leaving it to the interpreter."""
        self._thread.close()

    def __enter__(self) -> "ComputeOptimalModel":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _sampling(
    asked: Mapping[str, Any], calibrated: SamplingSettings, budget: int
) -> tuple[SamplingSettings, list[str]]:
    """How to sample, and what the caller should know about it."""
    given = {name: asked.get(name) for name in ("temperature", "top_p", "top_k", "min_p")}
    unused = []
    if asked.get("do_sample") is False:
        unused = [name for name, value in given.items() if value is not None]
        given = dict.fromkeys(given) | {"temperature": 0.0}
    settings, notes = sampling_for(
        calibrated, budget, **given, max_tokens=asked.get("max_new_tokens")
    )
    if unused:
        notes.append(f"{', '.join(unused)}: not used, for do_sample is False")
    return settings, notes


def _answered(result: Result | Failure) -> Result:
    if isinstance(result, Failure):
        raise ModelError(f"the prompt {result.prompt!r}", result.error)
    return result


def _best(result: Result, count: int) -> list[tuple[int, ...]]:
    """Token ids of a result's best solutions; empty ones where there are fewer than `count`."""
    found = [sample.token_ids for sample in result.ranked[:count]]
    return found + [()] * (count - len(found))


def _appended(prompts: torch.Tensor, solutions: Sequence[Sequence[int]], pad: int) -> torch.Tensor:
    """Prompts as they are, each with its solution, padded on the right."""
    longest = max(map(len, solutions))
    padded = [[*solution, *[pad] * (longest - len(solution))] for solution in solutions]
    return torch.cat([prompts, torch.tensor(padded, device=prompts.device)], dim=1)


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]
