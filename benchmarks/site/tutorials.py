"""The tutorials: scripts under docs/tutorials, run to notebooks beside them and shown as pages.

    python -m benchmarks.site.tutorials

A script has cells, each after a line ``# %%``. The comments after ``# %% [markdown]`` are text,
those after ``# %% [bash]`` commands of the shell. The notebooks are committed, so that building the
site runs nothing; a test runs the scripts again.
"""

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

ROOT = Path(__file__).parent.parent.parent
TUTORIALS = ROOT / "docs" / "tutorials"
SECONDS = 600  # that one cell may take

_CELL = re.compile(r"^# %%(?: \[(markdown|bash)\])?\n", re.MULTILINE)

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def unexecuted(script: str) -> NotebookNode:
    """The notebook of a script, without outputs.

    Args:
        script: its text.
    """
    _, *parts = _CELL.split(script)
    cells = []
    for number, (kind, text) in enumerate(zip(parts[::2], parts[1::2], strict=True)):
        uncommented = re.sub(r"(?m)^# ?", "", text).strip()
        if kind == "markdown":
            cell = new_markdown_cell(uncommented)
        else:
            cell = new_code_cell(f"%%bash\n{uncommented}" if kind == "bash" else text.strip())
        cell.id = f"cell-{number}"
        cells.append(cell)
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook: NotebookNode = new_notebook(cells=cells, metadata={"kernelspec": kernel})
    return notebook


def execute(notebook: NotebookNode) -> None:
    """Run a notebook in the repository's root; its cells get their outputs.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell raised an error.
    """
    client = NotebookClient(
        notebook,
        timeout=SECONDS,
        record_timing=False,
        resources={"metadata": {"path": str(ROOT)}},
    )
    commands = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    client.execute(env=os.environ | {"PATH": commands, "COLUMNS": "84"})
    notebook.metadata.pop("language_info", None)  # names the version of Python
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = _tidy(cell.outputs)


def _tidy(outputs: Sequence[NotebookNode]) -> list[NotebookNode]:
    """What was printed, in one piece and without messages; of a plot its picture alone."""
    streams = [output for output in outputs if output.output_type == "stream"]
    printed = "".join(output.text for output in streams if output.name == "stdout")
    shown = [
        output
        for output in outputs
        if output.output_type != "stream" and not output.data["text/plain"].startswith("<Axes")
    ]
    if not printed:
        return shown
    # Kernels make commands believe that they print to a terminal.
    lines = _COLOURS.sub("", printed).splitlines()
    text = "\n".join(line.rstrip() for line in lines)
    return [new_output("stream", name="stdout", text=text), *shown]


def markdown_of(notebook: NotebookNode, name: str) -> str:
    """A notebook as a page of the site.

    Args:
        notebook: executed.
        name: of its file, which the page offers.
    """
    parts = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            parts.append(cell.source)
        else:
            language, source = "python", cell.source
            if source.startswith("%%bash\n"):
                language, source = "bash", source.removeprefix("%%bash\n")
            parts.append(f"```{language}\n{source}\n```")
            parts += map(_shown, cell.outputs)
    parts.append(f'<p><a href="{name}" download>Download as a notebook</a></p>')
    return "\n\n".join(parts) + "\n"


def _shown(output: NotebookNode) -> str:
    """An output in Markdown: its picture, its HTML or its text."""
    if output.output_type == "stream":
        return f"```text\n{output.text}\n```"
    data = output.data
    if "image/png" in data:
        picture = "".join(data["image/png"].split())
        return f'<p><img alt="The plot" src="data:image/png;base64,{picture}"></p>'
    if "text/html" in data:
        return f'<div class="output">{data["text/html"]}</div>'
    return f"```text\n{data['text/plain']}\n```"


def main() -> None:
    for script in sorted(TUTORIALS.glob("*.py")):
        notebook = unexecuted(script.read_text())
        execute(notebook)
        path = script.with_suffix(".ipynb")
        nbformat.write(notebook, path)
        print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
