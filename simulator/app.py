"""The Controller on the wire: an ASGI endpoint inside FastAPI that turns bytes into a call and a reply into bytes.

Layers wrap the whole: the first given is the outermost. The journal is one, the faults another, inside it: they delay,
drop or cut what the Controller says, and the journal sees what was really sent.
"""

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from fastapi import FastAPI
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from simulator.api import Api
from simulator.calls import Call, Reply, query_of
from simulator.controller import Controller

NO_CONTENT: Final = 204

Layer: TypeAlias = Callable[[ASGIApp], ASGIApp]
"""Wraps an ASGI app into another."""


def create_app(controller: Controller, *, layers: Sequence[Layer] = ()) -> FastAPI:
    """The REST interface of ``controller`` as an application.

    Args:
        controller: What answers.
        layers: ASGI middleware, outermost first.
    """
    app = FastAPI(title="Avi Controller simulator", openapi_url=None, docs_url=None, redoc_url=None)
    # Mounted at the root as a plain ASGI app: paths such as //api/pool/ must reach us as they were sent.
    endpoint: ASGIApp = Endpoint(controller)
    for layer in reversed(layers):
        endpoint = layer(endpoint)
    app.mount("/", endpoint)
    return app


class Endpoint:
    """The ASGI application of one Controller."""

    def __init__(self, controller: Controller) -> None:
        """Answer for ``controller``."""
        self._api = Api(controller)
        self._limit_bytes = controller.settings.body_limit_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; a client that hangs up gets nothing."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        try:
            body = await self._body(request)
        except ClientDisconnect:
            return
        reply = _too_large(self._limit_bytes) if body is None else self._api.answer(_call(request, body))
        await _response(reply)(scope, receive, send)

    async def _body(self, request: Request) -> bytes | None:
        """The body, or None if it is over the limit."""
        chunks: list[bytes] = []
        size = 0
        async for chunk in request.stream():
            size += len(chunk)
            if size > self._limit_bytes:
                return None
            chunks.append(chunk)
        return b"".join(chunks)


def _call(request: Request, body: bytes) -> Call:
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        joiner = "; " if name == "cookie" else ", "
        headers[name] = headers[name] + joiner + value if name in headers else value
    query = query_of(request.scope["query_string"].decode("latin-1"))
    return Call(request.method, request.scope["path"], query, headers, body)


def _response(reply: Reply) -> Response:
    # Source: avi.md 2.1, 2.3 [CAS]: JSON content type also for the plain CSRF text; a 204 has Content-Length 0.
    response = Response(reply.body(), status_code=reply.status, media_type="application/json")
    if reply.status == NO_CONTENT:
        response.headers["Content-Length"] = "0"  # Starlette leaves it out.
    for name, value in reply.headers.items():
        response.headers[name] = value
    for cookie in reply.cookies:
        response.headers.append("set-cookie", cookie)
    return response


def _too_large(limit_bytes: int) -> Reply:
    """Assumed: status 413, and the connection is closed since the rest of the body was not read."""
    return Reply(413, {"error": f"The body is larger than {limit_bytes} bytes"}, headers={"Connection": "close"})
