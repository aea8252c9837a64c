"""An artifact read back: what it decides by, and the models that it belongs to."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from allocator.curves import AccuracyCurves
from allocator.drift_baseline import DriftBaseline
from allocator.errors import InputError
from allocator.latency import Latency
from allocator.policy import Policy
from allocator.price import PriceList
from allocator.table import Fingerprint, LookupTable
from predictors.difficulty import DifficultyModel
from predictors.gain_model import GainModel
from predictors.scoring import Scoring
from predictors.thinking_policy import ThinkingPolicy, read_thinking
from predictors.token_policy import TokenPolicy
from runtime.artifact.files import (
    CURVES,
    ORACLE_TABLE,
    load_settings,
    read_drift_baseline,
    read_gain_model,
    read_latency,
    read_oracle_table,
    read_prices,
    read_scoring,
    read_table,
)
from runtime.artifact.hub import artifact_folder, check_grader
from runtime.artifact.plot import plot_policy
from runtime.engines.base import SamplingSettings
from runtime.engines.engine_args import EngineArgs
from runtime.notebook import table_html
from runtime.settings import Settings


@dataclass(frozen=True, kw_only=True, repr=False)
class FittedPolicy:
    """What an artifact decides by, read back; without the models that it was made with.

    Attributes:
        folder: where it lies.
        policy: over its table.
        difficulty: difficulty models by number of pilots, ascending.
        curves: accuracy of every plan in every bin.
        prices: the schedule, and what prices lead to.
        gain_model: what more solutions gain on it.
        latency: seconds of every plan.
        drift_baseline: what calibration's pilots looked like.
        scoring: how a sample is scored; None where votes are only counted.
        tokens: the policy whose budgets are tokens; None where it has none.
        thinking: the policy over width and depth of thought; None likewise.
    """

    folder: Path
    policy: Policy
    difficulty: dict[int, DifficultyModel]
    curves: AccuracyCurves
    prices: PriceList
    gain_model: GainModel
    latency: Latency
    drift_baseline: DriftBaseline
    scoring: Scoring | None
    tokens: TokenPolicy | None = None
    thinking: ThinkingPolicy | None = None

    @classmethod
    def load(cls, artifact: str | Path) -> "FittedPolicy":
        """Read the policy of any artifact, of one made from logs too.

        Args:
            artifact: its folder, or its name on the Hub; see `runtime.artifact.hub`.

        Raises:
            InputError: missing or damaged.
        """
        folder = artifact_folder(artifact)
        return cls(**_policy_files(folder, read_table(folder)), scoring=read_scoring(folder))

    def plot(self, axes: Any = None) -> Any:
        """Draw what budgets buy: accuracy over generations per prompt, as calibration measured it.

        Three ways to spend are compared: best-of-N for all prompts, by difficulty bins, by price.
        `ttc report` has all methods, with intervals.

        Args:
            axes: matplotlib's Axes to draw on; None makes a figure.

        Returns:
            The axes, so that ``artifact.plot().figure.savefig("budgets.png")`` saves it.

        Raises:
            InputError: matplotlib is not installed.
        """
        return plot_policy(self, axes)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} in {self.folder}>"

    def _repr_html_(self) -> str:
        return table_html(self.policy.table, [("artifact", str(self.folder))])


@dataclass(frozen=True, kw_only=True, repr=False)
class Artifact(FittedPolicy):
    """A calibrated artifact, read back and checked against the models it names.

    Attributes:
        settings: what it was calibrated with.
        foreign: what of the table's fingerprint is no longer so, in words; empty unless forced.
    """

    settings: Settings
    foreign: tuple[str, ...] = ()

    @classmethod
    def load(cls, artifact: str | Path, force: bool = False, trust_grader: str = "") -> "Artifact":
        """Read an artifact and check that it belongs to the models it names.

        Args:
            artifact: its folder, or its name on the Hub; see `runtime.artifact.hub`.
            force: take it although the models have changed; `foreign` then says how.
            trust_grader: name of an artifact on the Hub whose Python grader may be run.

        Raises:
            InputError: missing or damaged, the models have changed since calibration, or a Python
                grader from the Hub that is not trusted.
        """
        folder = artifact_folder(artifact)
        settings = load_settings(folder)
        check_grader(folder, settings.answers, trust_grader)
        table = read_table(folder)
        return cls(
            **_policy_files(folder, table),
            scoring=settings.scoring,
            settings=settings,
            foreign=_foreign(settings, table, folder, force),
        )

    def with_args(self, given: Mapping[str, EngineArgs], force: bool = False) -> "Artifact":
        """The same with some of the engines' arguments, see `Settings.with_args`.

        Raises:
            InputError: an argument that changes results, with which it was not calibrated; unless
                forced.
        """
        if not any(given.values()):
            return self
        settings = self.settings.with_args(given)
        foreign = _foreign(settings, self.policy.table, self.folder, force)
        return replace(self, settings=settings, foreign=foreign)

    def _repr_html_(self) -> str:
        settings = self.settings
        made_with = [("artifact", str(self.folder)), ("model", settings.model)]
        made_with += [("verifier", settings.verifier or "none"), ("answers", settings.answers)]
        made_with += [("warning", text) for text in self.foreign]
        return table_html(self.policy.table, made_with)

    def oracle_table(self) -> LookupTable:
        """The table over oracle difficulty, for benchmarks.

        Raises:
            InputError: missing or damaged, or measured with something else than the policy's.
        """
        table = read_oracle_table(self.folder)
        if table.fingerprint != self.policy.table.fingerprint:
            raise InputError(
                "oracle table",
                str(self.folder / ORACLE_TABLE),
                "it was not measured with what the policy's table was; calibrate again",
            )
        return table


def foreign_parts(found: Fingerprint, table: Fingerprint) -> Iterator[tuple[str, Any, Any]]:
    """What of a table's fingerprint is no longer so.

    Args:
        found: of the models and settings as they are.
        table: of those that the table was calibrated with.

    Yields:
        Name, value as it is, and value in calibration.
    """
    for name in Fingerprint.model_fields:
        here, calibrated = getattr(found, name), getattr(table, name)
        if name == "sampling":  # ways to sample that it knew nothing of were off
            calibrated = SamplingSettings.model_validate(calibrated).model_dump()
        if here != calibrated:
            yield name, here, calibrated


def _foreign(settings: Settings, table: LookupTable, folder: Path, force: bool) -> tuple[str, ...]:
    """What of a table's fingerprint is not so with these settings, in words.

    Raises:
        InputError: anything, unless forced.
    """
    foreign = []
    for name, here, calibrated in foreign_parts(settings.fingerprint(folder), table.fingerprint):
        if not force:
            raise InputError(
                f"artifact {name}",
                here,
                f"{folder} was calibrated with {calibrated!r}; use that one, run ttc calibrate "
                "for this one, or use it all the same with --force",
            )
        foreign.append(f"{name} is {here!r}, the table was calibrated with {calibrated!r}")
    return tuple(foreign)


def _policy_files(folder: Path, table: LookupTable) -> dict[str, Any]:
    """The attributes of `FittedPolicy` that have files of their own; the table is read already."""
    return {
        "folder": folder,
        "policy": Policy(table),
        "difficulty": DifficultyModel.load_all(folder),
        "curves": AccuracyCurves.load(folder / CURVES),
        "prices": read_prices(folder),
        "gain_model": read_gain_model(folder),
        "latency": read_latency(folder),
        "tokens": TokenPolicy.read(folder),
        "drift_baseline": read_drift_baseline(folder),
        "thinking": read_thinking(folder),
    }
