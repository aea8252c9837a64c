"""The models that all prompts share, and their opening."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from allocator.errors import InputError
from allocator.flops import ModelSizes
from predictors.confidence import Confidence
from predictors.scoring import VERIFIER_ALONE, Scoring
from runtime.answers import Answers, answers_for
from runtime.answers.thought import THINK, Thought, thoughts_of
from runtime.engines.base import Engine, HasConfidence, HasHiddenState, HasResources
from runtime.engines.checkpoint import model_sizes
from runtime.engines.engine_args import ARGS, check_args, check_unchanged
from runtime.engines.gpus import divide_memory
from runtime.engines.hidden import open_hidden_states
from runtime.engines.loading import EngineName, engine_kind, open_engine
from runtime.engines.steps import StepSplitter
from runtime.reviser import Reviser
from runtime.settings import VERIFIER_TIMEOUT, Settings
from runtime.solutions.marks import ThoughtMarks, thought_marks
from runtime.verifiers.base import Aggregation, FamilyName, Verifier
from runtime.verifiers.constant import NoVerifier
from runtime.verifiers.loading import VerifierEngine, open_verifier

# What each model got, one line per opening.
LOGGER = logging.getLogger("ttc.models")


@dataclass(frozen=True)
class Models:
    """What all prompts share: the models, and how their solutions are read and scored.

    Attributes:
        engine: the language model.
        verifier: scores its solutions.
        answers: reads and compares answers.
        splitter: finds the ends of steps.
        hidden: reads the language model's state after a prompt; None where difficulty is
            not predicted from the prompt alone.
        reviser: makes revisions; None where there is none.
        aggregation: how a solution's step scores become one, where the verifier alone decides.
        scoring: how a solution's score is made.
        verifier_timeout: seconds that a verifier may take over one solution, queueing included.
        thoughts: marks of the language model's thoughts, after which answers are read.
        marks: by which its thoughts are capped and skipped; None for a model without thoughts.
        confidence: how the confidence of its solutions is read; None where it is not.
        sizes: parameters of the models, by which FLOPs are counted; None where they are unknown.
    """

    engine: Engine
    verifier: Verifier
    answers: Answers
    splitter: StepSplitter
    hidden: HasHiddenState | None = None
    reviser: Reviser | None = None
    aggregation: Aggregation = "last"
    scoring: Scoring = VERIFIER_ALONE
    verifier_timeout: float = VERIFIER_TIMEOUT
    thoughts: tuple[Thought, ...] = (THINK,)
    marks: ThoughtMarks | None = None
    confidence: Confidence | None = None
    sizes: ModelSizes | None = None

    @property
    def thinks(self) -> bool:
        """Whether the language model has thoughts."""
        return self.marks is not None


@asynccontextmanager
async def open_models(
    settings: Settings,
    base: Path,
    engine: EngineName | Engine = "auto",
    verifier_engine: VerifierEngine = "auto",
) -> AsyncIterator[Models]:
    """The models of `settings`, loaded, for as long as the block lasts; see `load_models`.

    Must be entered inside the event loop that will use it, which goes on while they are loaded.
    """
    with ExitStack() as stack:
        loading = asyncio.ensure_future(
            asyncio.to_thread(load_models, stack, settings, base, engine, verifier_engine)
        )
        try:
            yield await asyncio.shield(loading)
        finally:
            # Whoever is cancelled meanwhile closes what has been loaded, not what is half loaded.
            await asyncio.wait([loading])


def load_models(
    stack: ExitStack,
    settings: Settings,
    base: Path,
    engine: EngineName | Engine = "auto",
    verifier_engine: VerifierEngine = "auto",
) -> Models:
    """The models of `settings`, loaded.

    The logger ``ttc.models`` then says, in one line, what each of them got.

    Args:
        stack: closes what was opened here.
        settings: what to load.
        base: relative model folders, and a grader's relative file, count from here.
        engine: which engine samples, by name, or an open one, which stays open.
        verifier_engine: what runs the verifiers.

    Raises:
        InputError: a model that cannot be found or loaded, answers that cannot be read, arguments
            that an engine does not have, models that do not fit the GPUs, or solutions that may
            be longer than a verifier's context.
    """
    answers_for(settings.answers, base)  # refused before any model is loaded
    opener = _Opener(stack, settings, base, engine, verifier_engine)
    model = opener.engine("model") if isinstance(engine, str) else engine
    if settings.confidence is not None and not isinstance(model, HasConfidence):
        raise InputError(
            "engine",
            engine if isinstance(engine, str) else type(engine).__name__,
            "it does not give the log-probabilities of other tokens, which the artifact reads for "
            "confidence; choose vllm or transformers",
        )
    thoughts = thoughts_of(settings.thought, model.tokenizer)
    verifier: Verifier = NoVerifier()
    if settings.verifier is not None:
        verifier = opener.verifier("verifier", model, settings.verifier_family)
    reviser = opener.reviser(model, verifier)
    if opener.opened:
        LOGGER.info("; ".join(opener.opened))
    return Models(
        engine=model,
        verifier=verifier,
        answers=answers_for(settings.answers, base, settings.answer_timeout, thoughts),
        splitter=StepSplitter(model.tokenizer, settings.sampling.step_end),
        hidden=stack.enter_context(open_hidden_states(model, opener.folders["model"])),
        reviser=reviser,
        aggregation=settings.aggregation,
        scoring=settings.scoring,
        verifier_timeout=settings.verifier_timeout,
        thoughts=thoughts,
        marks=thought_marks(model.tokenizer, thoughts, settings.thought_cutoff),
        confidence=settings.confidence,
        sizes=model_sizes(opener.folders),
    )


def check_context(verifier: Path, context: int | None, longest: int) -> None:
    """Check that a verifier can read the solutions.

    Args:
        verifier: its folder.
        context: tokens of the language model that it reads at most; None has no limit.
        longest: tokens of a solution at most.

    Raises:
        InputError: solutions may be longer than its context.
    """
    if context is not None and context < longest:
        raise InputError(
            "max_tokens",
            longest,
            f"the context of the verifier {verifier.name} is {context} tokens, for prompt and "
            "solution together; sample shorter solutions, or choose another one",
        )


def check_vocabulary(reviser: str, own: Any, model: Any) -> None:
    """Check that a reviser reads the language model's tokens.

    Args:
        reviser: its name.
        own: its tokenizer.
        model: the language model's tokenizer.

    Raises:
        InputError: the vocabularies are different.
    """
    if own.get_vocab() != model.get_vocab():
        raise InputError(
            "reviser",
            reviser,
            "its vocabulary is not the language model's; choose one of the same family",
        )


class _Opener:
    """Opens the models that settings name; the stack closes them.

    Args:
        stack, settings, base, engine, verifier_engine: as `load_models` has them.

    Attributes:
        folders: the models' folders by the settings' names of them.
        opened: what each model got, in words.

    Raises:
        InputError: arguments that an engine does not have, or models that do not fit the GPUs;
            before any of them is loaded.
    """

    def __init__(
        self,
        stack: ExitStack,
        settings: Settings,
        base: Path,
        engine: EngineName | Engine,
        verifier_engine: VerifierEngine,
    ) -> None:
        self._stack, self._settings, self._base = stack, settings, base
        self._engine_name = engine if isinstance(engine, str) else "auto"
        self._kind, self._verifier_engine = engine_kind(self._engine_name), verifier_engine
        self.folders = {which: settings.folder(base, which) for which in settings.models()}
        self.opened: list[str] = []
        self._check_args()
        here = dict(self.folders)
        if not isinstance(engine, str) or self._kind == "servers":
            del here["model"]
        if self._kind == "servers" or self._shared:
            here.pop("reviser", None)
        if self._kind == verifier_engine == "transformers":
            here.clear()  # it has no share to set
        # What vLLM's engines get where the user has set nothing.
        self._defaults = divide_memory(here, {which: settings.args(which) for which in here})

    @property
    def _shared(self) -> bool:
        """Whether the reviser is the language model itself, and shares its engine."""
        return self.folders.get("reviser") == self.folders["model"]

    def _check_args(self) -> None:
        settings = self._settings
        for which, field in ARGS.items():
            args = settings.args(which)
            if args and which in ("verifier", "reviser") and which not in self.folders:
                raise InputError(field, args, f"there is no {which}; leave them out")
            check_args(field, args)
        if settings.reviser_args and self._shared:
            hint = "the reviser is the model itself and shares its engine; leave them out"
            raise InputError("reviser_args", settings.reviser_args, hint)

    def engine(self, which: str) -> Engine:
        """An engine that runs one of the models."""
        # A server of several models needs the name of the one that is meant.
        served = getattr(self._settings, which) if "reviser" in self.folders else None
        args = self._settings.args(which)
        if self._kind == "vllm":
            own = self._thought_args() if which == "model" else {}
            args = own | self._defaults[which] | args
        else:
            check_unchanged(ARGS[which], args if self._kind == "transformers" else {})
            args = {}
        opening = open_engine(self.folders[which], self._engine_name, served, **args)
        engine = self._stack.enter_context(opening)
        if isinstance(engine, HasResources):
            self._note(which, engine)
        return engine

    def _note(self, which: str, opened: HasResources) -> None:
        self.opened.append(f"{which} {self.folders[which].name}: {opened.resources}")

    def _thought_args(self) -> dict[str, Any]:
        """What vLLM needs in order to end the language model's thoughts at a cap."""
        from vllm.config.reasoning import ReasoningConfig

        marks = self._settings.marks(self._base)
        if marks is None:
            return {}
        start, end = marks.thought.start, self._settings.thought_cutoff or marks.thought.cutoff
        config = ReasoningConfig(reasoning_start_str=start, reasoning_end_str=end)
        return {"reasoning_config": config}

    def verifier(self, which: str, model: Engine, family: FamilyName = "auto") -> Verifier:
        """One of the verifiers, for solutions of the language model.

        Raises:
            InputError: solutions may be longer than its context.
        """
        folder = self.folders[which]
        args, defaults = self._settings.args(which), self._defaults.get(which)
        verifier = open_verifier(
            folder, model.tokenizer, family, self._verifier_engine, args, defaults
        )
        self._stack.callback(verifier.close)
        self._note(which, verifier)
        check_context(folder, verifier.context_length, self._settings.sampling.max_tokens)
        return verifier

    def reviser(self, model: Engine, verifier: Verifier) -> Reviser | None:
        """The reviser, which may share the language model's engine and verifier.

        Raises:
            InputError: its vocabulary is not the language model's.
        """
        if "reviser" not in self.folders:
            return None
        engine = model if self._shared else self.engine("reviser")
        if "reviser_verifier" in self.folders:
            verifier = self.verifier("reviser_verifier", model)
        check_vocabulary(str(self._settings.reviser), engine.tokenizer, model.tokenizer)
        return Reviser(engine, verifier)
