"""The server's life: loading, ready, draining, gone; and its settings."""

import asyncio
import io
import json
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from allocator.errors import InputError
from benchmarks.serving.processes import free_port
from benchmarks.testbed.paths import ARTIFACT
from runtime.artifact import Artifact
from runtime.models import Models
from runtime.server.app import create_app
from runtime.server.auth import ANYONE
from runtime.server.logs import ServerLog
from runtime.server.prompt_requests import prompt_requests
from runtime.server.service import Service
from runtime.server.settings import ServeSettings, read_settings
from tests.support.cli import invoke, refused
from tests.support.running import Run
from tests.support.serving import (
    LONG,
    PROMPTS,
    Loaded,
    asked,
    chat,
    chunks_of,
    client_of,
    engine_of,
    idle,
    logged,
    service_of,
)
from tests.support.waiting import eventually, eventually_in_loop


@pytest.mark.slow
def test_a_server_is_healthy_once_its_models_are_loaded(
    run: Run[Any], transformers_models: Models
) -> None:
    service = Service(ServeSettings(artifact=ARTIFACT), Artifact.load(ARTIFACT))

    async def health() -> Any:
        async with client_of(service) as client:
            asked = [("GET", "/health"), ("HEAD", "/health"), ("GET", "/ping"), ("POST", "/ping")]
            (status,) = {(await client.request(*request)).status_code for request in asked}
            return status

    assert run(health()) == 503
    assert "loading" in run(asked(service, chat("81+54"))).json()["error"]["message"]
    service.open(Loaded(transformers_models))
    assert run(health()) == 200
    run(service.drain())
    assert run(health()) == 503
    assert "shutting down" in run(asked(service, chat("81+54"))).json()["error"]["message"]


@pytest.mark.slow
def test_what_is_open_without_a_key_and_answers_a_head(
    run: Run[Any], transformers_models: Models
) -> None:
    service = service_of(transformers_models, api_keys=["sk-one"])

    async def found(method: str, path: str, **headers: str) -> Any:
        async with client_of(service) as client:
            return await client.request(method, path, headers=headers)

    assert run(found("GET", "/version")).json() == {"version": version("ttc-allocator")}
    for path in ("/", "/health", "/ping", "/version"):
        assert run(found("GET", path)).status_code == 200
    for path in ("/health", "/ping", "/version", "/v1/models", "/v1/models/base"):
        key = {"Authorization": "Bearer sk-one"}
        head, whole = run(found("HEAD", path, **key)), run(found("GET", path, **key))
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == whole.headers["content-length"]
        without = run(found("HEAD", path)).status_code
        assert without == (401 if path.startswith("/v1") else 200)
    assert run(found("HEAD", "/v1/models/other", Authorization="Bearer sk-one")).status_code == 404


def test_a_wrong_method_is_told_the_right_ones(run: Run[Any], transformers_models: Models) -> None:
    service = service_of(transformers_models)

    async def allowed(path: str) -> Any:
        async with client_of(service) as client:
            response = await client.delete(path)
            assert response.status_code == 405
            return response.headers["allow"]

    assert run(allowed("/ping")) == "GET, HEAD, POST"
    assert run(allowed("/v1/models/base")) == "GET, HEAD"
    assert run(allowed("/v1/completions")) == "POST"
    assert run(allowed("/")) == "GET"


def preflight(origin: str) -> Any:
    asked = "authorization,content-type,x-stainless-os"
    return {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": asked,
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("origins", "origin", "allowed"),
    [
        ((), "https://chat.example", None),
        (("https://chat.example",), "https://chat.example", "https://chat.example"),
        (("https://chat.example",), "https://other.example", None),
        (("*",), "https://other.example", "*"),
    ],
)
def test_web_pages_of_named_origins_may_call(
    run: Run[Any], transformers_models: Models, origins: Any, origin: str, allowed: bool
) -> None:
    service = service_of(transformers_models, api_keys=["sk-one"], cors_origins=origins)

    async def sent() -> Any:
        async with client_of(service) as client:
            path = "/v1/chat/completions"
            before = await client.options(path, headers=preflight(origin))
            refused = await client.post(path, json={}, headers={"Origin": origin})
            key = {"Origin": origin, "Authorization": "Bearer sk-one"}
            answer = await client.get("/v1/models", headers=key)
            return before, refused, answer

    before, refused, answer = run(sent())
    assert (refused.status_code, answer.status_code) == (401, 200)
    for response in (before, refused, answer):
        assert response.headers.get("access-control-allow-origin") == allowed
        assert "access-control-allow-credentials" not in response.headers
    assert before.is_success is (allowed is not None)
    if allowed:
        assert "x-stainless-os" in before.headers["access-control-allow-headers"]


@pytest.mark.slow
def test_requests_and_work_are_counted(run: Run[Any], transformers_models: Models) -> None:
    service = service_of(transformers_models)
    receipt = run(asked(service, chat("81+54"))).json()["ttc"]["receipt"]
    run(asked(service, chat("81+54", model="other")))

    async def scrape() -> Any:
        async with client_of(service) as client:
            await client.get("/nowhere")
            return (await client.get("/metrics")).text

    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(run(scrape()))
        for sample in family.samples
    }
    assert found["ttc_http_requests_total", "/v1/chat/completions", "200"] == 1
    assert found["ttc_http_requests_total", "/v1/chat/completions", "404"] == 1
    assert found["ttc_http_requests_total", "other", "404"] == 1
    assert found["ttc_generations_total",] == receipt["generations"]


def test_a_request_above_the_limit_is_refused_before_it_is_read(
    run: Run[Any], transformers_models: Models
) -> None:
    service = service_of(transformers_models, max_concurrent_per_key=1)

    async def refused() -> Any:
        async with service.gate.admit(ANYONE):
            return await asked(service, chat("1" * 300))

    assert run(refused()).status_code == 429
    assert run(asked(service, chat("1" * 300))).status_code == 400
    assert not service.gate.in_flight


def test_other_requests_go_on_while_a_prompt_is_read(
    run: Run[Any], transformers_models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, go_on = service_of(transformers_models), threading.Event()

    def read_late(*arguments: Any) -> Any:
        assert go_on.wait(10)
        return prompt_requests(*arguments)

    monkeypatch.setattr("runtime.server.service.prompt_requests", read_late)

    async def both() -> Any:
        answer = asyncio.create_task(asked(service, chat("81+54", ttc={"budget": 1})))
        await eventually_in_loop(lambda: service.gate.in_flight)
        async with client_of(service) as client:
            health = await client.get("/health")
        go_on.set()
        return health, await answer

    assert [response.status_code for response in run(both())] == [200, 200]


def test_a_failure_that_nobody_foresaw_is_counted_and_logged(
    run: Run[Any], transformers_models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, written = service_of(transformers_models), io.StringIO()
    monkeypatch.setattr(service, "call", lambda *_: 1 / 0)
    app = create_app(service.settings, service, ServerLog(stream=written))

    async def post() -> Any:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
            return await client.post("/v1/chat/completions", json=chat("81+54"))

    response = run(post())
    assert response.status_code == 500
    assert "the server failed on this request" in response.json()["error"]["message"]
    failed, finished = logged(written)
    assert "ZeroDivisionError" in failed["traceback"]
    assert (finished["outcome"], finished["status"]) == ("failed", 500)
    assert {failed["request_id"], finished["request_id"]} == {response.headers["x-request-id"]}
    counted = service.requests.labels("/v1/chat/completions", 500)
    assert counted._value.get() == 1


@pytest.mark.slow
def test_a_request_that_takes_too_long_is_given_up(
    run: Run[Any], transformers_models: Models
) -> None:
    service = service_of(transformers_models, request_timeout=0.3)
    response = run(asked(service, LONG))
    assert response.status_code == 504
    assert "no answer within 0.3 seconds" in response.json()["error"]["message"]
    assert engine_of(service).running == 0
    last = chunks_of(run(asked(service, LONG | {"stream": True})))[-1]
    assert last["error"]["type"] == "timeout_error"
    assert engine_of(service).running == 0


@pytest.mark.slow
def test_draining_lets_short_requests_end_and_gives_long_ones_up(
    run: Run[Any], transformers_models: Models
) -> None:
    async def drained(body: Any, seconds: Any) -> Any:
        service = service_of(transformers_models, drain_timeout=seconds)
        answer = asyncio.create_task(asked(service, body))
        await eventually_in_loop(lambda: engine_of(service).running)
        assert service.gate.in_flight
        await service.drain()
        await idle(service)
        return (await answer).status_code

    short = LONG | {"prompt": PROMPTS[:8], "ttc": {"budget": 8}}
    assert run(drained(short, 30)) == 200
    assert run(drained(LONG, 0.2)) == 503


@pytest.mark.slow
def test_a_server_refuses_while_loading_serves_and_ends_on_sigterm_with_status_0(
    tmp_path: Path,
) -> None:
    listed = tmp_path / "stderr"
    command = [sys.executable, "-m", "calibration.cli", "serve", "--artifact", str(ARTIFACT)]
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    options = ["--engine", "transformers", "--port", str(port), "--drain-timeout", "1"]
    health = []
    with listed.open("w") as stderr:
        server = subprocess.Popen([*command, *options], stderr=stderr)
    try:

        def serving() -> bool:
            assert server.poll() is None, listed.read_text()
            with suppress(httpx.ConnectError):
                health.append(httpx.get(f"{url}/health", timeout=30).status_code)
            return f"serving: {url}" in listed.read_text()

        eventually(serving, 240)
        assert health[0] == 503
        body = LONG | {"stream": True}
        with httpx.Client(base_url=url, timeout=60) as client:
            assert client.get("/health").status_code == 200
            with client.stream("POST", "/v1/completions", json=body) as response:
                lines = response.iter_lines()
                next(lines)
                server.send_signal(signal.SIGTERM)
                eventually(lambda: client.get("/health").status_code == 503)
                *_, error, done = [line for line in lines if line]
        assert "the server is shutting down" in error
        assert done == "data: [DONE]"
        assert server.wait(20) == 0
    finally:
        server.kill()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/health")


def shown(*arguments: object) -> Any:
    status, out, message = invoke("serve", "--show-config", *arguments)
    assert status == 0, message
    return out


def test_the_command_line_wins_over_the_environment_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "serve.toml"
    path.write_text(f'artifact = "{ARTIFACT}"\nport = 1\nseed = 1\nmax_budget = 64\n')
    monkeypatch.setenv("TTC_PORT", "2")
    monkeypatch.setenv("TTC_SEED", "2")
    monkeypatch.setenv("TTC_API_KEYS", "one,two")
    settings = read_settings({"seed": 3}, path)
    assert (settings.max_budget, settings.port, settings.seed) == (64, 2, 3)
    assert [key.get_secret_value() for key in settings.api_keys] == ["one", "two"]
    assert "seed = 3" in shown("--config", path, "--seed", "3")
    monkeypatch.setenv("TTC_CORS_ORIGINS", "http://a.example,https://b.example:8443")
    origins = ("http://a.example", "https://b.example:8443")
    assert read_settings({}, path).cors_origins == origins
    assert f'cors_origins = ["{origins[0]}"]' in shown(
        "--config", path, "--cors-origin", origins[0]
    )


def test_arguments_of_engines_are_tables_or_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "serve.toml"
    path.write_text(f'artifact = "{ARTIFACT}"\nengine_args = {{device_ids = [0, 1]}}\n')
    monkeypatch.setenv("TTC_VERIFIER_ARGS", '{"device_ids": [2]}')
    settings = read_settings({"reviser_args": '{"seed": 1}'}, path)
    assert settings.engine_args == {"device_ids": [0, 1]}
    assert settings.verifier_args == {"device_ids": [2]}
    assert settings.reviser_args == {"seed": 1}
    monkeypatch.setenv("TTC_VERIFIER_ARGS", "device_ids=2")
    with pytest.raises(InputError, match=r"verifier_args: 'device_ids=2': must be a JSON object"):
        read_settings({}, path)


@pytest.mark.parametrize("number", ["1_0", "+5", " 16 ", "１６", "1e1", "5.0", "0x10"])
def test_a_number_in_the_environment_is_in_ascii_digits(
    monkeypatch: pytest.MonkeyPatch, number: Any
) -> None:
    monkeypatch.setenv("TTC_MAX_BUDGET", number)
    with pytest.raises(InputError, match=r"max_budget: .*give a number, such as 16"):
        read_settings({"artifact": ARTIFACT})


@pytest.mark.parametrize("field", ["request_timeout", "body_timeout", "drain_timeout"])
@pytest.mark.parametrize(
    ("seconds", "read"),
    [("2.5", 2.5), ("1e2", 100), (".5", 0.5), ("1_0.5", 0), ("inf", 0), ("nan", 0), ("１.5", 0)],
)
def test_seconds_in_the_environment_are_a_number(
    monkeypatch: pytest.MonkeyPatch, field: str, seconds: Any, read: Any
) -> None:
    monkeypatch.setenv(f"TTC_{field.upper()}", seconds)
    if read:
        assert getattr(read_settings({"artifact": ARTIFACT}), field) == read
    else:
        with pytest.raises(InputError, match=field):
            read_settings({"artifact": ARTIFACT})


def test_shown_settings_are_a_settings_file(tmp_path: Path) -> None:
    options = ("--artifact", ARTIFACT, "--served-model-name", 'a "b" \\ ü', "--force")
    path = tmp_path / "serve.toml"
    path.write_text(shown(*options))
    assert shown("--config", path) == path.read_text()
    args = {"device_ids": [1], "max_model_len": None}
    path.write_text(shown(*options, "--verifier-args", json.dumps(args)))
    assert shown("--config", path) == path.read_text()
    assert read_settings({}, path).verifier_args == args
    masked = shown(*options, "--api-key", "secret", "--api-key", "other")
    assert "secret" not in masked
    path.write_text(masked)
    with pytest.raises(InputError, match="masked; give the key itself"):
        read_settings({}, path)


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        (
            ["--host", "0.0.0.0"],
            "host: '0.0.0.0': without a key it must be a loopback address; set a key",
        ),
        (["--api-key", ""], "a key must not be empty"),
        (["--default-budget", "32", "--max-budget", "8"], "must be at most max_budget, 8"),
        (
            ["--cors-origin", "*"],
            "any web page could use the server; set a key, or list the origins",
        ),
        (["--cors-origin", "chat.example"], "give an origin such as https://chat.example"),
        (["--cors-origin", "https://chat.example/"], "without a path"),
        (["--cors-origin", "null"], "give an origin such as https://chat.example"),
        (["--port", "70000"], "less than or equal to 65535"),
        (["--config", "nowhere.toml"], "there is no such file"),
    ],
)
def test_settings_at_odds_are_refused(options: Any, hint: str) -> None:
    assert hint in " ".join(refused("serve", "--artifact", ARTIFACT, *options).split())


def test_unknown_settings_in_a_file_are_refused_and_an_artifact_is_needed(tmp_path: Path) -> None:
    path = tmp_path / "serve.toml"
    path.write_text("ports = 1\n")
    assert "ports: 1" in refused("serve", "--artifact", ARTIFACT, "--config", path)
    assert "give --artifact" in refused("serve")
