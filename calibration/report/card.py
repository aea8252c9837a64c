"""An artifact's card: the README.md in its folder, which the Hugging Face Hub shows.

Metadata that the user has added stays, above all the licence, and so does all text outside the
marks: only what is between them is written again.
"""

import html
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from allocator.errors import InputError
from allocator.files import atomic_write, reports_unwritable
from calibration.report import snippets, words
from calibration.report.artifact_files import Contents
from calibration.report.methods import leading_generations
from calibration.report.page import made_with
from runtime.answers.graders import PREFIX
from runtime.artifact import CARD, read_scoring
from runtime.artifact.hub import HubName
from runtime.engines.checkpoint import HUB_NAME

LIBRARY = "ttc-allocator"
TAGS = ("test-time-compute", "compute-optimal", "inference-scaling")
BEGIN, END = "<!-- ttc:begin -->", "<!-- ttc:end -->"
WRITTEN = re.compile(f"{BEGIN}.*?{END}", re.DOTALL)

# As `calibration.report.page.write_report` calls it beside the report.
PICTURE = "report-accuracy.png"

MOST_BUDGET = 16  # of the example: what the drop-ins use by default


def write_card(folder: Path, licence: str = "", artifact: str = "") -> Path:
    """Write an artifact's card into its folder, or bring it up to date.

    Args:
        folder: the artifact's.
        licence: as the Hub writes them, such as apache-2.0; empty leaves that of the card.
        artifact: the folder, as commands name it; empty takes it as it is given.

    Returns:
        The card's file.

    Raises:
        InputError: no artifact there, a damaged one, a card with metadata that cannot be read, or
            a folder that cannot be written.
    """
    text = card(Contents.load(folder), read_card(folder), artifact or str(folder), licence)
    path = folder / CARD
    hint = "make room, or let the folder be written to"
    with reports_unwritable("artifact", path, hint), atomic_write(path) as scratch:
        scratch.write_text(text, encoding="utf-8")
    return path


def read_card(folder: Path) -> str:
    """The card that is in an artifact's folder; empty where there is none."""
    path = folder / CARD
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def card(contents: Contents, former: str, artifact: str | HubName, licence: str = "") -> str:
    """An artifact's card, as Markdown with YAML before it.

    Args:
        contents: the artifact.
        former: its card so far, whose parts by the user are kept; empty where there is none.
        artifact: its folder, or its name on the Hub, for the commands.
        licence: as `write_card` has it.

    Raises:
        InputError: metadata that cannot be read.
    """
    from huggingface_hub import ModelCard, ModelCardData

    try:
        known = ModelCard(former if former.startswith("---") else f"---\n\n---\n{former}")
    except Exception as error:  # of YAML that a user has written
        where = str(contents.folder / CARD)
        raise InputError("artifact", where, f"its metadata cannot be read: {error}") from None
    data: dict[str, Any] = known.data.to_dict()
    data["library_name"] = LIBRARY
    data["tags"] = [*dict.fromkeys((*TAGS, *data.get("tags", ())))]
    if (base := _base_model(contents)) is not None:
        data["base_model"] = base
    if licence:
        data["license"] = licence
    own = WRITTEN.split(known.text, maxsplit=1)
    before, after = own if len(own) == 2 else ("", known.text)
    body = "\n\n".join(_parts(contents, artifact))
    written = f"{before.strip()}\n\n{BEGIN}\n{body}\n{END}\n\n{after.strip()}".strip()
    return f"---\n{ModelCardData(**data).to_yaml()}\n---\n\n{written}\n"


def _base_model(contents: Contents) -> str | None:
    """The language model's name on the Hub; None for one in a folder, or in a log."""
    settings = contents.settings
    if settings is None or settings.local_folder(contents.folder, "model") is not None:
        return None
    return settings.model if HUB_NAME.fullmatch(settings.model) else None


def _parts(contents: Contents, artifact: str | HubName) -> list[str]:
    """The card's paragraphs, tables and listings."""
    summary = contents.summary
    parts = [f"# {_text(Path(str(artifact)).name)}"]
    if summary is not None:
        found = (words.title(summary) + ".", words.subtitle(summary), words.chosen(summary))
        parts.append(_text(" ".join(sentence for sentence in found if sentence)))
        if (contents.folder / PICTURE).is_file():
            parts.append(f"![Accuracy against generations per prompt]({PICTURE})")
    parts += ["## Calibrated on", _table(_facts(contents))]
    if summary is not None and summary.warnings:
        parts.append("\n".join(f"- {_text(warning)}" for warning in summary.warnings))
    parts += ["## Use it", *_usage(contents, artifact)]
    return parts


def _facts(contents: Contents) -> list[tuple[str, str]]:
    """What was calibrated on what, as names and values."""
    summary, rows = contents.summary, contents.table.rows
    facts = []
    if summary is not None:
        facts += [
            ("measured", summary.source),
            ("prompts", f"{summary.prompts:,}"),
            ("samples per prompt", f"{summary.samples:,}"),
            ("sampled tokens", f"{summary.sampled_tokens:,}"),
        ]
    facts.append(("budgets, in generations per prompt", ", ".join(str(row.budget) for row in rows)))
    if contents.tokens is not None:
        budgets = (f"{row.budget:,}" for row in contents.tokens.table.rows)
        facts.append(("budgets, in tokens per prompt", "; ".join(budgets)))
    return [*facts, *made_with(contents.table.fingerprint, contents.settings)]


def _usage(contents: Contents, artifact: str | HubName) -> list[str]:
    """How it is used: with its models, or without them as a rule that decides when to stop."""
    name, install = str(artifact), f"Install `{LIBRARY}` first."
    if contents.settings is None:
        return [install, *_log_usage(contents, name)]
    budgets = [row.budget for row in contents.table.rows]
    budget = max((each for each in budgets if each <= MOST_BUDGET), default=budgets[0])
    trust = option = argument = ""
    if isinstance(artifact, HubName) and contents.settings.answers.startswith(PREFIX):
        option = f" --trust-grader {artifact.repository}"
        argument = f", trust_grader={artifact.repository!r}"
        file = contents.settings.answers.removeprefix(PREFIX)
        trust = (
            f" Answers are read by a Python file, `{file}`, which runs only for those who name the "
            "artifact as trusted: read it first."
        )
    program = f"""\
from ttc_allocator import LLM  # in place of: from vllm import LLM

if __name__ == "__main__":
    with LLM.from_pretrained({name!r}, budget={budget}{argument}) as llm:
        (output,) = llm.chat([{{"role": "user", "content": "your prompt"}}], use_tqdm=False)
        print(output.outputs[0].text)
        print(output.receipt.why)"""
    return [
        install + trust,
        _listing("python", program),
        _listing(
            "sh",
            snippets.command(Path(name), "bins", budget) + option,
            f"ttc serve --artifact {shlex.quote(name)}{option}",
        ),
        "The tables hold for these models, prompts like these, and this way of sampling only. A "
        "fingerprint of models and settings is checked whenever the artifact is opened.",
    ]


def _log_usage(contents: Contents, artifact: str) -> list[str]:
    scoring, summary = read_scoring(contents.folder), contents.summary
    parts = ["It was made from logs and names no models. In your own loop it says when to stop:"]
    if summary is not None and (generations := leading_generations(summary)) is not None:
        average = snippets.amount("price", generations)
        parts.append(_listing("python", snippets.stop_program(artifact, scoring, average)))
    attach = snippets.attach_command(artifact, scoring)
    return [*parts, "Or give it the models of the log:", _listing("sh", attach)]


def _listing(language: str, *lines: str) -> str:
    return "\n".join([f"```{language}", *lines, "```"])


def _table(rows: Sequence[tuple[str, str]]) -> str:
    lines = [f"| {_text(name)} | {_code(value)} |" for name, value in rows]
    return "\n".join(["| | |", "|---|---|", *lines])


def _text(text: str) -> str:
    """A text as Markdown that shows it, on one line; names of data sets may be anything."""
    return re.sub(r"([\\`*_\[\]|])", r"\\\1", html.escape(" ".join(text.split()), quote=False))


def _code(text: str) -> str:
    """A text in a table, as it is but for backquotes, which would end it."""
    shown = " ".join(text.split()).replace("`", "'").replace("|", r"\|")
    return f"`{shown}`" if shown else ""
