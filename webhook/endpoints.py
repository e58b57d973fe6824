"""``/validate`` and ``/mutate`` as plain ASGI endpoints: bytes in, bytes out, always an answer; they never decide.

Plain ASGI, because FastAPI's body handling halves the rate (measured, ``docs/adr/0002-asgi-endpoints.md``).

| what comes | what is answered |
|---|---|
| a decision | 200 with an AdmissionReview |
| no JSON, no review, another version | 400 |
| a body beyond the limit | 413 |
| another content type | 415 |
| another method | 405, by the router |
| caches not synced, ledger out of reach, too many at once, deadline near | 503: the ``failurePolicy`` decides |
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qs

import structlog
from starlette.types import Receive, Scope, Send

from cluster.errors import ClusterError
from webhook import metrics
from webhook.admission import Admission, parse_asked
from webhook.answer import Answer, render
from webhook.review import AdmissionRequest, BadReviewError, parse_review, render_review
from webhook.settings import WebhookSettings
from webhook.world import Asked

DEFAULT_DEADLINE_SECONDS: Final = 10.0
"""Where the caller names none. Source: the API's default of ``timeoutSeconds``."""
MARGIN: Final = 0.1
"""The part of the caller's time that is left for the way back."""

_log = structlog.get_logger()


class ProblemError(Exception):
    """No decision: an HTTP status and a sentence for whoever reads the API server's log."""

    def __init__(self, status: HTTPStatus, reason: str, text: str) -> None:
        """``reason`` is a metric's label."""
        super().__init__(text)
        self.status = status
        self.reason = reason


class ClientGoneError(Exception):
    """Nobody waits for an answer any more."""


class AdmissionEndpoint:
    """One webhook, as an ASGI application."""

    def __init__(
        self,
        webhook: str,
        decide: Callable[[Asked], Awaitable[Answer]],
        *,
        admission: Admission,
        settings: WebhookSettings,
    ) -> None:
        """Answer with what ``decide`` says; ``webhook`` is ``validate`` or ``mutate``, for metrics and the log."""
        self._webhook = webhook
        self._decide = decide
        self._admission = admission
        self._settings = settings
        self._in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request, whatever it is."""
        status, content_type, body = HTTPStatus.OK, b"application/json", b""
        try:
            body = await self._answer(scope, receive)
        except ProblemError as problem:
            metrics.FAILURES.labels(self._webhook, problem.reason).inc()
            _log.warning("admission.failed", webhook=self._webhook, reason=problem.reason, problem=str(problem))
            status, content_type, body = problem.status, b"text/plain; charset=utf-8", f"{problem}\n".encode()
        except ClientGoneError:
            metrics.FAILURES.labels(self._webhook, "client-gone").inc()
            return
        await _send(send, status, content_type, body)

    async def _answer(self, scope: Scope, receive: Receive) -> bytes:
        if self._in_flight >= self._settings.in_flight_limit:
            raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, "overloaded", "too many requests at once")
        self._in_flight += 1
        metrics.IN_FLIGHT.inc()
        try:
            async with asyncio.timeout(deadline_seconds(scope)):
                _require_json(scope)
                return await self._review(await _read_body(scope, receive, limit=self._settings.body_limit_bytes))
        except TimeoutError as error:
            raise ProblemError(
                HTTPStatus.SERVICE_UNAVAILABLE, "deadline", "no decision within the caller's timeout"
            ) from error
        finally:
            self._in_flight -= 1
            metrics.IN_FLIGHT.dec()

    async def _review(self, body: bytes) -> bytes:
        begun = time.perf_counter()
        try:
            request = parse_review(body)
            asked = parse_asked(request)
        except BadReviewError as error:
            raise ProblemError(HTTPStatus.BAD_REQUEST, "bad-review", str(error)) from error
        answer = Answer(warnings=(asked,)) if isinstance(asked, str) else await self._judge(asked)
        self._report(request, answer, time.perf_counter() - begun)
        return render_review(render(answer, request))

    async def _judge(self, asked: Asked) -> Answer:
        if not self._admission.is_ready:
            raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, "not-synced", "the caches are not complete yet")
        try:
            return await self._decide(asked)
        except ClusterError as error:
            raise ProblemError(
                HTTPStatus.SERVICE_UNAVAILABLE, "ledger", f"the ledger cannot be asked: {error}"
            ) from error

    def _report(self, request: AdmissionRequest, answer: Answer, seconds: float) -> None:
        """Count and log the decision: what was decided about whom, never what the object holds."""
        operation = request.operation if request.operation in {"CREATE", "UPDATE", "DELETE", "CONNECT"} else "other"
        metrics.REQUESTS.labels(self._webhook, operation, answer.verdict.value).inc()
        metrics.SECONDS.labels(self._webhook).observe(seconds)
        for denial in answer.denials:
            metrics.REFUSALS.labels(denial.rule).inc()
        _log.info(
            "admission.decided",
            webhook=self._webhook,
            verdict=answer.verdict.value,
            operation=operation,
            namespace=request.namespace,
            name=request.name,
            rules=",".join(answer.rules),
            dry_run=bool(request.dry_run),
            milliseconds=round(seconds * 1000, 2),
            uid=request.uid,
        )


def deadline_seconds(scope: Scope) -> float:
    """How long the caller waits (``?timeout=5s``), less what the way back needs."""
    asked = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("timeout", [""])[-1]
    seconds = _seconds(asked)
    return (seconds if seconds is not None else DEFAULT_DEADLINE_SECONDS) * (1 - MARGIN)


def _seconds(text: str) -> float | None:
    """A Go duration as the API server sends it: whole seconds (``5s``); None for anything else."""
    number = text.removesuffix("s")
    return float(number) if text.endswith("s") and number.isascii() and number.isdigit() else None


def _require_json(scope: Scope) -> None:
    content_type = dict(scope["headers"]).get(b"content-type", b"").partition(b";")[0].strip().lower()
    if content_type != b"application/json":
        shown = content_type.decode("latin-1") or "none"
        raise ProblemError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "content-type", f"the content type must be application/json, not {shown}"
        )


async def _read_body(scope: Scope, receive: Receive, *, limit: int) -> bytes:
    announced = dict(scope["headers"]).get(b"content-length", b"0")
    if announced.isdigit() and int(announced) > limit:
        raise _too_large(limit)
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        body += message.get("body", b"")
        if len(body) > limit:
            raise _too_large(limit)
        if not message.get("more_body", False):
            return bytes(body)


def _too_large(limit: int) -> ProblemError:
    return ProblemError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too-large", f"the body must not be larger than {limit} bytes"
    )


async def _send(send: Send, status: HTTPStatus, content_type: bytes, body: bytes) -> None:
    headers = [(b"content-type", content_type), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status.value, "headers": headers})
    await send({"type": "http.response.body", "body": body})
