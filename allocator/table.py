"""The calibrated lookup table: (difficulty bin, budget) -> plan, with its measured accuracy."""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field, model_validator

from allocator import migrate
from allocator.bins import check_shares, weights_of
from allocator.checks import Probability, finite
from allocator.errors import InputError
from allocator.files import JsonArtifact
from allocator.plan import Plan
from allocator.schema import Schema


class Fingerprint(Schema):
    """What a table was measured with; the table is valid for nothing else.

    Attributes:
        model: hash of the language model's configuration and weights.
        verifier: the same of the verifier.
        reviser: the same of the reviser; None where there is none.
        reviser_verifier: the same of the reviser's own verifier.
        answers: how answers are extracted and compared.
        aggregation: how step scores are aggregated to one.
        scoring: how a solution's score is made, see `predictors.scoring.Scoring`.
        sampling: temperature, top-p, token limit and end of a step.
    """

    model: str
    verifier: str
    reviser: str | None = None
    reviser_verifier: str | None = None
    answers: str
    aggregation: str = "last"
    scoring: dict[str, float | dict[str, float] | list[str]] = Field(default_factory=dict)
    sampling: dict[str, float | int | str]


class Cell(Schema):
    """The plan chosen for one bin at one budget, its cross-validated accuracy and its cost.

    Attributes:
        plan: the plan, chosen on all of the bin's prompts.
        accuracy: two-fold cross-validated accuracy of choosing this way; `low` and `high` bound
            it (95%, bootstrap over prompts).
        generations: what the plan costs per prompt, pilots included.
        tokens: sampled tokens on average over the bin's prompts, likewise.
        flops: FLOPs of sampling and of scoring likewise; None where the size of a model was
            unknown.
        prompts: calibration prompts that are in the bin in at least one replicate.
    """

    plan: Plan
    accuracy: Probability
    low: Probability
    high: Probability
    generations: float
    tokens: float
    flops: float | None = None
    prompts: int = Field(ge=1)


class BudgetRow(Schema):
    """All bins at one budget. A row of one bin takes no pilots.

    Attributes:
        budget: per prompt, in the unit: generations at most, or sampled tokens on average over the
            prompts of any bin.
        unit: of the budget.
        pilots: pilot samples taken before the bin is known; with 0 and several bins the bin is
            predicted from the prompt alone.
        edges: inner bin edges in pass@1, descending; one fewer than the cells.
        cells: one per bin, easiest first.
        pilot_thinking: tokens that a pilot may think, as `allocator.plan.Plan.thinking`.
        shares: share of the calibration prompts in each bin: ties, and bins merged because they
            were small, make bins unequal. Empty in older files.
        interval: low and high of the accuracy over all prompts (95%, bootstrap over prompts). The
            cells' do not give it: a prompt may be in several bins. None in older files.
    """

    budget: int = Field(ge=1)
    pilots: int = Field(ge=0)
    edges: tuple[Probability, ...]
    cells: tuple[Cell, ...] = Field(min_length=1)
    unit: Literal["generations", "tokens"] = "generations"
    pilot_thinking: int | None = Field(default=None, ge=0)
    shares: tuple[Probability, ...] = ()
    interval: tuple[Probability, Probability] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "BudgetRow":
        if len(self.cells) != len(self.edges) + 1:
            raise ValueError(
                f"edges: {len(self.edges)}: one fewer than the {len(self.cells)} cells"
            )
        check_shares(self.shares, len(self.cells))
        if list(self.edges) != sorted(set(self.edges), reverse=True):
            raise ValueError(f"edges: {self.edges}: list them in strictly descending order")
        for cell in self.cells:
            if self.unit == "generations" and cell.plan.cost(self.pilots) > self.budget:
                raise ValueError(
                    f"plan: {cell.plan} after {self.pilots} pilots costs more than {self.budget}"
                )
        return self

    @property
    def weights(self) -> tuple[float, ...]:
        """Weight of each bin over all prompts."""
        return weights_of(self.shares, len(self.cells))

    @property
    def accuracy(self) -> float:
        """Average over all prompts."""
        return self._average([cell.accuracy for cell in self.cells])

    @property
    def generations(self) -> float:
        """Average over all prompts."""
        return self._average([cell.generations for cell in self.cells])

    @property
    def flops(self) -> float | None:
        """Average over all prompts; None where they were not counted."""
        counted = [cell.flops for cell in self.cells if cell.flops is not None]
        return self._average(counted) if len(counted) == len(self.cells) else None

    @property
    def plans(self) -> frozenset[Plan]:
        """The plans of all bins."""
        return frozenset(cell.plan for cell in self.cells)

    def _average(self, of_cells: Sequence[float]) -> float:
        return sum(w * value for w, value in zip(self.weights, of_cells, strict=True))


class LookupTable(JsonArtifact):
    """The whole table: one row per budget, in ascending order."""

    MIGRATIONS = migrate.TABLE

    schema_version: Literal[3] = 3
    fingerprint: Fingerprint
    difficulty: Literal["predicted", "oracle"]
    rows: tuple[BudgetRow, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _ascending(self) -> "LookupTable":
        budgets = [row.budget for row in self.rows]
        if budgets != sorted(set(budgets)):
            raise ValueError(f"rows: budgets {budgets}: list each budget once, in ascending order")
        return self

    @property
    def plans(self) -> frozenset[Plan]:
        """The plans of all rows."""
        return frozenset(plan for row in self.rows for plan in row.plans)

    def row(self, budget: int) -> BudgetRow:
        """The row of the largest calibrated budget that is at most `budget`.

        Raises:
            InputError: the budget is below the smallest calibrated one, or no number. Of a table in
                tokens the field is `budget_tokens`.
        """
        within = [row for row in self.rows if row.budget <= budget] if finite(budget) else []
        if not within:
            least = self.rows[0]
            field = "budget_tokens" if least.unit == "tokens" else "budget"
            raise InputError(field, budget, f"must be at least {least.budget} {least.unit}")
        return within[-1]
