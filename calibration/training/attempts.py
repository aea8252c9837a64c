"""Revision chains sampled from a reviser, graded: what its verifier is trained on (app. J)."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise

from calibration.training.journal import Journal
from calibration.training.labels import LabelledSolution, step_ends
from calibration.training.settings import ChainSettings
from runtime.answers.grading import Grader
from runtime.concurrency import together
from runtime.engines.base import Engine, SamplingSettings, derive_seed, encode_prompt
from runtime.engines.steps import StepSplitter
from runtime.engines.tokenizer import known_ids
from runtime.reviser import ask_again, revision_context


async def sample_chains(
    engine: Engine,
    reviser: Engine,
    grader: Grader,
    sampling: SamplingSettings,
    prompts: Sequence[tuple[str, str]],
    settings: ChainSettings,
    journal: Journal,
    done: Callable[[object], None] = lambda _: None,
) -> list[list[LabelledSolution]]:
    """Chains of attempts per prompt: the first by the language model, the rest by the reviser.

    Args:
        engine: the language model.
        reviser: the reviser.
        grader: decides which solutions are correct.
        sampling: how to sample.
        prompts: (prompt, gold answer) pairs.
        settings: numbers of chains and attempts.
        journal: keeps each prompt's chains; prompts that it holds already are not sampled again.
        done: called as each prompt is done.

    Returns:
        The chains: attempts in order. The context of each attempt stands before its `start`; its
        label is 1 where it is correct, 0 where it is wrong or has no answer.

    Raises:
        InputError: a prompt that is empty or does not fit the context, before anything is sampled.
    """
    for prompt, _ in prompts:
        encode_prompt(engine, prompt)
    sampler = _ChainSampler(engine, reviser, grader, sampling, settings)

    async def one(item: tuple[int, tuple[str, str]]) -> None:
        index, (prompt, gold) = item
        chains = await together(
            sampler.chain(index, prompt, gold, number) for number in range(settings.chains)
        )
        journal.add(index, [[asdict(attempt) for attempt in attempts] for attempts in chains])

    await journal.fill(one, prompts, done)
    return [
        [LabelledSolution.of_row(attempt) for attempt in chain]
        for index in range(len(prompts))
        for chain in journal.result(index)
    ]


@dataclass(frozen=True)
class _ChainSampler:
    """Samples and grades chains of attempts; the fields are `sample_chains`'s arguments."""

    engine: Engine
    reviser: Engine
    grader: Grader
    sampling: SamplingSettings
    settings: ChainSettings

    async def chain(
        self, index: int, prompt: str, gold: str, number: int
    ) -> list[LabelledSolution]:
        """The prompt's chain with this number."""
        prompt_ids = encode_prompt(self.engine, prompt)
        again = ask_again(self.reviser, prompt)
        splitter = StepSplitter(self.engine.tokenizer, self.sampling.step_end)
        attempts: list[tuple[int, ...]] = []
        labelled = []
        while len(attempts) < self.settings.length:
            model = self.reviser if attempts else self.engine
            room = model.context_length - self.sampling.max_tokens
            context = revision_context(prompt_ids, again, attempts, room)
            seed = derive_seed(self.settings.seed, *prompt_ids, "chain", number, len(attempts))
            completion = await model.complete(
                context,
                settings=self.sampling,
                max_tokens=min(self.sampling.max_tokens, model.context_length - len(context)),
                seed=seed,
            )
            right = await self.grader.is_right(context, completion.token_ids, gold)
            ends = [len(context) + e - 1 for e in step_ends(splitter, completion.token_ids, 0)]
            labelled.append(
                LabelledSolution(
                    index,
                    [*context, *completion.token_ids],
                    len(context),
                    ends,
                    [float(right is True)] * len(ends),
                    len(context),
                )
            )
            attempts.append(known_ids(self.reviser.tokenizer, completion.token_ids))
        return labelled


def flip_rates(chains: Sequence[Sequence[LabelledSolution]]) -> tuple[float, float]:
    """How often a revision turns a correct attempt wrong, and a wrong one correct.

    The paper measured 38% for the first (section 6.1); therefore the answer is selected from the
    whole chain. NaN where no attempt was correct, or none was wrong.
    """
    pairs = [
        (before.labels[-1] > 0.5, after.labels[-1] > 0.5)
        for chain in chains
        for before, after in pairwise(chain)
    ]
    after_right = [after for before, after in pairs if before]
    after_wrong = [after for before, after in pairs if not before]
    return (
        1 - sum(after_right) / len(after_right) if after_right else float("nan"),
        sum(after_wrong) / len(after_wrong) if after_wrong else float("nan"),
    )
