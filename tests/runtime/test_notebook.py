"""What notebooks show of results, receipts and artifacts: escaped HTML, and the plot."""

import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest

from allocator.errors import InputError
from allocator.plan import parse_plan
from benchmarks.testbed.paths import ARTIFACT
from runtime.artifact import FittedPolicy
from runtime.result import Receipt, Result
from ttc_allocator import Artifact

EMPTY = {"br", "hr"}


class Read(HTMLParser):
    """Reads HTML whose elements must be closed.

    Attributes:
        text: what it shows.
        tags: its elements.
        styles: their styles.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text, self.styles = "", ""
        self.tags: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open an element."""
        self.tags.append(tag)
        self.styles += dict(attrs).get("style") or ""
        if tag not in EMPTY:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Close the element that was opened last."""
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Take text."""
        self.text += f"{data} "


def receipt(**fields: object) -> Receipt:
    return Receipt.model_validate(
        {
            "plan": parse_plan("beam_search:16:4"),
            "why": "4 pilots predict pass@1 0.3",
            "pilots": 4,
            "predicted_pass_at_1": 0.3,
            "low": 0.1,
            "high": 0.6,
            "bin": 4,
            "bins": 5,
            "budget": 20,
            "prompt_tokens": 9,
            "generations": 20,
            "sampled_tokens": 1234,
            "cached_tokens": 0,
            "verifier_tokens": 987,
            "verifier_cached_tokens": 0,
            "flops": 2.5e9,
            "seconds": 1.5,
            **fields,
        }
    )


def test_a_receipt_shows_decision_reason_and_costs() -> None:
    read = Read(receipt()._repr_html_())
    for shown in (
        "beam search N=16 M=4",
        "4 pilots predict pass@1 0.3",
        "pass@1 about 30% [10%, 60%], bin 4 of 5",
        "20 generations",
        "20 generations, 4 of them pilots, 1,234 tokens sampled, 987 read by verifiers",
        "2.5e9 FLOPs, 1.50 seconds",
    ):
        assert shown in read.text
    assert "notes" not in read.text
    rare = Read(receipt(aborted=2, thinking_tokens=99, undecided=("1/3",))._repr_html_())
    assert "2 solutions ended for low confidence, 1 answers that could not be compared" in rare.text
    assert "99 of them thoughts" in rare.text


def test_what_is_unknown_is_left_out() -> None:
    unknown = {"predicted_pass_at_1": None, "budget": None, "flops": None, "bin": None}
    read = Read(receipt(**unknown)._repr_html_())
    assert "None" not in read.text
    assert "difficulty" not in read.text
    assert "allowed" not in read.text
    allowed = Read(receipt(**unknown | {"price_of_token": 2e-6, "deadline": 3.0})._repr_html_())
    assert "tokens that gain at least 2e-06, 3 seconds" in allowed.text


def test_a_result_is_escaped_and_its_prompt_short() -> None:
    evil = "<script>alert('x')</script>"
    result = Result(
        prompt=evil + "y" * 1000,
        answer="<b>7</b>",
        solution=f"{evil}\n&amp; the end",
        score=0.875,
        receipt=receipt(why=evil),
        ranked=(),
    )
    read = Read(result._repr_html_())
    assert not {"script", "b", "style", "link", "img"} & set(read.tags)
    assert read.text.count(evil) == 3
    assert "<b>7</b>" in read.text
    assert "&amp; the end" in read.text
    assert "0.875" in read.text
    assert len(read.text) < 1000
    silent = Result(prompt="p", answer=None, solution="", score=None, receipt=receipt(), ranked=())
    assert "answer none" in " ".join(Read(silent._repr_html_()).text.split())


def test_an_artifact_shows_its_models_and_its_table() -> None:
    artifact = Artifact.load(ARTIFACT)
    html = artifact._repr_html_()
    read = Read(html)
    assert "../models/prm" in read.text
    for row in artifact.policy.table.rows:
        for cell in row.cells:
            assert str(cell.plan) in read.text
    assert read.tags.count("tr") == 4 + 1 + len(artifact.policy.table.rows)
    assert len(html) < 20_000
    # The reader's colours, light or dark.
    assert "color:" not in read.styles.replace("background", "")
    assert "#" not in read.styles


def test_an_artifact_without_settings_shows_its_table_alone() -> None:
    read = Read(FittedPolicy.load(ARTIFACT)._repr_html_())
    assert "model" not in read.text
    assert "bin 1, easiest" in read.text


def test_the_plot_has_what_calibration_measured() -> None:
    import matplotlib
    from matplotlib.figure import Figure

    matplotlib.use("Agg")
    artifact = Artifact.load(ARTIFACT)
    given = Figure().subplots()
    assert artifact.plot(given) is given
    lines = {line.get_label(): line for line in given.lines}
    assert set(lines) == {"best-of-N for all", "by difficulty bins", "by price"}
    by_price = lines["by price"]
    points = sorted((point.generations, point.accuracy) for point in artifact.prices.points)
    np.testing.assert_allclose(
        np.column_stack([by_price.get_xdata(), by_price.get_ydata()]), points
    )
    first = artifact.policy.table.rows[0].cells[0]
    bins = lines["by difficulty bins"]
    assert (bins.get_xdata()[0], bins.get_ydata()[0]) == (first.generations, first.accuracy)
    assert list(lines["best-of-N for all"].get_xdata()[:3]) == [1, 2, 4]
    assert artifact.plot().figure.get_axes()


def test_the_plot_without_matplotlib_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    artifact = Artifact.load(ARTIFACT)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(InputError, match=r"ttc-allocator\[report\]") as refusal:
        artifact.plot()
    assert refusal.value.field == "plot"


def test_matplotlib_is_not_loaded_with_artifacts() -> None:
    code = "import sys, runtime.artifact; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
