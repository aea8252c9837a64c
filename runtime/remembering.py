"""Caches of bounded size."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


def remember(kept: OrderedDict[Key, Value], new: Mapping[Key, Value], most: int) -> None:
    """Add entries to a cache, and remove its oldest ones.

    Args:
        kept: the cache.
        new: the entries.
        most: entries that it holds at most.
    """
    kept |= new
    while len(kept) > most:
        kept.popitem(last=False)
