"""The two FastAPI applications: admission behind TLS, health and metrics on a plain port; they never decide."""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from types import MappingProxyType

from fastapi import FastAPI, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from webhook import metrics
from webhook.admission import Admission
from webhook.endpoints import AdmissionEndpoint
from webhook.settings import WebhookSettings

_TEXT = "text/plain"

Lines = Callable[[], tuple[str, ...]]
"""What there is to say now, one line each."""


class AdmissionApp(FastAPI):
    """FastAPI, with its endpoints reached before its middlewares, of which admission needs none and pays for all.

    They are routes all the same: any other method or path is FastAPI's to answer. ``docs/adr/0002-asgi-endpoints.md``
    """

    endpoints: Mapping[str, AdmissionEndpoint] = MappingProxyType({})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or have it answered."""
        endpoint = self.endpoints.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        await (super().__call__ if endpoint is None else endpoint)(scope, receive, send)

    def leave(self) -> None:
        """From now on each answer is its connection's last."""
        for endpoint in self.endpoints.values():
            endpoint.is_leaving = True


def create_admission_app(admission: Admission, settings: WebhookSettings) -> AdmissionApp:
    """``POST /validate`` and ``POST /mutate``."""
    app = AdmissionApp(title="sharedvip admission", openapi_url=None)
    endpoints = {
        f"/{name}": AdmissionEndpoint(name, decide, admission=admission, settings=settings, standing=standing)
        for name, decide, standing in (
            ("validate", admission.validate, admission.standing),
            ("mutate", admission.mutate, None),
        )
    }
    app.endpoints = endpoints
    app.router.routes.extend(Route(path, endpoint, methods=["POST"]) for path, endpoint in endpoints.items())
    metrics.IN_FLIGHT.set_function(lambda: sum(endpoint.in_flight for endpoint in endpoints.values()))
    return app


def create_health_app(problems: Lines, *, warnings: Lines = tuple) -> FastAPI:
    """``/livez``: it answers; ``/readyz``: nothing speaks against it; ``/metrics`` for Prometheus.

    Warnings make nobody unready: a pod that is taken away weeks before its certificate expires helps nobody.
    """
    app = FastAPI(title="sharedvip webhook", openapi_url=None)

    async def livez() -> Response:
        return Response("ok", media_type=_TEXT)

    async def readyz() -> Response:
        found = problems()
        status = HTTPStatus.SERVICE_UNAVAILABLE if found else HTTPStatus.OK
        lines = (*(found or ("ok",)), *(f"warning: {warning}" for warning in warnings()))
        return Response("\n".join(lines), status, media_type=_TEXT)

    async def metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    for path, endpoint in (("/livez", livez), ("/readyz", readyz), ("/metrics", metrics)):
        app.add_api_route(path, endpoint, methods=["GET"])
    return app
