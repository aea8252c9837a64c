"""A model with the `generate` of Hugging Face transformers, under an artifact's policy.

It does not need vLLM.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers import GenerationConfig

from allocator.errors import InputError
from runtime.artifact import Artifact
from runtime.dropin.background import SolverThread
from runtime.dropin.loading import open_solver
from runtime.dropin.unanswered import UnansweredError
from runtime.frontend.budget import RequestedBudget, default_budget
from runtime.frontend.prompt_request import RequestOptions, request_options, token_prompt
from runtime.frontend.sampling_overrides import SamplingOverrides, counted
from runtime.result import Failure, Receipt, Result
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
# Values that change nothing, and fields that only describe the model.
NEUTRAL = {"use_cache": True, "num_beams": 1, "repetition_penalty": 1.0, "length_penalty": 1.0}
OF_THE_MODEL = ("bos_token_id", "transformers_version", "_from_model_config")


@dataclass(frozen=True)
class ComputeOptimalGeneration:
    """What `ComputeOptimalModel.generate` returns with return_dict_in_generate.

    Attributes:
        sequences: prompts and solutions, shape (prompts * num_return_sequences, tokens); a
            prompt's best solution comes first, then the best of its other answers.
        receipts: what was decided for each prompt, and what it cost.
        notes: differences from what was requested or calibrated.
    """

    sequences: torch.Tensor
    receipts: tuple[Receipt, ...]
    notes: tuple[str, ...]


class ComputeOptimalModel:
    """A calibrated model with the `generate` of transformers.

    Args:
        artifact: the model's artifact.
        budget: generations per prompt of a call without a budget; None uses the environment's
            TTC_BUDGET, else 16. A call that requests more sequences raises it to their number.
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
        cls,
        artifact: str | Path,
        *,
        budget: int | None = None,
        seed: int = 0,
        trust_grader: str = "",
    ) -> "ComputeOptimalModel":
        """The model of an artifact.

        Args:
            artifact: a folder, or a name on the Hub, ``OWNER/NAME[@REVISION]``.
            budget: as the constructor's.
            seed: likewise.
            trust_grader: name of an artifact on the Hub whose Python grader may be run.

        Raises:
            InputError: an artifact that cannot be used.
        """
        loaded = Artifact.load(artifact, trust_grader=trust_grader)
        return cls(loaded, budget=budget, seed=seed)

    def generate(
        self,
        inputs: torch.Tensor | None = None,
        generation_config: Any = None,
        *,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        budget: int | None = None,
        total_budget: int | None = None,
        deadline: float | None = None,
        **overrides: Any,
    ) -> torch.Tensor | ComputeOptimalGeneration:
        """Answer prompts.

        Args:
            inputs: prompts, shape (prompts, tokens), the shorter padded on the left.
            generation_config: a transformers GenerationConfig; `overrides` have precedence.
            input_ids: the prompts, in place of `inputs`.
            attention_mask: 0 where the prompts are padding; None derives it from the pad token, the
                call's own if it gives one, unless the model ends with it.
            budget: generations that each prompt may cost.
            total_budget: generations that all prompts together may cost, in place of `budget`.
            deadline: seconds that each prompt may take.
            overrides: max_new_tokens, do_sample, temperature, top_p, top_k, min_p,
                num_return_sequences, pad_token_id and return_dict_in_generate, as in
                transformers; the calibrated values are the defaults. Others are refused.

        Returns:
            Prompts and solutions, shape (prompts * num_return_sequences, tokens), padded on the
            right; with return_dict_in_generate a `ComputeOptimalGeneration`.

        Raises:
            InputError: an argument that is not supported or cannot be used, by its name.
            UnansweredError: a model failed on some prompts; it has the generations of the others.
        """
        honoured = self._honoured(generation_config, overrides)
        for name in ("num_return_sequences", "max_new_tokens"):
            counted(name, honoured.get(name, 1))
        count = honoured.get("num_return_sequences", 1)
        pad = honoured.get("pad_token_id", self._pad)
        if not isinstance(pad, int) or isinstance(pad, bool):
            raise InputError("pad_token_id", pad, "must be an integer")
        field, batch = _given(inputs, input_ids)
        prompts = [
            token_prompt(self.tokenizer, ids, field)
            for ids in self._prompts(field, batch, attention_mask, pad)
        ]
        requested = RequestedBudget(budget, total_budget, deadline)
        resolved = requested.resolve(self.budget, count, len(prompts), field="num_return_sequences")
        options = self._options(honoured, resolved.per_prompt, resolved.notes)
        requests = [options.request(prompt) for prompt in prompts]
        results = self._thread.solve_all(requests, resolved.spend)
        answered = [result for result in results if isinstance(result, Result)]
        if len(answered) < len(results):
            raise _unanswered(batch, results, options, pad)
        generation = _generation(batch, answered, options, pad)
        return generation if honoured.get("return_dict_in_generate") else generation.sequences

    def _options(
        self, honoured: Mapping[str, Any], budget: int | None, notes: Sequence[str]
    ) -> RequestOptions:
        sampling, unused = _sampling_overrides(honoured)
        options = request_options(
            self.artifact.settings.sampling,
            self.tokenizer,
            budget,
            sampling,
            solutions=honoured.get("num_return_sequences", 1),
            solutions_field="num_return_sequences",
            notes=notes,
        )
        return replace(options, notes=(*options.notes, *unused))

    def _honoured(self, config: Any, overrides: Mapping[str, Any]) -> dict[str, Any]:
        """The options that are honoured. Others are refused, unless they change nothing."""
        if config is not None and not isinstance(config, GenerationConfig):
            hint = "must be a GenerationConfig of transformers; an attention_mask goes by its name"
            raise InputError("generation_config", type(config).__name__, hint)
        given = {} if config is None else config.to_diff_dict()
        honoured = {}
        for name, value in (given | dict(overrides)).items():
            neutral = value is None or (isinstance(value, bool | int | float) and not value)
            if name in HONOURED:
                if value is not None:
                    honoured[name] = value
            elif name == "eos_token_id" and value is not None:
                if not self._named_ends <= set(_listed(value)) <= self._ends:
                    raise InputError(
                        name, value, "must be the model's own end tokens; leave it out"
                    )
            elif name not in OF_THE_MODEL and not neutral and value != NEUTRAL.get(name):
                raise InputError(name, value, "it is not supported; leave it out")
        return honoured

    def _prompts(self, field: str, ids: Any, mask: Any, pad: int) -> list[list[int]]:
        """Token ids of each prompt, checked and without its padding."""
        if not isinstance(ids, torch.Tensor) or ids.dim() != 2 or not len(ids):
            raise InputError(field, ids, "must be a tensor of shape (prompts, tokens)")
        if ids.is_floating_point() or ids.dtype == torch.bool:
            raise InputError(field, str(ids.dtype), "must be integers: ids of tokens")
        if mask is None:  # as transformers does
            mask = torch.ones_like(ids)
            if pad not in self._ends:
                mask = ids.ne(pad)
        if not isinstance(mask, torch.Tensor) or mask.shape != ids.shape:
            given = tuple(mask.shape) if isinstance(mask, torch.Tensor) else mask
            raise InputError("attention_mask", given, f"must be a tensor of the shape of {field}")
        if (mask.long().diff(dim=1) < 0).any():
            raise InputError(
                "attention_mask", mask.tolist(), "prompts must be padded on their left"
            )
        return [row[kept.bool()].tolist() for row, kept in zip(ids, mask, strict=True)]

    def close(self) -> None:
        """Release the models. It may be called twice; the interpreter's exit calls it, too."""
        self._thread.close()

    def __enter__(self) -> "ComputeOptimalModel":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _given(inputs: Any, input_ids: Any) -> tuple[str, Any]:
    """The prompts, by the name under which they were given."""
    if inputs is None:
        return "input_ids", input_ids
    if input_ids is not None:
        raise InputError("inputs", inputs, "input_ids are given, too; leave one of them out")
    return "inputs", inputs


def _sampling_overrides(options: Mapping[str, Any]) -> tuple[SamplingOverrides, list[str]]:
    """The sampling settings among some options, and a note on those that are not used."""
    given = {name: options.get(name) for name in ("temperature", "top_p", "top_k", "min_p")}
    notes = []
    if options.get("do_sample") is False:
        if unused := [name for name, value in given.items() if value is not None]:
            notes = [f"{', '.join(unused)}: not used, because do_sample is False"]
        given = {"temperature": 0.0}
    return SamplingOverrides(**given, max_tokens=options.get("max_new_tokens")), notes


def _generation(
    prompts: torch.Tensor, results: Sequence[Result], options: RequestOptions, pad: int
) -> ComputeOptimalGeneration:
    """What is returned of some prompts, shape (prompts, tokens), all of which were answered."""
    count, notes = options.solutions, options.notes
    solutions = [
        result.ranked[place].token_ids if place < len(result.ranked) else ()
        for result in results
        for place in range(count)
    ]
    sequences = _appended(prompts.repeat_interleave(count, dim=0), solutions, pad)
    if any(len(result.ranked) < count for result in results):
        notes += (f"some searches found fewer than {count}; those rows are padding",)
    return ComputeOptimalGeneration(sequences, tuple(r.receipt for r in results), notes)


def _unanswered(
    prompts: torch.Tensor, results: Sequence[Result | Failure], options: RequestOptions, pad: int
) -> UnansweredError:
    """The error of prompts of which some were not answered."""
    failed, generations = {}, []
    for row, result in enumerate(results):
        if isinstance(result, Failure):
            failed[row] = result.error
        else:
            generations.append(_generation(prompts[row : row + 1], [result], options, pad))
    return UnansweredError(failed, generations)


def _appended(prompts: torch.Tensor, solutions: Sequence[Sequence[int]], pad: int) -> torch.Tensor:
    """Each prompt followed by its solution, padded on the right."""
    longest = max(map(len, solutions))
    padded = [[*solution, *[pad] * (longest - len(solution))] for solution in solutions]
    return torch.cat([prompts, torch.tensor(padded, device=prompts.device)], dim=1)


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]
