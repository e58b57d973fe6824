"""The journal of calls, for tests to count; it never keeps a body or a header that may hold a secret."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import takewhile
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

LIMIT: Final = 200_000
"""Entries that are kept: more than a long bench makes, and about 100 MB."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One call that was answered or broken off.

    Attributes:
        number: From 1, in the order in which the answers were finished; never reused, also after ``clear``.
        method: Upper case.
        path: As sent, without the query.
        query: As sent, without the question mark.
        tenant: X-Avi-Tenant or X-Avi-Tenant-UUID as sent; empty if none.
        status: 0 if the connection ended without one.
        started: When the request arrived, ISO 8601, UTC.
        milliseconds: How long it took.
        user_agent: X-Avi-UserAgent, else User-Agent, as sent.
        body_bytes: Of the request, as it says itself; the body is not kept, it may hold a password.
    """

    number: int
    method: str
    path: str
    query: str
    tenant: str
    status: int
    started: str
    milliseconds: float
    user_agent: str
    body_bytes: int


class Journal:
    """The last calls, at most ``LIMIT``, since the start or since ``clear``."""

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        """Begin empty."""
        self._clock = clock
        self._entries: deque[Entry] = deque(maxlen=LIMIT)
        self._number = 0

    def entries(self, *, after: int = 0) -> list[Entry]:
        """Oldest first; only those whose number is greater than ``after``."""
        later = takewhile(lambda entry: entry.number > after, reversed(self._entries))
        return list(later)[::-1]

    def clear(self) -> None:
        """Forget all."""
        self._entries.clear()

    def layer(self, app: ASGIApp) -> ASGIApp:
        """``app``, with every HTTP call noted."""

        async def noting(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            started, begin, status = self._clock(), time.perf_counter(), 0

            async def watching(message: Message) -> None:
                nonlocal status
                if message["type"] == "http.response.start":
                    status = message["status"]
                await send(message)

            try:
                await app(scope, receive, watching)
            finally:
                self._note(scope, status=status, started=started, seconds=time.perf_counter() - begin)

        return noting

    def _note(self, scope: Scope, *, status: int, started: float, seconds: float) -> None:
        self._number += 1
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        self._entries.append(
            Entry(
                number=self._number,
                method=scope["method"],
                path=scope["raw_path"].decode("latin-1"),
                query=scope["query_string"].decode("latin-1"),
                tenant=headers.get("x-avi-tenant-uuid") or headers.get("x-avi-tenant", ""),
                status=status,
                started=datetime.fromtimestamp(started, UTC).isoformat(),
                milliseconds=round(seconds * 1000, 3),
                user_agent=headers.get("x-avi-useragent") or headers.get("user-agent", ""),
                body_bytes=int(headers.get("content-length", 0)),
            )
        )
