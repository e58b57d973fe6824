"""How long claims wait for their Services: counted as the caches tell it, in whatever order they do."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from prometheus_client import REGISTRY

from cluster.services import ServiceCache
from cluster.shared_vip_cache import SharedVipCache
from tests.builders import KEY, NAMESPACE, service_object
from tests.cluster.ledgers import NOW
from tests.cluster.scripted import Object, ScriptedApi, event, follow, page
from webhook.claim_ages import ClaimAges


def claimed(*ports: int, service: str = "web", heading: str = "", replaces: str = "") -> Object:
    """A group's ``SharedVIP``, with claims from ``NOW`` on, a second apart; perhaps asked for again by an update."""
    moving: Object = {"heading": {"address": heading, "since": NOW.isoformat()}} if heading else {}
    moving |= {"replaces": replaces, "askedAt": NOW.isoformat()} if replaces else {}
    claims = [
        {
            "port": port,
            "protocol": "TCP",
            "service": service,
            "uid": f"uid-of-{service}",
            "claimedAt": (NOW + number * timedelta(seconds=1)).isoformat(),
            **moving,
        }
        for number, port in enumerate(ports)
    ]
    metadata = {"namespace": NAMESPACE, "name": KEY, "resourceVersion": "1"}
    return {"metadata": metadata, "spec": {"key": KEY, "claims": claims}}


def stored(name: str, *ports: str, key: str | None = KEY) -> Object:
    """A Service as the API server shows it."""
    made = service_object(name, *ports, key=key)
    return {**made, "metadata": {**made.get("metadata", {}), "uid": f"uid-of-{name}"}}


class Scene:
    """Two caches, each with its own script; at first ten seconds after ``NOW``."""

    def __init__(self, services: ScriptedApi, ledgers: ScriptedApi) -> None:
        self._scripts = services, ledgers
        self._caches = ServiceCache(services.api), SharedVipCache(ledgers.api)
        self.seconds = 10
        self.ages = ClaimAges(*self._caches, now=lambda: NOW + timedelta(seconds=self.seconds))
        self._before = confirmations()

    async def hear_of_services(self) -> None:
        """What is left of their script."""
        await self._hear(0)

    async def hear_of_ledgers(self) -> None:
        """Likewise."""
        await self._hear(1)

    async def _hear(self, number: int) -> None:
        self._scripts[number].is_over.clear()
        await follow(self._caches[number].run, self._scripts[number])

    @property
    def confirmed(self) -> float:
        """How many confirmations were measured."""
        return confirmations() - self._before


def confirmations() -> float:
    """By all tests so far."""
    return REGISTRY.get_sample_value("sharedvip_claim_confirmation_seconds_count") or 0.0


def tell(scene: Callable[[], Scene], story: Callable[[Scene], Awaitable[None]]) -> None:
    """Reflectors want a loop from their beginning."""

    async def whole() -> None:
        await story(scene())

    asyncio.run(whole())


def test_a_claim_waits_until_its_service_is_seen() -> None:
    """Its age is that of the oldest; then it is measured, once."""

    async def story(scene: Scene) -> None:
        await scene.hear_of_services()
        await scene.hear_of_ledgers()
        assert (scene.ages.waiting, scene.ages.oldest_seconds) == (2, 10.0)

        await scene.hear_of_services()
        assert (scene.ages.waiting, scene.ages.oldest_seconds, scene.confirmed) == (1, 9.0, 1)

    tell(
        lambda: Scene(
            ScriptedApi([page(), page(stored("web", "80/TCP"))]),
            ScriptedApi([page()], [[event("ADDED", claimed(80, 81))]]),
        ),
        story,
    )


def test_a_service_may_be_seen_before_its_claim() -> None:
    """The two watches do not wait for each other."""

    async def story(scene: Scene) -> None:
        await scene.hear_of_ledgers()
        await scene.hear_of_services()
        await scene.hear_of_ledgers()
        assert (scene.ages.waiting, scene.ages.oldest_seconds, scene.confirmed) == (0, 0.0, 1)

    tell(
        lambda: Scene(ScriptedApi([page(stored("web", "80/TCP"))]), ScriptedApi([page(), page(claimed(80))])),
        story,
    )


def test_what_was_there_before_was_not_waited_for() -> None:
    """A replica that starts measures nothing; a claim without a Service waits all the same."""

    async def story(scene: Scene) -> None:
        await scene.hear_of_services()
        await scene.hear_of_ledgers()
        assert (scene.ages.waiting, scene.confirmed) == (1, 0)

    tell(
        lambda: Scene(ScriptedApi([page(stored("web", "80/TCP"))]), ScriptedApi([page(claimed(80, 81))])),
        story,
    )


def test_a_released_claim_waits_no_more() -> None:
    """Nor is it measured."""

    async def story(scene: Scene) -> None:
        await scene.hear_of_services()
        await scene.hear_of_ledgers()
        assert (scene.ages.waiting, scene.ages.oldest_seconds, scene.confirmed) == (0, 0.0, 0)

    tell(
        lambda: Scene(
            ScriptedApi([page()]),
            ScriptedApi([page(claimed(80))], [[event("MODIFIED", claimed())], [event("DELETED", claimed())]]),
        ),
        story,
    )


def test_who_was_shown_waits_from_when_its_service_is_gone() -> None:
    """Its claim may be days old, and the janitor has had a moment: that woke people up."""

    async def story(scene: Scene) -> None:
        await scene.hear_of_services()
        await scene.hear_of_ledgers()
        scene.seconds = 100_000
        await scene.hear_of_services()
        scene.seconds += 2
        assert (scene.ages.waiting, scene.ages.oldest_seconds) == (1, 2.0)

        await scene.hear_of_services()
        assert (scene.ages.waiting, scene.confirmed) == (0, 0)

    web = stored("web", "80/TCP")
    tell(
        lambda: Scene(ScriptedApi([page(web), page(), page(web)]), ScriptedApi([page(claimed(80))])),
        story,
    )


@pytest.mark.parametrize(
    "again",
    [
        pytest.param(claimed(80, 81, heading="10.0.0.2"), id="on its way to an address"),
        pytest.param(claimed(80, 81, replaces="7"), id="asked for again by an update"),
    ],
)
def test_a_claim_that_an_update_finds_is_no_new_one(again: Object) -> None:
    """Claims of some hours were measured as just confirmed."""

    async def story(scene: Scene) -> None:
        for _ in range(2):
            await scene.hear_of_services()
            await scene.hear_of_ledgers()
        assert (scene.ages.waiting, scene.ages.oldest_seconds, scene.confirmed) == (1, 9.0, 0)

    web = stored("web", "80/TCP")
    tell(
        lambda: Scene(
            ScriptedApi([page(web), page(web)]),
            ScriptedApi([page(claimed(80, 81)), page(again)]),
        ),
        story,
    )
