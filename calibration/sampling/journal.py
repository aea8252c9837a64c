"""Completions and scores on disk as they come, one file per prompt: no work is lost.

A prompt's record is stored when all of its samples and searches are complete, which may take
hours. Until then its journal holds every completion of the language model and every score of the
verifier under a hash of all that it depends on. After an interruption the same sampling requests
the same ones, and those in the journal are not computed again.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from allocator.errors import InputError
from allocator.files import RUN_AGAIN, atomic_write, reports_unwritable
from predictors.confidence import ConfidenceWindow
from runtime.engines.base import Completion, EndsLoops, Engine, SamplingSettings
from runtime.models import Models
from runtime.verifiers.base import Context, HasContext, Verdict, Verifier

KEPT = f"nothing before it is lost: {RUN_AGAIN}"


class PromptJournal:
    """One prompt's completions and scores as JSON lines, each written at once.

    A last line cut short by a crash is dropped.

    Args:
        path: the file; created with the first value.

    Raises:
        InputError: a whole line of the file is damaged, or the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None
        self._known: dict[str, list[Any]] = {}
        if path.is_file():
            whole = 0
            with reports_unwritable("samples", path, KEPT):
                for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], start=1):
                    self._read(number, line)
                    whole += len(line) + 1
                os.truncate(path, whole)

    def _read(self, number: int, line: bytes) -> None:
        try:
            key, *value = json.loads(line)
            self._known[key] = value
        except (ValueError, TypeError) as error:
            raise InputError(
                "samples",
                str(self._path),
                f"line {number} is damaged ({error}); remove the file",
            ) from None

    def get(self, key: str) -> list[Any] | None:
        """The value that an earlier run stored under a key; None where there is none."""
        return self._known.get(key)

    def add(self, key: str, value: Sequence[Any]) -> None:
        """Store a value.

        Raises:
            InputError: the disk is full or missing; what was written before is kept.
        """
        line = json.dumps([key, *value], separators=(",", ":")).encode() + b"\n"
        with reports_unwritable("samples", self._path, KEPT):
            if self._file is None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self._path.open("ab")
            self._file.write(line)
            self._file.flush()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            with suppress(OSError):  # `add` has reported what could not be written
                self._file.close()


class JournaledEngine:
    """An engine whose completions are journaled, and read from the journal if they are in it.

    Args:
        engine: samples what the journal does not hold.
        journal: the journal of the prompt.
        model: name of the model in the journal's keys.
    """

    def __init__(self, engine: Engine, journal: PromptJournal, model: str) -> None:
        self._engine, self._journal, self._model = engine, journal, model
        self.tokenizer: Any = engine.tokenizer
        self.context_length = engine.context_length

    async def complete(
        self,
        token_ids: Sequence[int],
        *,
        settings: SamplingSettings,
        max_tokens: int,
        seed: int,
        stop: Sequence[str] = (),
        stop_token_ids: Sequence[int] = (),
        logprob: bool = True,
        confidence: ConfidenceWindow | None = None,
        thought: bool = False,
    ) -> Completion:
        """See `runtime.engines.base.Engine.complete`, and `HasConfidence` and `EndsLoops` there."""
        read = [] if confidence is None else [confidence.settings.model_dump_json()]
        key = _key(
            self._model,
            settings.model_dump_json(),
            [int(token) for token in token_ids],
            (max_tokens, seed, tuple(stop), tuple(stop_token_ids), logprob, *read),
        )
        known = self._journal.get(key)
        if known is not None:
            completion, confidences = _unpack(known)
            if confidence is not None:
                confidence.add(confidences)
        else:
            own: dict[str, Any] = {} if confidence is None else {"confidence": confidence}
            if thought:
                own["thought"] = True
            before = 0 if confidence is None else len(confidence.values)
            completion = await self._engine.complete(
                token_ids,
                settings=settings,
                max_tokens=max_tokens,
                seed=seed,
                stop=stop,
                stop_token_ids=stop_token_ids,
                logprob=logprob,
                **own,
            )
            added = None if confidence is None else confidence.values[before:].tolist()
            packed = _pack(completion, added)
            self._journal.add(key, packed)
            completion, _ = _unpack(packed)  # exactly what a resumed run reads
        if confidence is None:
            return completion
        return replace(completion, aborted=confidence.lost)

    @property
    def ends_loops(self) -> bool:
        """See `runtime.engines.base.EndsLoops`."""
        return isinstance(self._engine, EndsLoops) and self._engine.ends_loops

    def close(self) -> None:
        """Does nothing: the owner of the engine closes it."""


class JournaledVerifier:
    """A verifier whose scores are journaled, and read from the journal if they are in it.

    Args:
        verifier: scores what the journal does not hold.
        journal: the journal of the prompt.
        model: name of the model in the journal's keys.
    """

    def __init__(self, verifier: Verifier, journal: PromptJournal, model: str) -> None:
        self._verifier, self._journal, self._model = verifier, journal, model
        known = verifier if isinstance(verifier, HasContext) else None
        self.shares_tokens = known is not None and known.shares_tokens
        self.context_length = known and known.context_length

    def room(self, context: Context) -> int | None:
        """See `runtime.verifiers.base.HasContext.room`."""
        return self._verifier.room(context) if isinstance(self._verifier, HasContext) else None

    async def score(self, context: Context, steps: Sequence[tuple[int, ...]]) -> Verdict:
        """See `runtime.verifiers.base.Verifier.score`."""
        key = _key(
            self._model, context.prompt, context.token_ids, [list(map(int, step)) for step in steps]
        )
        known = self._journal.get(key)
        if known is None:
            found = await self._verifier.score(context, steps)
            scores = [float(score) for score in found.step_scores]
            counts = int(found.processed_tokens), int(found.cached_tokens)
            known = [scores, *counts, found.windowed]
            self._journal.add(key, known)
        return Verdict(tuple(known[0]), *known[1:])

    def close(self) -> None:
        """Does nothing: the owner of the verifier closes it."""


class Journals:
    """The journals of unfinished prompts.

    Args:
        folder: where they lie; made with the first.
        identity: identifies the models: samples of other models are never reused.

    Attributes:
        identity: as given.
    """

    def __init__(self, folder: Path, identity: str) -> None:
        self._folder, self.identity = folder, identity

    @contextmanager
    def recording(self, models: Models, prompt: str) -> Iterator[Models]:
        """A prompt's models, all of them journaled, for as long as the block lasts."""
        journal = PromptJournal(self._path(prompt))
        try:
            yield _journaled(models, journal, self.identity)
        finally:
            journal.close()

    def read(self, prompts: Iterable[str]) -> dict[str, bytes]:
        """What the journals of prompts hold, for another process; prompts without one are left out.

        Raises:
            InputError: a damaged journal.
        """
        paths = {prompt: self._path(prompt) for prompt in prompts}
        found = {prompt: path for prompt, path in paths.items() if path.is_file()}
        for path in found.values():
            PromptJournal(path)  # refuses what is damaged here, where its file can be removed
        return {prompt: path.read_bytes() for prompt, path in found.items()}

    def write(self, journals_by_prompt: Mapping[str, bytes]) -> None:
        """Replace the journals of prompts by what another process gave.

        Args:
            journals_by_prompt: as `read` returns it.

        Raises:
            InputError: the disk is full or missing; what was written before is kept.
        """
        for prompt, lines in journals_by_prompt.items():
            path = self._path(prompt)
            with reports_unwritable("samples", path, KEPT):
                path.parent.mkdir(parents=True, exist_ok=True)
                with atomic_write(path) as scratch:
                    scratch.write_bytes(lines)

    def remove(self, prompts: Iterable[str]) -> None:
        """Remove the journals of prompts whose records are stored."""
        for prompt in prompts:
            self._path(prompt).unlink(missing_ok=True)
        with suppress(OSError):  # other journals are left, or there was no folder
            self._folder.rmdir()

    def _path(self, prompt: str) -> Path:
        return self._folder / f"{hashlib.sha256(prompt.encode()).hexdigest()[:32]}.jsonl"


def _journaled(models: Models, journal: PromptJournal, identity: str) -> Models:
    engine = JournaledEngine(models.engine, journal, f"{identity} model")
    verifier = JournaledVerifier(models.verifier, journal, f"{identity} verifier")
    reviser = models.reviser
    if reviser is not None:
        # A reviser that shares a model keeps sharing it.
        reviser = replace(
            reviser,
            engine=engine
            if reviser.engine is models.engine
            else JournaledEngine(reviser.engine, journal, f"{identity} reviser"),
            verifier=verifier
            if reviser.verifier is models.verifier
            else JournaledVerifier(reviser.verifier, journal, f"{identity} reviser's verifier"),
        )
    return replace(models, engine=engine, verifier=verifier, reviser=reviser)


def _pack(completion: Completion, confidences: list[float] | None) -> list[Any]:
    """A completion as it is journaled: its first five fields in their order, then two that may be
    missing: the confidences, and True if the completion repeats itself.

    Args:
        completion: what was sampled.
        confidences: of its tokens; None where they were not requested. Of a completion that repeats
            itself they are then an empty list, which keeps the place.
    """
    packed = [
        [int(token) for token in completion.token_ids],
        float(completion.logprob),
        bool(completion.ended),
        int(completion.cached_tokens),
        completion.stopped_by,
    ]
    if confidences is not None or completion.repeating:
        packed.append(confidences or [])
    if completion.repeating:
        packed.append(True)
    return packed


def _unpack(values: Sequence[Any]) -> tuple[Completion, list[float]]:
    """The completion and the confidences that `_pack` has packed; these are empty if missing."""
    token_ids, logprob, ended, cached_tokens, stopped_by, *optional = values
    completion = Completion(tuple(token_ids), logprob, ended, cached_tokens, stopped_by)
    confidences = optional[0] if optional else []
    return replace(completion, repeating=len(optional) > 1), confidences


def _key(*parts: object) -> str:
    return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()
