"""Latency: how long the Controller thinks before it works; it delays calls, it never refuses one.

Source: avi.md 1.7 [CAS]: a real Controller needs 240 to 370 ms to make a virtual service, and says so in
``Server-Timing: create;dur=158,total;dur=373``. Nothing else was recorded: the rest of the table is assumed.
"""

import asyncio
import random
from collections.abc import Callable
from typing import Final, TypeAlias

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from simulator.calls import WRITES
from simulator.settings import Settings

Span: TypeAlias = tuple[float, float]
"""Shortest and longest, seconds."""

VIRTUAL_SERVICE: Final[Span] = (0.240, 0.370)
"""Source: avi.md 1.7 [CAS]. A macro makes a virtual service too; that it takes no longer is assumed."""
OTHER_WRITE: Final[Span] = (0.060, 0.120)
"""Assumed: objects that are not placed are made faster."""
READ: Final[Span] = (0.010, 0.040)
"""Assumed."""


def slowed(app: ASGIApp, settings: Settings) -> ASGIApp:
    """``app``, each call later; one that is not slowed at all is passed on at once."""
    seconds_of = _recorded(settings) if settings.has_recorded_latency else _constant(settings)

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        seconds = seconds_of(scope) if scope["type"] == "http" else 0.0
        if seconds > 0:
            await asyncio.sleep(seconds)
        await app(scope, receive, _timed(send, seconds) if settings.has_recorded_latency else send)

    return slow


def _constant(settings: Settings) -> Callable[[Scope], float]:
    return lambda scope: settings.write_seconds if scope["method"] in WRITES else settings.read_seconds


def _recorded(settings: Settings) -> Callable[[Scope], float]:
    chance = random.Random(settings.seed)  # noqa: S311 - how long a simulator waits is no secret

    def seconds(scope: Scope) -> float:
        return chance.uniform(*_span(scope["method"], str(scope["path"])))

    return seconds


def _span(method: str, path: str) -> Span:
    if method not in WRITES:
        return READ
    return VIRTUAL_SERVICE if {"virtualservice", "macro"} & set(path.split("/")) else OTHER_WRITE


def _timed(send: Send, seconds: float) -> Send:
    """Source: avi.md 2.1 [CAS]: slow answers carry ``Server-Timing``, milliseconds."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            told = f"total;dur={round(seconds * 1000)}".encode()
            message = {**message, "headers": [*message.get("headers", []), (b"server-timing", told)]}
        await send(message)

    return sending
