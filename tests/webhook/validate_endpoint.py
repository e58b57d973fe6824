"""``/validate`` with a decision of the test's choice, and one exchange with it; it judges nothing."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from starlette.types import Message

from tests.webhook.reviews import Reply, encoded, post, review
from tests.webhook.samples import sample
from webhook import metrics
from webhook.admission import Admission
from webhook.answer import Answer
from webhook.endpoints import AdmissionEndpoint
from webhook.settings import WebhookSettings
from webhook.view import Asked

Decide = Callable[[Asked], Awaitable[Answer]]


@dataclass
class Readiness:
    """What an endpoint asks of ``Admission`` besides a decision."""

    is_ready: bool = True


async def allow(asked: Asked) -> Answer:
    """A decision that asks nobody."""
    del asked
    return Answer()


async def never(asked: Asked) -> Answer:
    """A decision that does not come."""
    del asked
    await asyncio.Event().wait()
    return Answer()


def deciding(answer: Answer) -> Decide:
    """The same decision for all."""

    async def decide(asked: Asked) -> Answer:
        del asked
        return answer

    return decide


def failing(error: Exception) -> Decide:
    """An error for all."""

    async def decide(asked: Asked) -> Answer:
        del asked
        raise error

    return decide


def endpoint(
    decide: Decide = allow, *, is_ready: bool = True, limit: int = 10_000, at_once: int = 9
) -> AdmissionEndpoint:
    """``/validate`` with another mind."""
    admission = cast("Admission", Readiness(is_ready))
    settings = WebhookSettings(body_limit_bytes=limit, in_flight_limit=at_once)
    return AdmissionEndpoint("validate", decide, admission=admission, settings=settings)


def ask(
    whole: object = None,
    decide: Decide = allow,
    *,
    body: bytes | None = None,
    query: bytes = b"timeout=5s",
    headers: Sequence[tuple[bytes, bytes]] = ((b"content-type", b"application/json"),),
    messages: Sequence[Message] | None = None,
    **settings: Any,  # noqa: ANN401 - of ``endpoint``
) -> Reply:
    """One exchange that must be answered."""
    content = body if body is not None else encoded(whole if whole is not None else review())
    reply = asyncio.run(post(endpoint(decide, **settings), content, query=query, headers=headers, messages=messages))
    metrics.catch_up()  # what is told a moment later belongs to this request, too
    assert reply is not None
    return reply


def failures(reason: str) -> float:
    """How many requests of ``/validate`` had no decision for this reason."""
    return sample("sharedvip_admission_failures_total", webhook="validate", reason=reason)
