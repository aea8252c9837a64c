"""Search in lockstep, in the plainest way: the reference that the scheduler has to equal.

Nothing here runs beside anything else. All prompts finish a round before any begins the next, and
within a round every draw and every score is awaited before the following one is requested.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from allocator.plan import Plan
from predictors.sample import Sample
from runtime.engines.base import Completion, SamplingSettings, SeedPath, draw_seed, encode_prompt
from runtime.models import Models
from runtime.verifiers.base import Context, Verdict, all_aggregations


@dataclass(frozen=True)
class Draft:
    """A solution that may still grow; its scores are those of its steps."""

    steps: tuple[tuple[int, ...], ...] = ()
    scores: tuple[float, ...] = ()
    logprob: float = 0.0
    ended: bool = False
    stopped: bool = False


@dataclass
class Search:
    """One beam search of one prompt; the trees of DVTS are searches of their own."""

    n: int
    width: int
    lookahead: int
    path: SeedPath
    living: list[Draft]
    finished: list[Draft] = field(default_factory=list)


@dataclass
class Spent:
    """What one prompt has cost. Verifier tokens count whether they were cached or not."""

    generations: int = 0
    sampled_tokens: int = 0
    verifier_tokens: int = 0


class LockstepPrompt:
    """One prompt of a lockstep search.

    Args:
        models: the language model, the verifier, and how solutions are split and scored.
        sampling: how solutions are sampled.
        prompt: the prompt.
        seed: of the run.
    """

    def __init__(self, models: Models, sampling: SamplingSettings, prompt: str, seed: int) -> None:
        self.models, self.sampling, self.seed = models, sampling, seed
        self.ids = encode_prompt(models.engine, prompt)
        self.context = Context(prompt, self.ids)
        room = models.engine.context_length - len(self.ids)
        self.max_tokens = min(sampling.max_tokens, room)
        self.spent = Spent()
        self.searches: list[Search] = []

    async def complete(
        self,
        prefix: Sequence[int],
        path: SeedPath,
        stop: tuple[str, ...] = (),
        greedy: bool = False,
    ) -> Completion:
        *name, number = path
        settings = self.sampling
        if greedy:
            settings = settings.model_copy(update={"temperature": 0.0})
        completion: Completion = await self.models.engine.complete(
            [*self.ids, *prefix],
            settings=settings,
            max_tokens=self.max_tokens - len(prefix),
            seed=draw_seed(self.seed, *self.ids, *name, number=int(number)),
            stop=stop,
        )
        self.spent.sampled_tokens += len(completion.token_ids)
        return completion

    async def scores(self, steps: Sequence[tuple[int, ...]]) -> tuple[float, ...]:
        verdict: Verdict = await self.models.verifier.score(self.context, steps)
        self.spent.verifier_tokens += verdict.processed_tokens + verdict.cached_tokens
        return verdict.step_scores

    async def step(self, draft: Draft, path: SeedPath, greedy: bool = False) -> Draft:
        """The draft with one more step, which is not scored yet."""
        prefix = [token for step in draft.steps for token in step]
        found = await self.complete(prefix, path, (self.sampling.step_end,), greedy)
        return Draft(
            steps=(*draft.steps, found.token_ids),
            logprob=draft.logprob + found.logprob,
            ended=found.ended,
            stopped=found.ended or len(prefix) + len(found.token_ids) >= self.max_tokens,
        )

    async def scored(self, draft: Draft) -> Draft:
        scores = await self.scores(draft.steps)
        return Draft(draft.steps, scores, draft.logprob, draft.ended, draft.stopped)

    def probability_of(self, draft: Draft) -> float:
        tokens = sum(len(step) for step in draft.steps)
        cut_off = draft.stopped and not draft.ended
        scores = all_aggregations(draft.scores)
        return float(self.models.scoring.probability(scores, draft.logprob, tokens, not cut_off))

    async def rank(self, draft: Draft, lookahead: int, path: SeedPath) -> float:
        """What a candidate is ranked by: its probability, of its rollout's end if it has one."""
        rolled = draft
        for number in range(lookahead):
            if not rolled.stopped:
                rolled = await self.step(rolled, (*path, "lookahead", number), greedy=True)
        if rolled is not draft:
            rolled = await self.scored(rolled)
        return self.probability_of(rolled)

    async def round(self, search: Search, number: int) -> None:
        """One round of one search."""
        ranked = []
        for place, parent in enumerate(search.living):
            path = (*search.path, number, place)
            candidate = await self.scored(await self.step(parent, path))
            score = await self.rank(candidate, search.lookahead, path)
            if candidate.stopped:
                search.finished.append(candidate)
            else:
                ranked.append((score, candidate))
        ranked.sort(key=lambda entry: entry[0], reverse=True)
        # After the last round there is nothing to share out: all are solutions as they stand.
        search.living = [draft for _, draft in ranked]
        if ranked and number < self.sampling.max_steps - 1:
            best = [draft for _, draft in ranked[: -(-len(ranked) // search.width)]]
            left = search.n - len(search.finished)
            search.living = [best[i * len(best) // left] for i in range(left)]

    async def sample(self, number: int) -> Sample:
        """The independent solution of that number."""
        found = await self.complete((), ("sample", number))
        steps = tuple(self.models.splitter.split(found.token_ids))
        draft = Draft(steps, (), found.logprob, found.ended, True)
        return await self.as_sample(await self.scored(draft))

    async def as_sample(self, draft: Draft) -> Sample:
        tokens = [token for step in draft.steps for token in step]
        text = self.models.engine.tokenizer.decode(tokens, skip_special_tokens=True)
        return Sample(
            steps=draft.steps,
            text=text,
            answer=await self.models.answers.extract_async(text),
            step_scores=draft.scores,
            score=float(self.models.scoring.sharpened(self.probability_of(draft))),
            logprob=draft.logprob,
            ended=draft.ended,
        )

    async def result(self) -> list[Sample]:
        """What all its searches found."""
        drafts = [d for search in self.searches for d in [*search.finished, *search.living]]
        return [await self.as_sample(draft) for draft in drafts]


def searches_of(plan: Plan) -> list[Search]:
    """The beam searches that a plan runs on each prompt."""
    m = plan.beam_width
    if plan.strategy == "beam_search":
        path = ("beam_search", plan.n, m, plan.lookahead)
        return [Search(plan.n, m, plan.lookahead, path, [Draft()] * plan.n)]
    trees = range(plan.n // m)
    return [Search(m, m, 0, ("dvts", plan.n, m, tree), [Draft()] * m) for tree in trees]


async def in_lockstep(
    models: Models, sampling: SamplingSettings, prompts: Sequence[str], plan: Plan, seed: int
) -> list[tuple[list[Sample], Spent]]:
    """The samples of every prompt, and what they cost.

    Args:
        models: what `LockstepPrompt` needs.
        prompts: all of which advance by one round at a time.
        plan: best-of-N, beam search (with lookahead) or DVTS.
        seed: of the run.
    """
    running = [LockstepPrompt(models, sampling, prompt, seed) for prompt in prompts]
    for prompt in running:
        prompt.spent.generations = plan.n * (plan.lookahead + 1)
    if plan.strategy == "best_of_n":
        found: list[list[Sample]] = [[] for _ in running]
        for number in range(plan.n):
            for prompt, samples in zip(running, found, strict=True):
                samples.append(await prompt.sample(number))
        return [(samples, p.spent) for p, samples in zip(running, found, strict=True)]
    for prompt in running:
        prompt.searches = searches_of(plan)
    for number in range(sampling.max_steps):
        for prompt in running:
            for search in prompt.searches:
                await prompt.round(search, number)
    return [(await prompt.result(), prompt.spent) for prompt in running]
