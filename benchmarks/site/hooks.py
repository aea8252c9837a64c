"""Hooks of mkdocs: pages that lie outside docs/, tutorials, and links that hold on the site too."""

import os
import re
from pathlib import PurePosixPath

import nbformat
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from benchmarks.site.tutorials import ROOT, TUTORIALS, markdown_of

# Pages outside docs/, by their files; they stay where GitHub looks for them.
OUTSIDE = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
    "benchmarks/rewriting/README.md": "rewriting.md",
}
_FILES = {page: file for file, page in OUTSIDE.items()}

_LINK = re.compile(r"(?<=\]\()(?P<target>[^)#:\s]+)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages outside docs/, and those of the tutorials."""
    for file, page in OUTSIDE.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / file)))
    for path in TUTORIALS.glob("*.ipynb"):
        text = markdown_of(nbformat.read(path, as_version=4), path.name)
        files.append(File.generated(config, f"tutorials/{path.stem}.md", content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """A page's Markdown, with links that hold on the site."""
    return site_links(markdown, page.file.src_uri)


def site_links(markdown: str, page: str) -> str:
    """Links to the repository's files as links to the site's pages.

    Args:
        markdown: of the page, with links as GitHub follows them, from the file's folder.
        page: its path on the site, such as ``api/index.md``.
    """
    here = PurePosixPath(_FILES.get(page, f"docs/{page}")).parent

    def link(found: re.Match[str]) -> str:
        file = os.path.normpath(here / found["target"])
        # Brackets beside parentheses occur in code, too: only what is a file is a link.
        if not (ROOT / file).is_file():
            return found["target"]
        target = OUTSIDE.get(file, file.removeprefix("docs/"))
        if target.endswith(".ipynb"):
            target = target.removesuffix(".ipynb") + ".md"
        return os.path.relpath(target, PurePosixPath(page).parent)

    return _LINK.sub(link, markdown)
