"""What every page is looked over for, as JavaScript to run in it; its schemes and widths."""

from collections.abc import Iterator
from typing import Literal

from playwright.sync_api import Page

Scheme = Literal["light", "dark"]
SCHEMES: tuple[Scheme, ...] = ("light", "dark")

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


def looks(page: Page, *widths: int) -> Iterator[tuple[Scheme, int]]:
    """Show a page that is open in every scheme and width, without loading it again."""
    for scheme in SCHEMES:
        for width in widths:
            page.set_viewport_size({"width": width, "height": 900})
            page.emulate_media(color_scheme=scheme)
            yield scheme, width
