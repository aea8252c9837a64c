"""Options that several commands share, and options generated from settings models."""

import inspect
import re
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import BaseModel, Field, ValidationError
from pydantic.fields import FieldInfo

from allocator.errors import InputError
from calibration.cli.console import say
from runtime.engines.engine_args import (
    ENGINE_HELP,
    REVISER_HELP,
    VERIFIER_ENGINE_HELP,
    VERIFIER_HELP,
    EngineArgs,
    given_args,
    read_args,
)
from runtime.engines.loading import ENGINE_NAME_HELP, EngineName
from runtime.verifiers.loading import VerifierEngine, verifier_kind

if TYPE_CHECKING:
    from allocator.table import LookupTable
    from runtime.artifact import Artifact

ANSWERS_HELP = (
    "'math'; 'choices' (A to J), or 'choices:4'; 'pattern:' and a regular expression; 'json', or "
    "'json:sum.value' for one field; or 'python:' and a file that defines extract(text) and "
    "same(answer, other)"
)
TIMEOUT_HELP = "seconds that one answer may take to compare; then it equals no other"
THOUGHT_HELP = (
    "marks of the model's thoughts, after which answers are read, as in <think>...</think>; "
    "none; or auto, by its vocabulary"
)
CUTOFF_HELP = (
    "text that ends a thought at its cap and may begin the answer; else the end's own mark"
)
SOURCE_HELP = (
    ".jsonl, .json or .parquet file, or Hugging Face data set: NAME or NAME:CONFIG:SPLIT, as in "
    "openai/gsm8k:main:test; NAME may be a folder, CONFIG and SPLIT empty"
)
LOGS_HELP = (
    "no model: samples that exist already; a folder of ttc serve --record, or a source as PROMPTS "
    "may be, with one row per sample, or as written by lm-evaluation-harness (--log_samples), "
    "search-and-learn or OpenAI batches"
)
GOLD_HELP = "gold answers to OpenAI batch output: a file of custom_id and answer"
ARTIFACT_HELP = (
    "calibrated artifact: a folder, or OWNER/NAME or OWNER/NAME@REVISION on the Hugging Face Hub"
)
TRUST_HELP = (
    "artifact on the Hub whose Python grader may be run, as OWNER/NAME or OWNER/NAME@COMMIT"
)

SeedOption = Annotated[int, typer.Option(min=0, help="determines every sample")]
ArtifactOption = Annotated[Path, typer.Option("--artifact", help=ARTIFACT_HELP)]
ArtifactArgument = Annotated[Path, typer.Argument(help=ARTIFACT_HELP)]
TrustOption = Annotated[str, typer.Option("--trust-grader", help=TRUST_HELP)]
JobsOption = Annotated[
    int, typer.Option("--n-jobs", help="cores for replay and fits; -1 is all; changes no figure")
]
PromptsArgument = Annotated[str, typer.Argument(help=SOURCE_HELP)]
EngineOption = Annotated[EngineName, typer.Option(help=ENGINE_NAME_HELP)]
ThinkingOption = Annotated[
    str,
    typer.Option(
        help="most tokens that each solution may think, whatever the plan says; off is no "
        "thought, full no limit but the plan's"
    ),
]
ForceOption = Annotated[
    bool, typer.Option("--force", help="use an artifact made for another model or other settings")
]


def numbers(field: str, text: str) -> list[int]:
    """Whole numbers, comma-separated.

    Raises:
        InputError: the text is anything else.
    """
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise InputError(field, text, "give whole numbers, comma-separated") from None


def depth_of(text: str, hint: str = "give off, full, or a number of tokens") -> int | None:
    """A depth of thought, as `allocator.plan.Plan.thinking`: 0 for ``off``, None for ``full``.

    Raises:
        InputError: neither of them, nor a whole number of at least 1.
    """
    known = {"off": 0, "full": None}
    if text in known:
        return known[text]
    if not re.fullmatch(r"[0-9]{1,9}", text) or not int(text):
        raise InputError("thinking", text, hint)
    return int(text)


def given(context: typer.Context) -> list[str]:
    """Names of the options and arguments given on the command line."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return [name for name, source in sources.items() if source and source.name == "COMMANDLINE"]


def load_table(folder: Path) -> "LookupTable":
    """An artifact's table alone, to check a request before the rest is loaded.

    Raises:
        InputError: there is no artifact, or it is damaged.
    """
    from runtime.artifact import load_settings, read_table

    load_settings(folder)
    return read_table(folder)


class ArgsOptions(BaseModel):
    """What runs the verifiers, and arguments of vLLM's engines."""

    verifier_engine: VerifierEngine = Field(default="auto", description=VERIFIER_ENGINE_HELP)
    engine_args: str = Field(default="{}", description=ENGINE_HELP)
    verifier_args: str = Field(default="{}", description=VERIFIER_HELP)
    reviser_args: str = Field(default="{}", description=REVISER_HELP)

    def read(self, engine: EngineName) -> dict[str, EngineArgs]:
        """The arguments, by the settings that hold them.

        Raises:
            InputError: an unknown engine of the verifiers, no JSON object, or as
                `runtime.engines.engine_args.given_args`.
        """
        verifier_kind(self.verifier_engine)
        texts = self.model_dump(exclude={"verifier_engine"})
        read = {field: read_args(field, text) for field, text in texts.items()}
        return given_args(**read, engine=engine, verifier_engine=self.verifier_engine)


def load_artifact(
    folder: Path,
    force: bool,
    trust_grader: str,
    args: "Mapping[str, EngineArgs]" = MappingProxyType({}),
) -> "Artifact":
    """Load an artifact; a foreign one only if forced, with a warning for every difference.

    Args:
        folder: the artifact's.
        force: take it although models or settings have changed.
        trust_grader: name of an artifact on the Hub whose Python grader may be run.
        args: arguments of engines, in place of the artifact's of the same names.
    """
    from runtime.artifact import Artifact

    artifact = Artifact.load(folder, force, trust_grader).with_args(args, force)
    for difference in artifact.foreign:
        say("warning", difference, "yellow")
    return artifact


def _flag(name: str, field: FieldInfo) -> tuple[str, ...]:
    """The name of an option that is off unless it is given: without another one to turn it off."""
    return (
        (f"--{name.replace('_', '-')}",)
        if field.annotation is bool and field.default is False
        else ()
    )


def settings_options(**groups: type[BaseModel]) -> Callable[[Callable[..., Any]], Any]:
    """A decorator for typer commands: each group's fields become options of the command.

    The command is called with one settings object per group. A field that several groups have, such
    as ``seed``, is one option that goes to all of them. Where the default holds a newline, the
    option writes ``\\n`` for one.

    Args:
        groups: the command's keyword for each settings object, and its model.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        fields = {name: f for model in groups.values() for name, f in model.model_fields.items()}

        @wraps(command)
        def wrapped(**options: Any) -> Any:
            chosen = {name: _unescape(options.pop(name), f) for name, f in fields.items()}
            settings = {key: _settings(model, chosen) for key, model in groups.items()}
            return command(**options, **settings)

        own = [
            parameter
            for name, parameter in inspect.signature(command).parameters.items()
            if name not in groups
        ]
        added = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=inspect.Parameter.empty if field.is_required() else _escape(field.default),
                annotation=Annotated[
                    field.annotation, typer.Option(*_flag(name, field), help=field.description)
                ],
            )
            for name, field in fields.items()
        ]
        keyword_only = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own]
        signature = inspect.Signature([*keyword_only, *added])
        wrapped.__signature__ = signature  # type: ignore[attr-defined]
        wrapped.__annotations__ = {n: p.annotation for n, p in signature.parameters.items()}
        return wrapped

    return decorate


def _settings(model: type[BaseModel], chosen: dict[str, Any]) -> BaseModel:
    try:
        return model.model_validate({name: chosen[name] for name in model.model_fields})
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(str(first["loc"][0]), first["input"], first["msg"]) from None


def _escape(value: Any) -> Any:
    return value.replace("\n", r"\n") if isinstance(value, str) else value


def _unescape(value: Any, field: FieldInfo) -> Any:
    holds_newlines = isinstance(field.default, str) and "\n" in field.default
    return value.replace(r"\n", "\n") if holds_newlines else value
