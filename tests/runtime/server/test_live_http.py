"""The live page over HTTP: its headers, its key, its stream, and readers of every kind."""

import gc
import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from runtime.request import Event, SearchStep
from runtime.server.live.page import Reader
from runtime.server.service import CANCEL_SECONDS
from tests.support.live_server import Served
from tests.support.waiting import eventually

KEY = "right"


@pytest.mark.slow
def test_the_page_runs_nothing_but_its_own(served: Served) -> None:
    page = httpx.get(served.url)
    policy = dict(
        part.split(" ", 1) for part in page.headers["content-security-policy"].split("; ")
    )
    assert policy["default-src"] == "'none'"
    assert policy["connect-src"] == "'self'"
    assert policy["script-src"].startswith("'sha256-")
    assert "unsafe" not in page.headers["content-security-policy"]
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["cache-control"] == "no-store"
    assert len(page.text.splitlines()) < 400


@pytest.mark.slow
def test_the_board_is_for_those_with_a_key() -> None:
    served = Served(key=KEY)
    try:
        assert httpx.get(served.url).status_code == 200
        for path in ("/live/state", "/live/events"):
            assert httpx.get(served.url + path).status_code == 401
        found = httpx.get(f"{served.url}/live/state", headers={"Authorization": f"Bearer {KEY}"})
        assert found.json()["totals"]["running"] == 0
    finally:
        served.stop()


def events(lines: Iterator[str]) -> Iterator[tuple[str, Any]]:
    for line in lines:
        if line.startswith("event: "):
            yield line.removeprefix("event: "), json.loads(next(lines).removeprefix("data: "))


@pytest.mark.slow
def test_events_begin_with_all_and_go_on_with_what_is_new(served: Served) -> None:
    view = served.do(lambda: served.live_store.begin("chatcmpl-1", "coins", 8, "90*7"))
    with httpx.stream("GET", f"{served.url}/live/events?open={view.number}") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        found = events(answer.iter_lines())
        name, news = next(found)
        assert (name, news["requests"][0]["prompt"]) == ("snapshot", "90*7")

        def busy() -> None:
            for place in range(500):
                step = SearchStep("beam_search", 8, 0, 0, place)
                view.on_event(Event(kind="step", step=step, score=0.5))

        served.do(busy)
        name, news = next(found)
        assert name == "update"
        assert len(news["requests"][0]["whole"]["search"]["steps"]) == 500
        # The server stops although somebody reads on.
        assert served.stop() < CANCEL_SECONDS
        assert list(found) == []


def readers() -> list[Reader]:
    gc.collect()
    return [thing for thing in gc.get_objects() if type(thing) is Reader]


@pytest.mark.slow
def test_a_reader_who_goes_away_leaves_nothing_behind(served: Served) -> None:
    for _ in range(3):
        with httpx.stream("GET", f"{served.url}/live/events") as answer:
            lines = answer.iter_lines()  # it hangs up when this is dropped
            next(lines)
            assert readers() != []
    eventually(lambda: not readers())


@pytest.mark.slow
def test_a_reader_who_does_not_read_has_nothing_queued(served: Served) -> None:
    long = "\N{CAT}" * 160
    views = [served.do(lambda: served.live_store.begin("c", "m", 8, long)) for _ in range(300)]
    step = Event(kind="step", step=SearchStep("beam_search", 8, 0, 0, 0), score=0.5)
    seen: list[int] = []
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(("127.0.0.1", served.port))
        deaf.sendall(b"GET /live/events HTTP/1.1\r\nHost: x\r\n\r\n")
        # Once the connection is full, it looks at the board no more.
        while len(seen) < 4 or len(set(seen[-4:])) > 1:
            served.do(lambda: [view.on_event(step) for view in views])
            time.sleep(0.25)
            seen += [reader._version for reader in readers()]
            assert len(seen) < 60
        assert seen[-1] < served.live_store.version
        assert len(httpx.get(f"{served.url}/live/state").json()["requests"]) == 300
    assert served.stop() < CANCEL_SECONDS
