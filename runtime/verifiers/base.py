"""The verifier protocol: a model that scores every step of a solution."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal, Protocol, get_args, runtime_checkable

from allocator.errors import ModelError

Aggregation = Literal["last", "min", "product", "mean"]

# A verifier's convention, see `runtime.verifiers.families`; ``auto`` recognises most.
FamilyName = Literal[
    "auto",
    "token-classification",
    "sequence-classification",
    "likelihood",
    "qwen-prm",
    "skywork-prm",
    "math-shepherd",
    "rlhflow",
]


@dataclass(frozen=True)
class Context:
    """What a solution answers.

    Attributes:
        prompt: the prompt as text, for verifiers that lay it out in their own way.
        token_ids: the prompt as the language model saw it; for a revision, with the attempts
            before it.
    """

    prompt: str
    token_ids: tuple[int, ...]


@dataclass(frozen=True)
class Verdict:
    """A solution's scores, and what they cost.

    Attributes:
        step_scores: one value in [0, 1] a step.
        processed_tokens: tokens that the verifier's model ran over.
        cached_tokens: tokens that it did not have to run over again.
        windowed: whether the solution is longer than the verifier's context, so that its later
            steps were scored in view of the prompt and the steps just before them alone.
    """

    step_scores: tuple[float, ...]
    processed_tokens: int
    cached_tokens: int
    windowed: bool = False


class TooLongError(ModelError):
    """A solution that a verifier cannot score: it is longer than the verifier's context."""


class Verifier(Protocol):
    """A PRM or an ORM. Many coroutines may call `score` at once; requests are batched together."""

    async def score(self, context: Context, steps: Sequence[tuple[int, ...]]) -> Verdict:
        """Score every step.

        A PRM's value after a step is the probability that a solution going on from there ends
        correct. An ORM is trained on whole solutions: its last value is the probability that the
        solution is correct, and its earlier ones judge the part as if it were the whole.

        Args:
            context: the prompt.
            steps: the solution's tokens, the language model's, a tuple a step; at least one.

        Raises:
            TooLongError: prompt and solution are longer than its context, and it does not read
                windows of them.
            ModelError: the verifier has failed.
        """
        ...

    def close(self) -> None:
        """Release the model. Calling it twice is fine."""
        ...


@runtime_checkable
class HasContext(Protocol):
    """Verifiers whose context is known.

    Attributes:
        shares_tokens: whether it reads the language model's own token ids, those of the attempts
            before a revision among them.
        context_length: tokens of the language model, prompt and solution together, that it reads
            at most; None where there is no limit, or longer solutions are read in windows.
    """

    shares_tokens: bool
    context_length: int | None

    def room(self, context: Context) -> int | None:
        """Tokens of the language model that a solution of this prompt may have.

        None where there is no limit, or longer solutions are read in windows.

        Raises:
            InputError: the prompt leaves no room for any solution.
        """
        ...


def aggregate(step_scores: Sequence[float], how: Aggregation) -> float:
    """A solution's score from its steps' scores.

    The last step's score is the paper's choice for PRMs with soft labels; the least and the
    product did worse there (app. E). Other verifiers rank better by the product.
    """
    if how == "last":
        return step_scores[-1]
    if how == "mean":
        return sum(step_scores) / len(step_scores)
    return min(step_scores) if how == "min" else prod(step_scores)


def all_aggregations(step_scores: Sequence[float]) -> dict[str, float]:
    """Every aggregation of a solution's step scores, by name."""
    return {how: aggregate(step_scores, how) for how in get_args(Aggregation)}
