"""``/validate`` and ``/mutate`` as plain ASGI endpoints: bytes in, bytes out, always an answer; they never decide.

Plain ASGI, because FastAPI's body handling halves the rate (measured, ``docs/adr/0002-asgi-endpoints.md``).

| what comes | what is answered |
|---|---|
| a decision | 200 with an AdmissionReview |
| no JSON, no review, another version, names that no Service can have | 400 |
| a body beyond the limit | 413 |
| another content type | 415 |
| another method | 405, by the router |
| caches not synced, ledger out of reach, too many at once, deadline near | 503: the ``failurePolicy`` decides |
| what we did not think of | 503, with a traceback in our own log |
"""

import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Final

import structlog
from starlette.types import Message, Receive, Scope, Send

from cluster.errors import ApiError, ClusterError
from webhook import metrics
from webhook.admission import Admission, parse_asked
from webhook.answer import Answer, render
from webhook.caller import CallerGoneError
from webhook.deadline import deadline_seconds, within
from webhook.reports import Reports
from webhook.review import AdmissionRequest, BadReviewError, parse_review, render_allowed, render_review
from webhook.settings import WebhookSettings
from webhook.standing import StandingAnswers
from webhook.view import PATIENCE_SECONDS, Asked

PATIENCE: Final = 0.5
"""The part of the caller's time that may be spent on waiting for others."""

BODIES_BYTES: Final = 32 * 1024 * 1024
"""Of large bodies that come in pieces, of all callers together: each may have 7 MiB and 27 s, and twenty of them are
more memory than a pod has."""
SMALL_BYTES: Final = 64 * 1024
"""Of each body, not counted: uvicorn keeps as much of it unasked. A review has some 10 KiB, and who sends large ones
slowly shall not keep it out."""
_LENGTH_DIGITS: Final = 20
"""The HTTP parser lets no more of them count (2^64), and zeros before them without end, which ``int`` refuses."""

_JSON: Final = b"application/json"
_TEXT: Final = b"text/plain; charset=utf-8"
_BUG: Final = b"the webhook failed; its log says where\n"


class ProblemError(Exception):
    """No decision: an HTTP status and a sentence for whoever reads our log.

    Of a 503 the API server tells nobody more than "the server is currently unable to handle the request".
    """

    def __init__(self, status: HTTPStatus, reason: str, text: str) -> None:
        """``reason`` is a metric's label."""
        super().__init__(text)
        self.status = status
        self.reason = reason


_TOO_LATE: Final = ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, "deadline", "no decision within the caller's timeout")


@dataclass(slots=True)
class Bodies:
    """How much is held of the bodies that come in pieces."""

    held_bytes: int = 0

    @contextmanager
    def part(self, limit_bytes: int) -> Generator[Callable[[int], None]]:
        """To be told how long one body is by now, which may have so much; given back at the end."""
        mine = 0

        def hold(length: int) -> None:
            nonlocal mine
            more = max(length - SMALL_BYTES, 0) - mine
            mine += more
            self.held_bytes += more
            if more and self.held_bytes > max(BODIES_BYTES, limit_bytes):
                raise ProblemError(
                    HTTPStatus.SERVICE_UNAVAILABLE,
                    "overloaded",
                    "too many large requests at once: no memory for another",
                )

        try:
            yield hold
        finally:
            self.held_bytes -= mine


BODIES: Final = Bodies()
"""Of the process."""


class AdmissionEndpoint:
    """One webhook, as an ASGI application."""

    def __init__(
        self,
        webhook: str,
        decide: Callable[[Asked], Awaitable[Answer]],
        *,
        admission: Admission,
        settings: WebhookSettings,
        standing: StandingAnswers | None = None,
    ) -> None:
        """Answer with what ``decide`` says; ``webhook`` is ``validate`` or ``mutate``, for metrics and the log."""
        self.webhook = webhook
        self._decide = decide
        self._admission = admission
        self._settings = settings
        self._standing = standing
        self._log = structlog.get_logger().bind(webhook=webhook)
        self._reports = Reports(webhook)
        self.in_flight = 0
        """Requests being decided."""
        self.is_leaving = False
        """Whether its callers are told to come to another replica next time."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request, whatever it is."""
        status, content_type, body = HTTPStatus.OK, _JSON, b""
        try:
            seconds = deadline_seconds(scope.get("query_string", b""))
            body = await within(seconds, self._exchange(scope, receive, patience_seconds=seconds * PATIENCE))
        except (ProblemError, TimeoutError) as error:
            status, content_type, body = self._failed(error if isinstance(error, ProblemError) else _TOO_LATE)
        except CallerGoneError:
            metrics.FAILURES.labels(self.webhook, "client-gone").inc()
            return
        except Exception:  # noqa: BLE001 - a bug of ours must end in the failurePolicy too
            metrics.FAILURES.labels(self.webhook, "bug").inc()
            self._log.exception("admission.failed", reason="bug")
            status, content_type, body = HTTPStatus.SERVICE_UNAVAILABLE, _TEXT, _BUG
        await _send(send, status, content_type, body, is_last=self.is_leaving)

    def _failed(self, problem: ProblemError) -> tuple[HTTPStatus, bytes, bytes]:
        """Count and tell it. Not where it is caught: a name for it there is a circle that keeps the body in memory."""
        metrics.FAILURES.labels(self.webhook, problem.reason).inc()
        self._log.warning("admission.failed", reason=problem.reason, problem=str(problem))
        return problem.status, _TEXT, f"{problem}\n".encode()

    async def _exchange(self, scope: Scope, receive: Receive, *, patience_seconds: float) -> bytes:
        content_type, length = _content(scope)
        _require_json(content_type)
        limit = self._settings.body_limit_bytes
        if length.isdigit() and int(length[-_LENGTH_DIGITS:]) > limit:
            raise _too_large(limit)
        message = await receive()
        body = message.get("body", b"")
        if not message.get("more_body", True) and len(body) <= limit:
            return await self._review(body, receive, patience_seconds=patience_seconds)
        with BODIES.part(limit) as hold:
            body = await _read_rest(message, receive, limit=limit, hold=hold)
            return await self._review(body, receive, patience_seconds=patience_seconds)

    async def _review(self, body: bytes, receive: Receive, *, patience_seconds: float) -> bytes:
        # Counted from here on: who is slow to ask takes no place from those who have asked.
        if self.in_flight >= self._settings.in_flight_limit:
            raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, "overloaded", "too many requests at once")
        self.in_flight += 1
        begun = time.perf_counter()
        try:
            request = parse_review(body)
            answer = self._recall(request) or await self._decided(request, receive, patience_seconds=patience_seconds)
        except BadReviewError as error:
            raise ProblemError(HTTPStatus.BAD_REQUEST, "bad-review", str(error)) from error
        finally:
            self.in_flight -= 1
        self._reports.add(request, answer, seconds=time.perf_counter() - begun)
        return render_allowed(request.uid) if answer.is_plain else render_review(render(answer, request))

    def _recall(self, request: AdmissionRequest) -> Answer | None:
        return self._standing.find(request) if self._standing is not None and self._admission.is_ready else None

    async def _decided(self, request: AdmissionRequest, receive: Receive, *, patience_seconds: float) -> Answer:
        asked = parse_asked(request, receive)
        if isinstance(asked, str):
            return Answer(warnings=(asked,))
        is_hurried = patience_seconds < PATIENCE_SECONDS
        answer = await self._judge(replace(asked, patience_seconds=patience_seconds) if is_hurried else asked)
        if self._standing is not None:
            self._standing.keep(request, asked, answer)
        return answer

    async def _judge(self, asked: Asked) -> Answer:
        if not self._admission.is_ready:
            raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, "not-synced", "the caches are not complete yet")
        try:
            return await self._decide(asked)
        except ClusterError as error:
            raise _undecided(error) from error


def _content(scope: Scope) -> tuple[bytes, bytes]:
    """The content's type and announced length."""
    content_type, length = b"", b"0"
    for name, value in scope["headers"]:
        if name == b"content-type":
            content_type = value
        elif name == b"content-length":
            length = value
    return content_type, length


def _require_json(header: bytes) -> None:
    if header == _JSON:
        return
    content_type = header.partition(b";")[0].strip().lower()
    if content_type != _JSON:
        shown = content_type.decode("latin-1") or "none"
        raise ProblemError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "content-type", f"the content type must be application/json, not {shown}"
        )


async def _read_rest(message: Message, receive: Receive, *, limit: int, hold: Callable[[int], None]) -> bytes:
    """The body that begins with a message; nearly always that is all of it."""
    body = bytearray()
    while True:
        if message["type"] == "http.disconnect":
            raise CallerGoneError
        body += message.get("body", b"")
        hold(len(body))
        if len(body) > limit:
            raise _too_large(limit)
        if not message.get("more_body", False):
            return bytes(body)
        message = await receive()


def _undecided(error: ClusterError) -> ProblemError:
    """Nobody knows; and whether asking again helps, for whoever reads the log."""
    if isinstance(error, ApiError) and error.is_final:
        text = f"the API server refuses what the webhook asks of it, now and again: {error}"
        return ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, "refused", text)
    return ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, "ledger", f"the ledger cannot be asked: {error}")


def _too_large(limit: int) -> ProblemError:
    return ProblemError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too-large", f"the body must not be larger than {limit} bytes"
    )


async def _send(send: Send, status: HTTPStatus, content_type: bytes, body: bytes, *, is_last: bool) -> None:
    headers = [(b"content-type", content_type), (b"content-length", str(len(body)).encode())]
    if is_last:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status.value, "headers": headers})
    await send({"type": "http.response.body", "body": body})
