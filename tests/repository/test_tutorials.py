"""The tutorials: scripts run without an error, and their notebooks are what the scripts make."""

import re
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from benchmarks.site.tutorials import TUTORIALS, execute, markdown_of, unexecuted

SCRIPTS = sorted(TUTORIALS.glob("*.py"))
each_script = pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)


def committed(script: Path) -> NotebookNode:
    notebook: NotebookNode = nbformat.read(script.with_suffix(".ipynb"), as_version=4)
    return notebook


def sources(notebook: NotebookNode) -> list[tuple[str, str]]:
    return [(cell.cell_type, cell.source) for cell in notebook.cells]


def outputs(notebook: NotebookNode) -> list[list[str]]:
    """What kinds of output each cell has."""
    return [
        sorted(kind for output in cell.get("outputs", []) for kind in output.get("data", ["text"]))
        for cell in notebook.cells
    ]


def test_there_are_two() -> None:
    assert [script.stem for script in SCRIPTS] == ["drop_in", "from_a_log"]


@each_script
def test_the_notebook_is_that_of_the_script(script: Path) -> None:
    notebook = committed(script)
    assert sources(notebook) == sources(unexecuted(script.read_text()))
    nbformat.validate(notebook)
    kinds = {kind for of_cell in outputs(notebook) for kind in of_cell}
    assert kinds == {"text", "text/plain", "text/html", "image/png"}
    assert script.with_suffix(".ipynb").stat().st_size < 200_000
    assert str(Path.cwd()) not in script.with_suffix(".ipynb").read_text()


def printed(notebook: NotebookNode) -> list[list[str]]:
    """What each cell prints, but for numbers and the width of their columns."""
    return [
        [
            " ".join(re.sub(r"\d[\d.,]*", "#", output.text).split())
            for output in cell.get("outputs", [])
            if output.output_type == "stream"
        ]
        for cell in notebook.cells
    ]


@pytest.mark.slow
@each_script
def test_the_script_runs_and_shows_what_the_notebook_has(script: Path) -> None:
    notebook = unexecuted(script.read_text())
    execute(notebook)
    assert outputs(notebook) == outputs(committed(script))
    assert printed(notebook) == printed(committed(script))


def test_cells_are_told_apart() -> None:
    script = (
        "# %% [markdown]\n# # A\n#\n# b\n# %%\nx = 1\n# why\nx\n\n# %% [bash]\n# ls \\\n#     -l\n"
    )
    assert sources(unexecuted(script)) == [
        ("markdown", "# A\n\nb"),
        ("code", "x = 1\n# why\nx"),
        ("code", "%%bash\nls \\\n    -l"),
    ]


@pytest.mark.slow
def test_what_a_cell_prints_is_one_text_without_messages() -> None:
    printing = "import sys\nprint('a', flush=True)\nprint('no', file=sys.stderr)\n"
    printing += "print('\\x1b[1mb\\x1b[0m ')"
    notebook = unexecuted(f"# %%\n{printing}\n# %%\n1 + 1\n# %% [bash]\n# which ttc | wc -l\n")
    execute(notebook)
    printed, value, counted = (cell.outputs for cell in notebook.cells)
    assert [output.text for output in printed] == ["a\nb"]
    assert value[0].data["text/plain"] == "2"
    assert [output.text for output in counted] == ["1"]


def test_a_page_has_text_code_and_outputs() -> None:
    results = [
        new_output("stream", name="stdout", text="1 < 2"),
        new_output("display_data", {"image/png": "QUJD\n", "text/plain": "<Figure>"}),
        new_output("execute_result", {"text/html": "<b>x</b>", "text/plain": "x"}),
        new_output("execute_result", {"text/plain": "7"}),
    ]
    cells = [
        new_markdown_cell("# A"),
        new_code_cell("f()", outputs=results),
        new_code_cell("%%bash\nls"),
    ]
    page = markdown_of(new_notebook(cells=cells), "a.ipynb")
    assert page.split("\n\n") == [
        "# A",
        "```python\nf()\n```",
        "```text\n1 < 2\n```",
        '<p><img alt="The plot" src="data:image/png;base64,QUJD"></p>',
        '<div class="output"><b>x</b></div>',
        "```text\n7\n```",
        "```bash\nls\n```",
        '<p><a href="a.ipynb" download>Download as a notebook</a></p>\n',
    ]
