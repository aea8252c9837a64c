"""Records traffic for calibration: a thread writes, and no request waits for it."""

import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client import Counter

from allocator.errors import InputError
from allocator.lock import exclusive
from predictors.scoring import Scoring
from runtime.artifact import SETTINGS
from runtime.engines.base import SamplingSettings
from runtime.result import Result
from runtime.server.logs import LOGGER
from runtime.server.prompt_requests import PromptRequest
from runtime.server.settings import ServeSettings
from runtime.server.share import in_share
from runtime.settings import Settings
from runtime.solving.metrics import Metrics
from runtime.traffic import (
    FILE,
    FILES,
    MIN_SAMPLES,
    Line,
    RecordedPrompt,
    RecordedVerdict,
    question_id,
    read_lines,
)

QUEUE = 1024  # lines that wait for the disk; further ones are dropped
PARTS = 8  # files; the oldest makes room for the newest
CLOSE_SECONDS = 10.0
PAUSE = 60.0  # seconds without prompts to record, after a write that the disk refused
LOCK = "lock"


@dataclass
class _File:
    """One of the folder's files: its size in bytes, and the prompts that it holds."""

    size: int = 0
    questions: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Waiting:
    """A line that waits for the disk.

    Attributes:
        make: makes the line.
        lost: called if it cannot be written.
    """

    make: Callable[[], Line]
    lost: Callable[[], None] = lambda: None


class Recorder:
    """Samples and verdicts of a share of the prompts, in a folder of bounded size.

    Which prompts are recorded depends on their hash alone. Each is recorded once: asked again
    under the same seed, it would get the same samples.

    Args:
        folder: where; see `runtime.traffic`.
        share: share of the prompts.
        max_bytes: size of all files; the oldest are removed.
        show_prompts: whether prompts and answers may be read by people.
        metrics: where it is counted what was written, dropped, or could not be written.

    Attributes:
        found: prompts that had been recorded before the start; empty once they were taken over.

    Raises:
        InputError: a damaged file.
    """

    def __init__(
        self, folder: Path, share: float, max_bytes: int, show_prompts: bool, metrics: Metrics
    ) -> None:
        self.found: list[RecordedPrompt] = []
        self._folder, self._share, self._show_prompts = folder, share, show_prompts
        self._max_bytes = max_bytes
        self._questions: set[str] = set()
        self._files: dict[Path, _File] = {}
        for path in sorted(folder.glob(FILES)):
            self._read(path)
        self._number = max((int(path.stem[-6:]) for path in self._files), default=0)
        self._current: Path | None = None  # the last file may end in the middle of a line
        self._waiting: queue.Queue[_Waiting | None] = queue.Queue(QUEUE)
        self._resumes = 0.0  # when prompts are recorded again, by time.monotonic
        self._lines = Counter(
            "recorded_lines",
            "Lines of recorded traffic, by what became of them",
            ("outcome",),
            namespace="ttc",
            registry=metrics.registry,
        )
        metrics.watch("record_bytes", "Size of the recorded traffic", self._size)
        self._thread = threading.Thread(target=self._write_all, name="recorder", daemon=True)
        self._thread.start()

    def takes(self, prompt_request: PromptRequest, calibrated: SamplingSettings) -> bool:
        """Whether a prompt is to be recorded; from then on it counts as recorded.

        Only prompts whose solutions are sampled as in calibration are: others say nothing of it.

        Args:
            prompt_request: the prompt.
            calibrated: how calibration's solutions were sampled.
        """
        if time.monotonic() < self._resumes:
            return False
        request, spend = prompt_request.request, prompt_request.spend
        if spend.budget is None or spend.budget < MIN_SAMPLES or spend.deadline is not None:
            return False
        if request.settings is not None and not request.settings.samples_as(calibrated):
            return False
        question = question_id(request.text)
        if not in_share(question, self._share) or question in self._questions:
            return False
        self._questions.add(question)
        return True

    def forget(self, prompt: str) -> None:
        """Let a prompt be recorded later: this time it got no answer."""
        self._questions.discard(question_id(prompt))

    def prompt(
        self,
        result: Result,
        *,
        request: str,
        prompt: int,
        choices: int,
        artifact: str,
        scoring: Scoring,
        lost: Callable[[], None],
    ) -> None:
        """Have a prompt's samples written, soon.

        Arguments as those of `RecordedPrompt.of`.

        Args:
            lost: called, maybe in another thread, if they are not: the queue or the disk is full.
        """

        def line() -> Line:
            return RecordedPrompt.of(
                result.prompt,
                result.ranked,
                request=request,
                prompt=prompt,
                choices=choices,
                artifact=artifact,
                scoring=scoring,
                show_prompts=self._show_prompts,
            )

        def unwritten() -> None:
            self.forget(result.prompt)
            lost()

        self._put(_Waiting(line, unwritten))

    def verdict(self, verdict: RecordedVerdict) -> None:
        """Have a verdict written, soon."""
        self._put(_Waiting(lambda: verdict))

    def close(self) -> None:
        """Write what waits, and end."""
        with suppress(queue.Full):  # the disk hangs: the thread ends with the process
            self._waiting.put(None, timeout=CLOSE_SECONDS)
            self._thread.join(CLOSE_SECONDS)

    def _put(self, waiting: _Waiting) -> None:
        try:
            self._waiting.put_nowait(waiting)
        except queue.Full:
            self._lines.labels("dropped").inc()
            waiting.lost()

    def _read(self, path: Path) -> None:
        self._files[path] = found = _File(path.stat().st_size)
        for line in read_lines(path):
            if isinstance(line, RecordedPrompt):
                found.questions.append(line.question)
                self.found.append(line)
        self._questions.update(found.questions)

    def _write_all(self) -> None:
        failing = False
        while (waiting := self._waiting.get()) is not None:
            try:
                self._write(waiting.make())
                self._lines.labels("written").inc()
                failing, self._resumes = False, 0.0
            except Exception as error:  # a full disk, a solution without a score: requests go on
                if isinstance(error, OSError):
                    self._resumes = time.monotonic() + PAUSE
                waiting.lost()
                self._lines.labels("failed").inc()
                if not failing:
                    fields = {"folder": str(self._folder), "why": repr(error)}
                    LOGGER.error("record_failed", extra={"fields": fields})
                failing = True

    def _write(self, line: Line) -> None:
        text = line.model_dump_json().encode() + b"\n"
        current = self._current
        if current is None or self._files[current].size + len(text) > self._max_bytes / PARTS:
            self._number += 1
            current = self._current = self._folder / FILE.format(self._number)
            self._files[current] = _File()
        while len(self._files) > 1 and self._size() + len(text) > self._max_bytes:
            self._remove(next(iter(self._files)))
        try:
            with current.open("ab") as file:
                file.write(text)
        except OSError:
            # Of a line that a full disk cuts off, nothing may stay: the next would go on from it.
            with suppress(OSError):
                os.truncate(current, self._files[current].size)
            raise
        self._files[current].size += len(text)
        if isinstance(line, RecordedPrompt):
            self._files[current].questions.append(line.question)

    def _remove(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self._questions.difference_update(self._files.pop(path).questions)

    def _size(self) -> float:
        return sum(file.size for file in list(self._files.values()))


@contextmanager
def recording(
    serve_settings: ServeSettings, settings: Settings, metrics: Metrics
) -> Iterator[Recorder | None]:
    """The recorder that the settings request, for as long as the block lasts; None for none.

    Args:
        serve_settings: the server's.
        settings: models, answers and sampling; folders are absolute.
        metrics: see `Recorder`.

    Raises:
        InputError: a folder that cannot be written, that another server records into, that holds
            other files or samples of other models, or a damaged file.
    """
    if not serve_settings.record:
        yield None
        return
    folder = Path(serve_settings.record)
    with exclusive(folder / LOCK, folder, "record"):
        _check_same(folder, settings)
        settings.save(folder / SETTINGS)
        recorder = Recorder(
            folder,
            serve_settings.record_share,
            serve_settings.record_megabytes * 2**20,
            serve_settings.record_prompts,
            metrics,
        )
        try:
            yield recorder
        finally:
            recorder.close()


def _check_same(folder: Path, settings: Settings) -> None:
    """Check that what a folder holds was sampled with the same models and settings."""
    path = folder / SETTINGS
    if not path.is_file():
        if any(file.name != LOCK for file in folder.iterdir()):
            raise InputError("record", str(folder), "it holds other files; give a new folder")
        return
    # The score of a sample can be computed again; and arguments of engines are of the machine.
    ignored = {"scoring", "engine_args", "verifier_args", "reviser_args"}
    before, now = (each.model_dump(exclude=ignored) for each in (Settings.load(path), settings))
    for name in now:
        if before[name] != now[name]:
            raise InputError(
                "record",
                str(folder),
                f"its samples were drawn with {name} {before[name]!r}, not {now[name]!r}; give "
                "another folder",
            )
