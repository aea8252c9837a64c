"""Samples of lm-evaluation-harness, as ``lm_eval --log_samples`` writes them."""

from collections.abc import Mapping

from calibration.data.log_formats.base import LogFormat
from calibration.data.table_io import Rows


class LmEval(LogFormat):
    """One row per document and filter: ``resps`` holds the generated texts, one per repeat.

    Filters change what the harness grades, not what was generated, so that each document is read
    under the first filter in which it occurs. Its metrics grade one response or a vote, not each
    response: they are not read.
    """

    name = "lm-evaluation-harness samples"
    marks = frozenset({"resps", "filtered_resps"})
    fields: tuple[str, ...] = ("doc_id", "resps", "target")

    def __init__(self, rows: Rows, gold: str | None) -> None:
        super().__init__(rows, gold)
        self.names = {"question": "doc_id", "answer": "resps", "gold": "target"}
        self._filters: dict[str, object] = {}

    def cells(self, number: int, row: Mapping[str, object]) -> dict[str, object] | None:
        """See `LogFormat.cells`."""
        self.check_row(number, row)
        # Tasks count their documents from 0, and files of several tasks may be joined.
        question = f"{row['doc_id']} {row.get('doc_hash', '')}".strip()
        if self._filters.setdefault(question, row.get("filter")) != row.get("filter"):
            return None
        match row["resps"]:
            case [[*texts]] if texts and all(isinstance(text, str) for text in texts):
                return {"doc_id": question, "resps": texts, "target": row["target"]}
        raise self.refusal(
            number,
            "resps",
            row["resps"],
            "must be one list of generated texts; tasks that compare given choices by their "
            "log-probability have no samples to calibrate on",
        )
