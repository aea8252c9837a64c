"""Run the server: listen, load the models, answer, drain, stop."""

import asyncio
import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack, closing, contextmanager
from functools import partial
from signal import SIGHUP, SIGINT, SIGTERM

from runtime.artifact import Artifact
from runtime.models import open_models
from runtime.server.app import create_app
from runtime.server.listen import listening, uvicorn_of
from runtime.server.logs import ServerLog
from runtime.server.recorder import recording
from runtime.server.reload import ClearlyWorse, Reloader
from runtime.server.service import Service
from runtime.server.settings import ServeSettings
from runtime.server.supervisor import Supervisor


async def serve(
    settings: ServeSettings,
    artifact: Artifact,
    clearly_worse: ClearlyWorse,
    ready: Callable[[str], None] = lambda _: None,
) -> None:
    """Serve until SIGTERM or SIGINT; a second signal cancels the requests in progress.

    A signal during the loading of the models takes effect once they are loaded. SIGHUP reads the
    artifact again.

    Args:
        settings: the server's.
        artifact: what calibration found.
        clearly_worse: see `runtime.server.reload.Reloader`.
        ready: called with the server's URL when it accepts requests.

    Raises:
        InputError: a port that cannot be listened on, or models that cannot be loaded.
    """
    log = ServerLog(settings.log_prompts)
    service = Service(settings, artifact)
    located = artifact.settings.with_absolute_paths(artifact.folder)
    reloader = Reloader(settings, service.policies, clearly_worse, log)
    app = create_app(settings, service, log, reloader)
    stop = asyncio.Event()
    reloads: set[asyncio.Task[None]] = set()  # the loop alone would not keep them alive

    def end() -> None:
        if stop.is_set():
            service.closing.set()
        stop.set()

    def reload() -> None:
        task = asyncio.create_task(reloader.reload_quietly())
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    with closing(log), _on_signals({SIGTERM: end, SIGINT: end, SIGHUP: reload}):
        async with AsyncExitStack() as stack:
            listener = stack.enter_context(listening(settings))
            recorder = stack.enter_context(recording(settings, located, service.metrics))
            if recorder is not None:
                service.record_to(recorder)
            log.turn("start", url=_url(listener), engine=settings.engine)
            server = uvicorn_of(app)
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            try:
                engines = settings.engine, settings.verifier_engine
                models = partial(open_models, artifact.settings, artifact.folder, *engines)
                supervisor = await stack.enter_async_context(Supervisor(models, log))
                service.open(supervisor)
                ready(_url(listener))
                log.turn("ready", url=_url(listener))
                await stop.wait()
                supervisor.stop_restarting()
                log.turn("draining", running=service.gate.in_flight.total())
                await service.drain()
            finally:
                server.should_exit = True
                await serving
        log.turn("stopped")


@contextmanager
def _on_signals(handlers: Mapping[signal.Signals, Callable[[], None]]) -> Iterator[None]:
    """Call a function on each of some signals, for as long as the block lasts."""
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in handlers}
    for number, handler in handlers.items():
        loop.add_signal_handler(number, handler)
    try:
        yield
    finally:
        for number, restored in before.items():
            loop.remove_signal_handler(number)
            if restored is not None:  # None: it was not installed by Python
                signal.signal(number, restored)


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
