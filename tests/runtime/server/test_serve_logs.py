"""The server's log: one line of JSON for each thing that happened, whatever clients send."""

import io
import json
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.models import LOGGER as MODELS_LOGGER
from runtime.server.logs import LONGEST, Finished, ServerLog
from tests.support.serving import logged

REQUEST: dict[str, Any] = {
    "request_id": "req-1",
    "owner": "0123abcd",
    "method": "POST",
    "path": "/v1/chat/completions",
    "outcome": "answered",
    "seconds": 1.23456,
    "status": 200,
    "model": "base",
    "budget": 16,
    "generations": 9,
    "sampled_tokens": 360,
    "thinking_tokens": 200,
    "flops": 2.5e9,
    "strategy": "best_of_n",
}
SECRETS = {"prompt": "What is my name?", "answer": "Rumpelstiltskin"}


def lines_of(*requests: dict[str, Any], log_prompts: bool = False) -> list[dict[str, Any]]:
    written = io.StringIO()
    log = ServerLog(log_prompts, written)
    for request in requests:
        log.finished(Finished(**request))
    text = written.getvalue()
    assert text.isascii()
    assert text.endswith("\n")
    assert not set(text) - {chr(code) for code in range(32, 127)} - {"\n"}
    return [json.loads(line) for line in text.removesuffix("\n").split("\n")]


def test_a_finished_request_is_one_line() -> None:
    (line,) = lines_of(REQUEST)
    time = datetime.fromisoformat(line.pop("time"))
    assert abs(datetime.now(UTC) - time) < timedelta(minutes=1)
    assert (line.pop("level"), line.pop("event"), line.pop("error")) == ("info", "request", None)
    assert line == REQUEST | {"seconds": 1.235}


def test_prompts_and_answers_are_written_only_where_that_was_asked_for() -> None:
    (line,) = lines_of(REQUEST | SECRETS)
    assert not {"prompt", "answer"} & line.keys()
    assert "Rumpelstiltskin" not in json.dumps(line)
    (line,) = lines_of(REQUEST | SECRETS, log_prompts=True)
    assert {name: line[name] for name in SECRETS} == SECRETS


@pytest.mark.parametrize("outcome", ["answered", "refused", "failed", "cancelled"])
def test_failures_stand_out(outcome: str) -> None:
    (line,) = lines_of(REQUEST | {"outcome": outcome, "error": "timeout_error"})
    assert (line["outcome"], line["error"]) == (outcome, "timeout_error")
    assert line["level"] == ("error" if outcome == "failed" else "info")


anything = st.text(st.characters(exclude_categories=())) | st.sampled_from(
    ['\n{"event": "ready"}', "\r\n", "\x1b[2J", "\u2028", "\x85", "\x7f", "\0", "\ud800", '"}']
)


@given(anything, anything, anything, anything)
def test_no_client_can_forge_a_line(request_id: str, path: str, model: str, prompt: str) -> None:
    named = {"request_id": request_id, "path": path, "model": model, "prompt": prompt}
    (line,) = lines_of(REQUEST | named, log_prompts=True)
    assert line["event"] == "request"
    assert {name: line[name] for name in named} == named


def test_long_names_are_cut() -> None:
    long = "x" * 100_000
    (line,) = lines_of(REQUEST | {"request_id": long, "path": long, "model": long})
    assert {len(line[name]) for name in ("request_id", "path", "model")} == {LONGEST}


def test_turns_of_the_servers_life() -> None:
    written = io.StringIO()
    log = ServerLog(stream=written)
    log.turn("start", engine="vllm")
    log.turn("engine_lost", why="it has\ndied")
    log.turn("restarted", generation=2)
    lines = logged(written)
    assert [line["event"] for line in lines] == ["start", "engine_lost", "restarted"]
    assert [line["level"] for line in lines] == ["info", "error", "info"]
    assert (lines[1]["why"], lines[2]["generation"]) == ("it has\ndied", 2)


def test_other_logs_are_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    before = logging.getLogger().handlers[:]
    ServerLog()
    ServerLog().turn("ready")  # the second replaces the first: nothing is written twice
    assert logging.getLogger().handlers == before
    shown = capsys.readouterr()
    assert shown.out == ""
    assert [json.loads(line)["event"] for line in shown.err.splitlines()] == ["ready"]


def test_an_unforeseen_error_is_logged_with_its_traceback_in_the_same_line() -> None:
    written = io.StringIO()
    ServerLog(stream=written)
    try:
        _ = 1 / 0
    except ZeroDivisionError:
        logging.getLogger("ttc.serve").exception("unforeseen")
    (line,) = [json.loads(text) for text in written.getvalue().splitlines()]
    assert line["event"] == "unforeseen"
    assert "ZeroDivisionError: division by zero" in line["traceback"]


def test_what_each_model_got_is_in_the_same_log() -> None:
    written = io.StringIO()
    ServerLog(stream=written)
    MODELS_LOGGER.info("model base: vLLM on CPU")
    (line,) = [json.loads(text) for text in written.getvalue().splitlines()]
    assert (line["level"], line["event"]) == ("info", "models")
    assert line["opened"] == "model base: vLLM on CPU"


@pytest.mark.parametrize("name", ["uvicorn.error", "asyncio", "ttc.servers"])
def test_what_the_server_stands_on_warns_in_the_same_log(name: str) -> None:
    written = io.StringIO()
    ServerLog(stream=written)
    logging.getLogger(name).warning("Invalid HTTP request\n{")
    logging.getLogger(name).info("started")
    (line,) = [json.loads(text) for text in written.getvalue().splitlines()]
    assert (line["level"], line["event"]) == ("warning", "Invalid HTTP request\n{")
