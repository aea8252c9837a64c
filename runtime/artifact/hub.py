"""Artifacts on the Hugging Face Hub: found by name, and downloaded as data that is never run.

Of a repository only the files of `runtime.artifact.files.FILE_PATTERNS` are downloaded. A Python
file that reads answers is downloaded, and run, for callers alone who name the artifact.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from allocator.errors import InputError
from runtime.answers.graders import PREFIX
from runtime.artifact.files import FILE_PATTERNS, TABLE, is_artifact

NAME = re.compile(r"(?P<repository>\w[\w.-]*/\w[\w.-]*)(@(?P<revision>\w[\w./-]*))?")

# A file of the artifact's own folder.
GRADER = re.compile(r"\w[\w.-]*\.py")

# Where huggingface_hub keeps what it has downloaded of one commit.
SNAPSHOT = re.compile(
    r".*/models--(?P<owner>[\w.-]+?)--(?P<name>[\w.-]+)/snapshots/(?P<commit>\w+)"
)


@dataclass(frozen=True)
class HubName:
    """The name of an artifact on the Hub, ``OWNER/NAME`` or ``OWNER/NAME@REVISION``.

    Attributes:
        repository: ``OWNER/NAME``.
        revision: a branch, a tag or a commit; None is the main branch.
    """

    repository: str
    revision: str | None = None

    def __str__(self) -> str:
        return self.repository + ("" if self.revision is None else f"@{self.revision}")

    @classmethod
    def parse(cls, text: str) -> "HubName | None":
        """Parse ``OWNER/NAME[@REVISION]``; None if the text has another form."""
        found = NAME.fullmatch(text)
        return None if found is None else cls(found["repository"], found["revision"])


def artifact_folder(artifact: str | Path) -> Path:
    """The folder of an artifact: a local one, or one from the Hub, downloaded if it has to be.

    Args:
        artifact: a folder, or ``OWNER/NAME`` or ``OWNER/NAME@REVISION`` on the Hub. A local folder
            of that name wins.

    Returns:
        Of a text that is neither, the path that it is: whoever reads it refuses it.

    Raises:
        InputError: neither a local folder nor an artifact on the Hub that can be reached.
    """
    folder, name = Path(artifact), HubName.parse(str(artifact))
    if folder.exists() or name is None:
        return folder
    from huggingface_hub import snapshot_download

    with hub_errors("artifact", str(artifact), "there is no such folder, and "):
        found = Path(
            snapshot_download(
                name.repository, revision=name.revision, allow_patterns=list(FILE_PATTERNS)
            )
        )
    if not is_artifact(found):
        raise InputError(
            "artifact",
            str(artifact),
            f"there is no such folder, and the repository on the Hub has no {TABLE}: it holds no "
            "artifact",
        )
    return found


def hub_origin(folder: Path) -> tuple[str, str] | None:
    """The repository and the commit that a folder was downloaded from; None for any other."""
    found = SNAPSHOT.fullmatch(folder.resolve().as_posix())
    return None if found is None else (f"{found['owner']}/{found['name']}", found["commit"])


def check_grader(folder: Path, answers: str, trust_grader: str) -> None:
    """Check that a downloaded artifact's Python grader may be run, and download it then.

    Args:
        folder: the artifact's. Of one that was not downloaded the file is the user's own.
        answers: its setting, see `runtime.answers.answers_for`.
        trust_grader: the artifact whose grader is trusted: ``OWNER/NAME``, or
            ``OWNER/NAME@COMMIT`` for one state of it.

    Raises:
        InputError: a grader that is not trusted, is not in the artifact, or cannot be downloaded.
    """
    origin = hub_origin(folder)
    if origin is None or not answers.startswith(PREFIX):
        return
    (repository, commit), file = origin, answers.removeprefix(PREFIX)
    if trust_grader not in (repository, f"{repository}@{commit}"):
        raise InputError(
            "answers",
            answers,
            f"{repository} reads answers by a Python file of its own, which would run on this "
            f"machine; if you have read it and trust it, name the artifact: --trust-grader "
            f"{repository}@{commit} (trust_grader in Python), or {repository} for any commit",
        )
    if not GRADER.fullmatch(file):
        raise InputError("answers", answers, "the file must be in the artifact, as grader.py is")
    from huggingface_hub import hf_hub_download

    with hub_errors("answers", answers):
        hf_hub_download(repository, file, revision=commit, cache_dir=folder.resolve().parents[2])


@contextmanager
def hub_errors(field: str, value: str, before: str = "") -> Iterator[None]:
    """Errors of huggingface_hub in the block, as those of one field.

    Args:
        field: the field.
        value: its value.
        before: begins the message.

    Raises:
        InputError: the Hub cannot be reached, or refuses.
    """
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HTTPError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        yield
    except InputError:
        raise
    except RevisionNotFoundError:
        raise InputError(field, value, f"{before}the Hub has no such revision") from None
    except RepositoryNotFoundError:
        raise InputError(
            field,
            value,
            f"{before}the Hub has no such repository, or not for you: of a private one, log in "
            "with hf auth login, or set HF_TOKEN",
        ) from None
    except HfHubHTTPError as error:
        refused = error.response.status_code in (401, 403)
        hint = ": log in with hf auth login, or set HF_TOKEN" if refused else ""
        raise InputError(field, value, f"{before}the Hub refuses: {_line(error)}{hint}") from None
    # HTTPError is of the client's HTTP library: connections that fail. ValueError: invalid names.
    except (HTTPError, OSError, ValueError) as error:
        raise InputError(field, value, f"{before}the Hub cannot be used: {_line(error)}") from None


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
