"""Whether answers are equal, of two at a time."""

from runtime.answers import Answers


def equivalent(answers: Answers, one: str, other: str) -> bool:
    """Whether a reader takes two answers for the same."""
    return len(set(answers.canonicalize([one, other]))) == 1
