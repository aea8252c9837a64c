"""The server's HTTP application: endpoints, middleware and error handlers."""

from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from importlib.metadata import version
from typing import Annotated, Any

from fastapi import FastAPI, Header, Request
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from fastapi.routing import APIRoute
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BeforeValidator, ValidationError, WithJsonSchema
from starlette.exceptions import HTTPException
from starlette.routing import Match

from allocator.errors import InputError, ModelError
from runtime.frontend.fields import number_in
from runtime.server.access_log import AccessLog
from runtime.server.auth import Keys
from runtime.server.body import BodyLimit, body_of
from runtime.server.call import Call
from runtime.server.document import (
    REFUSALS,
    STREAM,
    ChatAnswer,
    Documented,
    FeedbackTaken,
    ModelName,
    ModelNames,
    TextAnswer,
    Version,
)
from runtime.server.errors import ApiError, as_api_error, as_response, refusal
from runtime.server.events import EventStream
from runtime.server.feedback import FeedbackRequest
from runtime.server.lifecycle import reported, run_while_connected
from runtime.server.live.page import live_router
from runtime.server.logs import ServerLog
from runtime.server.policy_routes import add_policies
from runtime.server.protocol import ChatRequest, CompletionRequest
from runtime.server.reload import Reloader
from runtime.server.replies import reply
from runtime.server.service import Service
from runtime.server.settings import ServeSettings

ABOUT = "OpenAI's API; a calibrated policy spends each prompt's budget by its difficulty."

BUDGET = "X-TTC-Budget"
BudgetHeader = Annotated[
    int | None,
    Header(alias=BUDGET, ge=1, strict=True, description="generations that each prompt may cost"),
    BeforeValidator(number_in),  # a header is a text
    WithJsonSchema({"type": "integer", "minimum": 1}),  # a header is there or not, and never null
]


class _Body(Request):
    """A request whose body is checked by `body_of`."""

    async def json(self) -> Any:
        return body_of(await self.body())


class _Route(APIRoute):
    """A route that reads bodies with `body_of`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def read(request: Request) -> Response:
            _check_headers_and_query(request)
            return await handle(_Body(request.scope, request.receive))

        return read


def _check_headers_and_query(request: Request) -> None:
    """Refuse parameters in places that are not read: they would be ignored."""
    budgets = request.headers.getlist(BUDGET)
    if len(budgets) > 1:
        raise InputError(BUDGET, ", ".join(budgets), "header sent more than once; give one")
    if request.method != "POST":
        return
    encoding = request.headers.get("Content-Encoding", "identity")
    if encoding != "identity":
        raise InputError("Content-Encoding", encoding, "send the body uncompressed")
    for name, value in request.query_params.items():
        raise InputError(name, value, "query parameters are not read; put it into the body")


def create_app(
    settings: ServeSettings, service: Service, log: ServerLog, reloader: Reloader | None = None
) -> FastAPI:
    """The server's application.

    Args:
        settings: the server's.
        service: answers requests.
        log: where every request is logged.
        reloader: changes the artifact; None for a server that keeps its own.
    """
    app = Documented(
        title="ttc serve", description=ABOUT, responses=REFUSALS, redirect_slashes=False
    )
    app.router.route_class = _Route
    _add_middleware(app, settings, service, log)
    app.include_router(live_router(service.live_store))
    _add_error_handlers(app)
    _add_answers(app, settings, service)
    add_policies(app, settings, service.policies, reloader)
    _add_feedback(app, service)
    _add_models(app, service)
    _add_status(app, service)
    return app


def _add_middleware(
    app: FastAPI, settings: ServeSettings, service: Service, log: ServerLog
) -> None:
    """Body limit, then access log, then CORS: the one added last sees a request first."""
    app.add_middleware(BodyLimit, max_bytes=settings.max_body_bytes, seconds=settings.body_timeout)
    app.add_middleware(AccessLog, keys=Keys(settings.keys), requests=service.requests, log=log)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "HEAD", "POST"],
            allow_headers=["*"],  # OpenAI's clients send many
            allow_credentials=False,  # a key is a header that the page sets, not a cookie
            expose_headers=["X-Request-Id", "Retry-After"],
        )


def _add_answers(app: FastAPI, settings: ServeSettings, service: Service) -> None:
    """The endpoints that answer prompts."""

    async def answer(
        request: Request, body: ChatRequest | CompletionRequest, budget: int | None
    ) -> Response:
        record = request.state.record
        record.model = body.model
        service.ready()  # a server that ends tells its clients to leave; the gate does not
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(service.gate.admit(record.owner))
            call = await service.call(body, record, budget)
            await stack.enter_async_context(reported(service, call))
            if body.stream:
                return EventStream(service, call, stack.pop_all())
            await run_while_connected(
                _all(service, call), request.receive, service.closing, settings.request_timeout
            )
        return JSONResponse(reply(call))

    @app.post("/v1/chat/completions", response_model=ChatAnswer, responses=STREAM)
    async def chat(request: Request, body: ChatRequest, budget: BudgetHeader = None) -> Response:
        """Answer a conversation."""
        return await answer(request, body, budget)

    @app.post("/v1/completions", response_model=TextAnswer, responses=STREAM)
    async def completions(
        request: Request, body: CompletionRequest, budget: BudgetHeader = None
    ) -> Response:
        """Continue texts or token ids."""
        return await answer(request, body, budget)

    @app.post("/invocations", include_in_schema=False)
    async def invocations(request: Request, budget: BudgetHeader = None) -> Response:
        """Either of the two, whichever the body is: vLLM's other path to them."""
        fields = await request.json()
        kind = ChatRequest if "messages" in fields else CompletionRequest
        try:
            body = kind.model_validate(fields)
        except ValidationError as error:
            found = [{**one, "loc": ("body", *one["loc"])} for one in error.errors()]
            raise RequestValidationError(found) from None
        return await answer(request, body, budget)


def _add_feedback(app: FastAPI, service: Service) -> None:
    """The endpoint that takes what clients say of answers."""

    @app.post("/v1/feedback", response_model=FeedbackTaken)
    async def feedback(body: FeedbackRequest) -> dict[str, object]:
        """Say whether a choice of an answer is right."""
        return service.feedback.give(body)


def _add_models(app: FastAPI, service: Service) -> None:
    """The endpoints that list model names."""

    @app.head("/v1/models", include_in_schema=False)
    @app.get("/v1/models", response_model=ModelNames)
    async def models() -> dict[str, Any]:
        """The model names to request, and the longest context."""
        return {"object": "list", "data": [_model(service, name) for name in service.models.names]}

    @app.head("/v1/models/{name:path}", include_in_schema=False)
    @app.get("/v1/models/{name:path}", response_model=ModelName)
    async def model(name: str) -> dict[str, Any]:
        """One model name."""
        service.models.budget(name, None, None)
        return _model(service, name)


def _add_status(app: FastAPI, service: Service) -> None:
    """Health checks, version and metrics."""

    @app.head("/ping", include_in_schema=False)
    @app.post("/ping", response_class=Response)
    @app.get("/ping", response_class=Response)
    @app.head("/health", include_in_schema=False)
    @app.get("/health", response_class=Response)
    async def health() -> Response:
        """Whether the server accepts requests."""
        service.ready()
        return Response()

    @app.head("/version", include_in_schema=False)
    @app.get("/version", response_model=Version)
    async def version_of_server() -> dict[str, str]:
        """The version of this package."""
        return {"version": version("ttc-allocator")}

    @app.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Metrics in Prometheus's text format."""
        found = generate_latest(service.metrics.registry)
        return Response(found, media_type=CONTENT_TYPE_LATEST)


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
        "max_model_len": service.ready().models.engine.context_length,
    }


def _add_error_handlers(app: FastAPI) -> None:
    """Every error as OpenAI's JSON; `AccessLog` answers to those of no kind here."""

    async def respond(_: Request, error: Exception) -> Response:
        return as_response(as_api_error(error))

    @app.exception_handler(RequestValidationError)
    async def respond_invalid(request: Request, error: RequestValidationError) -> Response:
        return await respond(request, refusal(error.errors()))

    @app.exception_handler(HTTPException)
    async def respond_http(request: Request, error: HTTPException) -> Response:
        if isinstance(error.__cause__, ApiError):  # raised by FastAPI for a bad body
            return as_response(error.__cause__)
        where = f"{request.method} {request.url.path}: {error.detail}"
        headers = _allowed(request) if error.status_code == 405 else error.headers
        return await respond(request, ApiError(error.status_code, where, headers=headers))

    for kind in (ApiError, InputError, ModelError):
        app.add_exception_handler(kind, respond)


def _allowed(request: Request) -> dict[str, str]:
    """The methods of a path; each has its own route."""
    found = [
        method
        for route in request.app.routes
        if isinstance(route, APIRoute) and route.matches(request.scope)[0] != Match.NONE
        for method in route.methods
    ]
    return {"Allow": ", ".join(sorted(found))}
