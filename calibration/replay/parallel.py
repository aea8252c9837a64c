"""Work on several cores, by scikit-learn's `n_jobs`: the same figures for any number of jobs.

What the parts are never depends on `n_jobs`, results come in the parts' order, and BLAS, whose sums
depend on its number of threads, has one thread throughout.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TypeVar

from allocator.errors import InputError
from runtime.processes import begin_worker

Part = TypeVar("Part")
Result = TypeVar("Result")

# Solutions to replay from which processes are started: below, one process takes 2 seconds at most,
# about what processes take to start and to receive the samples.
MIN_SOLUTIONS = 2_000_000
# Idle processes end after this. Those of one calibration are used several times.
IDLE_SECONDS = 30


def jobs_of(n_jobs: int | None) -> int:
    """How many jobs run at a time.

    Args:
        n_jobs: 1 or None runs everything in this process, -1 uses all cores, -2 all but one. None
            is what `joblib.parallel_config` sets, inside of such a block.

    Raises:
        InputError: 0, or not a whole number.
    """
    check_jobs(n_jobs)
    from joblib import effective_n_jobs

    return int(effective_n_jobs(n_jobs))


def check_jobs(n_jobs: int | None) -> None:
    """Check a number of jobs, without loading joblib.

    Raises:
        InputError: 0, or not a whole number.
    """
    if n_jobs is not None and (
        isinstance(n_jobs, bool) or not isinstance(n_jobs, int) or not n_jobs
    ):
        raise InputError("n_jobs", n_jobs, "must be a whole number but 0; -1 uses all cores")


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """BLAS has one thread while the block lasts: its sums depend on the number of threads."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, "blas"):
        yield


def in_threads(
    function: Callable[[Part], Result], parts: Sequence[Part], n_jobs: int | None
) -> list[Result]:
    """The function of each part, for functions that spend their time in numpy or LightGBM.

    Raises:
        InputError: as `jobs_of`.
    """
    from joblib import Parallel, delayed

    jobs = min(jobs_of(n_jobs), len(parts))
    with one_blas_thread():
        if jobs <= 1:
            return [function(part) for part in parts]
        parallel = Parallel(jobs, backend="threading")
        return list(parallel(delayed(function)(part) for part in parts))


def in_processes(
    function: Callable[[Part], Result],
    parts: Sequence[Part],
    n_jobs: int | None,
    solutions: int,
) -> list[Result]:
    """The function of each part, for functions that spend their time in Python itself.

    Args:
        function: importable by its name.
        parts: picklable.
        n_jobs: see `jobs_of`.
        solutions: how many are replayed in all; below `MIN_SOLUTIONS` no process is started.

    Raises:
        InputError: as `jobs_of`.
    """
    jobs = min(jobs_of(n_jobs), len(parts))
    if jobs <= 1 or solutions < MIN_SOLUTIONS:
        return [function(part) for part in parts]
    from joblib import Parallel, delayed

    parallel = Parallel(jobs, backend="loky", idle_worker_timeout=IDLE_SECONDS)
    return list(parallel(delayed(_in_worker)(function, part) for part in parts))


def _in_worker(function: Callable[[Part], Result], part: Part) -> Result:
    _begin()
    return function(part)


@cache
def _begin() -> None:
    """Once in each process: it leaves Ctrl-C to its parent, and ends with it, even if killed."""
    begin_worker(os.getppid())
