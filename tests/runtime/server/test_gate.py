"""What stands before the work: keys, the gate, and request bodies through a real server."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.responses import JSONResponse, Response, StreamingResponse

from allocator.errors import InputError
from runtime.server.auth import ANYONE, Keys
from runtime.server.body import BodyLimit, body_of
from runtime.server.errors import ApiError, as_response
from runtime.server.gate import Gate
from tests.support.fakes import SOON
from tests.support.http_server import LoopThread, http_server

LIMIT = 1000
RECEIVED = threading.Semaphore(0)  # one for each part of a stream that its client has received


@pytest.mark.parametrize(
    ("authorization", "hint"),
    [
        (None, "no API key; send the header"),
        ("", "malformed"),
        ("Bearer", "malformed"),
        ("Bearer   ", "malformed"),
        ("sk-one", "malformed"),
        ("Basic sk-one", "malformed"),
        ("Bearer sk-on", "unknown API key"),
        ("Bearer sk-one2", "unknown API key"),
        ("Bearer SK-ONE", "unknown API key"),
        ("Bearer schl\ufffdssel", "unknown API key"),
        ("Bearer \ud800", "unknown API key"),
        ("Bearer sk-one, sk-two", "unknown API key"),
    ],
)
def test_a_key_that_is_none(authorization: str | None, hint: str) -> None:
    with pytest.raises(ApiError, match=hint) as error:
        Keys(["sk-one", "sk-two", "schlüssel"]).owner(authorization)
    assert error.value.status == 401
    assert error.value.headers == {"WWW-Authenticate": "Bearer"}
    assert error.value.body["error"]["type"] == "authentication_error"


def test_owners_are_told_apart_and_their_keys_are_not_told() -> None:
    keys = Keys(["sk-one", "sk-two", "schlüssel"])
    one, two = keys.owner("Bearer sk-one"), keys.owner("bearer  sk-two")
    other = keys.owner("Bearer " + "schlüssel".encode().decode("latin-1"))
    assert len({one, two, other}) == 3
    assert all(len(owner) == 8 and int(owner, 16) >= 0 for owner in (one, two, other))
    assert keys.owner("Bearer sk-one") == one
    assert Keys([]).owner(None) == Keys([]).owner("Bearer x") == ANYONE


@pytest.mark.parametrize("key", ["", " ", "sk-one\n"])
def test_keys_that_no_client_could_send_are_refused(key: str) -> None:
    with pytest.raises(InputError, match="must not be empty") as error:
        Keys(["sk-good", key])
    assert "sk-good" not in str(error.value)


def test_the_gate_holds_each_owner_and_all_together_to_their_limits() -> None:
    async def full() -> None:
        gate = Gate(total=3, per_owner=2)
        async with AsyncExitStack() as a, AsyncExitStack() as b:
            for _ in range(2):
                await a.enter_async_context(gate.admit("a"))
            with pytest.raises(ApiError, match="2 of your requests") as error:
                await a.enter_async_context(gate.admit("a"))
            assert (error.value.status, error.value.headers) == (429, {"Retry-After": "1"})
            await b.enter_async_context(gate.admit("b"))
            with pytest.raises(ApiError, match="no more fit") as error:
                await b.enter_async_context(gate.admit("c"))
            assert (error.value.status, error.value.headers) == (503, {"Retry-After": "1"})
            assert gate.in_flight == {"a": 2, "b": 1}
            await a.aclose()
            async with gate.admit("c"):
                assert gate.in_flight == {"b": 1, "c": 1}
        assert not gate.in_flight
        assert gate.refused == 2

    asyncio.run(full())


def test_a_place_is_free_again_however_a_request_ends() -> None:
    async def ended() -> None:
        gate = Gate(1, 1)
        with pytest.raises(ZeroDivisionError):
            async with gate.admit("a"):
                _ = 1 / 0
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01), gate.admit("a"):
                await asyncio.Event().wait()
        async with gate.admit("a"):
            pass

    asyncio.run(ended())


def test_draining_refuses_new_requests_and_waits_for_the_others() -> None:
    async def drained() -> None:
        gate = Gate(8, 8)
        assert await gate.idle(0)
        leave = asyncio.Event()

        async def request() -> None:
            async with gate.admit("a"):
                await leave.wait()

        tasks = [asyncio.create_task(request()) for _ in range(3)]
        await asyncio.sleep(0)
        gate.close()
        with pytest.raises(ApiError, match="shutting down") as error:
            await request()
        assert (error.value.status, error.value.headers) == (503, {"Retry-After": "5"})
        assert not await gate.idle(0.02)
        leave.set()
        assert await gate.idle(5)
        await asyncio.gather(*tasks)

    asyncio.run(drained())


def make_app() -> Any:
    app = FastAPI()

    @app.exception_handler(ApiError)
    async def refused(_: Request, error: ApiError) -> JSONResponse:
        return as_response(error)

    @app.post("/raw")
    async def raw(request: Request) -> dict[str, int]:
        return {"bytes": len(await request.body())}

    @app.post("/parsed")  # FastAPI makes an error of its own of one that comes while it reads
    async def parsed(body: dict[str, Any]) -> dict[str, int]:
        return {"bytes": len(body)}

    @app.post("/swallowed")
    async def swallowed(request: Request) -> Response:
        try:
            return Response(await request.body())
        except Exception:
            return Response("nothing happened")

    @app.post("/stream")
    async def stream(request: Request) -> StreamingResponse:
        await request.body()

        async def parts() -> AsyncIterator[bytes]:
            for number in range(3):
                yield b"%d\n" % number
                if not await asyncio.to_thread(RECEIVED.acquire, timeout=SOON):
                    yield b"it is held back\n"

        return StreamingResponse(parts())

    return BodyLimit(app, LIMIT, seconds=5)


@pytest.fixture(scope="module")
def address() -> Iterator[tuple[str, int]]:
    """A real server on loopback behind the limit; its host and port."""
    thread = LoopThread()
    with thread.entered(http_server(make_app())) as port:
        yield "127.0.0.1", port
    thread.close()


def asked(address: tuple[str, int], head: str, body: bytes = b"") -> tuple[bytes, int]:
    """What the server says to raw bytes, and how many more it takes before it hangs up."""
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body)
        said, sent = connection.recv(65536), 0
        try:
            while sent < 50_000_000:
                connection.sendall(b"400\r\n" + b"x" * 1024 + b"\r\n")
                sent += 1024
        except OSError:
            pass
        return said, sent


@pytest.mark.slow
@pytest.mark.parametrize("path", ["raw", "parsed", "swallowed", "stream"])
@pytest.mark.parametrize("chunked", [True, False])
def test_a_large_body_is_refused_in_openais_words(
    address: tuple[str, int], path: str, chunked: bool
) -> None:
    body = b'{"a": "' + b"x" * LIMIT + b'"}'
    content = iter([body[:500], body[500:]]) if chunked else body
    reply = httpx.post(f"http://{address[0]}:{address[1]}/{path}", content=content)
    assert reply.status_code == 413
    error = reply.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert error["message"] == "the body is larger than 1000 bytes; send less"


@pytest.mark.parametrize("chunked", [True, False])
def test_a_body_that_just_fits_is_served(address: tuple[str, int], chunked: bool) -> None:
    content = iter([b"x" * 600, b"x" * 400]) if chunked else b"x" * LIMIT
    reply = httpx.post(f"http://{address[0]}:{address[1]}/raw", content=content)
    assert (reply.status_code, reply.json()) == (200, {"bytes": LIMIT})


@pytest.mark.parametrize("framing", ["Content-Length: 99999999999", "Transfer-Encoding: chunked"])
def test_the_rest_of_a_large_body_is_not_read(address: tuple[str, int], framing: str) -> None:
    chunk = b"1000\r\n" + b"x" * 0x1000 + b"\r\n" if "chunked" in framing else b""
    said, sent = asked(address, f"POST /raw HTTP/1.1\nHost: x\n{framing}", chunk)
    assert b" 413 " in said.splitlines()[0]
    assert b"connection: close" in said.lower()
    assert sent < 20_000_000, "it went on reading"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([b"12"], 200),
        ([b"0"], 200),
        ([], 200),
        ([b"12", b"12"], 200),
        ([b"12", b"13"], 400),
        ([b"-1"], 400),
        ([b"+5"], 400),
        ([b"1_0"], 400),
        ([b""], 400),
        (["١".encode()], 400),
        ([b"9" * 5000], 413),
        ([b"1001"], 413),
    ],
)
def test_lengths_as_headers_may_have_them(headers: list[bytes], status: int) -> None:
    # A server such as uvicorn refuses most of them by itself; others may not.
    async def through() -> list[int]:
        statuses = []

        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            statuses.append(message.get("status"))

        names = [(b"content-length", value) for value in headers]
        scope = {"type": "http", "method": "POST", "path": "/raw", "headers": names}
        await make_app()(scope | {"query_string": b""}, receive, send)
        return statuses

    assert asyncio.run(through())[0] == status


@pytest.mark.slow
def test_a_stream_passes_part_by_part(address: tuple[str, int]) -> None:
    url = f"http://{address[0]}:{address[1]}/stream"
    with httpx.stream("POST", url, content=b"x") as reply:
        found = []
        for line in reply.iter_lines():
            found.append(line)
            RECEIVED.release()
    assert found == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("raw", "hint"),
    [
        (b"", "not JSON at character 0"),
        (b"\xff{}", "not UTF-8 at byte 0"),
        ('{"a": 1}'.encode("utf-16"), "not UTF-8"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b'{"a": 1', "not JSON at character 7"),
        (b'{"a": 1} x', "Extra data"),
        (b'{"a": "\n"}', "control character"),
        (b"{'a': 1}", "not JSON"),
        (b"[]", "not a JSON object"),
        (b"null", "not a JSON object"),
        (b'{"a": NaN}', "'NaN' is not a JSON number"),
        (b'{"a": -Infinity}', "'-Infinity' is not a JSON number"),
        (b'{"a": 1e999}', "too large"),
        (b'{"a": 123456789012345678901}', "too large"),
        (b'{"a": ' + b"9" * 900_000 + b"}", "too large"),
        (b'{"a": 1, "b": 2, "a": 3}', "the field 'a' twice"),
        (b'{"b": [{"\\ud800": 1, "\\ud800": 3}]}', "the field '.ud800' twice"),
        (b'{"a": ["\\ud800"]}', "half a surrogate pair"),
        (b'{"\\udfff": 1}', "half a surrogate pair"),
        (b'{"a":' * 64 + b"{}" + b"}" * 64, "over 64 levels"),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "over 64 levels"),
        (b"[" * 900_000, "over 64 levels"),
        (b'{"a":' * 150_000, "over 64 levels"),
    ],
)
def test_a_body_that_is_none(raw: bytes, hint: str) -> None:
    started = time.thread_time()
    with pytest.raises(ApiError, match=hint) as error:
        body_of(raw)
    assert time.thread_time() - started < 5
    assert error.value.status == 400
    as_response(error.value)


@pytest.mark.parametrize(
    "body",
    [
        {"a": [1, -2.5, 1e300, 2**63, None, True, "\U0001f600 ü \u2028 \0"], "": {"a": {}}},
        {"a": json.loads("[" * 63 + "1" + "]" * 63)},
    ],
)
def test_a_body_as_it_was_sent(body: dict[str, Any]) -> None:
    assert body_of(json.dumps(body).encode()) == body
    assert body_of(json.dumps(body, ensure_ascii=False).encode()) == body


@pytest.mark.slow
def test_a_large_body_is_read_quickly() -> None:
    for raw in (
        b'{"a": 0.' + b"1" * 990_000 + b"}",
        b'{"a": [' + b"1," * 490_000 + b"1]}",
        b'{"a": [' + b"{}," * 320_000 + b"1]}",
        b"{" + b",".join(b'"%d": 1' % i for i in range(80_000)) + b"}",
    ):
        started = time.thread_time()
        body_of(raw)
        assert time.thread_time() - started < 5


pieces = st.sampled_from(
    [*'{}[]",:\\', '"a"', '"a":', "1", "-", "e9", ".", "NaN", "\\ud83d", "null", "\xff", "\ud800"]
)
texts = st.text(st.characters(exclude_categories=()))  # half surrogate pairs, too
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
)


@pytest.mark.slow
@given(
    st.binary()
    | st.lists(pieces).map(lambda parts: "".join(parts).encode("utf-8", "surrogatepass"))
    | st.dictionaries(texts, values).map(lambda v: json.dumps(v).encode())
)
@example(b'{"a": 1}')
def test_any_bytes_are_a_body_or_a_clear_refusal(raw: bytes) -> None:
    try:
        body = body_of(raw)
    except ApiError as refusal:
        body = refusal.body
        status = refusal.status
    else:
        status = 200
        assert body == json.loads(raw.decode())
    assert status in (200, 400)
    JSONResponse(body)  # whatever it holds can be sent on
