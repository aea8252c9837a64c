"""A progress bar, as vLLM shows one."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm.auto import tqdm


@contextmanager
def progress(
    use_tqdm: "bool | Callable[..., tqdm]", total: int
) -> Iterator[Callable[[object], None]]:
    """A function to call with each result.

    Args:
        use_tqdm: whether to show a bar, or a function that creates it.
        total: number of results.
    """
    if not use_tqdm:
        yield lambda _: None
        return
    make = use_tqdm if callable(use_tqdm) else tqdm
    with make(total=total, desc="Processed prompts", dynamic_ncols=True) as bar:
        yield lambda _: bar.update(1)
