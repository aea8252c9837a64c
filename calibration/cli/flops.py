"""``ttc flops``: think longer with a small model, or pretrain a larger one? (section 7)"""

from typing import Annotated

import typer
from rich.console import RenderableType

from allocator.errors import InputError
from allocator.flops import STUDIED, Exchange, pretraining_flops
from allocator.table import BudgetRow, Cell
from calibration.cli.console import new_table, reports_errors, write_answer
from calibration.cli.options import ArtifactArgument
from calibration.report.artifact_files import Contents
from runtime.artifact import artifact_folder
from runtime.engines.checkpoint import parameter_count


@reports_errors
def flops(
    artifact: ArtifactArgument,
    larger: Annotated[float, typer.Option(help="parameters of the larger model, as in 11.3e6")],
    parameters: Annotated[
        float | None, typer.Option(help="of the calibrated model; else counted in its files")
    ] = None,
    ratio: Annotated[
        list[float] | None, typer.Option(help="tokens inferred over tokens pretrained on, R")
    ] = None,
    pretraining_tokens: Annotated[
        float | None, typer.Option(help="tokens both models are pretrained on")
    ] = None,
    inference_tokens: Annotated[
        float | None, typer.Option(help="tokens ever inferred, one answer per prompt; gives R")
    ] = None,
    larger_accuracy: Annotated[
        str, typer.Option(help="the larger model's, easiest bin first: 0.99,0.9,0.7; or of all")
    ] = "",
) -> None:
    """Compare thinking longer with pretraining a larger model, at equal FLOPs.

    For each R: the generations that the small model may spend for each answer of the larger one,
    the largest calibrated budget within that, its accuracy in every bin, and which is better
    there. Without --larger-accuracy it is what the larger model would have to beat.
    """
    contents = Contents.load(artifact_folder(artifact))
    small = _parameters(contents) if parameters is None else parameters
    if not small > 0:
        raise InputError("parameters", small, "must be positive")
    ratios = _ratios(ratio, pretraining_tokens, inference_tokens)
    accuracies = _accuracies(larger_accuracy)
    parts: list[RenderableType] = [
        f"{small:,.0f} parameters that think longer, or {larger:,.0f} that do not\n"
    ]
    for value in ratios:
        exchange = Exchange(larger / small, value)
        row = contents.table.row(int(exchange.budget))
        shown = new_table(
            f"R = {value:g}: {exchange.budget:.1f} generations, a budget of {row.budget}",
            *("bin", "thinking longer [95%]", "larger", "better"),
        )
        cells = zip(row.cells, _of_row(accuracies, row), strict=True)
        for number, (cell, accuracy) in enumerate(cells, 1):
            shown.add_row(
                f"{number} of {len(row.cells)}",
                f"{cell.accuracy:.1%} [{cell.low:.1%}, {cell.high:.1%}]",
                "" if accuracy is None else f"{accuracy:.1%}",
                "" if accuracy is None else _better(cell, accuracy),
            )
        parts.append(shown)
    if pretraining_tokens is not None:
        more = pretraining_flops(larger - small, pretraining_tokens)
        parts.append(f"\nPretraining the larger model takes {more:.3g} FLOPs more.\n")
    write_answer(*parts)


def _parameters(contents: Contents) -> int:
    """The calibrated model's parameters, by the headers of its files.

    Raises:
        InputError: there is no model to count.
    """
    if contents.settings is None:
        raise InputError("parameters", None, "made from logs, the artifact names no model; say")
    folder = contents.settings.folder(contents.folder, "model")
    counted = parameter_count(folder)
    if counted is None:
        why = "its files have no weights that can be counted; say"
        raise InputError("parameters", str(folder), why)
    return counted


def _ratios(
    given: list[float] | None, pretrained: float | None, inferred: float | None
) -> tuple[float, ...]:
    if inferred is not None:
        if not pretrained:
            raise InputError("pretraining_tokens", pretrained, "R takes both numbers of tokens")
        if given:
            raise InputError("ratio", given, "inference_tokens give R; leave one of them out")
        return (inferred / pretrained,)
    return tuple(given) if given else STUDIED


def _accuracies(text: str) -> list[float]:
    try:
        found = [float(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise InputError("larger_accuracy", text, "give shares, as in 0.99,0.9,0.7") from None
    if bad := [value for value in found if not 0 <= value <= 1]:
        raise InputError("larger_accuracy", bad[0], "accuracies lie between 0 and 1")
    return found


def _of_row(accuracies: list[float], row: BudgetRow) -> list[float | None]:
    """One accuracy per cell: bins hold about equally many prompts, so their mean is that of all."""
    if not accuracies:
        return [None] * len(row.cells)
    if len(row.cells) == 1:
        return [sum(accuracies) / len(accuracies)]
    if len(accuracies) != len(row.cells):
        raise InputError(
            "larger_accuracy",
            accuracies,
            f"the table has {len(row.cells)} bins at a budget of {row.budget}; give one each",
        )
    return list(accuracies)


def _better(cell: Cell, larger: float) -> str:
    if larger > cell.high:
        return "pretrain"
    return "think longer" if larger < cell.low else "cannot be told apart"
