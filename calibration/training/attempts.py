"""Revision chains sampled from a reviser, graded: what its verifier is trained on (app. J)."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
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
    """Chains of attempts at every prompt: the first by the language model, the rest by the reviser.

    Args:
        engine: the language model.
        reviser: the reviser.
        grader: tells right solutions from wrong ones.
        sampling: how to sample.
        prompts: (prompt, gold answer) pairs.
        settings: numbers of chains and attempts.
        journal: keeps each prompt's chains; prompts that it has already are not sampled again.
        done: called as each prompt is done.

    Returns:
        The chains: attempts in order, each with what it was made in view of before its `start`,
        and 1 as its label where it is correct, 0 where it is wrong or has no answer.

    Raises:
        InputError: a prompt that is empty or does not fit the context, before anything is sampled.
    """
    for prompt, _ in prompts:
        encode_prompt(engine, prompt)
    splitter = StepSplitter(engine.tokenizer, sampling.step_end)

    async def one(item: tuple[int, tuple[str, str]]) -> None:
        index, (prompt, gold) = item
        prompt_ids, again = encode_prompt(engine, prompt), ask_again(reviser, prompt)

        async def chain(number: int) -> list[LabelledSolution]:
            attempts: list[tuple[int, ...]] = []
            labelled = []
            while len(attempts) < settings.length:
                model = reviser if attempts else engine
                room = model.context_length - sampling.max_tokens
                context = revision_context(prompt_ids, again, attempts, room)
                completion = await model.complete(
                    context,
                    settings=sampling,
                    max_tokens=min(sampling.max_tokens, model.context_length - len(context)),
                    seed=derive_seed(settings.seed, *prompt_ids, "chain", number, len(attempts)),
                )
                right = await grader.is_right(context, completion.token_ids, gold)
                ends = [len(context) + e - 1 for e in step_ends(splitter, completion.token_ids, 0)]
                labelled.append(
                    LabelledSolution(
                        index,
                        [*context, *completion.token_ids],
                        len(context),
                        ends,
                        [float(right is True)] * len(ends),
                    )
                )
                attempts.append(known_ids(reviser.tokenizer, completion.token_ids))
            return labelled

        chains = await together(chain(number) for number in range(settings.chains))
        journal.add(index, [[asdict(attempt) for attempt in attempts] for attempts in chains])

    await journal.fill(one, prompts, done)
    return [
        [LabelledSolution(**attempt) for attempt in chain]
        for index in range(len(prompts))
        for chain in journal.results[index]
    ]


def flip_rates(chains: Sequence[Sequence[LabelledSolution]]) -> tuple[float, float]:
    """How often a revision turns a correct attempt wrong, and a wrong one correct.

    The paper measured 38% for the first (section 6.1); it is why the answer is selected from the
    chain, not read off its end. NaN where no attempt was correct, or none wrong.
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
