"""Log-probabilities of what is returned: of the solutions' tokens, and of the prompt's.

A solution's are those with which it was sampled, joined over the requests that wrote it. Where a
part was not sampled (an end of thought that was forced, a thought that was continued) or they were
not kept (the confidence was read in their place), the whole solution is read once more.
"""

from collections.abc import Sequence
from dataclasses import replace

from allocator.errors import ModelError
from predictors.sample import Sample
from predictors.token_logprobs import PlaceLogprobs
from runtime.concurrency import together
from runtime.engines.token_options import HasTokenOptions
from runtime.prompt_run import PromptRun


async def with_logprobs(run: PromptRun, ranked: Sequence[Sample]) -> list[Sample]:
    """Solutions, best first, of which those that are returned have log-probabilities if requested.

    Args:
        run: the prompt.
        ranked: its solutions.
    """
    if (likeliest := run.settings.tokens.logprobs) is None:
        return list(ranked)
    returned = await together(_known(run, sample, likeliest) for sample in ranked[: run.solutions])
    return [*returned, *ranked[run.solutions :]]


async def prompt_logprobs(run: PromptRun) -> tuple[PlaceLogprobs | None, ...] | None:
    """Log-probabilities of the prompt's tokens; None if they were not requested."""
    if (likeliest := run.settings.prompt_logprobs) is None:
        return None
    return await _read(run, run.context.token_ids, likeliest)


async def _known(run: PromptRun, sample: Sample, likeliest: int) -> Sample:
    if sample.logprobs is not None:
        return sample
    prompt = run.context.token_ids
    found = await _read(run, (*prompt, *sample.token_ids), likeliest)
    own = tuple(place for place in found[len(prompt) :] if place is not None)
    return replace(sample, logprobs=own)


async def _read(
    run: PromptRun, token_ids: tuple[int, ...], likeliest: int
) -> tuple[PlaceLogprobs | None, ...]:
    engine = run.models.engine
    if not isinstance(engine, HasTokenOptions):
        raise ModelError("engine", "it gives no log-probabilities of a text")
    if (sizes := run.models.sizes) is not None:
        run.cost.flops += sizes.sampling(len(token_ids), False)
    return await engine.text_logprobs(token_ids, likeliest)
