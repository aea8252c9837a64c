"""Samples of a log that stand in it twice, as after a retried upload."""

from collections import Counter
from collections.abc import Collection, Mapping

# Characters of a text from which on two samples hardly share it by chance. Short solutions and
# answers do.
LONG = 100


class Repeats:
    """Counts samples that equal an earlier one in every column, the text of a solution included.

    A column holds solutions if the samples of some question differ in it; the column of answers
    may hold them, too.

    Args:
        answer: the column of answers.
        of_questions: columns that belong to questions, not to their samples.
    """

    def __init__(self, answer: str, of_questions: Collection[str]) -> None:
        self._of_questions = frozenset(of_questions)
        self._of_samples = {answer}
        # Texts are held as hashes: they may be long.
        self._first: dict[tuple[str, str], int] = {}
        self._samples: Counter[tuple[int, tuple[str, ...]]] = Counter()

    def add(self, question: str, sample: Mapping[str, object]) -> None:
        """Add a sample of a question, by the cells of its columns."""
        texts = {
            column: hash(cell)
            for column, cell in sample.items()
            if isinstance(cell, str) and len(cell) >= LONG and column not in self._of_questions
        }
        for column, text in texts.items():
            if self._first.setdefault((column, question), text) != text:
                self._of_samples.add(column)
        if texts:
            cells = hash(repr((question, sorted(sample.items()))))
            self._samples[cells, tuple(texts)] += 1

    @property
    def count(self) -> int:
        """How many equal an earlier one."""
        return sum(
            times - 1
            for (_, columns), times in self._samples.items()
            if not self._of_samples.isdisjoint(columns)
        )
