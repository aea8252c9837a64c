"""Answering the prompts of a file: a prompt that cannot be used does not stop the others."""

from collections.abc import Callable, Mapping, Sequence

from allocator.errors import InputError
from runtime.result import Failure, Result, Spend
from runtime.solving.solve import Solver


async def answer_each(
    solver: Solver,
    prompts: Sequence[str],
    rows: Mapping[int, str],
    spend: Spend,
    done: Callable[[Result | Failure], None] = lambda _: None,
) -> list[Result | Failure]:
    """Answer prompts; an unusable prompt of a file becomes a failure.

    Args:
        solver: answers them.
        prompts: prompts, answered in this order.
        rows: location in the file of each prompt that comes from one, by its number among the
            prompts. A prompt too long for the model becomes a failure that names its row.
        spend: the budget, per prompt or for all together.
        done: called with each result.

    Raises:
        InputError: as `runtime.solving.solve.Solver.solve_all`, for prompts outside the file.
    """
    results: dict[int, Result | Failure] = {}
    for number, where in rows.items():
        try:
            solver.start(prompts[number])
        except InputError as error:
            results[number] = failure = Failure(
                prompt=prompts[number], error=f"{where}: {error.hint}"
            )
            done(failure)
    left = [number for number in range(len(prompts)) if number not in results]
    if left:
        answered = await solver.solve_all([prompts[number] for number in left], spend, done)
        results |= zip(left, answered, strict=True)
    return [results[number] for number in range(len(prompts))]
