"""The stop rule alone, for people with a serving stack of their own: stop, or sample k more?

It decides as `runtime.solving.solve.Solver.solve_at_price` does, from the answers and scores so
far. Neither torch, scikit-learn nor LightGBM is loaded, and no model.
"""

from collections.abc import Mapping
from math import isfinite
from pathlib import Path

from allocator.checks import check_positive, finite
from allocator.errors import InputError
from allocator.price import PriceController, PriceList
from predictors.gain_model import COLUMNS, GainModel
from predictors.scoring import VOTES_ONLY, Scoring
from predictors.stage_gains import StageGains
from predictors.vote_state import VoteState
from runtime.artifact import artifact_folder, read_gain_model, read_prices, read_scoring


class StopRule:
    """Decides for each prompt whether more samples are worth their price.

        rule = StopRule.load("out/from_logs", average_budget=4)
        votes = rule.start()
        while (more := votes.more()) > 0:
            for reply in sample(more):
                votes.add(reply.answer, {"score": reply.score}, tokens=reply.tokens)
        print(votes.answer)

    Prompts may be in progress at the same time. If an average budget is to be held, the price
    follows the prompts as they end.

    Args:
        prices: the schedule, and the cost and accuracy of each price on it.
        gain_model: what more samples gain on the schedule.
        scoring: how a sample is scored; None where votes are only counted.
        average_budget: samples that prompts may cost on average.
        price: accuracy that a sample must gain, in place of an average budget.

    Attributes:
        schedule: the schedule.
        gain_model: the gain model.
        scoring: the scoring; the names in its `scores` are those that each sample needs.
        price: accuracy that a sample of the next prompt must gain.

    Raises:
        InputError: not one of average budget and price, one that is not possible, or a schedule
            with a search, which no loop over samples can run.
    """

    def __init__(
        self,
        prices: PriceList,
        gain_model: GainModel,
        scoring: Scoring | None,
        *,
        average_budget: float | None = None,
        price: float | None = None,
    ) -> None:
        if prices.schedule.searches:
            raise InputError(
                "schedule",
                ", ".join(map(str, prices.schedule.searches)),
                "the artifact's adaptive runs include searches, which independent samples "
                "cannot replace; calibrate with --strategies best_of_n, or --from-logs",
            )
        if (average_budget is None) == (price is None):
            given = {"average_budget": average_budget, "price": price}
            raise InputError("price", given, "give one of the two")
        self.schedule, self.gain_model = prices.schedule, gain_model
        self.scoring = VOTES_ONLY if scoring is None else scoring
        self._controller: PriceController | None = None
        if average_budget is not None:
            self._controller = PriceController(average_budget, prices)
            self.price = self._controller.value
        elif price is not None:
            check_positive("price", price)
            self.price = float(price)

    @classmethod
    def load(
        cls,
        artifact: str | Path,
        *,
        average_budget: float | None = None,
        price: float | None = None,
    ) -> "StopRule":
        """The rule of an artifact, made from logs or with models.

        Args:
            artifact: its folder, or its name on the Hugging Face Hub.
            average_budget: as the class has it.
            price: likewise.

        Raises:
            InputError: a missing or damaged artifact, or as the class.
        """
        folder = artifact_folder(artifact)
        return cls(
            read_prices(folder),
            read_gain_model(folder),
            read_scoring(folder),
            average_budget=average_budget,
            price=price,
        )

    def start(self, prompt_tokens: int | None = None) -> "PromptVotes":
        """A prompt, of which nothing has been sampled.

        Args:
            prompt_tokens: its length in tokens; needed where the artifact was calibrated with
                models, because gains then depend on it.

        Raises:
            InputError: it is needed and missing.
        """
        weights = dict(zip(COLUMNS, self.gain_model.weights, strict=True))
        if prompt_tokens is None and weights["log_prompt_tokens"]:
            raise InputError(
                "prompt_tokens", None, "must be given: the gains of this artifact depend on it"
            )
        return PromptVotes(self, prompt_tokens or 0)

    def _begin(self) -> int:
        """Count a prompt that begins; returns its number."""
        return 0 if self._controller is None else self._controller.begin()

    def _end(self, prompt: int, samples: int) -> None:
        """Update the price with the cost of a prompt that has ended.

        Args:
            prompt: its number.
            samples: what it cost.
        """
        if self._controller is not None:
            self._controller.end(prompt, samples)
            self.price = self._controller.value


class PromptVotes:
    """One prompt: the votes of its samples so far; `StopRule.start` makes it.

    Attributes:
        price: accuracy that a sample must gain: the rule's when the prompt was started.
        samples: number of samples so far.
        reached: what more samples would gain; None before the first decision.
        ended: whether no more samples are worth their price.
    """

    def __init__(self, rule: StopRule, prompt_tokens: int) -> None:
        self.price, self.samples, self.ended = rule.price, 0, False
        self.reached: StageGains | None = None
        self._rule, self._number, self._votes = rule, rule._begin(), VoteState(prompt_tokens)
        self._wanted = rule.schedule.stages[0].samples

    @property
    def answer(self) -> str | None:
        """The answer with the greatest weight; None while no sample has one."""
        return self._votes.leader

    @property
    def why(self) -> str:
        """Why no more samples are drawn, in a sentence."""
        return "not ended yet" if self.reached is None or not self.ended else self.reached.why

    def add(
        self,
        answer: str | None,
        scores: Mapping[str, float] | None = None,
        *,
        logprob: float | None = None,
        tokens: int | None = None,
        finished: bool | None = None,
        confidence: float | None = None,
    ) -> None:
        """Add one of the samples that `more` requested.

        Args:
            answer: its answer; equal answers must be equal strings. None where there is none.
            scores: its scores, by the names that they had in calibration; see `StopRule.scoring`.
            logprob: summed natural log-probability of its tokens.
            tokens: number of its tokens.
            finished: whether the model ended it itself.
            confidence: its lowest mean confidence, see `predictors.confidence`.

        Raises:
            InputError: no more samples were requested; or something that the scoring weighs is
                missing, not a number, or a probability outside [0, 1].
        """
        if self.samples == self._wanted:
            raise InputError("samples", self.samples + 1, "more() requested no more; call it first")
        scoring, given = self._rule.scoring, scores or {}
        for name in scoring.scores.keys() & given.keys():
            value = given[name]
            if not finite(value) or not (name in scoring.logits or 0 <= value <= 1):
                raise InputError(
                    name,
                    value,
                    "must be a probability, or log-odds if it was logged so",
                )
        score = float(scoring.score(given, logprob, tokens, finished, confidence))
        if not isfinite(score):
            numbers = {"logprob": logprob, "tokens": tokens, "confidence": confidence}
            raise InputError("sample", numbers, "its numbers must be finite")
        self._votes.add(answer, score)
        self.samples += 1

    def more(self) -> int:
        """How many more samples to draw now; 0 ends the prompt.

        If fewer were added than it has requested, it is the number that is missing.
        """
        if self.ended or self.samples < self._wanted:
            return self._wanted - self.samples
        schedule = self._rule.schedule
        stage = 0 if self.reached is None else self.reached.stage + 1
        self.reached = StageGains.predict(schedule, self._rule.gain_model, stage, self._votes)
        if self.reached.worth(self.price):
            self._wanted = schedule.stages[stage + 1].samples
        else:
            self.ended = True
            self._rule._end(self._number, self.samples)
        return self._wanted - self.samples
