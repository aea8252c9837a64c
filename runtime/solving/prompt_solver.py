"""One prompt: pilots, predicted pass@1, bin, plan, solutions, answer and receipt."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from numbers import Real

from allocator.drift import DriftMonitor
from allocator.errors import InputError
from allocator.plan import Plan
from predictors.sample import Sample
from predictors.thinking_policy import Action
from runtime.answers.forms import answers_of
from runtime.artifact import Artifact
from runtime.engines.constraint import Constraint, check_constraint
from runtime.frontend.answer_form import FREE_TEXT
from runtime.models import Models
from runtime.prompt_run import PromptRun
from runtime.request import Event, Request, RequestSettings
from runtime.result import Decision, Result, Spend
from runtime.solving.adaptive_run import AdaptiveRun
from runtime.solving.adaptive_thinking import AdaptiveThinking
from runtime.solving.decide import (
    HELD_WHOLE,
    deadline_of,
    decide,
    decide_in_tokens,
    fallback,
    observe,
    replace_search,
    take_pilots,
)
from runtime.solving.metrics import Metrics
from runtime.solving.run_plan import result_of, run_plan
from runtime.solving.spend_checks import (
    check_early_stop,
    check_spend,
    thinking_policy,
    token_policy,
)
from runtime.strategies import STRATEGIES


class PromptSolver:
    """Answers one prompt at a time, with compute chosen by its predicted difficulty (section 3).

    Args:
        models: the models.
        artifact: what calibration measured.
        seed: with the prompt, determines every sample.
        fixed: one plan for every prompt, in place of the policy's; no pilots are taken.
        early_stop: as `RequestSettings.early_stop`.
        thinking: the most tokens that a solution may think, as `RequestSettings.thinking`.
        metrics: counts the answered prompts; None gives the solver its own.

    Attributes:
        models: the models; a server replaces them when it opens them again.
        settings: how a prompt's solutions are sampled that comes without settings of its own.
        monitor: compares the prompts' pilots with those of calibration.
        metrics: Prometheus metrics of the answered prompts.

    Raises:
        InputError: an early stop that is not possible.
    """

    def __init__(
        self,
        models: Models,
        artifact: Artifact,
        seed: int = 0,
        fixed: Plan | None = None,
        early_stop: float | None = None,
        thinking: int | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        check_early_stop(early_stop, fixed)
        self.models, self.artifact = models, artifact
        self.seed, self.fixed = seed, fixed
        self.settings = RequestSettings(
            artifact.settings.sampling, early_stop=early_stop, thinking=thinking
        )
        self.monitor = DriftMonitor(artifact.drift_baseline)
        self.metrics = Metrics() if metrics is None else metrics

    def start(self, prompt: str | Request) -> PromptRun:
        """A prompt, encoded.

        Raises:
            InputError: an empty prompt, or one longer than the context; or a constraint that the
                engine cannot hold, or not under the fixed plan.
        """
        request = prompt if isinstance(prompt, Request) else Request(prompt)
        settings, models = request.settings or self.settings, self.models
        if settings.constraint is not None:
            self._check_constraint(settings.constraint)
        if settings.form != FREE_TEXT:
            answers = answers_of(settings.form, models.answers, models.thoughts)
            models = replace(models, answers=answers)
        return PromptRun(
            models,
            settings,
            request.text,
            self.seed if request.seed is None else request.seed,
            request.token_ids,
            request.on_event,
            solutions=request.solutions,
        )

    def _check_constraint(self, constraint: Constraint) -> None:
        check_constraint(self.models.engine, constraint)
        if self.fixed is not None and self.fixed != self.fixed.without_search(0):
            hint = f"{constraint.field} holds for solutions that are sampled whole; fix best_of_n"
            raise InputError("plan", str(self.fixed), hint)

    def check_spend(self, spend: Spend, prompts: int | None = None) -> None:
        """Check that what prompts may cost can be kept; see `spend_checks.check_spend`.

        Args:
            spend: what they may cost.
            prompts: how many share a total; None where there is no total.

        Raises:
            InputError: it cannot.
        """
        check_spend(self.artifact, self.fixed, self.settings.early_stop, spend, prompts)

    async def decide(
        self,
        run: PromptRun,
        budget: int | None,
        deadline: float | None = None,
        budget_tokens: int | None = None,
    ) -> tuple[Decision, list[Sample]]:
        """Take a prompt's pilots, and choose its plan; both are returned. Arguments as `solve`.

        Raises:
            InputError: no budget.
        """
        if self.fixed is not None:
            return Decision(plan=self.fixed, why="it was requested"), []
        if budget_tokens is not None:
            policy = token_policy(self.artifact, budget_tokens)
            return await decide_in_tokens(run, policy, budget_tokens)
        if budget is None:
            raise InputError("budget", budget, "give a budget, in generations or in tokens")
        started = time.perf_counter()
        row = self.artifact.policy.row(budget, deadline_of(self.artifact, deadline))
        piloted = await take_pilots(
            run,
            row,
            self.artifact.difficulty,
            self.artifact.drift_baseline.pilots,
            partial(self._observe, run),
        )
        left = None if deadline is None else deadline - (time.perf_counter() - started)
        decision = decide(self.artifact, row, piloted, budget, left)
        if self.monitor.drifted and left is None:
            decision = fallback(decision, budget, self.monitor.report().why)
        if run.settings.constraint is not None:
            decision = replace_search(decision)
        return decision, piloted.samples

    async def solve(
        self,
        prompt: str | Request,
        budget: int | None = None,
        deadline: float | None = None,
        budget_tokens: int | None = None,
    ) -> Result:
        """Answer one prompt within a budget of generations, or of tokens.

        Args:
            prompt: the prompt; a string is formatted as calibration's prompts were.
            budget: generations it may cost.
            budget_tokens: tokens it may cost on average over prompts like it, in place of `budget`;
                see `allocator.table.BudgetRow`.
            deadline: seconds in which to answer; the plan is then about the most accurate one that
                fits, see `allocator.latency.Latency.best_within`, as timed one prompt at a time on
                the machine that calibrated. Of solutions that the caller requests there are then
                no more than the plan's.

        Raises:
            InputError: as `Spend` and `check_spend`; or a prompt that does not fit the context.
        """
        spend = Spend(budget, deadline=deadline, budget_tokens=budget_tokens)
        return await self._solve(prompt, spend)

    async def _solve(self, prompt: str | Request, spend: Spend) -> Result:
        """Answer one prompt within a budget of its own; arguments as `solve`."""
        self.check_spend(spend)
        started = time.perf_counter()
        run = self.start(prompt)
        decision, pilots = await self.decide(run, spend.budget, spend.deadline, spend.budget_tokens)
        run.emit(_event_of(decision))
        # The plan is what fits the deadline; further solutions are not.
        solutions = run.solutions if spend.deadline is None else 1
        most = decision.plan.cost(len(pilots)) if spend.budget is None else spend.budget
        samples = await run_plan(run, decision.plan, pilots, solutions, most)
        allowed = {
            "budget": spend.budget,
            "deadline": spend.deadline,
            "budget_tokens": spend.budget_tokens,
        }
        return await self._result(run, samples, decision, started, allowed)

    async def solve_within(self, prompt: str | Request, spend: Spend) -> Result:
        """Answer one prompt within its budget in generations or tokens, or at an average of tokens.

        Raises:
            InputError: as `solve` and `think_at_price`.
        """
        if spend.average_tokens is not None:
            policy = thinking_policy(self.artifact, spend.average_tokens)
            price = policy.price_for(spend.average_tokens)
            return await self.think_at_price(prompt, price)
        return await self._solve(prompt, spend)

    async def solve_fallback(self, prompt: str | Request, budget: int) -> Result:
        """Answer one prompt by best-of-N, for traffic that has drifted from calibration.

        Its first solutions are still compared with calibration's, so that the alarm can end.

        Args:
            prompt: the prompt.
            budget: generations it costs.
        """
        started = time.perf_counter()
        run = self.start(prompt)
        plan = Plan(strategy="best_of_n", n=budget)
        samples = await self._independent(run, plan)
        decision = fallback(Decision(plan=plan, why=""), budget, self.monitor.report().why)
        return await self._result(run, samples, decision, started, {"budget": budget})

    async def solve_independently(self, prompt: str | Request, budget: int, why: str) -> Result:
        """Answer one prompt by best-of-N, where the caller needs independent solutions.

        Recorded traffic does.

        Args:
            prompt: the prompt.
            budget: generations it costs.
            why: the reason, for the receipt.
        """
        started = time.perf_counter()
        run = self.start(prompt)
        decision = Decision(plan=Plan(strategy="best_of_n", n=budget), why=why)
        run.emit(_event_of(decision))
        samples = await self._independent(run, decision.plan)
        return await self._result(run, samples, decision, started, {"budget": budget})

    async def _independent(self, run: PromptRun, plan: Plan) -> list[Sample]:
        samples = await run.canonicalize(await STRATEGIES[plan.strategy](run, plan, ()))
        self._observe(run, samples)
        return samples

    async def solve_at_price(self, prompt: str | Request, price: float) -> Result:
        """Answer one prompt, stopping when another generation is not worth its price.

        Args:
            prompt: the prompt.
            price: accuracy that a generation must gain.

        Raises:
            InputError: a price that is not positive, or a prompt that does not fit the context.
        """
        _check_price(price)
        started = time.perf_counter()
        adaptive_run = self._adaptive_run(prompt)
        await self._advance(adaptive_run)
        while adaptive_run.worth(price):
            await self._advance(adaptive_run)
        return await self._adaptive_result(adaptive_run, started, {"price": price})

    async def think_at_price(self, prompt: str | Request, price: float) -> Result:
        """Answer one prompt, stopping when neither more nor deeper thought is worth its price.

        Args:
            prompt: the prompt.
            price: accuracy that a token must gain.

        Raises:
            InputError: a price that is not positive, an artifact that was not calibrated on
                thoughts, or a prompt that does not fit the context.
        """
        _check_price(price)
        started = time.perf_counter()
        policy = thinking_policy(self.artifact, price, "price")
        run = AdaptiveThinking(self.start(prompt), policy)
        action = Action.SAMPLE
        while action:
            await run.advance(action)
            action = run.next_action(price)
        plan = Plan(strategy="best_of_n", n=len(run.samples), thinking=run.thinking)
        decision = Decision(pilots=len(run.samples), plan=plan, why=run.why)
        allowed = {"price_of_token": price}
        return await self._result(run.prompt_run, run.voted(), decision, started, allowed)

    def _adaptive_run(self, prompt: str | Request) -> AdaptiveRun:
        run, schedule = self.start(prompt), self.artifact.prices.schedule
        if run.settings.constraint is not None:
            schedule = schedule.without_searches
        return AdaptiveRun(run, schedule, self.artifact.gain_model)

    async def _advance(self, adaptive_run: AdaptiveRun) -> None:
        await adaptive_run.advance()
        if adaptive_run.stage == 0 and not adaptive_run.schedule.stages[0].searches:
            self._observe(adaptive_run.prompt_run, adaptive_run.samples)

    def _observe(self, run: PromptRun, samples: Sequence[Sample]) -> None:
        # Solutions cut short, or as JSON, say nothing of the prompts.
        if run.settings.samples_as(self.artifact.settings.sampling):
            observe(self.monitor, self.artifact, run, samples)

    async def _adaptive_result(
        self, adaptive_run: AdaptiveRun, started: float, allowed: dict[str, float | None]
    ) -> Result:
        stage, why = adaptive_run.schedule.stages[adaptive_run.stage], adaptive_run.why
        if adaptive_run.schedule != self.artifact.prices.schedule:
            why += f". {HELD_WHOLE}: samples replace searches at the same cost"
        plan = (Plan(strategy="best_of_n", n=stage.samples), *stage.searches)[-1]
        drifted = self.monitor.drifted
        decision = Decision(pilots=stage.samples, plan=plan, why=why, drifted=drifted)
        return await self._result(
            adaptive_run.prompt_run, adaptive_run.samples, decision, started, allowed
        )

    async def _result(
        self,
        run: PromptRun,
        samples: Sequence[Sample],
        decision: Decision,
        started: float,
        allowed: Mapping[str, float | None],
    ) -> Result:
        result = await result_of(run, samples, decision, allowed, started)
        receipt, drift = result.receipt, self.monitor.report()
        self.metrics.answered(receipt)
        self.metrics.drift(drift.drifted, {signal.name: signal.p for signal in drift.signals})
        return result


def _check_price(price: float) -> None:
    if not isinstance(price, Real) or not price > 0:  # it may be infinite
        raise InputError("price", price, "must be positive")


def _event_of(decision: Decision) -> Event:
    return Event(kind="decision", decision=decision.model_dump(mode="json"))
