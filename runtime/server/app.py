"""The HTTP side of the server: its endpoints, and how errors are told."""

from contextlib import AsyncExitStack
from typing import Annotated, Any

from fastapi import FastAPI, Header, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException

from allocator.errors import InputError, ModelError
from runtime.server.attend import admitted, attended
from runtime.server.counted import Counted
from runtime.server.errors import TYPES, ApiError, as_api_error, refusal
from runtime.server.events import EventStream
from runtime.server.protocol import ChatRequest, CompletionRequest
from runtime.server.replies import reply
from runtime.server.service import Call, Service
from runtime.server.settings import ServeSettings

REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"description": kind} for status, kind in TYPES.items() if status != 499
}

BudgetHeader = Annotated[int | None, Header(alias="X-TTC-Budget", ge=1)]


def create_app(settings: ServeSettings, service: Service) -> FastAPI:
    """The server's application.

    Args:
        settings: the server's.
        service: does the work.
    """
    app = FastAPI(title="ttc serve", description=__doc__, responses=REFUSALS)
    app.add_middleware(Counted, requests=service.requests)
    _tell_errors(app)

    async def answer(
        request: Request, body: ChatRequest | CompletionRequest, budget: int | None
    ) -> Response:
        call = service.call(body, budget)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(admitted(service, call))
            if body.stream:
                return EventStream(service, call, stack.pop_all())
            work = _all(service, call)
            await attended(work, request.receive, service.closing, settings.request_timeout)
        return JSONResponse(reply(call))

    @app.post("/v1/chat/completions")
    async def chat(request: Request, body: ChatRequest, budget: BudgetHeader = None) -> Response:
        """Answer a conversation."""
        return await answer(request, body, budget)

    @app.post("/v1/completions")
    async def completions(
        request: Request, body: CompletionRequest, budget: BudgetHeader = None
    ) -> Response:
        """Continue texts or token ids."""
        return await answer(request, body, budget)

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        """The names to ask for, and the longest context."""
        return {"object": "list", "data": [_model(service, name) for name in service.models.names]}

    @app.get("/v1/models/{name:path}")
    async def model(name: str) -> dict[str, Any]:
        """One of them."""
        service.models.budget(name, None, None)
        return _model(service, name)

    @app.get("/health")
    async def health() -> Response:
        """Whether requests are taken."""
        service.ready()
        return Response()

    @app.get("/metrics")
    async def metrics() -> Response:
        """What was done, for Prometheus."""
        found = generate_latest(service.metrics.registry)
        return Response(found, media_type=CONTENT_TYPE_LATEST)

    return app


async def _all(service: Service, call: Call) -> None:
    async for _ in service.answer(call):
        pass


def _model(service: Service, name: str) -> dict[str, Any]:
    return {
        "id": name,
        "object": "model",
        "created": service.created,
        "owned_by": "ttc",
        "root": service.models.name,
        "parent": None,
        "max_model_len": service.ready().decoder.engine.context_length,
    }


def _tell_errors(app: FastAPI) -> None:
    """Every error in OpenAI's shape."""

    async def tell(_: Request, error: Exception) -> Response:
        told = as_api_error(error)
        return JSONResponse(told.body, told.status, told.headers)

    @app.exception_handler(RequestValidationError)
    async def tell_invalid(request: Request, error: RequestValidationError) -> Response:
        return await tell(request, refusal(error.errors()))

    @app.exception_handler(HTTPException)
    async def tell_http(request: Request, error: HTTPException) -> Response:
        where = f"{request.method} {request.url.path}: {error.detail}"
        return await tell(request, ApiError(error.status_code, where, headers=error.headers))

    for kind in (ApiError, InputError, ModelError, Exception):
        app.add_exception_handler(kind, tell)
