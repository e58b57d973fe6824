"""A server on loopback with our connections, and what is said to it byte by byte; it judges nothing."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import uvicorn
from starlette.types import ASGIApp

from localcluster.ports import LOOPBACK
from webhook.connections import PromptProtocol

DEADLINE_SECONDS = 30.0
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Hasty(PromptProtocol):
    """With less patience than in earnest."""

    head_seconds = 0.2
    read_seconds = 0.5
    head_limit_bytes = 1000


@asynccontextmanager
async def serving(
    app: ASGIApp, *, keep_alive_seconds: int = 3600, http: type[PromptProtocol] = Hasty
) -> AsyncGenerator[uvicorn.Server]:
    """A server while the block runs."""
    config = uvicorn.Config(
        app, port=0, http=http, ws="none", lifespan="off", log_config=None, timeout_keep_alive=keep_alive_seconds
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    try:
        while not server.started:  # noqa: ASYNC110 - uvicorn tells nobody
            await asyncio.sleep(0.01)
        yield server
    finally:
        server.should_exit = True
        await task


def port_of(server: uvicorn.Server) -> int:
    """Where it listens."""
    return server.servers[0].sockets[0].getsockname()[1]


@asynccontextmanager
async def connected(server: uvicorn.Server) -> AsyncGenerator[Streams]:
    """A connection to it."""
    reader, writer = await asyncio.open_connection(LOOPBACK, port_of(server))
    try:
        yield reader, writer
    finally:
        writer.close()


async def rest(reader: asyncio.StreamReader) -> bytes:
    """All that comes until the server hangs up."""
    said = b""
    try:
        while piece := await reader.read(1000):
            said += piece
    except ConnectionError:
        pass
    return said
