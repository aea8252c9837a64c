"""A few samples of the models at hand, compared with the log that an artifact was made from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import erfc, hypot, inf, sqrt
from pathlib import Path

from allocator.drift import MIN_PROMPTS, WORDS, SignalDrift, compare_signals
from allocator.errors import InputError
from calibration.data.logged_figures import Figure, LoggedFigures
from calibration.sampling.collect import PromptRecord, Work, collect
from runtime.artifact import FittedPolicy
from runtime.engines.loading import EngineName
from runtime.models import open_models
from runtime.request import RequestSettings
from runtime.settings import Settings
from runtime.solving.decide import drift_signals
from runtime.verifiers.loading import VerifierEngine

# Samples like the log's are called different in this share of checks, all tests together.
FALSE_ALARMS = 0.01


@dataclass(frozen=True)
class Comparison:
    """A figure of the samples drawn here, and the log's.

    Attributes:
        name: what it is.
        here: of the samples drawn here.
        log: of the log.
    """

    name: str
    here: Figure
    log: Figure

    @property
    def p(self) -> float:
        """Probability of such a difference, or a larger one, if both are alike (two-sided z-test).

        Questions are independent: the standard errors are over questions.
        """
        difference = self.here.mean - self.log.mean
        error = hypot(self.here.error, self.log.error)
        z = abs(difference) / error if error else (inf if difference else 0.0)
        return erfc(z / sqrt(2))

    def __str__(self) -> str:
        share = self.name == "pass@1"
        return f"{self.name} here {_shown(self.here, share)}, in the log {_shown(self.log, share)}"


@dataclass(frozen=True)
class Check:
    """How samples drawn here compare with the log.

    Attributes:
        comparisons: of pass@1, and of tokens per sample where they were logged.
        signals: tests of the distributions by which drift is measured; empty for fewer than
            `MIN_PROMPTS` prompts.
    """

    comparisons: tuple[Comparison, ...]
    signals: tuple[SignalDrift, ...]

    @property
    def alarm(self) -> float:
        """The p-value below which a test says that samples are clearly different."""
        return FALSE_ALARMS / (len(self.comparisons) + len(self.signals))

    @property
    def lines(self) -> list[str]:
        """Every test, in a line."""
        found = [f"{one} (p = {one.p:.2g})" for one in self.comparisons]
        found += [f"{WORDS[one.name]}: {one.excess} (p = {one.p:.2g})" for one in self.signals]
        if not self.signals:
            found.append(f"scores were not compared: that takes at least {MIN_PROMPTS} prompts")
        return found

    @property
    def differences(self) -> list[str]:
        """What is clearly different, each in a few words."""
        found = [str(one) for one in self.comparisons if one.p < self.alarm]
        unlike = (one for one in self.signals if one.p < self.alarm)
        return found + [f"{WORDS[one.name]}: {one.excess}" for one in unlike]


async def check_models(
    policy: FittedPolicy,
    logged: LoggedFigures,
    settings: Settings,
    prompts: Sequence[tuple[str, str]],
    samples: int,
    *,
    engine: EngineName = "auto",
    verifier_engine: VerifierEngine = "auto",
    seed: int = 0,
    done: Callable[[PromptRecord], None] = lambda _: None,
) -> Check:
    """Sample graded prompts, and compare the samples with the log.

    Args:
        policy: what the artifact decides by.
        logged: the log's figures.
        settings: models, answers, scoring and sampling; relative folders count from the working
            directory.
        prompts: (prompt, right answer) pairs.
        samples: number of samples of each prompt.
        engine: which engine samples.
        verifier_engine: what runs the verifiers.
        seed: seed of all sampling.
        done: called with each prompt's record.

    Raises:
        InputError: too few prompts or samples; also, and ModelError, as
            `calibration.sampling.collect.collect`.
    """
    if len(prompts) < 2:
        raise InputError("check", len(prompts), "must be at least two prompts")
    if samples < (pilots := policy.drift_baseline.pilots):
        raise InputError("check-samples", samples, f"must be at least {pilots}")
    async with open_models(settings, Path(), engine, verifier_engine) as models:
        request = RequestSettings(settings.sampling)
        work = Work(samples, (), models.scoring, seed)
        records = await collect(models, request, prompts, work, done)
    return compare(policy, logged, records)


def compare(policy: FittedPolicy, logged: LoggedFigures, records: Sequence[PromptRecord]) -> Check:
    """Compare sampled prompts with the log.

    Args:
        policy: what the artifact decides by.
        logged: the log's figures.
        records: sampled prompts, at least two, each with at least as many samples as the drift
            baseline has pilots.
    """
    runs = [record.independent for record in records]
    right = [sum(run.correct) / len(run.correct) for run in runs]
    comparisons = [Comparison("pass@1", Figure.of_shares(right), logged.pass_at_1)]
    if logged.tokens is not None:
        lengths = [run.sampled_tokens / len(run.samples) for run in runs]
        comparisons.append(Comparison("tokens per sample", Figure.of(lengths), logged.tokens))
    signals: list[SignalDrift] = []
    if len(records) >= MIN_PROMPTS:
        values = [drift_signals(policy, r.prompt_tokens, r.independent.samples) for r in records]
        signals = compare_signals(policy.drift_baseline, values)
    return Check(tuple(comparisons), tuple(signals))


def _shown(figure: Figure, share: bool) -> str:
    if share:
        low, high = max(0.0, figure.low), min(1.0, figure.high)
        return f"{figure.mean:.0%} [{low:.0%}, {high:.0%}]"
    return f"{figure.mean:.0f} [{figure.low:.0f}, {figure.high:.0f}]"
