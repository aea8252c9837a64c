"""Grade solutions given as token ids."""

from collections.abc import Sequence

from runtime.answers.readers import Answers
from runtime.answers.thought import SolutionReader


class Grader:
    """Grades solutions by their answers.

    Args:
        answers: reads and compares answers.
        reader: reads solutions.
    """

    def __init__(self, answers: Answers, reader: SolutionReader) -> None:
        self._answers, self._reader = answers, reader

    async def is_right(
        self, prompt_ids: Sequence[int], solution: Sequence[int], gold: str
    ) -> bool | None:
        """Whether a solution is right; None if it has no answer.

        Args:
            prompt_ids: what it continues.
            solution: its token ids.
            gold: the right answer.
        """
        answer = await self.answer(prompt_ids, solution)
        if answer is None:
            return None
        known, canonicalized = await self._answers.canonicalize_async([gold, answer])
        return known == canonicalized

    async def answer(self, prompt_ids: Sequence[int], solution: Sequence[int]) -> str | None:
        """A solution's answer; None if it has none. Arguments as `is_right`."""
        concluded = self._reader.read(solution, (), self._reader.begun(prompt_ids)).content
        return None if concluded is None else await self._answers.extract_async(concluded)
