"""No decision, for want of time, room, caches or an API server: 503 with a reason, before the caller gives up."""

import asyncio

import pytest
from starlette.types import Message
from structlog.testing import capture_logs

from cluster.errors import Forbidden, TooManyRequests, Unreachable
from tests.webhook.reviews import Reply, encoded, post, review
from tests.webhook.validate_endpoint import ask, endpoint, failing, failures, never
from webhook import metrics
from webhook.answer import Answer
from webhook.deadline import deadline_seconds
from webhook.view import Asked


@pytest.mark.parametrize(
    ("query", "seconds"),
    [
        pytest.param(b"timeout=5s", 4.5, id="as the API server says it"),
        pytest.param(b"a=b&timeout=30s", 27.0, id="the longest that the API allows"),
        pytest.param(b"timeout=99999999999999999999s", 27.0, id="longer than anybody waits"),
        pytest.param(b"timeout=" + b"9" * 400 + b"s", 27.0, id="longer than a float"),
        pytest.param(b"", 9.0, id="nothing"),
        pytest.param(b"timeout=soon", 9.0, id="no duration"),
        pytest.param(b"timeout=%ff", 9.0, id="garbage"),
    ],
)
def test_the_callers_timeout_is_the_deadline(query: bytes, seconds: float) -> None:
    """A tenth is left for the way back."""
    assert deadline_seconds(query) == pytest.approx(seconds)


def test_a_decision_that_does_not_come_is_a_503_before_the_caller_gives_up() -> None:
    """The ``failurePolicy`` decides then."""

    async def story() -> Reply | None:
        async with asyncio.timeout(1):  # the caller's own
            return await post(endpoint(never), encoded(review()), query=b"timeout=1s")

    before = failures("deadline")
    reply = asyncio.run(story())

    assert reply is not None
    assert (reply.status, reply.text) == (503, "no decision within the caller's timeout\n")
    assert failures("deadline") == before + 1


def test_who_waits_for_others_waits_half_of_the_callers_time_at_most() -> None:
    """And a second, where there is more."""
    patience: list[float] = []

    async def decide(asked: Asked) -> Answer:
        patience.append(asked.patience_seconds)
        return Answer()

    for query in (b"timeout=1s", b"timeout=10s"):
        assert ask(decide=decide, query=query).status == 200

    assert patience == [pytest.approx(0.45), 1.0]


def test_too_many_at_once_are_told_at_once() -> None:
    """503 beyond the limit; who has not sent his body yet takes no place."""

    async def story() -> None:
        begun, go = asyncio.Event(), asyncio.Event()

        async def slow(asked: Asked) -> Answer:
            del asked
            begun.set()
            await go.wait()
            return Answer()

        async def unfinished() -> Message:
            await asyncio.Event().wait()
            return {}

        one = endpoint(slow, at_once=1)
        body = encoded(review())
        scope = {"type": "http", "query_string": b"", "headers": [(b"content-type", b"application/json")]}
        talker = asyncio.create_task(one(scope, unfinished, lambda _: unfinished()))  # pyright: ignore[reportArgumentType] - never sends
        first = asyncio.create_task(post(one, body))
        async with asyncio.timeout(10):
            await begun.wait()
        second = await post(one, body)
        go.set()
        third = await first
        talker.cancel()

        assert second is not None
        assert third is not None
        assert (second.status, second.text, third.status) == (503, "too many requests at once\n", 200)
        assert one.in_flight == 0

    asyncio.run(story())


def test_nobody_is_judged_before_the_caches_are_complete() -> None:
    """503; what needs no judging is answered all the same."""
    assert ask(is_ready=False).text == "the caches are not complete yet\n"
    assert ask(review(operation="DELETE"), is_ready=False).status == 200


@pytest.mark.parametrize(
    ("error", "reason", "said"),
    [
        pytest.param(Unreachable("it sleeps"), "ledger", "the ledger cannot be asked: it sleeps", id="no API server"),
        pytest.param(
            TooManyRequests(429, "TooManyRequests", message="later"),
            "ledger",
            "the ledger cannot be asked: 429",
            id="a busy one",
        ),
        pytest.param(
            Forbidden(403, "Forbidden", message="no right"),
            "refused",
            "the API server refuses what the webhook asks of it, now and again: 403",
            id="one that will never say yes",
        ),
        pytest.param(ZeroDivisionError("secret"), "bug", "the webhook failed; its log says where", id="a bug"),
    ],
)
def test_what_nobody_knows_is_a_503_with_a_reason(error: Exception, reason: str, said: str) -> None:
    """The ``failurePolicy`` decides; the words are for whoever reads the API server's log, the reason is counted."""
    before = failures(reason)

    reply = ask(decide=failing(error))

    assert reply.status == 503
    assert reply.text.startswith(said)
    assert "secret" not in reply.text
    assert failures(reason) == before + 1


def test_no_decision_is_one_line_too() -> None:
    """With the reason."""
    metrics.catch_up()  # what other tests left untold
    with capture_logs() as lines:
        ask(decide=failing(Unreachable("it sleeps")))

    assert [(line["event"], line["reason"], line["log_level"]) for line in lines] == [
        ("admission.failed", "ledger", "warning")
    ]
