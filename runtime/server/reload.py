"""Another artifact for a server that runs: read, checked, and put into service, or refused."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Annotated, Any

from pydantic import Field, model_validator

from allocator.errors import InputError
from allocator.table import LookupTable
from runtime.artifact import Artifact, foreign_parts
from runtime.frontend.fields import Strict
from runtime.server.logs import ServerLog
from runtime.server.policies import Policies, ServedPolicy
from runtime.server.settings import ServeSettings

# In what the second table is clearly worse than the first, in words: `calibration.report.diff`,
# which the server must not import, has one.
ClearlyWorse = Callable[[LookupTable, LookupTable], Sequence[str]]


class ReloadRequest(Strict):
    """The body of POST /v1/reload.

    Attributes:
        artifact: a folder, or a name on the Hub; without one the server's own is read again.
        share: share of the requests that it answers; 1 for all, 0 to end a trial.
    """

    artifact: Annotated[str, Field(min_length=1)] | None = None
    share: Annotated[float, Field(ge=0, le=1)] = 1.0

    @model_validator(mode="after")
    def _check(self) -> "ReloadRequest":
        if not self.share and self.artifact is not None:
            raise InputError("artifact", self.artifact, "with a share of 0 leave it out")
        return self


class Reloader:
    """Reads other artifacts into the policies; one at a time.

    Args:
        settings: the server's.
        policies: the artifacts in service.
        clearly_worse: compares the table of the artifact in service with a new one's.
        log: where changes and refusals are logged.
    """

    def __init__(
        self,
        settings: ServeSettings,
        policies: Policies,
        clearly_worse: ClearlyWorse,
        log: ServerLog,
    ) -> None:
        self._settings, self._policies = settings, policies
        self._clearly_worse, self._log = clearly_worse, log
        self._one = asyncio.Lock()

    async def reload(self, name: str | None = None, share: float = 1.0) -> dict[str, Any]:
        """Put an artifact into service. Requests that have begun keep theirs.

        Args:
            name: its folder, or its name on the Hub; None reads the server's own again.
            share: share of the requests that it answers, beside the current one; 1 for its place,
                0 to end such a trial.

        Returns:
            The artifacts in service.

        Raises:
            InputError: it cannot be read, is of other models, does not serve the default budget,
                or is clearly worse. All stays as it was.
        """
        async with self._one:
            name = name or str(self._settings.artifact)
            try:
                if share:
                    self._policies.put(await asyncio.to_thread(self._checked, name), share)
                else:
                    self._policies.end_trial()
            except InputError as error:
                self._log.turn("reload_refused", artifact=name, why=str(error))
                raise
            found = self._policies.to_json()
            self._log.turn("reloaded", **found)
            return found

    async def reload_quietly(self) -> None:
        """Read the server's own artifact again; a refusal is in the log alone."""
        with suppress(InputError):
            await self.reload()

    def _checked(self, name: str) -> ServedPolicy:
        """An artifact that may answer.

        Raises:
            InputError: as `reload`.
        """
        settings, current = self._settings, self._policies.current
        try:
            artifact = Artifact.load(name, settings.force, settings.trust_grader)
        except InputError:
            raise
        except Exception as error:  # of LightGBM, safetensors or pyarrow, on damaged files
            raise InputError("artifact", name, f"it cannot be read: {error!r}") from error
        artifact = artifact.with_args(settings.given_args(), settings.force)
        _check_same_models(name, artifact, current.artifact)
        artifact.policy.row(settings.default_budget)
        worse = self._clearly_worse(current.artifact.policy.table, artifact.policy.table)
        if worse:
            raise InputError(
                "artifact", name, f"it is clearly worse than {current.label}: {'; '.join(worse)}"
            )
        return ServedPolicy.of(artifact)


def _check_same_models(name: str, artifact: Artifact, current: Artifact) -> None:
    """Check that an artifact differs in its policy alone: the models stay open.

    Raises:
        InputError: it is of other models, or samples or reads answers otherwise.
    """
    tables = artifact.policy.table.fingerprint, current.policy.table.fingerprint
    parts = [part for part in foreign_parts(*tables) if part[0] != "scoring"]
    parts += [
        (field, getattr(artifact.settings, field), getattr(current.settings, field))
        for field in ("confidence", "verifier_timeout", "answer_timeout")
    ]
    for part, new, old in parts:
        if new != old:
            raise InputError(
                "artifact",
                name,
                f"its {part} is {new!r}, and this server runs {old!r}; a reload changes the policy "
                "alone: start another server for it",
            )
