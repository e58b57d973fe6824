"""Bodies that come in pieces are held for a while: of all callers together, only so much."""

import asyncio
from typing import cast

import pytest
from starlette.types import Message

from tests.webhook.reviews import Reply, encoded, post, review
from tests.webhook.streams import DEADLINE_SECONDS, connected, serving
from webhook import endpoints
from webhook.admission import Admission
from webhook.answer import Answer
from webhook.endpoints import BODIES, AdmissionEndpoint
from webhook.settings import WebhookSettings
from webhook.view import Asked

BODY = encoded(review())


class Ready:
    """What an endpoint asks of ``Admission`` besides a decision."""

    is_ready = True


async def allow(asked: Asked) -> Answer:
    """A decision that asks nobody."""
    del asked
    return Answer()


def endpoint(webhook: str = "validate") -> AdmissionEndpoint:
    """One that takes bodies of 200,000 bytes."""
    settings = WebhookSettings(body_limit_bytes=200_000)
    return AdmissionEndpoint(webhook, allow, admission=cast("Admission", Ready()), settings=settings)


def pieces(*, filler: int = 0) -> list[Message]:
    """A review in two pieces, with so much space after it."""
    return [{"type": "http.request", "body": BODY, "more_body": True}, {"type": "http.request", "body": b" " * filler}]


async def begun(body: bytes) -> asyncio.Task[None]:
    """A caller who has sent so much, and says nothing more."""
    said: asyncio.Queue[Message] = asyncio.Queue()
    said.put_nowait({"type": "http.request", "body": body, "more_body": True})

    async def send(message: Message) -> None:
        del message

    headers = [(b"content-type", b"application/json")]
    slow = endpoint("mutate")({"type": "http", "query_string": b"", "headers": headers}, said.get, send)
    task = asyncio.ensure_future(slow)
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not BODIES.held_bytes:  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0)
    return task


async def answer(**exchange: object) -> tuple[int, str]:
    """How a request ends."""
    reply = await post(endpoint(), **exchange)  # pyright: ignore[reportArgumentType] - of ``post``
    return cast("Reply", reply).status, cast("Reply", reply).text


def test_callers_together_hold_only_so_much(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty that were slow to send 7 MiB killed the pod; who sends all at once, or little, is served meanwhile."""
    monkeypatch.setattr(endpoints, "BODIES_BYTES", 200_000)

    async def story() -> None:
        slow = await begun(b"x" * 180_000)
        assert await answer(messages=pieces(filler=180_000)) == (
            503,
            "too many large requests at once: no memory for another\n",
        )
        assert (await answer(messages=pieces(filler=50_000)))[0] == 200
        assert (await answer(body=BODY + b" " * 180_000))[0] == 200

        slow.cancel()
        await asyncio.wait([slow])
        assert (await answer(messages=pieces(filler=180_000)))[0] == 200
        assert BODIES.held_bytes == 0

    asyncio.run(story())


def test_a_body_alone_may_be_as_large_as_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever allows more than all together may have has meant it."""
    monkeypatch.setattr(endpoints, "BODIES_BYTES", 100)

    assert asyncio.run(answer(messages=pieces(filler=180_000)))[0] == 200


@pytest.mark.parametrize(
    ("length", "status"),
    [
        pytest.param(len(BODY), b"200", id="that of the body"),
        pytest.param(200_001, b"413", id="more than is taken"),
    ],
)
def test_a_length_may_begin_with_many_zeros(length: int, status: bytes) -> None:
    """The parser takes them, and ``int`` takes 4,300 digits at most: a traceback, and a bug of ours."""
    zeros = b"0" * 5_000
    head = b"POST /validate HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: %b%d\r\n\r\n" % (
        zeros,
        length,
    )

    async def story() -> None:
        async with asyncio.timeout(DEADLINE_SECONDS), serving(endpoint()) as server, connected(server) as streams:
            reader, writer = streams
            writer.write(head + BODY)
            assert (await reader.readuntil(b"\r\n")).split()[1] == status

    asyncio.run(story())
