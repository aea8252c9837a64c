"""A stand-in of `vllm serve` that fails by a script."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HANGS = -1
MAX_LOGPROBS = 7
TOO_MANY = f"Requested sample logprobs of 8, which is greater than max allowed: {MAX_LOGPROBS}"


@contextmanager
def faulty(
    script: list[int],
    answer: bytes | Callable[[dict[str, Any]], bytes],
    name: str = "testbed",
    metrics: str = "",
    port: int = 0,
) -> Iterator[tuple[str, list[int], list[dict[str, Any]]]]:
    """A server that answers with the script's statuses, one after the other, then well.

    A good answer may depend on the request. `metrics` is what it tells of itself; port 0 is any.
    Status 0 cuts the connection off; `HANGS` never answers, and the server is unhealthy from then
    on. Yields its URL, what it has answered, and what it was sent. More log-probabilities than any
    server returns are refused in vLLM's words, beside the script.
    """
    ended = threading.Event()
    answered: list[int] = []
    bodies: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            cards = {"data": [{"id": name, "max_model_len": 256}]}
            body = metrics if self.path == "/metrics" else json.dumps(cards)
            self._send(503 if HANGS in answered else 200, body.encode())

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if (body.get("logprobs") or 0) > MAX_LOGPROBS:
                self._send(400, json.dumps({"error": {"message": TOO_MANY}}).encode())
                return
            bodies.append(body)
            status = script.pop(0) if script else 200
            answered.append(status)
            if status == HANGS:
                ended.wait()
            elif status == 0:
                self.connection.close()
            else:
                good = answer(bodies[-1]) if callable(answer) else answer
                self._send(status, good if status == 200 else b'{"error": "no"}')

        def _send(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    service = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=service.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{service.server_port}", answered, bodies
    finally:
        ended.set()
        service.shutdown()
        thread.join()
        service.server_close()
