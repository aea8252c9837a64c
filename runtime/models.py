"""The models that all prompts share, and their opening."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from allocator.errors import InputError
from allocator.flops import ModelSizes
from predictors.confidence import ConfidenceSettings
from predictors.scoring import VERIFIER_ALONE, Scoring
from runtime.answers import Answers, answers_for
from runtime.answers.thought import THINK, Thought, thoughts_of
from runtime.engines.base import Engine, HasConfidence, HasHiddenState
from runtime.engines.checkpoint import model_sizes
from runtime.engines.hidden import open_hidden_states
from runtime.engines.loading import EngineName
from runtime.engines.steps import StepSplitter
from runtime.opener import Opener
from runtime.reviser import Reviser
from runtime.settings import VERIFIER_TIMEOUT, Settings
from runtime.solutions.marks import ThoughtMarks, thought_marks
from runtime.verifiers.base import Aggregation, Verifier
from runtime.verifiers.constant import NoVerifier
from runtime.verifiers.loading import VerifierEngine

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
        hidden: reads the language model's state after a prompt, from which difficulty is predicted
            before any sample; None where nobody reads it. `load_models` always opens it.
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
    confidence: ConfidenceSettings | None = None
    sizes: ModelSizes | None = None

    @property
    def engines(self) -> tuple[Engine, ...]:
        """The language model's engine, and the reviser's if there is one."""
        return (self.engine,) if self.reviser is None else (self.engine, self.reviser.engine)

    @property
    def thinks(self) -> bool:
        """Whether the language model has thoughts."""
        return self.marks is not None

    @property
    def rereads(self) -> bool:
        """Whether the log-probabilities of a solution may have to be read once it is whole."""
        return self.thinks or self.confidence is not None


@asynccontextmanager
async def open_models(
    settings: Settings,
    base: Path,
    engine: EngineName | Engine = "auto",
    verifier_engine: VerifierEngine = "auto",
) -> AsyncIterator[Models]:
    """The models of `settings`, loaded, for as long as the block lasts.

    Must be entered inside the event loop that will use it, which goes on while they are loaded. The
    logger ``ttc.models`` then says, in one line, what each of them got.

    Args:
        settings: what to load.
        base: relative model folders, and a grader's relative file, count from here.
        engine: which engine samples, by name, or an open one, which stays open.
        verifier_engine: what runs the verifiers.

    Raises:
        InputError: a model that cannot be found or loaded, answers that cannot be read, arguments
            that an engine does not have, models that do not fit the GPUs, or solutions that may
            be longer than a verifier's context.
    """
    with ExitStack() as stack:
        loading = asyncio.ensure_future(
            asyncio.to_thread(load_models, stack, settings, base, engine, verifier_engine)
        )
        try:
            yield await asyncio.shield(loading)
        finally:
            # On cancellation, wait for loading to end: the stack can only close models that are
            # fully open.
            await asyncio.wait([loading])


def load_models(
    stack: ExitStack,
    settings: Settings,
    base: Path,
    engine: EngineName | Engine = "auto",
    verifier_engine: VerifierEngine = "auto",
) -> Models:
    """As `open_models`.

    Args:
        stack: closes what was opened here.
        settings, base, engine, verifier_engine: as there.

    Raises:
        InputError: as there.
    """
    answers_for(settings.answers, base)  # refused before any model is loaded
    opener = Opener(stack, settings, base, engine, verifier_engine)
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
        marks=thought_marks(model.tokenizer, settings.thought, settings.thought_cutoff),
        confidence=settings.confidence,
        sizes=model_sizes(opener.folders),
    )
