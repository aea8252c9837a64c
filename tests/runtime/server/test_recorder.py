"""Recorded traffic: what is written of a request, what is not, and that no request waits for it."""

import json
import resource
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from allocator.errors import InputError
from benchmarks.testbed.paths import ARTIFACT, SETTINGS
from predictors.scoring import Scoring
from runtime.artifact import load_settings
from runtime.request import Request, RequestSettings
from runtime.result import Spend
from runtime.server import recorder as recorder_module
from runtime.server.prompt_requests import PromptRequest
from runtime.server.recorder import Recorder, recording
from runtime.server.settings import ServeSettings
from runtime.solving.metrics import Metrics
from runtime.traffic import (
    FILES,
    RecordedPrompt,
    RecordedVerdict,
    is_traffic,
    question_id,
    read_lines,
)
from tests.support.samples import make_result
from tests.support.serving import PROMPTS, Apis, chat
from tests.support.waiting import eventually

ARTIFACT_SCORING = load_settings(ARTIFACT).scoring
CALIBRATED = SETTINGS.sampling


def asked(prompt: str, budget: int = 4, **fields: Any) -> PromptRequest:
    return PromptRequest(Request(prompt, **fields), Spend(budget=budget), ())


@contextmanager
def opened(folder: Path, **settings: Any) -> Iterator[tuple[Recorder, Metrics]]:
    metrics = Metrics()
    serving = ServeSettings(artifact=ARTIFACT, record=str(folder), record_share=1, **settings)
    with recording(serving, SETTINGS, metrics) as recorder:
        assert recorder is not None
        yield recorder, metrics


def lines_in(folder: Path) -> list[Any]:
    return [line for path in sorted(folder.glob(FILES)) for line in read_lines(path)]


def put(recorder: Recorder, prompt: str, request: str = "r") -> list[str]:
    """Have a prompt recorded; a list that has it as soon as it is lost."""
    lost: list[str] = []
    result = make_result(prompt, ["7", None, "8", "7"])
    recorder.prompt(
        result,
        request=request,
        prompt=0,
        choices=1,
        artifact="a",
        scoring=Scoring(),
        lost=partial(lost.append, prompt),
    )
    return lost


def outcome(metrics: Metrics, kind: str) -> float:
    found = metrics.registry.get_sample_value("ttc_recorded_lines_total", {"outcome": kind})
    return found or 0.0


def test_a_prompt_is_a_hash_and_answers_are_numbers_unless_they_may_be_read(
    tmp_path: Path,
) -> None:
    with opened(tmp_path / "hashed") as (recorder, _):
        put(recorder, "3+4")
        recorder.verdict(RecordedVerdict(request="r", prompt=0, rank=1, correct=True))
    line, verdict = lines_in(tmp_path / "hashed")
    assert (line.question, line.text) == (question_id("3+4"), None)
    assert line.answer == ("1", None, "2", "1")
    assert verdict == RecordedVerdict(request="r", prompt=0, rank=1, correct=True)
    assert "3+4" not in "".join(path.read_text() for path in (tmp_path / "hashed").iterdir())
    with opened(tmp_path / "shown", record_prompts=True) as (recorder, _):
        put(recorder, "3+4")
    (line,) = lines_in(tmp_path / "shown")
    assert (line.text, line.answer) == ("3+4", ("7", None, "8", "7"))
    assert is_traffic(tmp_path / "shown")


def test_a_prompt_is_recorded_once_also_after_a_restart(tmp_path: Path) -> None:
    with opened(tmp_path) as (recorder, _):
        assert recorder.takes(asked("3+4"), CALIBRATED)
        assert not recorder.takes(asked("3+4"), CALIBRATED)
        recorder.forget("3+4")
        assert recorder.takes(asked("3+4"), CALIBRATED)
        put(recorder, "3+4")
    with opened(tmp_path) as (recorder, _):
        assert not recorder.takes(asked("3+4"), CALIBRATED)
        assert recorder.takes(asked("3+5"), CALIBRATED)
        assert [line.question for line in recorder.found] == [question_id("3+4")]


def test_only_what_is_sampled_as_in_calibration_is_recorded(tmp_path: Path) -> None:
    hot = RequestSettings(SETTINGS.sampling.model_copy(update={"temperature": 1.5}))
    with opened(tmp_path) as (recorder, _):
        assert not recorder.takes(asked("1", settings=hot), CALIBRATED)
        assert not recorder.takes(asked("1", budget=3), CALIBRATED)
        late = PromptRequest(Request("1"), Spend(budget=4, deadline=9.0), ())
        assert not recorder.takes(late, CALIBRATED)
        assert recorder.takes(asked("1", settings=RequestSettings(CALIBRATED)), CALIBRATED)


def test_the_share_is_kept(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, 0.25, 2**20, False, Metrics())
    taken = sum(recorder.takes(asked(f"{number}+1"), CALIBRATED) for number in range(2000))
    recorder.close()
    assert 430 < taken < 570  # 500, within 3.6 standard deviations


def test_a_line_that_a_full_disk_cuts_off_leaves_nothing(tmp_path: Path) -> None:
    metrics = Metrics()
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    recorder = Recorder(tmp_path, 1, 2**20, False, metrics)
    put(recorder, "1+1")
    eventually(lambda: outcome(metrics, "written") == 1)
    (path,) = tmp_path.glob(FILES)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 30, unlimited[1]))
    try:
        put(recorder, "1+2")
        eventually(lambda: outcome(metrics, "failed") == 1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    put(recorder, "1+3")
    recorder.close()
    assert [line.question for line in lines_in(tmp_path)] == [
        question_id("1+1"),
        question_id("1+3"),
    ]


def test_the_oldest_samples_make_room_for_the_newest(tmp_path: Path) -> None:
    size = 16_000
    recorder = Recorder(tmp_path, 1, size, False, Metrics())
    prompts = [f"{number}+1" for number in range(200)]
    for prompt in prompts:
        assert recorder.takes(asked(prompt), CALIBRATED)
        put(recorder, prompt)
    recorder.close()
    assert sum(path.stat().st_size for path in tmp_path.glob(FILES)) <= size
    kept = [line.question for line in lines_in(tmp_path)]
    assert 20 < len(kept) < 100
    assert kept == [question_id(prompt) for prompt in prompts[-len(kept) :]]
    # What was removed may be recorded again.
    assert recorder.takes(asked(prompts[0]), CALIBRATED)
    assert not recorder.takes(asked(prompts[-1]), CALIBRATED)


def test_a_disk_that_hangs_drops_lines_and_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "QUEUE", 2)
    released, writing = threading.Event(), threading.Event()

    def hang() -> RecordedVerdict:
        writing.set()
        released.wait(20)
        return RecordedVerdict(request="r", prompt=0, rank=0, correct=True)

    with opened(tmp_path) as (recorder, metrics):
        recorder._put(recorder_module._Waiting(hang))
        assert writing.wait(20)
        assert recorder.takes(asked("5+1"), CALIBRATED)
        assert [put(recorder, prompt) for prompt in ("3+1", "4+1", "5+1")] == [[], [], ["5+1"]]
        assert outcome(metrics, "dropped") == 1
        # It can be recorded later.
        assert recorder.takes(asked("5+1"), CALIBRATED)
        released.set()
    assert outcome(metrics, "written") == 3
    assert len(lines_in(tmp_path)) == 3


def test_a_folder_that_is_gone_fails_no_request_and_is_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    metrics = Metrics()
    recorder = Recorder(folder, 1, 2**20, False, metrics)
    folder.rmdir()
    lost = [put(recorder, "1+1"), put(recorder, "1+2")]
    recorder.close()
    assert lost == [["1+1"], ["1+2"]]
    assert outcome(metrics, "failed") == 2
    assert [record.message for record in caplog.records] == ["record_failed"]


def test_while_the_disk_is_full_prompts_keep_their_policy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, metrics = tmp_path / "gone", Metrics()
    folder.mkdir()
    recorder = Recorder(folder, 1, 2**20, False, metrics)
    folder.rmdir()
    assert recorder.takes(asked("1+1"), CALIBRATED)
    put(recorder, "1+1")
    eventually(lambda: outcome(metrics, "failed") == 1)
    assert not recorder.takes(asked("1+1"), CALIBRATED)
    folder.mkdir()
    clock = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: clock() + recorder_module.PAUSE)
    assert recorder.takes(asked("1+1"), CALIBRATED)
    put(recorder, "1+1")
    eventually(lambda: outcome(metrics, "written") == 1)
    assert not recorder.takes(asked("1+1"), CALIBRATED)
    assert recorder.takes(asked("1+2"), CALIBRATED)
    recorder.close()


def test_the_end_of_a_killed_server_is_left_out_and_other_damage_is_refused(
    tmp_path: Path,
) -> None:
    with opened(tmp_path) as (recorder, _):
        put(recorder, "1+1")
        put(recorder, "1+2")
    (path,) = tmp_path.glob(FILES)
    path.write_bytes(path.read_bytes()[:-9])
    with opened(tmp_path) as (recorder, _):
        assert len(recorder.found) == 1
        put(recorder, "1+2")
    assert len(lines_in(tmp_path)) == 2
    path.write_bytes(b"{}\n" + path.read_bytes())
    with pytest.raises(InputError, match=r"line 1: .*damaged"), opened(tmp_path):
        pass


def test_a_record_is_of_one_server_and_one_model(tmp_path: Path) -> None:
    again = opened(tmp_path)
    with opened(tmp_path), pytest.raises(InputError, match=r"record: .*is writing there"), again:
        pass
    other = SETTINGS.model_copy(update={"model": "other"})
    serving = ServeSettings(artifact=ARTIFACT, record=str(tmp_path))
    with (
        pytest.raises(InputError, match=r"drawn with model .*give another folder"),
        recording(serving, other, Metrics()),
    ):
        pass
    (tmp_path / "settings.json").rename(tmp_path / "notes.txt")
    with pytest.raises(InputError, match="it holds other files"), opened(tmp_path):
        pass


@pytest.mark.slow
def test_samples_and_feedback_of_a_real_client_are_recorded(apis: Apis, tmp_path: Path) -> None:
    settings = {"record": str(tmp_path), "record_share": 1.0, "default_budget": 8}
    with apis.listening(**settings, api_keys=["sk-one"]) as api:
        client = openai.OpenAI(base_url=f"{api.url}/v1", api_key="sk-one")
        answers = [
            client.chat.completions.create(**chat(prompt), n=2)
            for prompt in (*PROMPTS[:3], PROMPTS[0])
        ]
        recorded = [answer.ttc["receipt"]["why"] for answer in answers]

        def said(key: str = "sk-one", **body: Any) -> httpx.Response:
            headers = {"Authorization": f"Bearer {key}"}
            return httpx.post(f"{api.url}/v1/feedback", json=body, headers=headers)

        first = {"request_id": answers[0].id, "correct": True, "index": 1}
        reply = said(**first)
        assert (reply.status_code, reply.json()["recorded"]) == (200, True)
        assert said(**first).status_code == 200  # sent again
        assert said(**first | {"correct": False}).status_code == 409
        repeated = said(request_id=answers[3].id, correct=False).json()
        assert (repeated["recorded"], repeated["artifact"]) == (
            False,
            api.service.policies.current.label,
        )
        assert said(request_id="chatcmpl-unknown", correct=True).status_code == 404
        assert said(request_id=answers[1].id, correct=True, index=2).status_code == 404
        assert said(request_id=answers[1].id, correct="maybe").status_code == 400
        assert said("sk-two", **first).status_code == 401
        counted = api.service.metrics.registry.get_sample_value
        assert (
            counted("ttc_artifact_right_total", {"artifact": api.service.policies.current.label})
            == 1
        )
        eventually(lambda: outcome(api.service.metrics, "written") == 4)
    assert ["recorded" in why for why in recorded] == [True, True, True, False]
    *prompts, verdict = lines_in(tmp_path)
    assert [line.question for line in prompts] == [question_id(p) for p in PROMPTS[:3]]
    for line, answer in zip(prompts, answers, strict=False):
        assert isinstance(line, RecordedPrompt)
        assert len(line.answer) == len(line.score) == 8
        sharpened = float(ARTIFACT_SCORING.sharpened(line.probability[0]))
        assert answer.choices[0].ttc["score"] == pytest.approx(sharpened)
    assert verdict == RecordedVerdict(
        request=answers[0].id.removeprefix("chatcmpl-"), prompt=0, rank=1, correct=True
    )
    assert json.loads((tmp_path / "settings.json").read_text())["model"].endswith("base")
    # A server that starts again still takes feedback on what is recorded.
    with apis.listening(**settings) as api:
        body = {"request_id": answers[1].id, "correct": True}
        assert httpx.post(f"{api.url}/v1/feedback", json=body).json()["recorded"] is True
