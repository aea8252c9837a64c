"""Put an artifact on the Hugging Face Hub: what of its folder is published, and as one commit.

Of the folder only the files that an artifact is read from are published, with its card. What the
folder names of this machine, its models and a Python grader, others must be able to reach: a model
by its name on the Hub, the grader beside the artifact.
"""

import hashlib
import warnings
from collections.abc import Mapping
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from allocator.errors import InputError
from calibration.report.artifact_files import Contents
from calibration.report.card import LIBRARY, PICTURE, card, read_card
from runtime.answers.graders import PREFIX, grader_file
from runtime.artifact import CARD, FILE_PATTERNS, SAMPLES, SETTINGS
from runtime.artifact.hub import GRADER, HubName, hub_errors
from runtime.engines.checkpoint import CONFIG, FINGERPRINTED, HUB_NAME
from runtime.settings import MODELS, Settings

# What is published: contents of files by their names, or the files.
Files = Mapping[str, bytes | Path]


def files_to_push(
    folder: Path,
    name: HubName,
    hub_models: Mapping[str, str],
    *,
    samples: bool = False,
    grader: bool = False,
    licence: str = "",
) -> Files:
    """The files of an artifact as they are published.

    Args:
        folder: the artifact's.
        name: its name on the Hub.
        hub_models: names on the Hub of models that the settings have as folders, by the settings'
            fields.
        samples: whether its samples are published, with their prompts and solutions.
        grader: whether the Python file that reads its answers is published.
        licence: of the card; empty keeps that of the folder's card.

    Returns:
        The files by their names in the repository.

    Raises:
        InputError: no artifact there, a damaged one, samples that are not there, or settings that
            name what others cannot reach.
    """
    contents = Contents.load(folder)
    if samples and not (folder / SAMPLES).is_file():
        raise InputError("samples", str(folder), f"it has no {SAMPLES}; leave --samples out")
    found = {path for pattern in FILE_PATTERNS for path in folder.glob(pattern) if path.is_file()}
    files: dict[str, bytes | Path] = {
        path.relative_to(folder).as_posix(): path
        for path in sorted(found)
        if samples or path.name != SAMPLES
    }
    if contents.settings is None and (hub_models or grader):
        option = next(iter(hub_models), "grader")
        raise InputError(option, str(folder), "it was made from logs and names none; leave it out")
    if contents.settings is not None:
        settings = _with_hub_models(contents.settings, folder, hub_models)
        if (file := _grader(settings, folder, grader)) is not None:
            files[file.name] = file
            settings = settings.model_copy(update={"answers": PREFIX + file.name})
        files[SETTINGS] = settings.model_dump_json(indent=Settings.INDENT).encode() + b"\n"
        contents = replace(contents, settings=settings)
    if (folder / PICTURE).is_file():
        files[PICTURE] = folder / PICTURE
    files[CARD] = card(contents, read_card(folder), name, licence).encode()
    return files


def _with_hub_models(settings: Settings, folder: Path, hub_models: Mapping[str, str]) -> Settings:
    """The settings with every model by its name on the Hub.

    Raises:
        InputError: a folder without a name, a name without a folder, or one of another model.
    """
    for which in MODELS:
        model, named = getattr(settings, which), hub_models.get(which)
        local = None if model is None else settings.local_folder(folder, which)
        option = "--" + which.replace("_", "-")
        if named is None and (local is not None or not HUB_NAME.fullmatch(model or "none")):
            raise InputError(
                which,
                model,
                "it is a folder on this machine, which others do not have: upload it with hf "
                f"upload OWNER/NAME FOLDER, and give its name with {option} OWNER/NAME",
            )
        if named is None:
            continue
        if local is None:
            why = "there is none" if model is None else f"the artifact names {model} already"
            raise InputError(which, named, f"{why}; leave {option} out")
        _check_same(which, named, local)
    return settings.model_copy(update=dict(hub_models))


def _check_same(which: str, named: str, folder: Path) -> None:
    """Check, without a download, that a model on the Hub is the one in a folder.

    Raises:
        InputError: it is another one, or is not to be found.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

    with hub_errors(which, named):
        listed = [each for each in HfApi().list_repo_tree(named) if isinstance(each, RepoFile)]
    patterns = (CONFIG, *FINGERPRINTED)
    there = {file.path: file for file in listed if any(fnmatch(file.path, p) for p in patterns)}
    here = {path.name: path for pattern in patterns for path in folder.glob(pattern)}
    for file in sorted({*there, *here}):
        if file not in there or file not in here or not _equal(here[file], there[file]):
            raise InputError(
                which,
                named,
                f"its {file} is not that of {folder}, with which the artifact was calibrated: "
                "upload that folder, or give the name of one with the same files",
            )


def _equal(path: Path, file: Any) -> bool:
    """Whether a file is the Hub's: of large ones it has the SHA-256, of others git's hash."""
    if file.lfs is not None:
        with path.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest() == str(file.lfs.sha256)
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest() == str(file.blob_id)


def _grader(settings: Settings, folder: Path, wanted: bool) -> Path | None:
    """The Python file that reads answers, if it is to be published; None where there is none.

    Raises:
        InputError: there is one and it is not wanted, or the reverse; or one with another name than
            a module's.
    """
    file = grader_file(settings.answers, folder)
    if file is None:
        if wanted:
            raise InputError("grader", settings.answers, "it is no Python file; leave --grader out")
        return None
    if not wanted:
        raise InputError(
            "answers",
            settings.answers,
            "others need this Python file to use the artifact; publish it too with --grader",
        )
    if not (file.is_file() and GRADER.fullmatch(file.name)):
        raise InputError("answers", settings.answers, "must be a file called as grader.py is")
    return file


def push(files: Files, name: HubName, *, private: bool = False, message: str) -> str:
    """Publish files as one commit, which removes what an artifact before it has left over.

    Args:
        files: see `files_to_push`.
        name: the repository, which is created if need be; a revision is a branch, likewise.
        private: whether it must be a private one.
        message: the commit's.

    Returns:
        The commit's hash; that of the last one, if nothing has changed.

    Raises:
        InputError: the Hub cannot be reached or refuses, or a repository that exists is public and
            must be private.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    api, repository = HfApi(library_name=LIBRARY), name.repository
    with hub_errors("name", str(name)), warnings.catch_warnings():
        # It takes Parquet for a data set that was put in the wrong place.
        warnings.filterwarnings("ignore", message="It seems that you are about to commit a data")
        api.create_repo(repository, private=private or None, exist_ok=True)
        if private and not api.repo_info(repository).private:
            raise InputError(
                "private",
                repository,
                "this repository exists and is public; make it private in its settings, or choose "
                "another one",
            )
        if name.revision is not None:
            api.create_branch(repository, branch=name.revision, exist_ok=True)
        info = api.repo_info(repository, revision=name.revision)
        there = [sibling.rfilename for sibling in info.siblings or ()]
        left = [
            file
            for file in there
            if file not in files
            and any(fnmatch(file, pattern) for pattern in (*FILE_PATTERNS, PICTURE))
        ]
        added = [CommitOperationAdd(file, content) for file, content in files.items()]
        done = api.create_commit(
            repository,
            [*map(CommitOperationDelete, left), *added],
            commit_message=message,
            revision=name.revision,
            parent_commit=info.sha,
        )
    return str(done.oid)
