"""Who asked and is gone: nothing is begun for it, and nobody else waits for that."""

import asyncio
import json
import os
import signal
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from starlette.types import Message

from localcluster.cluster import LocalCluster
from localcluster.waiting import wait_until
from sharedvip.parse import ServiceObject
from tests.builders import service_object
from tests.webhook.process import DEADLINE_SECONDS, DELETION, HEADERS, Webhook, started
from tests.webhook.reviews import encoded, review
from webhook.caller import CallerGoneError, require_caller, waiting

GONE = 'sharedvip_admission_failures_total{reason="client-gone",webhook="validate"}'
CLAIMS = 'sharedvip_ledger_writes_total{purpose="claim"}'


def test_who_waits_is_there() -> None:
    """Its connection says nothing."""
    asyncio.run(require_caller(waiting))


@pytest.mark.parametrize(
    ("said", "is_gone"),
    [
        pytest.param({"type": "http.disconnect"}, True, id="the end"),
        pytest.param({"type": "http.request", "body": b"", "more_body": False}, False, id="no more of its body"),
    ],
)
def test_who_says_so_is_gone(said: Message, *, is_gone: bool) -> None:
    """By ASGI's word for it."""

    async def receive() -> Message:
        return said

    if is_gone:
        with pytest.raises(CallerGoneError):
            asyncio.run(require_caller(receive))
    else:
        asyncio.run(require_caller(receive))


@pytest.fixture
def webhook(sharedvips: LocalCluster, tmp_path: Path) -> Generator[Webhook]:
    """A ready process, which a test may stop."""
    with started(tmp_path, sharedvips.kubeconfig) as running:
        running.wait_for("/readyz", 200)
        yield running


@contextmanager
def asleep(webhook: Webhook) -> Generator[None]:
    """It takes bytes, and does nothing."""
    process = webhook.children.pids["webhook"]
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)


@pytest.mark.e2e
def test_a_webhook_that_wakes_claims_nothing_for_who_gave_up(webhook: Webhook, namespace: str) -> None:
    """A suspended machine finds old requests in its sockets; whose port that is another may have at once."""
    connection = webhook.connect()
    connection.request("POST", "/validate", DELETION, HEADERS)
    connection.getresponse().read()
    with asleep(webhook):
        connection.request("POST", "/validate", creation("ghost", namespace=namespace), HEADERS)
        connection.close()

    wait_until(lambda: webhook.metric(GONE) == 1, what="it is seen to be gone", deadline_seconds=DEADLINE_SECONDS)
    assert webhook.metric(CLAIMS) == 0
    other = webhook.connect()
    try:
        other.request("POST", "/validate", creation("web", namespace=namespace), HEADERS)
        assert json.load(other.getresponse())["response"]["allowed"]
    finally:
        other.close()


def creation(name: str, *, namespace: str) -> bytes:
    """A request to create this Service with port 80."""
    made: ServiceObject = service_object(name, "80/TCP", namespace=namespace)
    return encoded(
        review({**made, "metadata": {**made.get("metadata", {}), "uid": f"uid-{name}"}}, namespace=namespace)
    )
