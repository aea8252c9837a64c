"""A KV cache of finite size with prefix caching, as vLLM has it: blocks, references, eviction."""

from collections.abc import Sequence

# A block that holds what no other block holds yet, or what is not to be found again.
PRIVATE = None

BlockKey = int


class KVCache:
    """Blocks of tokens. What is full can be found by its text until it is evicted.

    Blocks that no request uses stay until others need the room; the longest unused go first, and
    of one text the last tokens before the first.

    Args:
        blocks: how many there are.

    Attributes:
        evicted: blocks whose text was forgotten for room.
    """

    def __init__(self, blocks: int) -> None:
        self.blocks, self.evicted = blocks, 0
        self._blank = blocks
        self._users: dict[BlockKey, int] = {}
        self._unused: dict[BlockKey, None] = {}  # the longest unused first

    @property
    def free(self) -> int:
        """Blocks that may be taken, those with unused texts among them."""
        return self._blank + len(self._unused)

    def known(self, keys: Sequence[BlockKey]) -> int:
        """How many of a text's first blocks are there."""
        count = 0
        for key in keys:
            if key not in self._users:
                break
            count += 1
        return count

    def unused(self, keys: Sequence[BlockKey]) -> int:
        """How many of these blocks count as free as long as nobody uses them."""
        return sum(key in self._unused for key in keys)

    def use(self, keys: Sequence[BlockKey]) -> None:
        """Use blocks that are there."""
        for key in keys:
            self._users[key] += 1
            self._unused.pop(key, None)

    def take(self, count: int) -> bool:
        """Take blocks for new tokens, evicting what is needed; False if there are too few."""
        if count > self.free:
            return False
        for _ in range(count - self._blank):
            oldest = next(iter(self._unused))
            del self._unused[oldest], self._users[oldest]
            self._blank += 1
            self.evicted += 1
        self._blank -= count
        return True

    def fill(self, key: BlockKey) -> BlockKey | None:
        """A block that was taken is full of this text.

        Returns:
            How to give it back: by its text, or as `PRIVATE` where another block has that text.
        """
        if key in self._users:
            return PRIVATE
        self._users[key] = 1
        return key

    def give_back(self, blocks: Sequence[BlockKey | None]) -> None:
        """A request's blocks, in their text's order, are used by it no more."""
        for key in reversed(blocks):
            if key is PRIVATE:
                self._blank += 1
                continue
            self._users[key] -= 1
            if not self._users[key]:
                self._unused[key] = None


def block_keys(token_ids: Sequence[int], size: int) -> list[BlockKey]:
    """A key for the text up to the end of each full block."""
    keys, key = [], 0
    for end in range(size, len(token_ids) + 1, size):
        key = hash((key, tuple(token_ids[end - size : end])))
        keys.append(key)
    return keys
