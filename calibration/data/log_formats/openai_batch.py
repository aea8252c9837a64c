"""Output files of OpenAI's batch interface, which vLLM's ``run_batch`` and others write too."""

from collections.abc import Mapping, Sequence
from typing import Any

from allocator.errors import InputError
from calibration.data.cells import as_text, is_blank
from calibration.data.log_formats.base import LogFormat
from calibration.data.table_io import SHOWN_CHARACTERS, Rows, open_rows

# Columns of the gold file: what a request is matched by, its question, and the answer.
IDS = ("custom_id", "question_id", "id", "unique_id")
QUESTIONS = ("question_id", "question")
GOLDS = ("gold", "answer")
CUT = ("length", "content_filter")


class OpenAIBatch(LogFormat):
    """One row per request, with one or more choices. The gold answers stand in a second file."""

    name = "OpenAI batch output"
    marks = frozenset({"custom_id"})
    fields: tuple[str, ...] = ("custom_id", "response")

    def __init__(self, rows: Rows, gold: str | None) -> None:
        super().__init__(rows, None)
        if gold is None:
            raise InputError(
                "gold",
                None,
                f"{rows.source} is {self.name}, which has no gold answers; give a file of "
                "custom_id and answer",
            )
        self.names = {
            "question": "custom_id",
            "answer": "content",
            "gold": "gold",
            "tokens": "completion_tokens",
            "finished": "finish_reason",
        }
        self._gold, self._golds = gold, _read_golds(gold)
        self._failed = self._read = self._several = 0
        self._reasoned: list[bool] = []  # of each sample: whether its thought stands apart
        self._model: str | None = None

    def cells(self, number: int, row: Mapping[str, object]) -> dict[str, object] | None:
        """See `LogFormat.cells`. Requests that failed are left out and counted."""
        self.check_row(number, row)
        response = row["response"]
        if row.get("error") or not isinstance(response, dict) or _status(response) != 200:
            self._failed += 1
            return None
        self._read += 1
        body, choices = self._body(number, response.get("body"))
        texts = [self._text(number, choice) for choice in choices]
        reasons = [choice.get("finish_reason") for choice in choices]
        tokens = None
        match body.get("usage"):  # that of several choices is their sum
            case {"completion_tokens": known} if len(texts) == 1:
                tokens = known
        self._several += len(texts) > 1
        self._reasoned += [_has_reasoning(choice) for choice in choices]
        question, answer = self._question(number, row["custom_id"])
        return {
            "custom_id": question,
            "content": texts,
            "gold": answer,
            "completion_tokens": [tokens] * len(texts),
            "finish_reason": [None if reason is None else reason not in CUT for reason in reasons],
        }

    def settle(self, cells: dict[str, list[object]]) -> list[str]:
        """See `LogFormat.settle`."""
        if self._failed and not self._read:
            raise InputError("from-logs", self.rows.source, f"all {self._failed} requests failed")
        notes = [f"failed requests, left out: {self._failed}"] if self._failed else []
        if unfinished := self._drop_unfinished(cells["answer"], cells["finished"]):
            notes.append(f"unfinished thoughts, without an answer: {unfinished} that were cut off")
        for column in ("tokens", "finished"):
            if None in cells.get(column, []):
                del cells[column]
        if "tokens" not in cells:
            several = "usage counts the choices of a request together"
            why = several if self._several else "not every request has usage"
            notes.append(f"numbers of tokens are left out: {why}")
        return notes

    def _drop_unfinished(self, answers: list[object], finished: list[object]) -> int:
        """Leave out contents that are thoughts; returns their number.

        Servers that tell thoughts from answers by their end take one that was cut off for content.
        """
        if not any(self._reasoned):
            return 0
        dropped = 0
        for place, reasoned in enumerate(self._reasoned):
            if not reasoned and finished[place] is False and answers[place]:
                answers[place], dropped = None, dropped + 1
        return dropped

    def _body(self, number: int, body: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """A response's body and its choices. All must be of one model."""
        match body:
            case {"choices": [{}, *_]}:
                pass
            case _:
                why = "must have choices, as those of /v1/chat/completions have"
                raise self.refusal(number, "response.body", body, why)
        model = body.get("model")
        self._model = self._model or model
        if model != self._model:
            why = f"must be {self._model}, as before: calibrate on the samples of one model"
            raise self.refusal(number, "response.body.model", model, why)
        return body, body["choices"]

    def _text(self, number: int, choice: object) -> str | None:
        """A choice's text; None where it has none, as while a thought has not ended."""
        match choice:
            case {"message": {"content": str() | None as text}} | {"text": str() as text}:
                return text
        raise self.refusal(
            number, "choices", choice, "must each have a message with content, or a text"
        )

    def _question(self, number: int, custom_id: object) -> tuple[str, str]:
        """The question of a request and its gold answer.

        The gold file has the request's own id, or one that it continues: ``q7`` for ``q7-3``.
        """
        name = str(custom_id)
        ends = [end for end in range(len(name) - 1, 0, -1) if not name[end].isalnum()]
        for candidate in (name, *(name[:end] for end in ends)):
            if candidate in self._golds:
                return self._golds[candidate]
        raise self.refusal(
            number,
            "custom_id",
            custom_id,
            f"must be in {self._gold}, itself or without an ending such as -3 after the "
            "question's id",
        )


def _has_reasoning(choice: dict[str, Any]) -> bool:
    """Whether a choice has a thought apart from its content, by either of the fields in use."""
    message = choice.get("message")
    fields = ("reasoning_content", "reasoning")
    return isinstance(message, dict) and any(message.get(field) for field in fields)


def _status(response: Mapping[str, object]) -> object:
    """The HTTP status; some servers write none for requests that succeed."""
    return response.get("status_code", 200)


def _read_golds(source: str) -> dict[str, tuple[str, str]]:
    """Each id's question and gold answer.

    Raises:
        InputError: a file that cannot be read, a column that is missing, a blank cell, or an id
            that occurs twice.
    """
    rows = open_rows(source, "gold")
    key, answer = (_column(rows, names) for names in (IDS, GOLDS))
    question = next((name for name in QUESTIONS if name in rows.columns), key)
    golds: dict[str, tuple[str, str]] = {}
    for number, row in rows.read(list({key, answer, question})):
        name, *pair = (_cell(rows, number, row, column) for column in (key, question, answer))
        if name in golds:
            raise InputError(rows.where(number), name, f"its {key!r} occurs twice; list each once")
        golds[name] = (pair[0], pair[1])
    return golds


def _column(rows: Rows, names: Sequence[str]) -> str:
    for name in names:
        if name in rows.columns:
            return name
    existing = ", ".join(rows.columns)
    raise InputError("gold", rows.source, f"give it {' or '.join(names)}; it has {existing}")


def _cell(rows: Rows, number: int, row: Mapping[str, object], column: str) -> str:
    cell = row.get(column)
    try:
        if is_blank(cell):
            raise ValueError("must not be blank")
        return as_text(cell)
    except ValueError as error:
        shown = str(cell)[:SHOWN_CHARACTERS]
        raise InputError(rows.where(number), shown, f"its {column!r} {error}") from None
