"""Whether an artifact's files load, its models are there, and fit one another.

The checks are those of opening the models, as far as they go without reading weights. Nothing is
downloaded.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from allocator.errors import InputError
from calibration.doctor.machine import GIB, Memory
from calibration.report.artifact_files import Contents
from runtime.artifact import (
    LOG_VERIFIER,
    SETTINGS,
    FittedPolicy,
    foreign_parts,
    load_settings,
    read_table,
)
from runtime.engines.checkpoint import HUB_NAME, UNREAD, context_length, parameter_count
from runtime.opener import check_context, check_vocabulary
from runtime.settings import Settings

INDEX = "model.safetensors.index.json"
POINTER = b"version https://git-lfs"


class ModelFound(BaseModel):
    """A model of an artifact.

    Attributes:
        name: as the settings have it.
        folder: where it lies; None if it is not here.
        parameters: their number; None if it is unknown.
        context: tokens that it reads at most; None if it is unknown or has no limit.
        vocabulary: number of tokens; None if it is unknown.
    """

    name: str
    folder: Path | None = None
    parameters: int | None = None
    context: int | None = None
    vocabulary: int | None = None


class ArtifactFound(BaseModel):
    """An artifact as it lies here.

    Attributes:
        folder: its folder.
        loads: whether all its files load.
        from_logs: whether it was made from logs, and names no models.
        models: its models, by their names in the settings.
    """

    folder: Path
    loads: bool
    from_logs: bool = False
    models: dict[str, ModelFound] = {}


class ArtifactCheck:
    """Examines an artifact folder; what is wrong is in `problems` afterwards.

    Args:
        folder: the artifact's.

    Attributes:
        problems: what is wrong, each in a sentence that says what to do.
    """

    def __init__(self, folder: Path) -> None:
        self.problems: list[str] = []
        self._folder = folder
        self._opened: dict[str, tuple[Path, Any]] = {}  # folders and tokenizers

    def run(self) -> ArtifactFound:
        """Examine the files, then the models, then how they fit."""
        with self._noted():
            FittedPolicy.load(self._folder)
            Contents.load(self._folder)
        found = ArtifactFound(folder=self._folder, loads=not self.problems)
        if found.loads and not (self._folder / SETTINGS).is_file():
            found.from_logs = read_table(self._folder).fingerprint.verifier == LOG_VERIFIER
            if found.from_logs:
                return found
        with self._noted():
            settings = load_settings(self._folder)
            found.models = {which: self._model(settings, which) for which in settings.models()}
            self._check_fit(settings, found)
        return found

    @contextmanager
    def _noted(self) -> Iterator[None]:
        """Errors of the block become problems, each of them once."""
        try:
            yield
        except InputError as error:
            if str(error) not in self.problems:
                self.problems.append(str(error))

    def _model(self, settings: Settings, which: str) -> ModelFound:
        found = ModelFound(name=str(getattr(settings, which)))
        with self._noted():
            folder = found.folder = _located(settings, self._folder, which)
            _check_weights(folder, which)
            found.parameters = parameter_count(folder)
            with _loading(which, folder, "config.json"):
                from transformers import AutoConfig

                found.context = context_length(
                    AutoConfig.from_pretrained(folder, trust_remote_code=False)
                )
            with _loading(which, folder, "tokenizer"):
                from transformers import AutoTokenizer

                tokenizer = AutoTokenizer.from_pretrained(folder)
            self._opened[which] = folder, tokenizer
            found.vocabulary = len(tokenizer.get_vocab())
        return found

    def _check_fit(self, settings: Settings, found: ArtifactFound) -> None:
        """Compare the models with the language model, and all of them with the table."""
        if "model" in self._opened:
            _, model = self._opened["model"]
            for which, (_, own) in self._opened.items():
                with self._noted():
                    if which == "reviser":
                        check_vocabulary(str(settings.reviser), own, model)
                    elif which != "model":
                        self._check_verifier(settings, which, found.models[which].context, model)
        if found.loads and all(one.folder is not None for one in found.models.values()):
            with self._noted():
                self._check_fingerprint(settings, found)

    def _check_verifier(
        self, settings: Settings, which: str, context: int | None, model: Any
    ) -> None:
        from runtime.verifiers.families import FAMILIES, recognise

        folder, tokenizer = self._opened[which]
        family = recognise(folder, settings.verifier_family if which == "verifier" else "auto")
        made = FAMILIES[family](tokenizer, model, folder)
        own = context if made.shares_tokens else None  # the others read in windows
        check_context(folder, own, settings.sampling.max_tokens)

    def _check_fingerprint(self, settings: Settings, found: ArtifactFound) -> None:
        # By their folders: by name, models of the hub would be looked up online.
        here = settings.model_copy(update={k: str(m.folder) for k, m in found.models.items()})
        table = read_table(self._folder).fingerprint
        for name, value, calibrated in foreign_parts(here.fingerprint(self._folder), table):
            self.problems.append(
                f"artifact {name}: it is {value!r}, and the artifact was calibrated with "
                f"{calibrated!r}: use that one, or calibrate again"
            )


def memory_problem(
    found: ArtifactFound, memory: Memory | None, gpus: Sequence[Memory]
) -> str | None:
    """Whether the weights alone are more than the memory that models run in; None if not.

    Args:
        found: the artifact.
        memory: the machine's; None if it is unknown.
        gpus: the GPUs; empty where models run on the CPU, in float32.
    """
    sizes = {str(model.folder): model.parameters for model in found.models.values()}
    weights = sum(count or 0 for count in sizes.values()) * (2 if gpus else 4)
    total = sum(gpu.total for gpu in gpus) or (memory.total if memory else 0)
    if not total or weights <= total:
        return None
    return (
        f"memory: the models' weights take {weights / GIB:.0f} GiB, and "
        f"{'the GPUs have' if gpus else 'the machine has'} {total / GIB:.0f} GiB: use smaller "
        "models, quantized ones, or a larger machine"
    )


@contextmanager
def _loading(which: str, folder: Path, part: str) -> Iterator[None]:
    """What transformers raises for a broken part, which may be anything, names the part."""
    try:
        yield
    except Exception as error:
        why = str(error).strip().splitlines()
        raise InputError(
            which,
            str(folder),
            f"its {part} does not load; copy or download the model again "
            f"({why[0] if why else type(error).__name__})",
        ) from None


def _located(settings: Settings, folder: Path, which: str) -> Path:
    """The folder of one of the models, which is not downloaded.

    Raises:
        InputError: it is not here.
    """
    name = str(getattr(settings, which))
    if settings.local_folder(folder, which) is not None or not HUB_NAME.fullmatch(name):
        return settings.folder(folder, which)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, ignore_patterns=UNREAD, local_files_only=True))
    except LocalEntryNotFoundError:
        raise InputError(
            which,
            name,
            f"it is not on this machine, neither as a folder (from here or from {folder}) nor in "
            f"the cache of the Hugging Face Hub; if it is on the hub, run: hf download {name}",
        ) from None


def _check_weights(folder: Path, which: str) -> None:
    """Check that a model's weight files are there, and whole as far as their headers say.

    Raises:
        InputError: they are not.
    """
    from safetensors import SafetensorError, safe_open

    def refused(what: str) -> InputError:
        return InputError(which, str(folder), f"{what}; copy or download the model again")

    files = sorted(folder.glob("*.safetensors"))
    if not files and not any(folder.glob("pytorch_model*.bin")):
        raise refused("it has no weights (*.safetensors)")
    if (folder / INDEX).is_file():
        try:
            named = set(json.loads((folder / INDEX).read_text())["weight_map"].values())
        except (ValueError, LookupError, AttributeError, TypeError) as error:
            raise refused(f"{INDEX} is damaged ({error})") from None
        if absent := sorted(named - {file.name for file in files}):
            raise refused(f"{', '.join(absent)} is missing")
    for file in files:
        with file.open("rb") as opened:
            if opened.read(len(POINTER)) == POINTER:
                raise refused(f"{file.name} is a pointer of Git LFS (git lfs pull gets the file)")
        try:
            with safe_open(file, "np"):
                pass
        except SafetensorError as error:
            raise refused(f"{file.name} is damaged ({error})") from None
