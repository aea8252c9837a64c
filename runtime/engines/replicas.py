"""Which of several servers a request goes to: the one that knows its text, or one less busy."""

from collections import OrderedDict
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

from runtime.engines.tokenizer import text_key

# Texts whose server is remembered; what a search grows is asked for again within seconds.
REMEMBERED = 100_000
# Health checks in a row that a server must have failed to be taken for dead.
FAILURES = 3


class Replicas:
    """Servers of one model, each with a prefix cache of its own.

    Samples of one prompt, and whatever grows from a completion, go where the text before it is
    cached. Other texts are new, even if they begin alike, as prompts with a common system prompt
    do: they go to the less busy of two servers that their hash names, which keeps all about
    equally busy. Servers that do not answer get nothing new, as long as others do.

    Args:
        urls: where they are.
        unreachable: those of them that do not answer.
    """

    def __init__(self, urls: Sequence[str], unreachable: Collection[str] = ()) -> None:
        self._urls = list(urls)
        self._requests = [0] * len(self._urls)
        self._failures = [FAILURES if url in unreachable else 0 for url in self._urls]
        self._known_places: OrderedDict[bytes, int] = OrderedDict()

    def place(self, token_ids: Sequence[int]) -> int:
        """Number of the server for a text."""
        key, among = text_key(token_ids), self.in_use
        known = self._known_places.get(key)
        if known in among:
            self._known_places.move_to_end(key)
            return known
        first, further = int.from_bytes(key[:8]) % len(among), int.from_bytes(key[8:])
        second = (first + 1 + further % max(1, len(among) - 1)) % len(among)
        place = min(among[first], among[second], key=self._requests.__getitem__)
        self._remember(key, place)
        return place

    def after(self, place: int) -> int:
        """Number of the server to try after another one."""
        among = self.in_use
        return next((further for further in among if further > place), among[0])

    @property
    def in_use(self) -> list[int]:
        """Numbers of the servers that answer; of all, if none does."""
        places = range(len(self._urls))
        return [place for place in places if self.answers(place)] or list(places)

    @property
    def requests(self) -> int:
        """Requests that they have, a choice counted as one."""
        return sum(self._requests)

    @property
    def alive(self) -> bool:
        """Whether any server answers."""
        return any(self.answers(place) for place in range(len(self._urls)))

    def note_probe(self, place: int, answers: bool) -> None:
        """Note whether a server has answered a health check."""
        self._failures[place] = 0 if answers else self._failures[place] + 1

    def answers(self, place: int) -> bool:
        """Whether a server answers, as of its last health checks."""
        return self._failures[place] < FAILURES

    def __len__(self) -> int:
        return len(self._urls)

    def url(self, place: int) -> str:
        """Where a server is."""
        return self._urls[place]

    @contextmanager
    def busy(self, place: int, choices: int) -> Iterator[None]:
        """A server is busy with a request of some choices for as long as the block lasts."""
        self._requests[place] += choices
        try:
            yield
        finally:
            self._requests[place] -= choices

    def note_cached(
        self, place: int, token_ids: Sequence[int], completions: Sequence[Sequence[int]]
    ) -> None:
        """Note that a server has a text in its cache, and its completions of that text."""
        self._remember(text_key(token_ids), place)
        for completion in completions:
            self._remember(text_key([*token_ids, *completion]), place)

    def _remember(self, key: bytes, place: int) -> None:
        self._known_places[key] = place
        self._known_places.move_to_end(key)
        while len(self._known_places) > REMEMBERED:
            self._known_places.popitem(last=False)
