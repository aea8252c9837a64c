"""The live page over HTTP and in a real browser: it shows what runs, and asks for nothing else."""

import asyncio
import gc
import json
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from playwright.sync_api import Browser, Page, expect

from allocator.plan import Plan, parse_plan
from runtime.artifact import Artifact
from runtime.request import Event
from runtime.request import Request as Prompt
from runtime.result import Result
from runtime.server.errors import ApiError
from runtime.server.live import Board, Reader, live_router
from runtime.solve import Solver
from tests.artifacts import bent_decoder, bent_prompts
from tests.pages import FAINT, OUTSIDE

KEY = "Bearer right"
HOSTILE = "<img src=x onerror=\"document.title='hacked'\"><script>document.title='hacked'</script>"


class Served:
    """The live page behind a real uvicorn in a thread of its own.

    Args:
        port: to listen on; 0 takes any.
        key: Authorization header to ask for.
    """

    def __init__(self, port: int = 0, key: str | None = None) -> None:
        self.board = Board(show_prompts=True)
        app = FastAPI()

        def authorised(header: str | None) -> None:
            if key is not None and header != key:
                raise ApiError(401, "give a key")

        @app.exception_handler(ApiError)
        async def refuse(_: Request, error: ApiError) -> JSONResponse:
            return JSONResponse(error.body, error.status)

        app.include_router(live_router(self.board, authorised))
        self._socket = socket.create_server(("127.0.0.1", port))
        self.port = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        await self._server.serve([self._socket])

    def do(self, work: Callable[[], Any]) -> Any:
        """What `work` returns, called in the server's loop, as all that happens to a board is."""

        async def called() -> Any:
            return work()

        return self.run(called())

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def stop(self) -> float:
        """Stop it, unless it has been; seconds that took."""
        started = time.perf_counter()
        if not self._thread.is_alive():
            return 0
        self.do(self.board.close)
        self._server.should_exit = True
        self._thread.join(20)
        assert not self._thread.is_alive()
        return time.perf_counter() - started


@pytest.fixture
def served() -> Iterator[Served]:
    served = Served()
    yield served
    served.stop()


def solve(
    served: Served, tokenizer: Any, artifact: Artifact, prompt: str, plan: str | None = None
) -> Result:
    """A prompt answered with bent coins, under the board's eyes."""
    solver = Solver(
        bent_decoder(tokenizer), artifact, fixed=None if plan is None else parse_plan(plan)
    )

    async def one() -> Result:
        card = served.board.begin("chatcmpl-1", "coins", 8, prompt)
        result = await solver.solve(Prompt(prompt, watch=card.watch), 8)
        card.finished(result)
        return result

    return served.run(one())  # type: ignore[no-any-return]


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


def test_the_board_is_for_those_with_a_key() -> None:
    served = Served(key=KEY)
    try:
        assert httpx.get(served.url).status_code == 200
        for path in ("/live/state", "/live/events"):
            assert httpx.get(served.url + path).status_code == 401
        found = httpx.get(f"{served.url}/live/state", headers={"Authorization": KEY})
        assert found.json()["totals"]["running"] == 0
    finally:
        served.stop()


def events(lines: Iterator[str]) -> Iterator[tuple[str, Any]]:
    for line in lines:
        if line.startswith("event: "):
            yield line.removeprefix("event: "), json.loads(next(lines).removeprefix("data: "))


def test_events_begin_with_all_and_go_on_with_what_is_new(served: Served) -> None:
    card = served.do(lambda: served.board.begin("chatcmpl-1", "coins", 8, "90*7"))
    with httpx.stream("GET", f"{served.url}/live/events?open={card.number}") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        found = events(answer.iter_lines())
        name, news = next(found)
        assert (name, news["requests"][0]["prompt"]) == ("snapshot", "90*7")

        def busy() -> None:
            for place in range(500):
                path = ("beam_search", 8, 2, 0, 0, place)
                card.watch(Event(kind="step", path=path, score=0.5))

        served.do(busy)
        name, news = next(found)
        assert name == "update"
        assert len(news["requests"][0]["whole"]["search"]["steps"]) == 500
        # The server stops although somebody reads on.
        assert served.stop() < 2
        assert list(found) == []


def readers() -> list[Reader]:
    gc.collect()
    return [thing for thing in gc.get_objects() if type(thing) is Reader]


def test_a_reader_who_goes_away_leaves_nothing_behind(served: Served) -> None:
    for _ in range(3):
        with httpx.stream("GET", f"{served.url}/live/events") as answer:
            lines = answer.iter_lines()  # it hangs up when this is dropped
            next(lines)
            assert readers() != []
    deadline = time.perf_counter() + 5
    while readers():
        assert time.perf_counter() < deadline
        time.sleep(0.05)


def test_a_reader_who_does_not_read_has_nothing_queued(served: Served) -> None:
    long = "\N{CAT}" * 160
    cards = [served.do(lambda: served.board.begin("c", "m", 8, long)) for _ in range(300)]
    step = Event(kind="step", path=("beam_search", 8, 2, 0, 0, 0), score=0.5)
    seen = []
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(("127.0.0.1", served.port))
        deaf.sendall(b"GET /live/events HTTP/1.1\r\nHost: x\r\n\r\n")
        # Once the connection is full, it looks at the board no more.
        while len(seen) < 4 or len(set(seen[-4:])) > 1:
            served.do(lambda: [card.watch(step) for card in cards])
            time.sleep(0.25)
            seen += [reader._version for reader in readers()]
            assert len(seen) < 60
        assert seen[-1] < served.board.version
        assert len(httpx.get(f"{served.url}/live/state").json()["requests"]) == 300
    assert served.stop() < 2


@pytest.fixture
def page(browser: Browser, served: Served) -> Iterator[Page]:
    """The live page; it says nothing on the console and asks nobody else for anything."""
    page = browser.new_page()
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(served.url)
    expect(page.locator("#link")).to_have_text("live")
    yield page
    page.close()
    assert said == []
    assert asked != []
    assert all(url.startswith(served.url) or url.startswith("data:") for url in asked)


def test_requests_are_shown_as_they_run_and_as_they_end(
    page: Page, served: Served, tokenizer: Any, bent: Artifact
) -> None:
    expect(page.locator("#none")).to_be_visible()
    card = served.do(lambda: served.board.begin("chatcmpl-9", "coins", 8, "12*3"))
    row = page.locator("li").first
    expect(row.locator(".status")).to_have_text("running")
    expect(row.locator(".spent")).to_have_text("0 of 8")
    expect(page.locator("#running")).to_have_text("1")
    expect(page.locator("#none")).to_be_hidden()
    seconds = row.locator(".seconds").inner_text()
    expect(row.locator(".seconds")).not_to_have_text(seconds)

    solution = Event(kind="solution", path=("sample", 0), score=0.5, answer="2")
    served.do(lambda: card.watch(solution))
    expect(row.locator(".spent")).to_have_text("1 of 8")
    served.do(lambda: card.failed("verifier: it is dead"))
    expect(row.locator(".status")).to_have_text("failed")

    results = [solve(served, tokenizer, bent, prompt) for prompt in bent_prompts(12, seed=3)]
    expect(page.locator("li")).to_have_count(13)
    assert len({result.receipt.plan for result in results}) > 1
    for number, result in enumerate(reversed(results)):
        shown, receipt = page.locator("li").nth(number), result.receipt
        expect(shown.locator(".prompt")).to_have_text(result.prompt)
        expect(shown.locator(".answer")).to_have_text(str(result.answer))
        expect(shown.locator(".plan")).to_have_text(str(receipt.plan))
        expect(shown.locator(".spent")).to_have_text(f"{receipt.generations} of 8")
        if receipt.predicted_pass_at_1 is not None:
            words = f"{receipt.predicted_pass_at_1:.2f} · bin {receipt.bin} of {receipt.bins}"
            expect(shown.locator(".bin")).to_have_text(words)
    spent = sum(result.receipt.generations for result in results)
    expect(page.locator("#saved")).to_have_text(str(96 - spent))
    expect(page.locator("#share")).to_contain_text(f"{round(100 * (96 - spent) / 96)}% of 96")
    expect(page.locator("#requests-today")).to_have_text("13")
    expect(page.locator("#failed")).to_have_text("1")


def test_an_open_search_stays_open_and_can_be_walked_through(
    page: Page, served: Served, tokenizer: Any, bent: Artifact
) -> None:
    result = solve(served, tokenizer, bent, "60*1", "beam_search:8:2")
    row = page.locator("li", has_text="60*1")
    row.locator("summary").click()
    expect(row.locator(".tree circle")).to_have_count(8 * 4)
    expect(row.locator(".tree circle.ended")).to_have_count(8)
    expect(row.locator(".tree line.chosen")).to_have_count(3)
    expect(row.locator(".why")).to_contain_text("it was asked for")
    expect(row.locator(".votes b").first).to_have_text(str(result.answer))
    expect(row.locator(".receipt")).to_contain_text("generations")

    row.locator(".tree circle").first.focus()
    expect(row.locator(".read")).to_contain_text("round 1, place 1: score ")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    expect(row.locator(".read")).to_contain_text("round 2, place 2: score ")
    expect(row.locator("circle:focus title")).to_contain_text("round 2, place 2")

    # Others come and go above it; it stays as it is.
    for number in range(60):
        solve(served, tokenizer, bent, f"50*{number}")
    expect(page.locator("li").first.locator(".prompt")).to_have_text("50*59")
    expect(row.locator("circle:focus title")).to_contain_text("round 2, place 2")
    expect(page.locator("li")).to_have_count(51)
    row.locator("summary").click()
    expect(page.locator("li")).to_have_count(50)


def test_beams_are_drawn_as_they_grow(page: Page, served: Served) -> None:
    card = served.do(lambda: served.board.begin("chatcmpl-9", "coins", 8, "12*3"))
    page.locator("summary").click()
    for round_ in range(3):
        for place in range(4):
            path, parent = ("dvts", 4, 2, place // 2, round_, place % 2), ()
            if round_:
                parent = ("dvts", 4, 2, place // 2, round_ - 1, 0)  # type: ignore[assignment]
            step = Event(kind="step", path=path, parent=parent, score=place / 4)
            served.do(lambda step=step: card.watch(step))
        expect(page.locator(".tree circle")).to_have_count(4 * (round_ + 1))
        expect(page.locator(".tree line")).to_have_count(4 * round_)
    label = page.locator(".tree circle").last.get_attribute("aria-label")
    assert label == "round 3, place 4: score 0.75, continues place 3"


def test_hostile_words_are_only_words(page: Page, served: Served) -> None:
    card = served.do(lambda: served.board.begin(HOSTILE, HOSTILE, 8, HOSTILE))
    page.locator("summary").click()
    plan = Plan(strategy="best_of_n", n=2).model_dump()
    for event in (
        Event(kind="solution", path=("sample", 0), answer=HOSTILE, score=0.5),
        Event(kind="decision", decision={"plan": plan, "why": HOSTILE}),
    ):
        served.do(lambda event=event: card.watch(event))
    served.do(lambda: card.failed(HOSTILE))
    for part in (".prompt", ".text", ".why", "p.error", ".votes b"):
        expect(page.locator(part)).to_contain_text(HOSTILE)
    assert page.locator("img").count() == 0
    assert page.title() == "ttc serve"


def test_a_key_is_asked_for_and_kept(browser: Browser) -> None:
    served = Served(key=KEY)
    page = browser.new_page()
    try:
        page.goto(served.url)
        expect(page.locator("#link")).to_have_text("waiting for a key")
        for key, link in (("wrong", "waiting for a key"), ("right", "live")):
            page.locator("#key").fill(key)
            page.locator("button").click()
            expect(page.locator("#link")).to_have_text(link)
            expect(page.locator("#refused")).to_have_text("That key is not accepted.")
        expect(page.locator("#ask")).to_be_hidden()
        page.reload()
        expect(page.locator("#link")).to_have_text("live")
        assert page.evaluate("localStorage.length") == 0
    finally:
        page.close()
        served.stop()


def test_it_comes_back_when_the_server_does(browser: Browser) -> None:
    served = Served()
    page = browser.new_page()
    page.goto(served.url)
    served.do(lambda: served.board.begin("chatcmpl-1", "coins", 8, "before"))
    expect(page.locator(".prompt")).to_have_text("before")
    assert served.stop() < 2
    expect(page.locator("#link")).to_have_text("disconnected, trying again")
    served = Served(served.port)
    served.do(lambda: served.board.begin("chatcmpl-2", "coins", 8, "after"))
    expect(page.locator("#link")).to_have_text("live", timeout=10_000)
    expect(page.locator(".prompt")).to_have_text(["after"])
    page.close()
    served.stop()


@pytest.mark.parametrize("width", [1400, 360])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_and_can_be_read(
    browser: Browser, served: Served, tokenizer: Any, bent: Artifact, width: int, scheme: str
) -> None:
    page = browser.new_page(
        viewport={"width": width, "height": 900},
        color_scheme=scheme,  # type: ignore[arg-type]
    )
    solve(served, tokenizer, bent, "60*1")
    solve(served, tokenizer, bent, "60*" + "1" * 20, "beam_search:8:2")
    served.do(lambda: served.board.begin("c" * 90, "m" * 90, 8, "p" * 3000))
    served.do(lambda: served.board.begin("c", "m", 8, "12*3").failed("verifier: " + "dead" * 90))
    page.goto(served.url)
    expect(page.locator("li")).to_have_count(4)
    for number in range(4):
        page.locator("summary").nth(number).click()
    expect(page.locator(".tree circle")).to_have_count(8 * 4)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate(OUTSIDE) == []
    assert page.evaluate(FAINT) == []
    page.close()
