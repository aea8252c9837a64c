"""The report in a real browser: it fits, it can be read, it asks for nothing."""

import shutil
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from benchmarks.testbed.paths import SETTINGS
from calibration.report.page import write_report
from tests.summaries import artifact, minimal_summary, minimal_table, rich_summary, rich_table

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

# Text whose contrast with what lies behind it is below 4.5 to 1 (WCAG AA), heat map included.
FAINT = """() => {
  const parse = text => text.match(/[\\d.]+/g).map(Number);
  const linear = v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) =>
    0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
  const behind = element => {
    if (!element) return [255, 255, 255];
    const [r, g, b, alpha = 1] = parse(getComputedStyle(element).backgroundColor);
    const under = alpha < 1 ? behind(element.parentElement) : [0, 0, 0];
    return [r, g, b].map((v, i) => v * alpha + under[i] * (1 - alpha));
  };
  const texts = "h1,h2,h3,p,li,dt,dd,th,td,small,b,code,span,figcaption,summary,text";
  const faint = [];
  for (const e of document.querySelectorAll(texts)) {
    if (!e.textContent.trim() || !e.getClientRects().length) continue;
    const style = getComputedStyle(e);
    const ink = parse(e.tagName === "text" ? style.fill : style.color);
    const [more, less] = [light(ink), light(behind(e))].sort((a, b) => b - a);
    const contrast = (more + 0.05) / (less + 0.05);
    if (contrast < 4.5) faint.push(`${contrast.toFixed(1)} ${e.textContent.slice(0, 30)}`);
  }
  return faint;
}"""

# What sticks out of the window to the right, but for what scrolls in a box of its own.
OUTSIDE = """() => [...document.querySelectorAll("body *")]
  .filter(e => e.getClientRects().length && !e.parentElement.closest(".scroll"))
  .filter(e => e.getBoundingClientRect().right > innerWidth + 1)
  .map(e => `${e.tagName} ${e.textContent.slice(0, 30)}`)"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One headless Chromium. Closed with this module: its event loop tolerates no other."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.fail(f"no browser: install Chromium (make browser); looked for {BROWSERS}")
    with sync_playwright() as playwright:
        # As root, as in CI, Chromium runs only without its sandbox.
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A rich and a minimal report."""
    folder = tmp_path_factory.mktemp("reports")
    made = {
        "rich": artifact(folder / "rich", rich_summary(), rich_table(), SETTINGS),
        "minimal": artifact(folder / "minimal", minimal_summary(), minimal_table()),
    }
    return {name: write_report(path, path / "report.html")[0] for name, path in made.items()}


@pytest.mark.parametrize("name", ["rich", "minimal"])
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_report_fits_and_can_be_read(
    browser: Browser, pages: dict[str, Path], name: str, width: int, scheme: str
) -> None:
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme=scheme,  # type: ignore[arg-type]
    )
    page = context.new_page()
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(pages[name].as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")

    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == [pages[name].as_uri()]
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate(OUTSIDE) == []
    assert page.evaluate(FAINT) == []
    # One drawing of each figure is shown, with words for those who cannot see it.
    figures = page.locator("figure")
    for number in range(figures.count()):
        shown = figures.nth(number).locator("svg:visible")
        assert shown.count() == 1
        assert len(shown.get_attribute("aria-label") or "") > 20
        assert shown.bounding_box()["width"] > 250  # type: ignore[index]

    pixels = np.asarray(Image.open(BytesIO(page.screenshot())).convert("RGB"))
    context.close()
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 100
    assert (pixels.mean() > 128) == (scheme == "light")


def test_the_checks_see_what_they_look_for(browser: Browser, pages: dict[str, Path]) -> None:
    page = browser.new_page(color_scheme="light")
    page.goto(pages["minimal"].as_uri())
    page.add_style_tag(content="h1 { color: #889; width: 1500px }")
    assert len(page.evaluate(FAINT)) == 1
    assert len(page.evaluate(OUTSIDE)) == 1
    page.close()


def test_a_figure_is_drawn_in_the_scheme_of_the_page(
    browser: Browser, pages: dict[str, Path]
) -> None:
    fills = []
    for scheme in ("light", "dark"):
        page = browser.new_page(color_scheme=scheme)  # type: ignore[arg-type]
        page.goto(pages["rich"].as_uri())
        text = page.locator("figure svg:visible text").first
        fills.append(text.evaluate("element => getComputedStyle(element).fill"))
        page.close()
    assert fills == ["rgb(27, 31, 36)", "rgb(231, 234, 238)"]
