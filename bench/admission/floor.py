"""The floor: the webhook's stack without a webhook, which allows everything unread; never to be installed.

FastAPI, uvicorn with httptools and uvloop, TLS, the same settings as ``webhook/serve.py``. ``/validate`` is a plain
ASGI endpoint in a route; ``/fastapi`` is the same as most people would write it.
"""

import argparse
import asyncio
import socket
from collections.abc import Sequence
from pathlib import Path

import uvicorn
import uvloop
from fastapi import FastAPI, Request, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from certs.serving import ServingCertificate
from webhook.serve import BACKLOG

ANSWER = (
    b'{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":'
    b'{"uid":"00000000-0000-0000-0000-000000000000","allowed":true}}'
)
_HEADERS = [(b"content-type", b"application/json"), (b"content-length", str(len(ANSWER)).encode())]


class Floor:
    """Reads the body, for HTTP's sake, and allows."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        del scope
        while (await receive()).get("more_body", False):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        await send({"type": "http.response.body", "body": ANSWER})


def create_app() -> FastAPI:
    """The application."""
    app = FastAPI(title="floor", openapi_url=None)
    app.router.routes.append(Route("/validate", Floor(), methods=["POST"]))

    async def plain(request: Request) -> Response:
        await request.body()
        return Response(ANSWER, media_type="application/json")

    app.add_api_route("/fastapi", plain, methods=["POST"])
    return app


async def serve(port: int, certificate: ServingCertificate) -> None:
    """Serve until SIGTERM."""
    config = uvicorn.Config(
        create_app(),
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=120,
        ssl_context_factory=certificate.ssl_context_factory,
    )
    listener = socket.create_server(("127.0.0.1", port), backlog=BACKLOG)
    await uvicorn.Server(config).serve(sockets=[listener])


def main(argv: Sequence[str] | None = None) -> None:
    """Read the words and serve."""
    parser = argparse.ArgumentParser(prog="bench.admission.floor")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--certificate", type=Path, required=True)
    parser.add_argument("--key", type=Path, required=True)
    given = parser.parse_args(argv)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(given.port, ServingCertificate(given.certificate, given.key)))


if __name__ == "__main__":
    main()
