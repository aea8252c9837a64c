"""A peer's worker: a process in the peer's environment that takes jobs and replies to each."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

JOB_SECONDS = 900
LONGEST_LINE = 2**26


@dataclass(frozen=True)
class Reply:
    """A contender's results for all prompts.

    Attributes:
        seconds: wall time, imports and start not counted.
        texts: the chosen solution of each prompt.
        generations: solutions that each prompt took.
    """

    seconds: float
    texts: list[str]
    generations: list[int]


class FailedError(Exception):
    """Why a peer could not do a job."""


class Worker:
    """A running worker; one job at a time.

    Args:
        process: started with pipes.

    Raises:
        ValueError: the process has none.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        if process.stdin is None or process.stdout is None:
            raise ValueError("a worker's process needs pipes")
        self._process, self._jobs, self._replies = process, process.stdin, process.stdout

    async def ask(self, job: dict[str, Any]) -> Reply:
        """Run a job and return the reply.

        Raises:
            FailedError: the worker reported an error, ended, or took too long.
        """
        self._jobs.write((json.dumps(job) + "\n").encode())
        try:
            line = await asyncio.wait_for(self._replies.readline(), JOB_SECONDS)
        except TimeoutError:
            raise FailedError(f"no reply in {JOB_SECONDS} seconds") from None
        if not line:
            raise FailedError(f"it ended with status {await self._process.wait()}")
        reply = json.loads(line)
        if "error" in reply:
            raise FailedError(reply["error"])
        return Reply(**reply)


@asynccontextmanager
async def started(python: Path, script: Path, log: Path) -> AsyncIterator[Worker]:
    """A worker for as long as the block lasts.

    Args:
        python: the interpreter of its environment.
        script: the script to run.
        log: file for its other output.
    """
    with log.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            str(python),
            str(script),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            limit=LONGEST_LINE,
        )
        try:
            yield Worker(process)
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
