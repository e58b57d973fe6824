"""Faults on demand: which calls go wrong, and how; the Controller behind the layer knows nothing of them.

What a real Controller or the network before it does wrong and avi.md tells: 403 while it is upgraded, 429, 500 "record
not found", 503 (2.1, 2.5, 2.9), an answer that is late, lost, cut or no JSON at all
(1.4). Which call it hits is the script's choice.
"""

import asyncio
import re
from typing import Final, Literal

import msgspec
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

ABORT: Final = "simulator.abort"
"""Key in the scope's ``extensions``: its ``call`` resets the connection."""


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of the script.

    Attributes:
        action: ``status``: answer at once, the Controller hears nothing. ``drop``: reset the connection, likewise.
            ``lose``: the Controller does the call, its answer never comes. ``cut``: half of the answer's body comes.
            ``delay``: wait, then go on. ``truncate``: half of the answer's body comes, and says that it is the whole.
            ``retype``: the answer comes under another content type.
        method: Upper case; empty is any.
        path: A regular expression, searched in ``path?query``; ``login`` counts too.
        nth: The first of the matching calls that is hit, from 1, counted since the fault was set.
        times: How many of them in a row; 0 is all that follow.
        status: What ``status`` answers.
        body: JSON of that answer; a string is sent as it is.
        content_type: Of ``retype`` and ``status``; a proxy's error page is ``text/html``.
        seconds: How long ``delay`` waits.
    """

    action: Literal["status", "drop", "lose", "cut", "delay", "truncate", "retype"]
    method: str = ""
    path: str = ""
    nth: int = 1
    times: int = 1
    status: int = 503
    body: object = msgspec.field(default_factory=lambda: {"error": "scripted fault"})
    content_type: str = ""
    seconds: float = 0.0

    def __post_init__(self) -> None:
        """Check it.

        Raises:
            ValueError: A field is out of bounds, or ``path`` is no regular expression.
        """
        try:
            re.compile(self.path)
        except re.error as error:
            raise ValueError(f"path: {self.path!r} is no regular expression: {error}") from None
        if self.nth < 1 or self.times < 0 or self.seconds < 0 or not 200 <= self.status <= 599:  # noqa: PLR2004 - HTTP
            raise ValueError("nth must be at least 1, times and seconds at least 0, status 200 to 599")

    def hits(self, number: int) -> bool:
        """Whether it hits the matching call of that number."""
        return number >= self.nth and (self.times == 0 or number < self.nth + self.times)


class Faults:
    """The script: it is heard by every call, in the order in which its lines were set."""

    def __init__(self) -> None:
        """Begin without a fault."""
        self._script: list[tuple[Fault, list[int]]] = []

    def set(self, fault: Fault) -> None:
        """One more line."""
        self._script.append((fault, [0]))

    def clear(self) -> None:
        """Forget all lines."""
        self._script.clear()

    def lines(self) -> list[tuple[Fault, int]]:
        """The lines and how many calls each has matched."""
        return [(fault, seen[0]) for fault, seen in self._script]

    def layer(self, app: ASGIApp) -> ASGIApp:
        """``app`` behind the script."""

        async def faulty(scope: Scope, receive: Receive, send: Send) -> None:
            for fault in self._hitting(scope) if scope["type"] == "http" else ():
                if fault.action != "delay":
                    await _spoil(fault, app, scope=scope, receive=receive, send=send)
                    return
                await asyncio.sleep(fault.seconds)
            await app(scope, receive, send)

        return faulty

    def _hitting(self, scope: Scope) -> list[Fault]:
        target = f"{scope['path']}?{scope['query_string'].decode('latin-1')}"
        hitting: list[Fault] = []
        for fault, seen in self._script:
            if fault.method in {"", scope["method"]} and re.search(fault.path, target):
                seen[0] += 1
                hitting += [fault] if fault.hits(seen[0]) else []
        return hitting


async def _spoil(fault: Fault, app: ASGIApp, *, scope: Scope, receive: Receive, send: Send) -> None:
    if fault.action == "status":
        body = fault.body.encode() if isinstance(fault.body, str) else msgspec.json.encode(fault.body)
        kind = fault.content_type or "application/json"
        await Response(body, status_code=fault.status, headers={"content-type": kind})(scope, receive, send)
        return
    if fault.action in {"truncate", "retype"}:
        await app(scope, receive, _altered(send, fault))
        return
    if fault.action == "lose":
        await app(scope, receive, _nowhere)
    elif fault.action == "cut":
        await app(scope, receive, _half(send))
    scope["extensions"][ABORT]["call"]()
    # The server takes an application that returns without an answer for broken, unless the client is known to be gone.
    while (await receive())["type"] != "http.disconnect":
        pass


async def _nowhere(_message: Message) -> None:
    """In place of the wire."""


def _altered(send: Send, fault: Fault) -> Send:
    """Answers are one body each, so head and body can be held until both are there."""
    start: Message = {}

    async def sending(message: Message) -> None:
        nonlocal start
        if message["type"] == "http.response.start":
            start = message
            return
        body: bytes = message.get("body", b"")
        if fault.action == "truncate":
            body = body[: len(body) // 2]
        told = {b"content-length": str(len(body)).encode()}
        if fault.action == "retype":
            told[b"content-type"] = (fault.content_type or "text/html").encode()
        kept = [(name, value) for name, value in start["headers"] if name.lower() not in told]
        await send({**start, "headers": [*kept, *told.items()]})
        await send({**message, "body": body})

    return sending


def _half(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.body":
            body: bytes = message.get("body", b"")
            message = {**message, "body": body[: len(body) // 2], "more_body": True}
        await send(message)

    return sending
