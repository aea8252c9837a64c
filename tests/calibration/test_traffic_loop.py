"""The whole loop with real clients: record, give feedback, calibrate, reload."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import OpenAI

from benchmarks.testbed.paths import ARTIFACT
from benchmarks.testbed.task import Problem, distinct_problems
from calibration.report.summary import Summary
from runtime.artifact import load_settings
from tests.support.cli import invoke
from tests.support.serving import Api, Apis, chat
from tests.support.waiting import eventually

PROBLEMS = list(distinct_problems("test", 48, seed=72))


def recorded(api: Api) -> None:
    """Ask every problem, and say of every second answer whether it is right."""
    client: Any = OpenAI(base_url=f"{api.url}/v1", api_key="none")

    def ask(number: int, problem: Problem) -> None:
        answer = client.chat.completions.create(**chat(problem.text))
        if number % 2:
            right = answer.choices[0].ttc["answer"] == problem.answer
            body = {"request_id": answer.id, "correct": right}
            assert httpx.post(f"{api.url}/v1/feedback", json=body).json()["recorded"] is True

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(len(PROBLEMS)), PROBLEMS))
    registry, written = api.service.metrics.registry, {"outcome": "written"}
    count = len(PROBLEMS) * 3 // 2
    eventually(lambda: registry.get_sample_value("ttc_recorded_lines_total", written) == count)


def calibrated(traffic: Path, out: Path) -> str:
    options = ["--budgets", "1,2,4,8", "--pilots", "1,2", "--bins", "2"]
    status, _, shown = invoke("calibrate", "--from-logs", traffic, "--out", out, *options)
    assert status == 0, shown
    return " ".join(shown.split())


@pytest.mark.slow
def test_a_server_learns_from_its_traffic(apis: Apis, tmp_path: Path) -> None:
    traffic, made = tmp_path / "traffic", tmp_path / "made"
    with apis.listening(record=str(traffic), record_share=1.0, default_budget=8) as api:
        recorded(api)
        assert "known of" in calibrated(traffic, made)
        assert any("calibrated score" in warning for warning in Summary.load(made).warnings)
        settings = load_settings(made)
        assert settings.scoring != load_settings(ARTIFACT).scoring
        before = api.service.policies.current.label
        status, shown, message = invoke("reload", made, "--url", api.url)
        assert status == 0, message
        assert "made-" in shown
        assert before not in shown
        # An answer by the new table, whose scores are by the new scoring.
        answer = httpx.post(
            f"{api.url}/v1/chat/completions", json=chat(PROBLEMS[0].text), timeout=60
        ).json()
        assert answer["ttc"]["receipt"]["plan"]["strategy"] == "best_of_n"
        assert api.service.ready().models.scoring == settings.scoring
