"""Results of huggingface/search-and-learn: ``best_of_n_completions.jsonl``, or from the hub."""

from collections.abc import Mapping
from pathlib import Path

from allocator.errors import InputError
from calibration.data.log_formats.base import LogFormat
from calibration.data.table_io import Rows
from runtime.answers import answer_line, last_boxed

# Its names for the files of searches, whose completions are no independent samples.
SEARCHES = ("beam_search_completions.jsonl", "dvts_completions.jsonl")
NOT_SAMPLES = "a search's completions share steps; calibrate on the file of best_of_n"


class SearchAndLearn(LogFormat):
    """One row per problem: lists of completions, of their step scores and of their lengths."""

    name = "search-and-learn results"
    marks = frozenset({"completions"})
    fields: tuple[str, ...] = ("problem", "completions")

    def __init__(self, rows: Rows, gold: str | None) -> None:
        super().__init__(rows, gold)
        gold_column = next((name for name in ("answer", "solution") if name in rows.columns), None)
        if gold_column is None:
            raise InputError(
                "from-logs",
                rows.source,
                f"it looks like {self.name}, but has neither 'answer' nor 'solution'",
            )
        if Path(rows.source).name in SEARCHES:
            raise InputError("from-logs", rows.source, NOT_SAMPLES)
        names = {
            "question": "unique_id" if "unique_id" in rows.columns else "problem",
            "answer": "completions",
            "gold": gold_column,
            "score": "scores",
            "tokens": "completion_tokens",
        }
        self.names = {ours: name for ours, name in names.items() if name in rows.columns}
        self.fields = (*self.fields, *self.names.values())

    def cells(self, number: int, row: Mapping[str, object]) -> dict[str, object] | None:
        """See `LogFormat.cells`."""
        self.check_row(number, row)
        match row["completions"]:
            case [*texts] if texts and all(isinstance(text, str) for text in texts):
                pass
            case other:
                raise self.refusal(number, "completions", other, "must be a list of texts")
        if row.get("completion_tokens") == -1:  # written by its DVTS
            raise self.refusal(number, "completion_tokens", -1, f"is that of DVTS: {NOT_SAMPLES}")
        if self.names["gold"] == "solution":
            solution = str(row["solution"])
            if (last_boxed(solution) or answer_line(solution)) is None:
                raise self.refusal(
                    number, "solution", solution, r"must have a \boxed{} answer, or give 'answer'"
                )
        return dict(row)
