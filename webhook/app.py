"""The two FastAPI applications: admission behind TLS, health and metrics on a plain port; they never decide."""

from collections.abc import Callable
from http import HTTPStatus

from fastapi import FastAPI, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.routing import Route

from webhook.admission import Admission
from webhook.endpoints import AdmissionEndpoint
from webhook.settings import WebhookSettings

_TEXT = "text/plain"


def create_admission_app(admission: Admission, settings: WebhookSettings) -> FastAPI:
    """``POST /validate`` and ``POST /mutate``."""
    app = FastAPI(title="sharedvip admission", openapi_url=None)
    for name, decide in (("validate", admission.validate), ("mutate", admission.mutate)):
        endpoint = AdmissionEndpoint(name, decide, admission=admission, settings=settings)
        app.router.routes.append(Route(f"/{name}", endpoint, methods=["POST"]))
    return app


def create_health_app(problems: Callable[[], tuple[str, ...]]) -> FastAPI:
    """``/livez``: it answers; ``/readyz``: nothing speaks against it; ``/metrics`` for Prometheus."""
    app = FastAPI(title="sharedvip webhook", openapi_url=None)

    async def livez() -> Response:
        return Response("ok", media_type=_TEXT)

    async def readyz() -> Response:
        found = problems()
        if not found:
            return Response("ok", media_type=_TEXT)
        return Response("\n".join(found), HTTPStatus.SERVICE_UNAVAILABLE, media_type=_TEXT)

    async def metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    for path, endpoint in (("/livez", livez), ("/readyz", readyz), ("/metrics", metrics)):
        app.add_api_route(path, endpoint, methods=["GET"])
    return app
