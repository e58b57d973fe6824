"""Latency: how long the Controller thinks before it works; it delays calls, it never refuses one.

Source: avi.md 1.7 [CAS]: a real Controller needs 0.24 to 0.37 s to make a virtual service.
"""

import asyncio

from starlette.types import ASGIApp, Receive, Scope, Send

from simulator.calls import WRITES


def slowed(app: ASGIApp, *, read_seconds: float, write_seconds: float) -> ASGIApp:
    """``app``, each call later by that much; zero is not slowed at all."""

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        seconds = write_seconds if scope["type"] == "http" and scope["method"] in WRITES else read_seconds
        if seconds > 0:
            await asyncio.sleep(seconds)
        await app(scope, receive, send)

    return slow
