"""What may be spent on prompts, and what comes back: answers, each with its receipt."""

import time
from dataclasses import dataclass

from pydantic import BaseModel, Field, SkipValidation

from allocator.checks import finite
from allocator.errors import InputError
from allocator.plan import Plan
from predictors.sample import Sample
from predictors.token_logprobs import PlaceLogprobs
from runtime.notebook import receipt_html, result_html


class Decision(BaseModel):
    """The policy's choice for one prompt, before the plan is run.

    Attributes:
        pilots: pilot samples taken.
        predicted_pass_at_1: predicted pass@1; None where it was not predicted.
        low: pass@1 is between this and `high` with a probability of 0.9.
        high: the upper bound.
        bin: difficulty bin, 1 the easiest; None where pass@1 was not predicted.
        bins: number of bins.
        plan: the plan to run.
        why: the reason, in a sentence.
        drifted: whether traffic has drifted from calibration: best-of-N then replaces the table's
            plan, and a total is shared evenly.
    """

    pilots: int = 0
    predicted_pass_at_1: float | None = None
    low: float | None = None
    high: float | None = None
    bin: int | None = None
    bins: int = 1
    plan: Plan
    why: str
    drifted: bool = False


class Receipt(Decision):
    """What was decided for one prompt, and what it cost.

    Attributes:
        budget: generations the prompt was allowed; None where it shared one with others.
        price: accuracy that a generation had to gain to be spent; None where that was not asked.
        deadline: seconds the prompt was allowed; None for as many as it takes.
        budget_tokens: tokens that the prompt was allowed; None where the budget was not in tokens.
        price_of_token: accuracy that a token had to gain; None where that was not asked.
        prompt_tokens: tokens of the prompt.
        generations: complete solutions sampled, pilots included.
        sampled_tokens: tokens the language model sampled, pilots included.
        thinking_tokens: of these, the tokens of thoughts.
        thinking_cap: tokens that each thought could have, by the plan and the request; 0 is no
            thought, None no cap.
        forced_thoughts: solutions whose thought was ended at a cap.
        aborted: solutions that were ended because their confidence fell too low.
        windowed: scorings of solutions longer than a verifier's context, which read the later steps
            in windows: the prompt and the steps just before them alone. A search scores a growing
            solution after every step.
        unscored: scorings of solutions that no verifier could read; their steps count as wrong,
            score 0.
        cached_tokens: tokens of prefixes that the engine did not have to read again; over a server
            an estimate.
        verifier_tokens: tokens that verifiers ran over.
        verifier_cached_tokens: tokens of scored texts that they did not have to run over.
        flops: of sampling and of scoring, 2 x parameters x tokens, see
            `allocator.flops.ModelSizes`; None where the size of a model is unknown.
        seconds: wall time from the first pilot to the answer.
        undecided: answers that could not be compared with others before the deadline; each counts
            as different from all others.
    """

    budget: int | None = None
    price: float | None = None
    deadline: float | None = None
    budget_tokens: int | None = None
    price_of_token: float | None = None
    prompt_tokens: int
    generations: int
    sampled_tokens: int
    thinking_tokens: int = 0
    thinking_cap: int | None = None
    forced_thoughts: int = 0
    aborted: int = 0
    windowed: int = 0
    unscored: int = 0
    cached_tokens: int
    verifier_tokens: int
    verifier_cached_tokens: int
    flops: float | None = None
    seconds: float
    undecided: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        return receipt_html(self)


@dataclass(frozen=True)
class Spend:
    """What may be spent: one budget, the others None; and a deadline with a budget per prompt.

    Attributes:
        budget: generations each prompt may cost.
        average_budget: generations prompts may cost on average, over a stream of them.
        total_budget: generations that all prompts together may cost.
        budget_tokens: tokens each prompt may cost, on average over prompts of its bin.
        average_tokens: tokens prompts may cost on average, over a stream of them; see
            `predictors.thinking_policy`.
        deadline: seconds each prompt may take; with a budget.
    """

    budget: int | None = None
    average_budget: float | None = None
    total_budget: int | None = None
    deadline: float | None = None
    budget_tokens: int | None = None
    average_tokens: float | None = None

    def __post_init__(self) -> None:
        """Check that it is one of them.

        Raises:
            InputError: none, several, what is no number, or a deadline without a budget.
        """
        budgets = {
            "budget": self.budget,
            "average_budget": self.average_budget,
            "total_budget": self.total_budget,
            "budget_tokens": self.budget_tokens,
            "average_tokens": self.average_tokens,
        }
        given = {name: value for name, value in budgets.items() if value is not None}
        if len(given) != 1:
            raise InputError(
                "budget",
                given or None,
                "give one of: a budget for each prompt, or an average, in generations or in "
                "tokens, or a total",
            )
        for name, value in given.items():
            if not finite(value):
                raise InputError(name, value, "must be a number")
        if self.deadline is not None and self.budget is None:
            raise InputError("deadline", self.deadline, "it goes with a budget for each prompt")


class Failure(BaseModel):
    """A prompt that could not be answered, for a model failed on it."""

    prompt: str
    error: str


class Result(BaseModel):
    """An answered prompt.

    Attributes:
        prompt: the prompt.
        answer: the chosen solution's answer; None where it has none.
        solution: the chosen solution.
        score: the chosen solution's score; None where it was not scored: the only one, or a vote.
        receipt: what was decided, and what it cost.
        ranked: every solution, best first: one of each answer, then the others. Not part of the
            JSON.
        prompt_logprobs: log-probabilities at each of the prompt's tokens, None for the first; None
            if they were not requested. Not part of the JSON either.
        finished_at: when it was answered, as Unix time in seconds. Likewise.
    """

    prompt: str
    answer: str | None
    solution: str
    score: float | None
    receipt: Receipt
    ranked: tuple[Sample, ...] = Field(exclude=True, repr=False)
    prompt_logprobs: SkipValidation[tuple[PlaceLogprobs | None, ...] | None] = Field(
        default=None, exclude=True, repr=False
    )
    finished_at: float = Field(default_factory=time.time, exclude=True, repr=False)

    def _repr_html_(self) -> str:
        return result_html(self)
