"""Events on the real API server: one for each thing that is said, counted up when it is said again."""

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from cluster.api import KubernetesApi
from cluster.events import SERIES_SECONDS, Events
from sharedvip.model import ServiceView
from tests.builders import service
from tests.cluster.connection import Connection

pytestmark = pytest.mark.e2e

COMPONENT = "sharedvip.dev/reconciler"


class Clock:
    """A clock that stands until it is turned."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        """Monotonic seconds."""
        return self.seconds

    def now(self) -> datetime:
        """The same as a time of day."""
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)


def web_in(namespace: str) -> ServiceView:
    """A Service; an Event does not ask whether it is there."""
    return service("web", namespace=namespace, uid=secrets.token_hex(8))


def events(connection: Connection) -> list[dict[str, Any]]:
    """All of the namespace, in the order in which they were made."""
    found = connection.get("events.events.k8s.io")["items"]
    return sorted((e for e in found if e["reportingController"] == COMPONENT), key=lambda e: e["eventTime"])


def test_the_same_again_is_counted_up(connection: Connection) -> None:
    """Within ten minutes of the last time; then it is news."""
    web, clock = web_in(connection.namespace), Clock()

    async def story(api: KubernetesApi) -> None:
        told = Events(api, component=COMPONENT, clock=clock, now=clock.now)
        for _ in range(3):
            await told.tell(web, "Warning", reason="Conflict", message="80/TCP is taken")
            clock.seconds += SERIES_SECONDS
        clock.seconds += 1
        await told.tell(web, "Warning", reason="Conflict", message="80/TCP is taken")

    connection.tell(story)
    first, second = events(connection)

    assert first["series"] == {"count": 3, "lastObservedTime": "2026-01-01T00:20:00.000000Z"}
    assert "series" not in second
    assert (first["type"], first["reason"], first["note"]) == ("Warning", "Conflict", "80/TCP is taken")
    assert first["regarding"] == {
        "apiVersion": "v1",
        "kind": "Service",
        "namespace": connection.namespace,
        "name": "web",
        "uid": web.uid,
    }


def test_other_words_or_another_service_are_another_event(connection: Connection) -> None:
    """Only what is the same in all of it is the same."""
    web, api_service = web_in(connection.namespace), web_in(connection.namespace)

    async def story(api: KubernetesApi) -> None:
        told = Events(api, component=COMPONENT)
        await told.tell(web, "Normal", reason="Programmed", message="80/TCP")
        await told.tell(web, "Normal", reason="Programmed", message="81/TCP")
        await told.tell(web, "Warning", reason="Programmed", message="80/TCP")
        await told.tell(api_service, "Normal", reason="Programmed", message="80/TCP")

    connection.tell(story)

    assert ["series" in event for event in events(connection)] == [False] * 4


def test_an_event_that_is_gone_is_told_anew(connection: Connection) -> None:
    """The API server forgets Events after an hour."""
    web = web_in(connection.namespace)

    async def story(api: KubernetesApi) -> None:
        told = Events(api, component=COMPONENT)
        await told.tell(web, "Normal", reason="Programmed", message="80/TCP")
        await connection.kubectl_async("delete", "events", "--all")
        await told.tell(web, "Normal", reason="Programmed", message="80/TCP")

    connection.tell(story)

    assert len(events(connection)) == 1


def test_a_long_message_is_cut_to_what_the_api_server_takes(connection: Connection) -> None:
    """It counts bytes, and a character must not be cut in two."""
    web = web_in(connection.namespace)

    async def story(api: KubernetesApi) -> None:
        await Events(api, component=COMPONENT).tell(web, "Warning", reason="Conflict", message="é" + "…" * 1000)

    connection.tell(story)

    assert events(connection)[0]["note"] == "é" + "…" * 340


def test_what_cannot_be_told_is_logged(connection: Connection) -> None:
    """No pass fails for an Event."""
    nowhere = web_in(f"{connection.namespace}-not")

    async def story(api: KubernetesApi) -> None:
        with capture_logs() as logs:
            told = await Events(api, component=COMPONENT).tell(nowhere, "Normal", reason="Programmed", message="80/TCP")
        assert not told
        assert [(log["event"], log["reason"]) for log in logs] == [("event.lost", "Programmed")]

    connection.tell(story)
