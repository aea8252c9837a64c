"""Solutions of models that think: thought as long as requested, then the answer.

A thought at its cap is ended by text that is appended to it, and the answer is sampled after that,
in a request of its own, which finds the thought in the engine's prefix cache. Until a thought has
ended, nothing else ends the solution: neither a stop text nor the end of a step.

vLLM's own cap (`thinking_token_budget`) would need one request. But a thought has ended for it only
where the model writes what vLLM itself would write at the cap, token for token; after any other end
it goes on counting, and cuts off the answer.
"""

from collections.abc import Sequence

from runtime.engines.base import Completion, Engine
from runtime.engines.steps import StepSplitter
from runtime.model_calls import ModelCalls
from runtime.solutions.draw import DrawSettings, SolutionBuilder
from runtime.solutions.marks import Place, ThoughtMarks
from runtime.verifiers.base import Context

# Of the longest solution, a capped thought leaves at least a quarter for the answer, or this.
ANSWER_TOKENS = 1024


def answer_room(max_tokens: int, cutoff: Sequence[int]) -> int:
    """Tokens that a capped thought leaves for the text that ends it, and for the answer.

    Args:
        max_tokens: tokens of a solution at most.
        cutoff: the text that ends the thought.
    """
    return min(ANSWER_TOKENS, max_tokens // 4) + len(cutoff)


def deepest_cap(max_tokens: int, marks: ThoughtMarks) -> int:
    """The largest cap that a thought can reach; at a larger one it ends here as well.

    Args:
        max_tokens: tokens of a solution at most.
        marks: the marks of the model's thoughts.
    """
    return max_tokens - len(marks.start) - answer_room(max_tokens, marks.cutoff)


class Thinker:
    """Samples solutions of one prompt, thoughts included.

    Args:
        calls: the prompt's calls of the models.
        engine: the language model.
        context: the prompt.
        marks: the marks of the model's thoughts; None for a model that does not think.
    """

    def __init__(
        self, calls: ModelCalls, engine: Engine, context: Context, marks: ThoughtMarks | None
    ) -> None:
        self._calls, self._engine, self._context = calls, engine, context
        self._marks = marks
        self._place: Place = "after"
        if marks is not None:
            self._place = marks.place(context.token_ids)

    async def solution(self, draw: DrawSettings, prefix: Sequence[int] = ()) -> Completion:
        """What follows a prefix of a solution, up to the solution's end or that of a step.

        Args:
            draw: how to sample it.
            prefix: tokens of the solution so far, within a thought or after it.

        Returns:
            The tokens after the prefix, those that were appended for the model among them.
        """
        builder = SolutionBuilder(draw, list(prefix))
        place, thinks = self._where(prefix), False
        if self._marks is None or (draw.thinking is None and not self._may_end_early(draw)):
            thinks, place = place != "after", "after"  # one request, whatever the model thinks
        if place == "before" and not builder.aborted:
            place = await self._begin(builder)
        if place == "inside" and not builder.aborted:
            place = await self._think(builder)
        if place == "after" and builder.left > 0 and not builder.aborted:
            await self._answer(builder, thinks)
        return self._counted(builder)

    def thought_of(self, token_ids: Sequence[int], thinking: int) -> tuple[int, ...]:
        """A solution up to the end of its thought, from which it may think on.

        Args:
            token_ids: the solution.
            thinking: tokens of its thought.
        """
        lead = None
        if self._marks is not None and self._place == "before":
            lead = self._marks.begun(token_ids)
        return tuple(token_ids[: (lead or 0) + thinking])

    def steps(
        self, token_ids: Sequence[int], splitter: StepSplitter
    ) -> tuple[tuple[int, ...], ...]:
        """A solution's steps; a thought belongs to the first, whatever it says.

        Args:
            token_ids: the solution.
            splitter: finds the ends of steps.
        """
        end = None
        if self._marks is not None and self._place != "after":
            end = self._marks.find_end(token_ids)
        if end is None:
            return tuple(splitter.split(token_ids))
        first, *others = splitter.split(token_ids[end:])
        return ((*token_ids[:end], *first), *others)

    def _where(self, solution: Sequence[int]) -> Place:
        """Where a solution so far stands."""
        if self._marks is None or not solution:
            return self._place
        if self._marks.length(solution, self._place == "inside") is None:
            return "after"  # it does not think
        return "inside" if self._marks.find_end(solution) is None else "after"

    def _may_end_early(self, draw: DrawSettings) -> bool:
        """Whether something might end the solution within its thought, and must not."""
        settings = self._calls.settings
        ends = draw.step_end or settings.stops or settings.stop_token_ids
        return bool(ends) or settings.constraint is not None

    async def _begin(self, builder: SolutionBuilder) -> Place:
        """Begin a thought, or skip it; with neither requested, see whether the model begins one.

        Under a constraint one is begun: what else was sampled would stand before what it allows. So
        would the beginning of an answer after a thought that is skipped.
        """
        marks, thinking = self._known, builder.draw.thinking
        held = self._calls.settings.constraint is not None
        if thinking is None and held:
            thinking = builder.left
        if thinking is not None:
            skipped = marks.empty if held else marks.skipped
            builder.append(marks.opening if thinking else skipped)
            builder.skipped = not thinking
            builder.unsampled = len(marks.opening) - len(marks.start)
            return "inside" if thinking else "after"
        while builder.left > 0 and not builder.aborted and marks.may_begin(builder.new):
            width = max(1, len(marks.start) - len(builder.new))
            builder.add(await self._complete(builder, min(width, builder.left), ends=()))
            if builder.ended:
                builder.left = 0
        return "after" if marks.begun(builder.new) is None else "inside"

    async def _think(self, builder: SolutionBuilder) -> Place:
        """Think to the thought's end or its cap, where it is cut off.

        Returns:
            ``after`` where an answer is to follow; ``inside`` where the thought has not ended: the
            tokens were used up, the model ended its turn, it repeated itself without end, or its
            confidence was too low.
        """
        marks, cap = self._known, builder.draw.thinking
        if cap is None:
            return "after" if await self._sample_thought(builder, builder.left) else "inside"
        cutoff = marks.cutoff
        if self._calls.settings.constraint is not None:  # it is the answer's from its beginning
            cutoff = marks.ended
        answer = answer_room(builder.draw.max_tokens, cutoff)
        depth = marks.length(builder.solution, self._place == "inside") or 0
        more = min(cap - depth, builder.left - answer)
        if more > 0:
            if await self._sample_thought(builder, more):
                return "after"
            if builder.sampled < more or builder.aborted:
                return "inside"
        builder.cut(cutoff, depth + max(more, 0))
        return "after"

    async def _answer(self, builder: SolutionBuilder, thinks: bool) -> None:
        """Sample the rest of a solution.

        Args:
            builder: the solution.
            thinks: whether a thought may come first. Only that may end for repeating itself.
        """
        step_end = builder.draw.step_end
        builder.add(await self._complete(builder, builder.left, step_end, thought=thinks))
        if not builder.repeating or builder.left <= 0:
            return
        if self._where(builder.solution) == "after":
            # An answer may repeat itself, as a table does: it goes on.
            builder.add(await self._complete(builder, builder.left, step_end))

    async def _sample_thought(self, builder: SolutionBuilder, max_tokens: int) -> bool:
        """Sample a thought; returns whether it has ended."""
        marks = self._known
        single = len(marks.end) == 1
        found = await self._complete(
            builder,
            max_tokens,
            step_end=() if single else (marks.thought.end,),
            ends=marks.end if single else (),
            thought=True,
        )
        builder.add(found)
        # The token that completes a mark of several may hold more than the mark.
        last = found.token_ids[-1:] == marks.end
        over = (last if single else found.stopped_by == marks.thought.end) and not found.aborted
        builder.ended = builder.ended and not over
        return over

    async def _complete(
        self,
        builder: SolutionBuilder,
        max_tokens: int,
        step_end: tuple[str, ...] = (),
        ends: tuple[int, ...] | None = None,
        thought: bool = False,
    ) -> Completion:
        return await self._calls.complete(
            self._engine,
            self._context,
            builder.solution,
            max_tokens,
            builder.next_path(),
            stop=step_end,
            logprob=builder.draw.logprob,
            greedy=builder.draw.greedy,
            window=builder.draw.window,
            ends=ends,
            thought=thought,
        )

    def _counted(self, builder: SolutionBuilder) -> Completion:
        """The new tokens, with its thought counted."""
        # One that was lost before is not lost again.
        self._calls.cost.aborted += builder.aborted and bool(builder.new)
        thinking = None
        if self._marks is not None and self._place != "after" and not builder.skipped:
            inside = self._place == "inside"
            thinking = self._marks.length(builder.solution, inside)
            before = self._marks.length(builder.prefix, inside) or 0
            if builder.forced_at is not None:
                thinking = builder.forced_at
            more = (thinking or 0) - before - builder.unsampled
            self._calls.cost.thinking_tokens += max(0, more)
        return Completion(
            token_ids=builder.new,
            logprob=builder.logprob,
            ended=builder.ended,
            cached_tokens=builder.cached_tokens,
            stopped_by=builder.stopped_by,
            repeating=builder.repeating,
            thinking=thinking,
            forced=builder.forced_at is not None,
            aborted=builder.aborted,
            logprobs=builder.logprobs,
        )

    @property
    def _known(self) -> ThoughtMarks:
        if self._marks is None:
            raise ValueError("the model has no thoughts")
        return self._marks
