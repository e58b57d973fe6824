"""``/livez``, ``/readyz`` and ``/metrics`` on a plain port; it never changes anything."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from http import HTTPStatus
from typing import Final

import structlog
import uvicorn
from fastapi import FastAPI, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

_log = structlog.get_logger("reconciler.health")

_TEXT: Final = "text/plain"


def create_app(*registries: CollectorRegistry, is_ready: Callable[[], bool]) -> FastAPI:
    """The app: alive while it answers, ready when the caches are synced, leader or standby."""
    app = FastAPI(title="sharedvip reconciler", openapi_url=None)

    async def livez() -> Response:
        return Response("ok", media_type=_TEXT)

    async def readyz() -> Response:
        if is_ready():
            return Response("ok", media_type=_TEXT)
        return Response("the caches are not synced", HTTPStatus.SERVICE_UNAVAILABLE, media_type=_TEXT)

    async def metrics() -> Response:
        return Response(b"".join(map(generate_latest, registries)), media_type=CONTENT_TYPE_LATEST)

    for path, endpoint in (("/livez", livez), ("/readyz", readyz), ("/metrics", metrics)):
        app.add_api_route(path, endpoint, methods=["GET"])
    return app


class _Server(uvicorn.Server):
    """Leaves signals alone: the process decides when it ends."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Captures none."""
        yield


@asynccontextmanager
async def serving(app: FastAPI, *, host: str, port: int) -> AsyncGenerator[int]:
    """Serve while the block runs; yields the port really taken.

    Raises:
        OSError: The port cannot be had.
    """
    listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    taken: int = listener.getsockname()[1]
    config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=1)
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]), name="health")
    _log.info("health.listening", host=host, port=taken)
    try:
        yield taken
    finally:
        server.should_exit = True
        await task
        listener.close()
