"""The models that all prompts share, and their opening."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from allocator.errors import InputError
from runtime.answers import Answers, answers_for
from runtime.answers.thought import THINK, Thought, thoughts_of
from runtime.engines.base import Engine, HasHiddenState
from runtime.engines.hidden import open_hidden_states
from runtime.engines.loading import EngineName, open_engine
from runtime.engines.steps import StepSplitter
from runtime.reviser import Reviser
from runtime.settings import Settings
from runtime.verifiers.base import Aggregation, FamilyName, Verifier
from runtime.verifiers.loading import VerifierEngine, open_verifier
from runtime.verifiers.scoring import VERIFIER_ALONE, Scoring


@dataclass(frozen=True)
class Models:
    """What all prompts share: the models, and how their solutions are read and scored.

    Attributes:
        engine: the language model.
        verifier: scores its solutions.
        answers: reads and compares answers.
        splitter: finds the ends of steps.
        hidden: reads the language model's state after a prompt; None where difficulty is not told
            from the prompt alone.
        reviser: makes revisions; None where there is none.
        aggregation: how a solution's step scores become one.
        scoring: how that one and its log-probability become its score.
        verifier_timeout: seconds that a verifier may take over one solution, queueing included.
        thoughts: marks of the language model's thoughts, after which answers are read.
    """

    engine: Engine
    verifier: Verifier
    answers: Answers
    splitter: StepSplitter
    hidden: HasHiddenState | None = None
    reviser: Reviser | None = None
    aggregation: Aggregation = "last"
    scoring: Scoring = VERIFIER_ALONE
    verifier_timeout: float = 600.0
    thoughts: tuple[Thought, ...] = (THINK,)


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
    **engine_args: Any,
) -> Models:
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
    return Models(
        engine=opened,
        verifier=verifier,
        answers=answers_for(settings.answers, base, settings.answer_timeout, thoughts),
        splitter=StepSplitter(opened.tokenizer, settings.sampling.step_end),
        hidden=stack.enter_context(open_hidden_states(opened, folders["model"])),
        reviser=reviser,
        aggregation=settings.aggregation,
        scoring=settings.scoring,
        thoughts=thoughts,
    )
