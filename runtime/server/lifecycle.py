"""A request from its admission to its end: completion, disconnection, shutdown or timeout."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from starlette.types import Receive

from runtime.server.access_log import GONE
from runtime.server.call import Call
from runtime.server.errors import ApiError, as_api_error
from runtime.server.logs import LOGGER
from runtime.server.service import Service, shutting_down

Found = TypeVar("Found")


@asynccontextmanager
async def reported(service: Service, call: Call) -> AsyncIterator[None]:
    """Show an admitted request on the live page and in the log, and how the block ended.

    Raises:
        ApiError: it failed, for whatever reason.
    """
    call.record.prompts = tuple(
        prompt_request.request.text for prompt_request in call.prompt_requests
    )
    for prompt_request in call.prompt_requests:
        view = service.live_store.begin(
            call.id,
            call.body.model,
            prompt_request.spend.budget or 1,  # in tokens: its plan is not known yet
            prompt_request.request.text,
        )
        call.views.append(view)
    call.event_handlers.append(lambda number, event: call.views[number].on_event(event))
    try:
        yield
    except Exception as error:
        call.record.error = found = as_api_error(error)
        if found.status == 500:
            LOGGER.exception("failed", extra={"fields": {"request_id": call.record.id}})
        raise found from None
    finally:
        _settle(call)


def _settle(call: Call) -> None:
    """Show on the live page how prompts without an answer ended."""
    error = call.record.error
    for view in call.views:
        if error is None or error.status == GONE:
            view.cancelled()
        else:
            view.failed(error.message)


async def run_while_connected(
    work: Coroutine[Any, Any, Found], receive: Receive, closing: asyncio.Event, seconds: float
) -> Found:
    """The result of some work, which is cancelled if the client disconnects or time runs out.

    Args:
        work: the work.
        receive: the request's ASGI channel, of which the body has been read.
        closing: set when the server shuts down.
        seconds: time that the work may take.

    Raises:
        ApiError: the client has disconnected, the server shuts down, or the time is up.
    """
    working = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnect(receive))
    closed = asyncio.ensure_future(closing.wait())
    tasks: list[asyncio.Future[Any]] = [working, gone, closed]
    try:
        done, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if working in done:
            return working.result()
        if gone in done:
            raise ApiError(GONE, "the client disconnected")
        if closed in done:
            raise shutting_down()
        raise ApiError(
            504, f"no answer within {seconds:g} seconds; request a smaller budget or a deadline"
        )
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
