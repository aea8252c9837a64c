"""The report in a real browser: it fits, it can be read, it asks for nothing."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page

from benchmarks.testbed.paths import SETTINGS
from calibration.report.bench_page import write_page
from calibration.report.page import write_report
from tests.support.pages import FAINT, OUTSIDE, looks
from tests.support.summaries import (
    artifact,
    bench_result,
    minimal_summary,
    minimal_table,
    rich_summary,
    rich_table,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A rich and a minimal report, and a benchmark's page."""
    folder = tmp_path_factory.mktemp("reports")
    made = {
        "rich": artifact(folder / "rich", rich_summary(), rich_table(), SETTINGS),
        "minimal": artifact(folder / "minimal", minimal_summary(), minimal_table()),
    }
    reports = {name: write_report(path, path / "report.html")[0] for name, path in made.items()}
    write_page(bench_result(), folder / "bench.html")
    return {**reports, "bench": folder / "bench.html"}


@pytest.mark.parametrize("name", ["rich", "minimal", "bench"])
def test_a_report_fits_and_can_be_read(browser: Browser, pages: dict[str, Path], name: str) -> None:
    context = browser.new_context()
    page = context.new_page()
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(pages[name].as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    for scheme, width in looks(page, 1280, 390):
        fits_and_can_be_read(page, scheme, width)
    context.close()
    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == [pages[name].as_uri()]


def fits_and_can_be_read(page: Page, scheme: str, width: int) -> None:
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
        page = browser.new_page(color_scheme=scheme)
        page.goto(pages["rich"].as_uri())
        text = page.locator("figure svg:visible text").first
        fills.append(text.evaluate("element => getComputedStyle(element).fill"))
        page.close()
    assert fills == ["rgb(27, 31, 36)", "rgb(231, 234, 238)"]
