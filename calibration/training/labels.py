"""Labels for a PRM without human labels (the paper's section "Verifiers", app. D).

Solutions are sampled from the language model itself. From the end of every step, Monte Carlo
rollouts are sampled and graded; the share that is correct is the step's soft label.
"""

from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from allocator.errors import InputError
from calibration.sampling import steps
from calibration.training.journal import Journal
from calibration.training.settings import LabelSettings
from runtime.answers.grading import Grader
from runtime.concurrency import together
from runtime.engines.base import Completion, Engine, SamplingSettings, derive_seed, encode_prompt
from runtime.engines.steps import StepSplitter
from runtime.engines.tokenizer import decode

Tokens = tuple[int, ...]


@dataclass(frozen=True)
class LabelledSolution:
    """A solution, sampled as a whole or rolled out from a step's end, with its soft labels.

    Attributes:
        prompt: number of its prompt.
        token_ids: prompt and solution.
        start: index of the first token that was sampled for this solution: what stands before it
            is the prompt, and for a rollout the steps it started from.
        positions: index of the last token of each step from `start` on.
        labels: share of correct rollouts from there, in [0, 1].
        prompt_tokens: how many of the tokens are the prompt's; for a revision, and the attempts'
            before it.
    """

    prompt: int
    token_ids: Sequence[int]
    start: int
    positions: Sequence[int]
    labels: Sequence[float]
    prompt_tokens: int

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> "LabelledSolution":
        """A solution as journals hold it; its tokens take four bytes each, where a list has 36."""
        return cls(**{**row, "token_ids": array("i", row["token_ids"])})


async def label_prompts(
    engine: Engine,
    grader: Grader,
    sampling: SamplingSettings,
    prompts: Sequence[tuple[str, str]],
    settings: LabelSettings,
    journal: Journal,
    done: Callable[[object], None] = lambda _: None,
) -> list[LabelledSolution]:
    """Sample and label solutions of every prompt.

    Solutions without a readable answer are dropped. Steps that several solutions of a prompt
    share are rolled out once. A rollout is a solution too: it is labelled from where it started,
    each of its steps by how the rollout ended.

    Args:
        engine: the language model.
        grader: decides which solutions are correct.
        sampling: how to sample.
        prompts: (prompt, gold answer) pairs.
        settings: numbers of solutions and rollouts.
        journal: keeps each prompt's solutions; prompts that it holds already are not sampled
            again.
        done: called as each prompt is done.

    Raises:
        InputError: explored solutions without rollouts to label them; or a prompt that is empty or
            does not fit the context, before anything is sampled.
    """
    if settings.explored and not settings.rollouts:
        raise InputError("explored", settings.explored, "only rollouts label them; request some")
    for prompt, _ in prompts:
        encode_prompt(engine, prompt)
    splitter = StepSplitter(engine.tokenizer, sampling.step_end)

    async def one(item: tuple[int, tuple[str, str]]) -> None:
        index, (prompt, gold) = item
        prompt_ids = encode_prompt(engine, prompt)
        rollouts = _Rollouts(engine, grader, sampling, settings, splitter, prompt_ids, gold)
        await rollouts.sample()
        journal.add(index, [asdict(solution) for solution in rollouts.labelled(index)])

    await journal.fill(one, prompts, done)
    numbers = range(len(prompts))
    return [LabelledSolution.of_row(row) for i in numbers for row in journal.result(i)]


@dataclass
class _Rollouts:
    """Solutions of one prompt, and rollouts from the ends of their steps.

    Attributes:
        engine, grader, sampling, settings: as in `label_prompts`.
        splitter: finds the steps of a solution.
        prompt_ids: the prompt's tokens.
        gold: the right answer.
        outcomes: whether each solution that passed through a prefix ended correct, by prefix.
        solutions: each solution's starting prefix, and the whole solution.
    """

    engine: Engine
    grader: Grader
    sampling: SamplingSettings
    settings: LabelSettings
    splitter: StepSplitter
    prompt_ids: Tokens
    gold: str
    outcomes: dict[Tokens, list[bool]] = field(default_factory=dict)
    solutions: list[tuple[Tokens, Tokens]] = field(default_factory=list)

    async def sample(self) -> None:
        """Sample the solutions, then rollouts from every step's end."""
        settings = self.settings
        exploring = self.sampling.model_copy(update={"temperature": settings.exploring_temperature})
        for completion in await self._continue((), settings.samples, self.sampling, "rollout"):
            await self._record((), completion)
        for completion in await self._continue((), settings.explored, exploring, "explored"):
            await self._record((), completion, explored=True)
        prefixes = sorted(
            {
                whole[:end]
                for _, whole in self.solutions
                for end in step_ends(self.splitter, whole, 0)
            }
            - {whole for _, whole in self.solutions}
        )
        rollouts = await together(
            self._continue(prefix, settings.rollouts, self.sampling, "rollout")
            for prefix in prefixes
        )
        for prefix, completions in zip(prefixes, rollouts, strict=True):
            for completion in completions:
                await self._record(prefix, completion)

    def labelled(self, index: int) -> list[LabelledSolution]:
        """The solutions with the label of each of their steps.

        Args:
            index: number of the prompt.
        """
        labels = {prefix: float(np.mean(right)) for prefix, right in self.outcomes.items()}
        return [
            _labelled(index, self.prompt_ids, start, whole, self.splitter, labels)
            for start, whole in self.solutions
        ]

    async def _continue(
        self, prefix: Tokens, count: int, sampling: SamplingSettings, name: str
    ) -> list[Completion]:
        """Completions of the prompt and a prefix of a solution; `name` is part of the seeds."""
        ids, engine = self.prompt_ids, self.engine
        room = min(sampling.max_tokens, engine.context_length - len(ids)) - len(prefix)
        return await together(
            engine.complete(
                [*ids, *prefix],
                settings=sampling,
                max_tokens=room,
                seed=derive_seed(self.settings.seed, *ids, name, *prefix, i),
            )
            for i in range(count)
            if room > 0
        )

    async def _record(self, prefix: Tokens, completion: Completion, explored: bool = False) -> None:
        whole = prefix + completion.token_ids
        right = await self.grader.is_right(self.prompt_ids, whole, self.gold)
        if right is not None:
            self.solutions.append((prefix, whole))
            # An explored solution, sampled at another temperature, labels none of its steps.
            ends = [len(whole)] if explored else step_ends(self.splitter, whole, len(prefix))
            for end in ends:
                self.outcomes.setdefault(whole[:end], []).append(right)
        if prefix:
            self.outcomes.setdefault(prefix, []).append(right is True)


async def check_steps(
    engine: Engine, sampling: SamplingSettings, prompts: Sequence[tuple[str, str]], seed: int
) -> None:
    """Sample a few solutions, and refuse a step end that they do not have.

    Args:
        engine: the language model.
        sampling: how to sample.
        prompts: (prompt, gold answer) pairs.
        seed: seed of the sampling.

    Raises:
        InputError: nearly all solutions are one step; see `calibration.sampling.steps`.
    """
    splitter = StepSplitter(engine.tokenizer, sampling.step_end)

    async def drawn(prompt: str, number: int) -> list[str]:
        ids = encode_prompt(engine, prompt)
        completion = await engine.complete(
            ids,
            settings=sampling,
            max_tokens=min(sampling.max_tokens, engine.context_length - len(ids)),
            seed=derive_seed(seed, *ids, "rollout", number),
        )
        return [decode(engine.tokenizer, step) for step in splitter.split(completion.token_ids)]

    solutions = await together(
        drawn(prompt, number)
        for prompt, _ in prompts[: steps.PROMPTS]
        for number in range(steps.SAMPLES)
    )
    counts = [sum(bool(text.strip()) for text in solution) for solution in solutions]
    texts = ["".join(solution) for solution in solutions]
    if missing := steps.missing_steps(counts, texts, sampling.step_end):
        raise InputError(
            "step_end",
            sampling.step_end,
            f"{missing}. Without steps this trains an ORM: choose another --step-end, or ttc train "
            "orm",
        )


def step_ends(splitter: StepSplitter, solution: Tokens, start: int) -> Iterator[int]:
    """Where each step after `start` ends, in tokens of the solution."""
    end = start
    for step in splitter.split(solution[start:]):
        end += len(step)
        yield end


def _labelled(
    index: int,
    prompt_ids: Tokens,
    start: Tokens,
    whole: Tokens,
    splitter: StepSplitter,
    labels: dict[Tokens, Any],
) -> LabelledSolution:
    ends = list(step_ends(splitter, whole, len(start)))
    return LabelledSolution(
        prompt=index,
        token_ids=[*prompt_ids, *whole],
        start=len(prompt_ids) + len(start),
        positions=[len(prompt_ids) + end - 1 for end in ends],
        labels=[labels[whole[:end]] for end in ends],
        prompt_tokens=len(prompt_ids),
    )
