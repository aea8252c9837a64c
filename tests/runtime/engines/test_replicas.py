"""Which server a request goes to."""

from collections import Counter
from contextlib import ExitStack

from runtime.engines import replicas
from runtime.engines.replicas import Replicas

URLS = ["http://a", "http://b", "http://c", "http://d"]
SYSTEM = tuple(range(64))  # a system prompt that all share


def test_prompts_that_begin_alike_spread_over_all_servers() -> None:
    servers = Replicas(URLS)
    counts: Counter[int] = Counter()
    with ExitStack() as unanswered:
        for number in range(400):
            place = servers.place((*SYSTEM, number))
            counts[place] += 1
            unanswered.enter_context(servers.busy(place, 1))
    assert set(counts) == {0, 1, 2, 3}
    assert max(counts.values()) - min(counts.values()) <= 8


def test_samples_of_a_prompt_and_what_grows_from_them_stay_together() -> None:
    servers = Replicas(URLS)
    prompt = (*SYSTEM, 7)
    place = servers.place(prompt)
    with servers.busy(place, 100):  # busy as it is
        assert servers.place(prompt) == place
        servers.note_cached(place, prompt, [(1, 2), (1, 3)])
        assert servers.place((*prompt, 1, 2)) == place
        assert servers.place((*prompt, 1, 3)) == place


def test_the_less_busy_of_two_takes_a_new_text() -> None:
    servers = Replicas(URLS[:2])
    with servers.busy(0, 3):
        # Only where both of a text's servers are the busy one does it go there.
        places = [servers.place((number,)) for number in range(200)]
    assert places.count(0) < 80


def test_after_a_failure_the_server_that_answered_is_remembered() -> None:
    servers = Replicas(URLS)
    place = servers.place(SYSTEM)
    servers.note_cached(servers.after(place), SYSTEM, [])
    assert servers.place(SYSTEM) == (place + 1) % len(URLS)


def test_a_server_that_does_not_answer_gets_nothing_new() -> None:
    servers = Replicas(URLS)
    place = servers.place(SYSTEM)
    for _ in range(replicas.FAILURES):
        assert servers.place(SYSTEM) == place
        servers.note_probe(place, answers=False)
    assert servers.place(SYSTEM) != place
    assert place not in {servers.place((number,)) for number in range(100)}
    assert {servers.after(other) for other in range(len(URLS))} == {*range(len(URLS))} - {place}
    servers.note_probe(place, answers=True)
    assert place in {servers.place((1000 + number,)) for number in range(100)}
    assert servers.alive
    for dead in range(len(servers)):
        for _ in range(replicas.FAILURES):
            servers.note_probe(dead, answers=False)
    assert not servers.alive
    servers.place((3000,))  # somewhere, all the same


def test_what_was_longest_unused_is_forgotten() -> None:
    servers = Replicas(URLS)
    for number in range(replicas.REMEMBERED + 10):
        servers.place((number,))
    assert len(servers._known_places) == replicas.REMEMBERED
