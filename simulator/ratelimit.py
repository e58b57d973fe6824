"""The portal's rate limit: who asks too fast waits, who asks far too fast is refused; it knows no Avi object.

Source: avi.md 2.9 [KB 372209]: about 32 requests a second for each client address, excess delayed "nginx style", beyond
the burst 429; ``portal_request_rate_limit`` and ``portal_request_burst_limit`` set it, 0 is no limit. The arithmetic is
nginx's ``limit_req``. Off unless asked for: tests at zero latency would wait for nothing.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

REAL_PER_SECOND: Final = 32.0
"""What a real Controller grants. Source: avi.md 2.9 [KB 372209]."""


@dataclass(slots=True)
class RateLimit:
    """The limit in force; it may change while the Controller runs.

    Attributes:
        per_second: Requests that one client address may make on average; 0 is any number.
        burst: How many requests may be waiting before one is refused.
        retry_after_seconds: What the refusal's Retry-After says; 0 leaves it out.
    """

    per_second: float
    burst: int
    retry_after_seconds: int = 0


class Limiter:
    """Holds every client address to the limit."""

    def __init__(self, limit: RateLimit, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Enforce ``limit`` by ``clock``, seconds of any origin."""
        self._limit = limit
        self._clock = clock
        self._excess: dict[str, tuple[float, float]] = {}

    def delay_seconds(self, client: str) -> float | None:
        """How long a request that came now must wait; None if it is refused, which then does not count."""
        rate = self._limit.per_second
        if rate <= 0:
            return 0.0
        now = self._clock()
        before, at = self._excess.get(client, (-1.0, now))
        excess = max(0.0, before - rate * (now - at) + 1.0)
        if excess > self._limit.burst:
            return None
        self._excess[client] = (excess, now)
        return excess / rate

    def layer(self, app: ASGIApp) -> ASGIApp:
        """``app`` behind the limit. The 429's body is assumed; Retry-After [INF absent] is a knob."""

        async def limited(scope: Scope, receive: Receive, send: Send) -> None:
            seconds = self.delay_seconds(scope["client"][0]) if scope["type"] == "http" else 0.0
            if seconds is None:
                after = self._limit.retry_after_seconds
                headers = {"Retry-After": str(after)} if after else {}
                refusal = JSONResponse({"error": "Too many requests"}, status_code=429, headers=headers)
                await refusal(scope, receive, send)
                return
            if seconds:
                await asyncio.sleep(seconds)
            await app(scope, receive, send)

        return limited
