"""A connection on which nothing is asked lives longer than the API server keeps it: so no call meets one just closed.

Go's transport closes what is idle for 90 s, and would send a call on a connection that we close in that moment.
"""

import asyncio
from typing import cast

from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from localcluster.ports import LOOPBACK
from webhook.ending import Ending
from webhook.serve import _listening  # pyright: ignore[reportPrivateUsage] - the server as the process builds it
from webhook.settings import POOL_SECONDS, WebhookSettings

DEADLINE_SECONDS = 30.0
REQUEST = b"GET / HTTP/1.1\r\nHost: webhook\r\n\r\n"


async def idle_seconds() -> float:
    """How long the server will keep a connection whose request was answered just now."""
    app, settings = FastAPI(), WebhookSettings(host=LOOPBACK)
    async with _listening(app, settings, port=0, name="trial", ending=Ending()) as server:
        while not server.started:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.001)
        port = server.servers[0].sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection(LOOPBACK, port)
        writer.write(REQUEST)
        await reader.readuntil(b"\r\n\r\n")
        (connection,) = server.server_state.connections
        timer = cast("HttpToolsProtocol", connection).timeout_keep_alive_task
        assert timer is not None
        kept = timer.when() - asyncio.get_running_loop().time()
        writer.close()
        await writer.wait_closed()
        return kept


def test_an_idle_connection_outlives_the_api_servers_pool() -> None:
    """By its timer, which nobody waits for; uvicorn's own would be 5 s."""

    async def story() -> float:
        async with asyncio.timeout(DEADLINE_SECONDS):
            return await idle_seconds()

    assert asyncio.run(story()) > POOL_SECONDS
