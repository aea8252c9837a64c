"""Opening the models that settings name, each with its arguments and its share of the memory."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from allocator.errors import InputError
from runtime.engines.base import Engine, HasResources
from runtime.engines.checkpoint import context_length
from runtime.engines.engine_args import ARGS, check_args, check_unchanged
from runtime.engines.gpus import divide_memory
from runtime.engines.loading import EngineName, engine_kind, open_engine
from runtime.reviser import Reviser
from runtime.settings import Settings
from runtime.verifiers.base import FamilyName, Verifier
from runtime.verifiers.loading import VerifierEngine, open_verifier, verifier_kind


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


def check_memory(field: str, folder: Path, context: int, longest: int) -> None:
    """Check that an engine has not shortened a model's context below the solutions.

    vLLM does so where its memory has no room for a request of the model's whole context.

    Args:
        field: what the model is.
        folder: the model's.
        context: tokens that the engine reads at most.
        longest: tokens of a solution at most.

    Raises:
        InputError: it has.
    """
    if context >= longest:
        return
    from transformers import AutoConfig

    own = context_length(AutoConfig.from_pretrained(folder))
    if own is None or own > context:
        raise InputError(
            "max_tokens",
            longest,
            f"the memory that the {field} {folder.name} gets has room for {context} tokens, prompt "
            "and solution together; sample shorter solutions, or give it more memory "
            "(gpu_memory_utilization, kv_cache_memory_bytes)",
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


class Opener:
    """Opens the models that settings name; the stack closes them.

    Args:
        stack, settings, base, engine, verifier_engine: as `runtime.models.load_models` has them.

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
        self._stack, self._settings = stack, settings
        self._engine_name = engine if isinstance(engine, str) else "auto"
        self._kind, self._verifier_engine = engine_kind(self._engine_name), verifier_engine
        self.folders = {which: settings.folder(base, which) for which in settings.models()}
        self.opened: list[str] = []
        self._check_args()
        verifiers = verifier_kind(verifier_engine)
        here = dict(self.folders)
        if not isinstance(engine, str) or self._kind == "servers":
            del here["model"]
        if self._kind == "servers" or self._shared:
            here.pop("reviser", None)
        if verifiers == "servers":
            here = {which: here[which] for which in here if ARGS[which] != "verifier_args"}
        if self._kind == verifiers == "transformers":
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
        """An engine that runs one of the models.

        Raises:
            InputError: its memory has no room for a solution.
        """
        # A server of several models needs the name of the one that is meant.
        served = getattr(self._settings, which) if "reviser" in self.folders else None
        args = self._settings.args(which)
        if self._kind == "vllm":
            args = self._defaults[which] | args
        else:
            check_unchanged(ARGS[which], args if self._kind == "transformers" else {})
            args = {}
        opening = open_engine(self.folders[which], self._engine_name, served, **args)
        engine = self._stack.enter_context(opening)
        if isinstance(engine, HasResources):
            self._note(which, engine)
        if self._kind == "vllm":
            self._check_memory(which, engine.context_length)
        return engine

    def _check_memory(self, which: str, context: int | None) -> None:
        if context is not None and "max_model_len" not in self._settings.args(which):
            longest = self._settings.sampling.max_tokens
            check_memory(which, self.folders[which], context, longest)

    def _note(self, which: str, opened: HasResources) -> None:
        self.opened.append(f"{which} {self.folders[which].name}: {opened.resources}")

    def verifier(self, which: str, model: Engine, family: FamilyName = "auto") -> Verifier:
        """One of the verifiers, for solutions of the language model.

        Raises:
            InputError: solutions may be longer than its context, or its memory has no room for one.
        """
        folder = self.folders[which]
        args, defaults = self._settings.args(which), self._defaults.get(which)
        served = getattr(self._settings, which) if "reviser_verifier" in self.folders else None
        verifier = open_verifier(
            folder, model.tokenizer, family, self._verifier_engine, args, defaults, served
        )
        self._stack.callback(verifier.close)
        self._note(which, verifier)
        if verifier_kind(self._verifier_engine) != "servers":
            self._check_memory(which, verifier.window)
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
        return Reviser(engine, verifier, self._settings.sampling.max_tokens)
