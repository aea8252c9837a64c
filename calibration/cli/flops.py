"""``ttc flops``: think longer with a small model, or pretrain a larger one? (section 7)"""

from collections.abc import Iterator
from math import inf
from typing import Annotated

import numpy as np
import typer
from rich.console import RenderableType

from allocator.errors import InputError
from allocator.flops import STUDIED, Exchange, pretraining_flops
from allocator.table import BudgetRow, Cell, LookupTable
from calibration.cli.console import new_table, reports_errors, write_answer
from calibration.cli.options import ArtifactArgument
from calibration.report.artifact_files import Contents
from calibration.report.diff import Estimate, over_all
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

    For each R: the generations that the small model may spend for each answer of the larger one;
    the most accurate budget that costs no more FLOPs than these, those of its verifier among
    them; its accuracy in every bin, and which is better there. Without --larger-accuracy it is
    what the larger model would have to beat.
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
        row = _affordable(contents.table, exchange.budget)
        shown = new_table(
            f"R = {value:g}: {exchange.budget:.1f} generations, a budget of {row.budget}",
            *("bin", "thinking longer [95%]", "larger", "better"),
        )
        for name, own, accuracy in _lines(contents.table, row, accuracies):
            shown.add_row(
                name,
                f"{own.accuracy:.1%} [{own.low:.1%}, {own.high:.1%}]",
                "" if accuracy is None else f"{accuracy:.1%}",
                "" if accuracy is None else _better(own, accuracy),
            )
        parts.append(shown)
    if not _knows_flops(contents.table):
        parts.append("\nFLOPs of a verifier are not counted: the artifact does not know them.\n")
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
        why = "made from logs, the artifact names no model; give --parameters"
        raise InputError("parameters", None, why)
    folder = contents.settings.folder(contents.folder, "model")
    counted = parameter_count(folder)
    if counted is None:
        why = "its files have no weights that can be counted; give --parameters"
        raise InputError("parameters", str(folder), why)
    return counted


def _knows_flops(table: LookupTable) -> bool:
    """Whether rows can be compared with a solution that no verifier scores, in FLOPs."""
    return table.rows[0].budget == 1 and all(row.flops is not None for row in table.rows)


def _affordable(table: LookupTable, solutions: float) -> BudgetRow:
    """The most accurate row that costs no more than so many unscored solutions of the small model.

    A larger budget may cost fewer FLOPs, by pilots that end most prompts early. Where FLOPs were
    not counted, it is the largest of so many generations.

    Raises:
        InputError: FLOPs were not counted, and the smallest budget is larger.
    """
    solutions *= 1 + 1e-9  # often whole, and computed a rounding below
    if not _knows_flops(table):
        return table.row(int(solutions))
    allowed = solutions * (table.rows[0].flops or 0.0)
    within = [row for row in table.rows if (row.flops or 0.0) <= allowed]
    return max(within, key=lambda row: row.accuracy)


def _ratios(
    given: list[float] | None, pretrained: float | None, inferred: float | None
) -> tuple[float, ...]:
    if pretrained is not None and not 0 < pretrained < inf:
        raise InputError("pretraining_tokens", pretrained, "must be above 0")
    if inferred is not None:
        if pretrained is None:
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


def _lines(
    table: LookupTable, row: BudgetRow, larger: list[float]
) -> Iterator[tuple[str, Cell | Estimate, float | None]]:
    """What to compare in a row, by name: its bins, or all prompts where one side knows no more.

    Raises:
        InputError: accuracies for another number of bins than the table has.
    """
    bins = len(row.cells)
    if len(larger) in (0, bins):
        for index, cell in enumerate(row.cells):
            yield f"{index + 1} of {bins}", cell, larger[index] if larger else None
        return
    weights = {len(of.cells): of.weights for of in table.rows} | {1: (1.0,)}
    if len(larger) > 1 and (bins > 1 or len(larger) not in weights):
        most = max(weights) if bins == 1 else bins
        why = f"the table has {most} bins; give one accuracy each, or one of all prompts"
        raise InputError("larger_accuracy", larger, why)
    everyone = float(np.average(larger, weights=weights[len(larger)]))
    yield "all", over_all(table, row.budget), everyone


def _better(own: Cell | Estimate, larger: float) -> str:
    if larger > own.high:
        return "pretrain"
    return "think longer" if larger < own.low else "cannot be told apart"
