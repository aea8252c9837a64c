"""The live page in a real browser: it shows what runs, and asks for nothing else."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from allocator.plan import Plan, parse_plan
from runtime.artifact import Artifact
from runtime.request import Event, Request, SearchStep
from runtime.result import Result
from runtime.server.service import CANCEL_SECONDS
from runtime.solving.solve import Solver
from tests.support.artifacts import bent_models, bent_prompts
from tests.support.live_server import Served
from tests.support.pages import FAINT, OUTSIDE, looks

pytestmark = pytest.mark.slow

KEY = "right"
HOSTILE = "<img src=x onerror=\"document.title='hacked'\"><script>document.title='hacked'</script>"


def solve(
    served: Served, tokenizer: Any, artifact: Artifact, prompt: str, plan: str | None = None
) -> Result:
    """A prompt answered with bent coins, under the board's eyes."""
    solver = Solver(
        bent_models(tokenizer), artifact, fixed=None if plan is None else parse_plan(plan)
    )

    async def one() -> Result:
        view = served.live_store.begin("chatcmpl-1", "coins", 8, prompt)
        result = await solver.solve(Request(prompt, on_event=view.on_event), 8)
        view.finished(result)
        return result

    return served.run(one())  # type: ignore[no-any-return]


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
    view = served.do(lambda: served.live_store.begin("chatcmpl-9", "coins", 8, "12*3"))
    row = page.locator("li").first
    expect(row.locator(".status")).to_have_text("running")
    expect(row.locator(".spent")).to_have_text("0 of 8")
    expect(page.locator("#running")).to_have_text("1")
    expect(page.locator("#none")).to_be_hidden()
    seconds = row.locator(".seconds").inner_text()
    expect(row.locator(".seconds")).not_to_have_text(seconds)

    solution = Event(kind="solution", sample=0, score=0.5, answer="2")
    served.do(lambda: view.on_event(solution))
    expect(row.locator(".spent")).to_have_text("1 of 8")
    served.do(lambda: view.failed("verifier: it is dead"))
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
    expect(row.locator(".why")).to_contain_text("it was requested")
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
    view = served.do(lambda: served.live_store.begin("chatcmpl-9", "coins", 8, "12*3"))
    page.locator("summary").click()
    for round_ in range(3):
        for place in range(4):
            parent = place // 2 * 2 if round_ else None
            grown = SearchStep("dvts", 4, 0, round_, place)
            step = Event(kind="step", step=grown, parent_place=parent, score=place / 4)
            served.do(partial(view.on_event, step))
        expect(page.locator(".tree circle")).to_have_count(4 * (round_ + 1))
        expect(page.locator(".tree line")).to_have_count(4 * round_)
    label = page.locator(".tree circle").last.get_attribute("aria-label")
    assert label == "round 3, place 4: score 0.75, continues place 3"


def test_hostile_words_are_only_words(page: Page, served: Served) -> None:
    view = served.do(lambda: served.live_store.begin(HOSTILE, HOSTILE, 8, HOSTILE))
    page.locator("summary").click()
    plan = Plan(strategy="best_of_n", n=2).model_dump()
    for event in (
        Event(kind="solution", sample=0, answer=HOSTILE, score=0.5),
        Event(kind="decision", decision={"plan": plan, "why": HOSTILE}),
    ):
        served.do(partial(view.on_event, event))
    served.do(lambda: view.failed(HOSTILE))
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
    served.do(lambda: served.live_store.begin("chatcmpl-1", "coins", 8, "before"))
    expect(page.locator(".prompt")).to_have_text("before")
    assert served.stop() < CANCEL_SECONDS
    expect(page.locator("#link")).to_have_text("disconnected, trying again")
    served = Served(served.port)
    served.do(lambda: served.live_store.begin("chatcmpl-2", "coins", 8, "after"))
    expect(page.locator("#link")).to_have_text("live", timeout=10_000)
    expect(page.locator(".prompt")).to_have_text(["after"])
    page.close()
    served.stop()


def test_it_fits_and_can_be_read(
    browser: Browser, served: Served, tokenizer: Any, bent: Artifact
) -> None:
    page = browser.new_page()
    solve(served, tokenizer, bent, "60*1")
    solve(served, tokenizer, bent, "60*" + "1" * 20, "beam_search:8:2")
    served.do(lambda: served.live_store.begin("c" * 90, "m" * 90, 8, "p" * 3000))
    served.do(
        lambda: served.live_store.begin("c", "m", 8, "12*3").failed("verifier: " + "dead" * 90)
    )
    page.goto(served.url)
    expect(page.locator("li")).to_have_count(4)
    for number in range(4):
        page.locator("summary").nth(number).click()
    expect(page.locator(".tree circle")).to_have_count(8 * 4)
    for scheme, width in looks(page, 1400, 360):
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert page.evaluate(OUTSIDE) == [], (scheme, width)
        assert page.evaluate(FAINT) == [], (scheme, width)
    page.close()
