"""What a notebook shows of results, receipts and artifacts: HTML without scripts or styles.

Text has the reader's colours; lines and shades are half transparent, so they fit light and dark.
"""

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from allocator.table import BudgetRow, Cell, LookupTable
    from runtime.result import Receipt, Result

_CELL = "border: 1px solid rgba(128, 128, 128, 0.4); padding: 2px 8px; text-align: left"
_SHADE = "background: rgba(0, 114, 178, {:.2f})"  # of the accuracy times _DARKEST
_DARKEST = 0.3
_LONGEST = 300  # characters of a prompt

# Counts of a receipt that are shown only where they are not zero, in words.
_RARE = {
    "forced_thoughts": "thoughts ended at a cap",
    "aborted": "solutions ended for low confidence",
    "windowed": "scorings in windows",
    "unscored": "scorings that no verifier could read",
}


def receipt_html(receipt: "Receipt") -> str:
    """A receipt: the decision with its reason, and what it cost."""
    rows = [("plan", str(receipt.plan)), ("why", receipt.why)]
    if receipt.predicted_pass_at_1 is not None:
        difficulty = f"pass@1 about {receipt.predicted_pass_at_1:.0%}"
        if receipt.low is not None and receipt.high is not None:
            difficulty += f" [{receipt.low:.0%}, {receipt.high:.0%}]"
        if receipt.bin is not None:
            difficulty += f", bin {receipt.bin} of {receipt.bins}"
        rows.append(("difficulty", difficulty))
    rows += [("allowed", allowed)] if (allowed := _allowed(receipt)) else []
    spent = [f"{receipt.generations} generations, {receipt.pilots} of them pilots"]
    spent.append(f"{receipt.sampled_tokens:,} tokens sampled")
    if receipt.thinking_tokens:
        spent.append(f"{receipt.thinking_tokens:,} of them thoughts")
    spent.append(f"{receipt.verifier_tokens:,} read by verifiers")
    if receipt.flops is not None:
        spent.append(f"{receipt.flops:.1e} FLOPs".replace("e+0", "e").replace("e+", "e"))
    rows.append(("spent", ", ".join([*spent, f"{receipt.seconds:.2f} seconds"])))
    rare = [f"{n} {what}" for name, what in _RARE.items() if (n := getattr(receipt, name))]
    if receipt.undecided:
        rare.append(f"{len(receipt.undecided)} answers that could not be compared in time")
    rows += [("notes", ", ".join(rare))] if rare else []
    return _listing(rows)


def result_html(result: "Result") -> str:
    """A result: prompt, answer, the chosen solution to be opened, and the receipt."""
    prompt = result.prompt
    short = prompt if len(prompt) <= _LONGEST else f"{prompt[:_LONGEST]}…"
    rows = [("prompt", short), ("answer", "none" if result.answer is None else result.answer)]
    if result.score is not None:
        rows.append(("score", f"{result.score:.3f}"))
    solution = (
        "<details><summary>the chosen solution</summary>"
        f'<pre style="white-space: pre-wrap">{escape(result.solution)}</pre></details>'
    )
    return _listing(rows) + solution + receipt_html(result.receipt)


def table_html(table: "LookupTable", made_with: Sequence[tuple[str, str]]) -> str:
    """An artifact: what it was made with, and its table of plans.

    Args:
        table: its table.
        made_with: its folder, its models and so on: names and values.
    """
    columns = max(len(row.cells) for row in table.rows)
    heads = [f"bin {number}" for number in range(1, columns + 1)]
    heads[0] += ", easiest" if columns > 1 else ""
    head = "".join(f'<th style="{_CELL}">{name}</th>' for name in ("budget", "pilots", *heads))
    rows = "".join(_row(row, columns) for row in table.rows)
    return (
        f"{_listing(made_with)}"
        "<p>The plan of each difficulty bin at each budget, with its accuracy in calibration:</p>"
        f'<table style="border-collapse: collapse"><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )


def _allowed(receipt: "Receipt") -> str:
    """What the prompt was allowed to spend, in words."""
    allowed: list[str] = []
    if receipt.budget is not None:
        allowed.append(f"{receipt.budget} generations")
    if receipt.budget_tokens is not None:
        allowed.append(f"{receipt.budget_tokens:,} tokens on average")
    if receipt.price is not None:
        allowed.append(f"generations that gain at least {receipt.price:.2g}")
    if receipt.price_of_token is not None:
        allowed.append(f"tokens that gain at least {receipt.price_of_token:.2g}")
    if receipt.deadline is not None:
        allowed.append(f"{receipt.deadline:g} seconds")
    return ", ".join(allowed)


def _row(row: "BudgetRow", columns: int) -> str:
    span = columns if len(row.cells) == 1 else 1
    cells = "".join(_plan(cell, span) for cell in row.cells)
    budget = f"{row.budget:,}" + (" tokens" if row.unit == "tokens" else "")
    head = f'<th style="{_CELL}">{budget}</th><td style="{_CELL}">{row.pilots}</td>'
    return f"<tr>{head}{cells}</tr>"


def _plan(cell: "Cell", span: int) -> str:
    shade = _SHADE.format(_DARKEST * cell.accuracy)
    return (
        f'<td colspan="{span}" style="{_CELL}; {shade}">'
        f"{escape(str(cell.plan))}<br>{cell.accuracy:.0%}</td>"
    )


def _listing(rows: Sequence[tuple[str, str]]) -> str:
    """Names and values, one below the other."""
    lines = "".join(
        f'<tr><th style="{_CELL}">{escape(name)}</th><td style="{_CELL}">{escape(value)}</td></tr>'
        for name, value in rows
    )
    return f'<table style="border-collapse: collapse">{lines}</table>'
