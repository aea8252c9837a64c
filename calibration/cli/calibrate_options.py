"""The options of ``ttc calibrate``: models, and what is sampled and fitted."""

from collections.abc import Sequence
from typing import cast

from pydantic import BaseModel, Field

from allocator.errors import InputError
from allocator.plan import CONSIDERED, MAX_BEAMS, Strategy
from calibration.cli.options import (
    ANSWERS_HELP,
    CUTOFF_HELP,
    THOUGHT_HELP,
    TIMEOUT_HELP,
    depth_of,
    numbers,
)
from calibration.settings import RACED, RUNS, CalibrationSettings, ScoringChoice, Widths
from predictors.confidence import ConfidenceSettings
from runtime.answers.readers import DEADLINE
from runtime.engines.base import SamplingSettings
from runtime.settings import VERIFIER_TIMEOUT, Settings
from runtime.verifiers.base import Aggregation, FamilyName

PILOTS = "0,1,2,4,8"


def depths(text: str) -> list[int | None]:
    """Depths of thought, as `allocator.plan.Plan.thinking`.

    Args:
        text: ``off``, numbers of tokens and ``full``, comma-separated; may be empty.

    Raises:
        InputError: anything else, or a number of 0.
    """
    hint = "give off, full, or a number of tokens, as in off,2000,8000,full"
    return [depth_of(word.strip(), hint) for word in text.split(",")] if text else []


class SolvingOptions(BaseModel):
    """The language model and its verifier, and how answers are read."""

    model: str | None = Field(default=None, description="language model: folder or hub name")
    verifier: str | None = Field(
        default=None, description="PRM: folder or hub name; left out, votes are counted"
    )
    verifier_family: FamilyName = Field(
        default="auto", description="the verifier's convention; auto recognises most"
    )
    verifier_timeout: float = Field(
        default=VERIFIER_TIMEOUT,
        gt=0,
        allow_inf_nan=False,
        description="seconds that it may take over one solution, queueing included",
    )
    answers: str = Field(default="math", description=ANSWERS_HELP)
    answer_timeout: float = Field(default=DEADLINE, gt=0, description=TIMEOUT_HELP)
    thought: str = Field(default="auto", description=THOUGHT_HELP)
    thought_cutoff: str = Field(default="", description=CUTOFF_HELP)


class ModelOptions(SolvingOptions):
    """All models of a calibration, and how their answers and scores are read."""

    reviser: str | None = Field(default=None, description="reviser: folder or hub name")
    reviser_verifier: str | None = Field(
        default=None, description="verifier of its attempts; else the PRM"
    )
    aggregation: Aggregation = Field(
        default="last", description="how step scores become a solution's score"
    )
    confidence: bool = Field(
        default=False,
        description="read how sure the model is of what it writes, for scores and to end solutions",
    )
    confidence_window: int = Field(
        default=ConfidenceSettings().window, description="tokens over which its mean slides"
    )

    def settings(self, sampling: SamplingSettings) -> Settings:
        """The artifact's settings.

        Raises:
            InputError: a model that is missing, a reviser's verifier without a reviser, or a window
                that is empty or not used.
        """
        if self.model is None:
            raise InputError("model", None, "give one, or calibrate --from-logs")
        if self.reviser_verifier is not None and self.reviser is None:
            raise InputError(
                "reviser-verifier", self.reviser_verifier, "it goes with --reviser; leave it out"
            )
        width = self.confidence_window
        if width < 1 or (width != ConfidenceSettings().window and not self.confidence):
            raise InputError(
                "confidence-window", width, "give at least 1 token, together with --confidence"
            )
        named = self.model_dump(exclude={"confidence", "confidence_window"})
        confidence = ConfidenceSettings(window=width) if self.confidence else None
        return Settings(**named, sampling=sampling, confidence=confidence)


class TableOptions(BaseModel):
    """What is sampled of each prompt, and which tables are fitted."""

    budgets: str = Field(default="1,2,4,8,16,32,64", description="generations, comma-separated")
    pilots: str = Field(
        default=PILOTS,
        description="numbers of pilot samples to choose among; 0 reads the prompt alone",
    )
    bins: int = Field(default=5, description="difficulty bins")
    strategies: str = Field(
        default=",".join(CONSIDERED), description="strategies to choose among, comma-separated"
    )
    max_beams: int = Field(
        default=MAX_BEAMS,
        description="generations of the largest search: its beams, times lookahead + 1",
    )
    beam_widths: Widths = Field(
        default="paper",
        description="widths of searches to choose among: the paper's, or every power of two",
    )
    lookahead: str = Field(
        default="", description="steps of lookahead to choose among beside none, comma-separated"
    )
    race: int = Field(
        default=RACED,
        description="prompts on which all searches are run; on the others, those that led",
    )
    runs: int = Field(default=RUNS, description="times each search is run per prompt")
    scoring: ScoringChoice = Field(
        default="fitted",
        description="scores fitted on all that is known of a solution, or the verifier's alone",
    )
    thinking: str = Field(
        default="",
        description="depths of thought for a table in tokens: off, numbers of thinking tokens and "
        "full, comma-separated",
    )
    token_budgets: str = Field(
        default="", description="budgets of that table, comma-separated; else chosen from samples"
    )

    def settings(self, seed: int, has_verifier: bool = True) -> CalibrationSettings:
        """The same with numbers in place of text.

        Args:
            seed: seed of all sampling.
            has_verifier: without one, best-of-n alone is considered by default.

        Raises:
            InputError: budgets or pilots that are not whole numbers.
        """
        budgets = numbers("budgets", self.budgets)
        strategies = self.strategies
        if not has_verifier and strategies == ",".join(CONSIDERED):
            strategies = "best_of_n"
        return CalibrationSettings(
            budgets=budgets,
            pilots=self.pilots_within(budgets),
            n_bins=self.bins,
            seed=seed,
            strategies=cast("list[Strategy]", strategies.split(",")),
            max_beams=self.max_beams,
            widths=self.beam_widths,
            lookaheads=numbers("lookahead", self.lookahead) if self.lookahead else (),
            raced=self.race,
            runs=self.runs,
            scoring=self.scoring,
            thinking=depths(self.thinking),
            token_budgets=numbers("token-budgets", self.token_budgets)
            if self.token_budgets
            else (),
        )

    def pilots_within(self, budgets: Sequence[int]) -> list[int]:
        """Numbers of pilots: as requested, or those of the default below the top budget."""
        pilots = numbers("pilots", self.pilots)
        if self.pilots != PILOTS:
            return pilots
        return [count for count in pilots if count <= max(1, max(budgets, default=0) - 1)]
