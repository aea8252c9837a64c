"""Bytes that no client library would send, over a raw socket to the real server."""

import json
import socket
import threading
import time
from contextlib import ExitStack, suppress
from typing import Any

import httpx
import pytest

from runtime.server import listen
from tests.support.serving import PROMPTS, Api, Apis

BUDGET = b', "ttc": {"budget": 1}'
GOOD = json.dumps({"model": "base", "prompt": PROMPTS[0]}).encode()[:-1] + BUDGET + b"}"
JSON = b"Content-Type: application/json"
CHUNKED = b"Transfer-Encoding: chunked"
MEGABYTE = 2**20


def post(
    body: bytes,
    *headers: bytes,
    kind: Any = JSON,
    length: Any = True,
    path: bytes = b"/v1/completions",
) -> bytes:
    """The bytes of a request."""
    lines = [b"POST " + path + b" HTTP/1.1", b"Host: x", *([kind] if kind else []), *headers]
    if length:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def chunks(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (*parts, b""))


def field(value: Any) -> Any:
    """A good body with something else in it."""
    return GOOD[:-1] + b', "stop": ' + value + b"}"


def answers(connection: socket.socket, count: int = 1) -> Any:
    """Statuses and bodies of so many answers; a server that hangs up may leave a body out."""
    found: list[tuple[int, bytes]] = []
    with connection.makefile("rb") as stream:
        while len(found) < count and (line := stream.readline()):
            length = None
            while (header := stream.readline().strip().lower()) != b"":
                if header.startswith(b"content-length:"):
                    length = int(header.partition(b":")[2])
            body = b""
            with suppress(ConnectionResetError):
                body = stream.read(length)
            found.append((int(line.split()[1]), body.decode()))
    return found


def connected(api: Api) -> Any:
    return socket.create_connection(("127.0.0.1", api.port), timeout=10)


def sent(api: Api, data: bytes) -> Any:
    """Status and body of the answer to some bytes, however few of them the server wants."""
    with connected(api) as connection:
        threading.Thread(target=send, args=(connection, data), daemon=True).start()
        ((status, body),) = answers(connection)
    return status, body


def send(connection: socket.socket, data: bytes) -> None:
    with suppress(OSError):
        connection.sendall(data)


def still_answers(api: Api) -> bool:
    return bool(sent(api, post(GOOD))[0] == 200)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "hint"),
    [
        (b"", "send a JSON object"),
        (b"{", "not JSON at character 1"),
        (GOOD[:-1], "not JSON"),
        (GOOD + GOOD, "Extra data"),
        (b"[]", "not a JSON object"),
        (b"\xff" + GOOD, "not UTF-8 at byte 0"),
        (GOOD.decode().encode("utf-16"), "not UTF-8"),
        (b"\xef\xbb\xbf" + GOOD, "not JSON"),
        (b'{"a":' * 100_000, "nested over 64 levels"),
        (field(b"[" * 400_000 + b"]" * 400_000), "nested over 64 levels"),
        (field(b"[[]]"), "stop: "),
        (field(b"NaN"), "'NaN' is not a JSON number"),
        (field(b"-Infinity"), "'-Infinity' is not a JSON number"),
        (field(b"1e400"), "too large"),
        (field(b"9" * 900_000), "too large"),
        (field(b'null, "ttc": {"budget": ' + b"9" * 5000 + b"}").replace(BUDGET, b""), "too large"),
        (field(b'null, "x": ' + b'{"ttc":' * 99 + b"1" + b"}" * 99), "nested over 64 levels"),
        (field(b'null, "stop": null'), "the field 'stop' twice"),
        (field(rb'"\ud800"'), "half a surrogate pair"),
        (field(b'null, "seed": 18446744073709551616'), "seed: 18446744073709551616"),
        (field(b'null, "__proto__": {}'), "__proto__: {}: no such field"),
        (GOOD.replace(b"base", b"base-ttc-" + b"9" * 5000), "it is not served"),
    ],
)
def test_a_body_that_is_none_is_refused(api: Api, body: Any, hint: str) -> None:
    status, said = sent(api, post(body))
    assert status == (404 if "served" in hint else 400)
    assert hint in json.loads(said)["error"]["message"]
    assert len(said) < 1000
    assert still_answers(api)


@pytest.mark.parametrize(
    "kind",
    [None, b"Content-Type: text/plain", b"Content-Type: application/x-www-form-urlencoded"],
)
def test_a_body_that_does_not_say_what_it_is_is_refused(api: Api, kind: Any) -> None:
    status, said = sent(api, post(GOOD, kind=kind))
    assert status == 400
    assert "as Content-Type: application/json" in json.loads(said)["error"]["message"]


@pytest.mark.parametrize(
    ("data", "field", "hint"),
    [
        (post(GOOD, b"Content-Encoding: gzip"), "Content-Encoding", "uncompressed"),
        (post(GOOD, b"X-TTC-Budget: 1", b"X-TTC-Budget: 2"), "X-TTC-Budget", "give one"),
        (post(GOOD, b"X-TTC-Budget: " + b"9" * 5000), "X-TTC-Budget", "valid integer"),
        (post(GOOD, b"X-TTC-Budget: \xff"), "X-TTC-Budget", "valid integer"),
        (post(GOOD, path=b"/v1/completions?budget=1"), "budget", "put it into the body"),
    ],
)
def test_what_stands_where_nobody_looks_is_refused(
    api: Api, data: bytes, field: str, hint: str
) -> None:
    status, said = sent(api, data)
    error = json.loads(said)["error"]
    assert (status, error["param"]) == (400, field)
    assert hint in error["message"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "data",
    [
        post(b"x" * 2 * MEGABYTE),
        post(b"", b"Content-Length: 9999999999", length=False),
        post(chunks(*[b"x" * 65536] * 32), CHUNKED, length=False),
        post(b"%x\r\n" % 2**40 + b"x" * 2 * MEGABYTE, CHUNKED, length=False),
    ],
)
def test_a_large_body_is_refused_however_it_is_sent(api: Api, data: bytes) -> None:
    status, said = sent(api, data)
    assert status == 413
    assert "larger than 1000000 bytes; send less" in json.loads(said)["error"]["message"]
    assert still_answers(api)


@pytest.mark.slow
@pytest.mark.parametrize(
    "data",
    [
        *(post(GOOD, b"Content-Length: " + length, length=False)
          for length in (b"abc", b"-1", b"+5", b"0x10", b"1e3", b"", b"9" * 100)),
        post(GOOD, b"Content-Length: 3"),
        post(b"zz\r\n" + GOOD, CHUNKED, length=False),
        post(chunks(GOOD), CHUNKED),
        b"GET /health HTTP/1.1\r\nHost: x\r\nX: " + b"a" * MEGABYTE + b"\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: x\r\nX: " + b"a" * MEGABYTE,  # and it goes on
        b"GET /health HTTP/1.1\r\nHost: x\r\n" + b"X: a\r\n" * 100_000 + b"\r\n",
        b"GET /" + b"a" * MEGABYTE + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",  # TLS
    ],
)  # fmt: skip
def test_what_is_no_http_is_refused(api: Api, data: bytes) -> None:
    assert sent(api, data)[0] == 400
    assert still_answers(api)


@pytest.mark.slow
def test_requests_in_one_go_are_answered_in_order(api: Api) -> None:
    bodies = [GOOD, b"{", GOOD.replace(b"base", b"other"), field(b'["#"]'), GOOD]
    with connected(api) as connection:
        connection.sendall(b"".join(map(post, bodies)))
        found = answers(connection, len(bodies))
    assert [status for status, _ in found] == [200, 400, 404, 200, 200]
    first, stopped, last = (json.loads(found[i][1])["choices"][0]["text"] for i in (0, 3, 4))
    assert first == last
    assert stopped == first.partition("#")[0]


@pytest.mark.slow
def test_a_client_that_hangs_up_amid_its_body_leaves_nothing(api: Api) -> None:
    for _ in range(20):
        with connected(api) as connection:
            connection.sendall(post(GOOD)[:-5])
    assert api.has_stopped()
    assert still_answers(api)


@pytest.mark.slow
def test_who_sends_no_head_is_hung_up_on_and_who_does_is_not(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listen, "HEAD_SECONDS", 1.0)
    for said in (
        b"",
        b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nX-Slow: ",
        post(GOOD) + b"GET /",
    ):
        with connected(api) as connection:
            connection.sendall(said)
            expected = [200] if said.endswith(b"GET /") else []
            assert [status for status, _ in answers(connection, len(expected))] == expected
            assert connection.recv(1) == b"", "it is closed"
    with connected(api) as connection:
        for _ in range(3):
            connection.sendall(post(GOOD))
            assert [status for status, _ in answers(connection)] == [200]
            time.sleep(0.4)


@pytest.mark.slow
def test_bodies_that_never_end_hold_nobody_up_and_are_given_up(apis: Apis) -> None:
    with apis.listening(body_timeout=2, max_concurrent=2) as api, ExitStack() as stack:
        slow = [stack.enter_context(connected(api)) for _ in range(50)]
        started = time.perf_counter()
        for connection in slow:
            connection.sendall(post(GOOD)[:-5])
        assert still_answers(api)
        assert httpx.get(f"{api.url}/health").status_code == 200
        for connection in slow:
            send(connection, b" ")  # some of the rest, but not all of it
        ((status, said),) = answers(slow[0])
        assert status == 408
        assert "did not arrive within 2 seconds" in json.loads(said)["error"]["message"]
        assert time.perf_counter() - started > 1.9
        assert {answers(connection)[0][0] for connection in slow[1:]} == {408}
        assert still_answers(api)


def test_an_answer_does_not_wait_for_the_clients_kernel(api: Api) -> None:
    with httpx.Client(base_url=api.url) as client:
        client.get("/v1/models")
        seconds = []
        for _ in range(20):
            started = time.perf_counter()
            client.get("/v1/models")
            seconds.append(time.perf_counter() - started)
        assert min(seconds) < 0.02
