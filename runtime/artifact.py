"""The artifact folder that calibration writes and everything else reads.

settings.json       models, answers and sampling it was made with
table.json          the lookup table over predicted difficulty: what the policy uses
oracle_table.json   the same over oracle difficulty: the paper's bound, for benchmarks
difficulty-N.*      difficulty from N pilots: predictor (LightGBM's text format), distribution
                    (JSON), and for 0 pilots a probe of the model's own state (safetensors)
curves.json         accuracy of every plan in every bin
prices.json         the schedule that sequential decisions climb, and what prices lead to
gain_model.json     what more solutions gain
latency.json        seconds of every plan
drift_baseline.json what calibration's pilots looked like
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from allocator import migrate
from allocator.curves import AccuracyCurves
from allocator.drift_baseline import DriftBaseline
from allocator.errors import InputError
from allocator.files import JsonArtifact
from allocator.latency import Latency
from allocator.policy import Policy
from allocator.price import PriceList
from allocator.table import Fingerprint, LookupTable
from predictors.difficulty import DifficultyModel
from predictors.gain_model import GainModel
from runtime.answers import answers_for
from runtime.answers.graders import PREFIX, answers_fingerprint, grader_file
from runtime.answers.readers import DEADLINE
from runtime.answers.thought import thoughts_of
from runtime.engines.base import Engine, SamplingSettings
from runtime.engines.hidden import open_hidden_states
from runtime.engines.loading import EngineName, model_fingerprint, open_engine, resolve_model
from runtime.engines.steps import StepSplitter
from runtime.prompt_run import Decoder
from runtime.reviser import Reviser
from runtime.verifiers.base import Aggregation, FamilyName, Verifier
from runtime.verifiers.loading import VerifierEngine, open_verifier
from runtime.verifiers.scoring import VERIFIER_ALONE, Scoring

SETTINGS, TABLE, ORACLE_TABLE = "settings.json", "table.json", "oracle_table.json"
CURVES, PRICES, GAIN_MODEL = "curves.json", "prices.json", "gain_model.json"
LATENCY, DRIFT_BASELINE = "latency.json", "drift_baseline.json"

# What files were called by older versions of this library.
FORMER = {GAIN_MODEL: "prospects.json", DRIFT_BASELINE: "reference.json"}

# What the fingerprint of a table made from logs calls its verifier.
OF_LOGS = "log"

MODELS = ("model", "verifier", "reviser", "reviser_verifier")


class Settings(JsonArtifact):
    """What an artifact was calibrated with.

    Attributes:
        model: hub name or folder of the language model. A relative folder counts from the
            artifact's own, here and below.
        verifier: the PRM, or an ORM.
        verifier_family: the verifier's convention, see `runtime.verifiers.families`.
        reviser: the model that revises; None where there is none.
        reviser_verifier: the verifier of its attempts; None takes `verifier`.
        answers: how answers are read, see `runtime.answers.answers_for`. A Python file is found as
            a model's folder is.
        answer_timeout: seconds that one answer may take to compare; then it equals itself alone.
        thought: marks of the model's thoughts, see `runtime.answers.thought.thoughts_of`.
        aggregation: how step scores become one.
        scoring: how that one and the log-probability become a solution's score.
        sampling: how solutions are sampled.
    """

    MIGRATIONS = migrate.SETTINGS

    schema_version: Literal[1] = 1
    model: str
    verifier: str
    verifier_family: FamilyName = "auto"
    reviser: str | None = None
    reviser_verifier: str | None = None
    answers: str
    answer_timeout: float = Field(default=DEADLINE, gt=0)
    thought: str = "auto"
    aggregation: Aggregation = "last"
    scoring: Scoring = VERIFIER_ALONE
    sampling: SamplingSettings

    @classmethod
    def _up_to_date(cls, document: migrate.Document) -> migrate.Document:
        return super()._up_to_date({"schema_version": 0} | document)

    def fingerprint(self, base: Path) -> Fingerprint:
        """Hashes of the models and the settings; relative folders and files count from `base`."""
        hashes = {which: model_fingerprint(self.folder(base, which)) for which in self.models()}
        return Fingerprint(
            **hashes,
            answers=answers_fingerprint(self.answers, base)
            + ("" if self.thought == "auto" else f", thought {self.thought}"),
            aggregation=self.aggregation,
            scoring=self.scoring.model_dump(),
            sampling=self.sampling.model_dump(),
        )

    def models(self) -> list[str]:
        """Names of the fields that hold a model."""
        return [which for which in MODELS if getattr(self, which) is not None]

    def folder(self, base: Path, which: str) -> Path:
        """The folder of one of the models.

        Raises:
            InputError: it is not to be found.
        """
        name = str(getattr(self, which))
        beside = base / name
        if beside.is_dir() or Path(name).is_dir():
            return resolve_model(str(beside) if beside.is_dir() else name, which)
        try:
            return resolve_model(name, which)
        except InputError as error:
            places = " nor ".join(dict.fromkeys(str(p.resolve()) for p in (beside, Path(name))))
            raise InputError(
                which, name, f"there is no folder {places}; give its path ({error.hint})"
            ) from None

    def relative_to(self, base: Path) -> "Settings":
        """The same with local model folders, and a grader's file, written as seen from `base`."""
        return self._moved(lambda name: os.path.relpath(name, base))

    def resolved(self) -> "Settings":
        """The same with local model folders, and a grader's file, as absolute paths."""
        return self._moved(os.path.abspath)

    def _moved(self, written: Callable[[str], str]) -> "Settings":
        local = {
            which: written(name)
            for which in self.models()
            if Path(name := getattr(self, which)).is_dir()
        }
        if (grader := grader_file(self.answers, Path())) is not None:
            local["answers"] = PREFIX + written(str(grader))
        return self.model_copy(update=local)


@asynccontextmanager
async def open_decoder(
    settings: Settings,
    base: Path,
    engine: EngineName | Engine = "auto",
    verifier_engine: VerifierEngine = "auto",
) -> AsyncIterator[Decoder]:
    """The models of `settings`, loaded, for as long as the block lasts; see `load_decoder`.

    Must be entered inside the event loop that will use it, which goes on while they are loaded.
    """
    with ExitStack() as stack:
        loading = asyncio.ensure_future(
            asyncio.to_thread(load_decoder, stack, settings, base, engine, verifier_engine)
        )
        try:
            yield await asyncio.shield(loading)
        finally:
            # Whoever is cancelled meanwhile closes what has been loaded, not what is half loaded.
            await asyncio.wait([loading])


def load_decoder(
    stack: ExitStack,
    settings: Settings,
    base: Path,
    engine: EngineName | Engine = "auto",
    verifier_engine: VerifierEngine = "auto",
    **engine_args: Any,
) -> Decoder:
    """The models of `settings`, loaded.

    Args:
        stack: closes what was opened here.
        settings: what to load.
        base: relative model folders, and a grader's relative file, count from here.
        engine: which engine samples, by name, or an open one, which stays open.
        verifier_engine: what runs the verifiers.
        engine_args: further arguments of vLLM's engine.

    Raises:
        InputError: a model that cannot be found or loaded, answers that cannot be read, or
            solutions that may be longer than a verifier's context.
    """
    answers_for(settings.answers, base)  # refused before any model is loaded
    folders = {which: settings.folder(base, which) for which in settings.models()}
    # Among servers of several models, each has to be told from the others.
    served = settings.model if "reviser" in folders else None
    name = engine if isinstance(engine, str) else "auto"

    def engine_at(folder: Path, served: str | None) -> Engine:
        return stack.enter_context(open_engine(folder, name, served, **engine_args))

    def verifier_at(folder: Path, family: FamilyName = "auto") -> Verifier:
        made = open_verifier(folder, opened.tokenizer, family, verifier_engine)
        stack.callback(made.close)
        longest = settings.sampling.max_tokens
        if made.context_length is not None and made.context_length < longest:
            raise InputError(
                "max_tokens",
                longest,
                f"the context of the verifier {folder.name} is {made.context_length} tokens, for "
                "prompt and solution together; sample shorter solutions, or choose another one",
            )
        return made

    opened = engine_at(folders["model"], served) if isinstance(engine, str) else engine
    thoughts = thoughts_of(settings.thought, opened.tokenizer)
    verifier = verifier_at(folders["verifier"], settings.verifier_family)
    reviser = None
    if "reviser" in folders:
        same = folders["reviser"] == folders["model"]
        reviser = Reviser(
            opened if same else engine_at(folders["reviser"], settings.reviser),
            verifier_at(folders["reviser_verifier"]) if "reviser_verifier" in folders else verifier,
        )
        if reviser.engine.tokenizer.get_vocab() != opened.tokenizer.get_vocab():
            raise InputError(
                "reviser",
                settings.reviser,
                "its vocabulary is not the language model's; choose one of the same family",
            )
    return Decoder(
        engine=opened,
        verifier=verifier,
        answers=answers_for(settings.answers, base, settings.answer_timeout, thoughts),
        settings=settings.sampling,
        splitter=StepSplitter(opened.tokenizer, settings.sampling.step_end),
        hidden=stack.enter_context(open_hidden_states(opened, folders["model"])),
        reviser=reviser,
        aggregation=settings.aggregation,
        scoring=settings.scoring,
        thoughts=thoughts,
    )


@dataclass(frozen=True)
class Artifact:
    """A calibrated artifact, read back and checked.

    Attributes:
        folder: where it lies.
        settings: what it was calibrated with.
        policy: over its table.
        difficulty: difficulty models by number of pilots, ascending.
        curves: accuracy of every plan in every bin.
        prices: the schedule, and what prices lead to.
        gain_model: what more solutions gain on it.
        latency: seconds of every plan.
        drift_baseline: what calibration's pilots looked like.
        foreign: what of the table's fingerprint is no longer so, in words; empty unless forced.
    """

    folder: Path
    settings: Settings
    policy: Policy
    difficulty: dict[int, DifficultyModel]
    curves: AccuracyCurves
    prices: PriceList
    gain_model: GainModel
    latency: Latency
    drift_baseline: DriftBaseline
    foreign: tuple[str, ...] = ()

    @classmethod
    def load(cls, folder: Path, force: bool = False) -> "Artifact":
        """Read an artifact and check that it belongs to the models it names.

        Args:
            folder: the artifact's.
            force: take it although the models have changed; `foreign` then says how.

        Raises:
            InputError: missing or damaged, or the models have changed since calibration.
        """
        settings = load_settings(folder)
        table = LookupTable.load(folder / TABLE)
        found = settings.fingerprint(folder)
        foreign = []
        for name in Fingerprint.model_fields:
            here, calibrated = getattr(found, name), getattr(table.fingerprint, name)
            if name == "sampling":  # ways to sample that it knew nothing of were off
                calibrated = SamplingSettings.model_validate(calibrated).model_dump()
            if here == calibrated:
                continue
            if not force:
                raise InputError(
                    f"artifact {name}",
                    here,
                    f"{folder} was calibrated with {calibrated!r}; use that one, run ttc calibrate "
                    "for this one, or use it all the same with --force",
                )
            foreign.append(f"{name} is {here!r}, the table was calibrated with {calibrated!r}")
        return cls(
            folder=folder,
            settings=settings,
            policy=Policy(table),
            difficulty=DifficultyModel.load_all(folder),
            curves=AccuracyCurves.load(folder / CURVES),
            prices=PriceList.load(folder / PRICES),
            gain_model=GainModel.load(_file(folder, GAIN_MODEL)),
            latency=Latency.load(folder / LATENCY),
            drift_baseline=DriftBaseline.load(_file(folder, DRIFT_BASELINE)),
            foreign=tuple(foreign),
        )

    def oracle_table(self) -> LookupTable:
        """The table over oracle difficulty, for benchmarks.

        Raises:
            InputError: missing or damaged, or measured with something else than the policy's.
        """
        table = LookupTable.load(self.folder / ORACLE_TABLE)
        if table.fingerprint != self.policy.table.fingerprint:
            raise InputError(
                "oracle table",
                str(self.folder / ORACLE_TABLE),
                "it was not measured with what the policy's table was; calibrate again",
            )
        return table


def _file(folder: Path, name: str) -> Path:
    """A file of an artifact, under its former name where it has that one alone."""
    former = folder / FORMER[name]
    return former if former.is_file() and not (folder / name).is_file() else folder / name


def load_settings(folder: Path) -> Settings:
    """An artifact's settings.

    Raises:
        InputError: no artifact there, a damaged one, or one made from logs.
    """
    path = folder / SETTINGS
    if not path.is_file():
        from_logs = (folder / TABLE).is_file()
        if from_logs and LookupTable.load(folder / TABLE).fingerprint.verifier == OF_LOGS:
            raise InputError(
                "artifact",
                str(folder),
                f"it was made from logs, and names no model to run (it has no {SETTINGS}); run "
                "ttc calibrate with --model and --verifier for one that does",
            )
        raise InputError(
            "artifact", str(folder), f"it has no {SETTINGS}; make one with ttc calibrate"
        )
    return Settings.load(path)
