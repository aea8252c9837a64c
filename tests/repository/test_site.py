"""The documentation site builds without warnings, can be read, and loads nothing from elsewhere."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

import ttc_allocator
from benchmarks.site.hooks import OUTSIDE, site_links
from tests.support.pages import FAINT, looks
from tests.support.paths import ROOT
from tests.support.waiting import eventually

API = ROOT / "docs" / "api"
COMPARISON = ROOT / "docs" / "comparison.md"

# Pages of each kind: text, wide tables, pictures, the reference, a notebook.
LOOKED_AT = (
    "index",
    "which-way",
    "costs",
    "comparison",
    "results",
    "api/dropins",
    "tutorials/drop_in",
)

# What browsers load without a click, by the attribute that names it.
LOADED = {
    **dict.fromkeys(("script", "img", "iframe", "source", "video", "audio", "embed"), "src"),
    "link": "href",
    "object": "data",
}

WIDTHS = 1280, 390
AT_ONCE = "*, *::before, *::after { transition: none !important }"  # colours would pass over
# A script of the theme's changes colours once the browser's scheme has changed.
HAS_SCHEME = """scheme => {
  const [red] = getComputedStyle(document.body).backgroundColor.match(/\\d+/g);
  return (red > 127 ? "light" : "dark") === scheme;
}"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make check` builds it."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", folder]
    built = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    assert built.stderr == ""
    return folder


@pytest.fixture
def address(site: Path) -> Iterator[str]:
    """Where the site is served."""

    class Pages(SimpleHTTPRequestHandler):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given, directory=str(site))

        def log_message(self, *_: Any) -> None:
            """Requests are no output of a test."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class Loaded(HTMLParser):
    """Collects the addresses that a page loads.

    Attributes:
        found: the addresses.
    """

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take the address of an element that loads one."""
        given = dict(attrs)
        address = given.get(LOADED.get(tag, ""))
        # These two name pages; nothing is loaded.
        if address and given.get("rel") not in ("next", "prev"):
            self.found.append(address)


def loaded(page: str) -> list[str]:
    parser = Loaded()
    parser.feed(page)
    return parser.found


def elsewhere(addresses: list[str]) -> list[str]:
    return [a for a in addresses if re.match(r"(\w+:)?//", a)]


@pytest.mark.slow
def test_pages_and_styles_load_nothing_from_elsewhere(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        found = loaded(page.read_text())
        assert any(address.endswith(".css") for address in found), page
        assert elsewhere(found) == [], page
    styles = sorted(site.rglob("*.css"))
    assert styles
    for style in styles:
        text = style.read_text()
        assert elsewhere(re.findall(r"url\(['\"]?([^)'\"]+)", text)) == [], style
        assert "@import" not in text, style


def test_what_is_elsewhere_is_seen() -> None:
    page = '<link rel="stylesheet" href="https://a/x.css"><script src="//b/x.js"></script>'
    page += '<img src="c"><link rel="next" href="https://a/next.html">'
    assert elsewhere(loaded(page)) == ["https://a/x.css", "//b/x.js"]


@pytest.mark.slow
def test_pages_fit_can_be_read_and_request_nothing_from_elsewhere(
    browser: Browser, address: str
) -> None:
    context = browser.new_context()
    page = context.new_page()
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    for name in LOOKED_AT:
        page.goto(f"{address}/{name}.html")
        page.add_style_tag(content=AT_ONCE)
        for scheme, width in looks(page, *WIDTHS):
            page.wait_for_function(HAS_SCHEME, arg=scheme)
            assert page.evaluate("document.documentElement.scrollWidth") == width, (name, scheme)
        # Of the theme's own code blocks, whose colours it chooses, nothing is read.
        page.evaluate("document.querySelectorAll('pre').forEach(part => part.remove())")
        page.evaluate("document.querySelectorAll('.headerlink').forEach(part => part.remove())")
        for scheme, width in looks(page, *WIDTHS):
            page.wait_for_function(HAS_SCHEME, arg=scheme)
            assert page.evaluate(FAINT) == [], (name, scheme, width)
    context.close()
    assert said == []
    assert asked
    assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []


@pytest.mark.slow
def test_the_search_finds_a_page(browser: Browser, address: str) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(f"{address}/index.html")
    box, found = page.locator(".md-search__input"), page.locator(".md-search-result__link")

    def typed() -> bool:
        """Until the page's script has its index, it does not see what is typed."""
        box.fill("")
        box.press_sequentially("DeepConf")
        # All at once, for what is found becomes less with every letter.
        links = found.evaluate_all("links => links.map(link => link.getAttribute('href'))")
        return any("comparison.html" in link for link in links)

    assert eventually(typed)
    page.close()


@pytest.mark.slow
def test_the_reference_has_every_export_with_its_errors(site: Path) -> None:
    written = "".join(page.read_text() for page in API.glob("*.md"))
    assert set(re.findall(r"^::: ttc_allocator\.(\w+)$", written, re.MULTILINE)) == set(
        ttc_allocator.__all__
    )
    listed = (API / "index.md").read_text()
    assert set(re.findall(r"#ttc_allocator\.(\w+)\)", listed)) == set(ttc_allocator.__all__)
    page = (site / "api" / "dropins.html").read_text()
    assert 'id="ttc_allocator.LLM.generate"' in page
    assert "Raises:" in page
    assert "UnansweredError" in page


def test_links_hold_on_the_site() -> None:
    assert (
        site_links("[a](docs/results.md#the-testbed)", "index.md") == "[a](results.md#the-testbed)"
    )
    assert site_links("![a](docs/demo.png)", "index.md") == "![a](demo.png)"
    assert site_links("[a](../CONTRIBUTING.md)", "concepts.md") == "[a](contributing.md)"
    assert site_links("[a](../costs.md#flops)", "api/plans.md") == "[a](../costs.md#flops)"
    assert site_links("[a](https://example.org/docs/results.md)", "index.md").endswith(
        "results.md)"
    )
    tutorial = "[a](docs/tutorials/drop_in.ipynb)"
    assert site_links(tutorial, "index.md") == "[a](tutorials/drop_in.md)"
    assert site_links("x[0](result)", "index.md") == "x[0](result)"
    for file in OUTSIDE:
        assert (ROOT / file).is_file()


def test_no_cell_of_the_comparison_is_empty() -> None:
    rows = re.findall(r"^\|(.*)\|$", COMPARISON.read_text(), re.MULTILINE)
    tables = [[cell.strip() for cell in row.split("|")] for row in rows]
    assert len(tables) > 30
    for cells in tables:
        assert all(cells[1:]), cells
        assert len(cells) in (4, 8)
