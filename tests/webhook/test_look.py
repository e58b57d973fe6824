"""The live look on the real API server: what it finds to be stale, whatever happens while it looks."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest

from cluster.api import KubernetesApi
from cluster.errors import NotFound
from cluster.services import ServiceCache
from cluster.shared_vip_cache import SharedVipCache
from sharedvip.annotations import SHARED_VIP
from sharedvip.ledger import grow, member_of
from sharedvip.model import Policy
from sharedvip.parse import shared_values
from tests.builders import KEY
from tests.cluster.connection import Connection
from tests.webhook.replicas import DEADLINE_SECONDS, Scene, messages, now, tell
from webhook.world import World

pytestmark = pytest.mark.e2e


class LateAnswer(KubernetesApi):
    """Its first look at a Service is answered "not found", and late: by then something else has happened."""

    meanwhile: Callable[[], Awaitable[None]] | None = None

    async def request(self, method: str, path: str, **given: Any) -> bytes:  # noqa: ANN401 - whatever it takes
        """As ``KubernetesApi``."""
        if self.meanwhile is None or method != "GET" or "/services/" not in path:
            return await super().request(method, path, **given)
        happen, self.meanwhile = self.meanwhile, None
        await happen()
        raise NotFound(404, "NotFound", message="services not found")


def test_a_service_that_is_stored_while_it_is_looked_for_is_not_gone(connection: Connection) -> None:
    """Its claim was released as that of a deleted one, and its port given away.

    The look read "not found", then the Service was stored and the watch told of it; only then was asked whether it had
    ever been seen. It had, so it was taken for deleted. Found by ``make soak``, ``api-server-restarts``: answers are
    late there.
    """

    async def story(api: KubernetesApi) -> None:
        scene = Scene(api, connection.namespace, [])
        await scene.settled("one", "80/TCP")
        async with AsyncExitStack() as stack:
            late = await LateAnswer.connect(connection.cluster.kubeconfig, user_agent="sharedvip-test/1")
            stack.push_async_callback(late.close)
            services = ServiceCache(api)
            world = World(late, services=services, ledgers=SharedVipCache(api), policy=Policy(), now=now)

            async def it_is_stored_and_seen() -> None:
                watch = asyncio.create_task(services.run())
                stack.callback(watch.cancel)
                async with asyncio.timeout(DEADLINE_SECONDS):
                    await services.reflector.synced()

            late.meanwhile = it_is_stored_and_seen
            look = await world.look(scene.new("two", "80/TCP"))

            assert look.stale == ()
            assert await scene.claims() == [("one", "80/TCP")]

    connection.tell(story)


@pytest.mark.parametrize("name", ["new", "old"])
@pytest.mark.parametrize("was_seen", [True, False])
def test_a_port_of_a_deleted_service_is_free_on_a_replica_that_is_late(
    connection: Connection, name: str, *, was_seen: bool
) -> None:
    """However late its cache is, and with no janitor: the API server tells what came and went since."""

    async def story(scene: Scene) -> None:
        members = [await scene.settled(f"a-{n}", f"{8000 + n}/TCP") for n in range(20)]
        await scene.seen(members[-1].name.name)
        if not was_seen:
            scene.replicas[0].freeze()
        await scene.settled("old", "80/TCP")
        if was_seen:
            await scene.seen("old")
            scene.replicas[0].freeze()
        await scene.delete("old")

        assert messages(await scene.validate(scene.new(name, "80/TCP"))) == ""
        assert (await scene.claims())[0] == (name, "80/TCP")

    tell(connection, story)


def test_what_an_update_claimed_goes_with_its_service(connection: Connection) -> None:
    """It joined, was refused by somebody after us, and is gone: nothing can come, and nobody waits for a grace."""

    async def story(scene: Scene) -> None:
        joining = await scene.stored("old", "80/TCP", key=None)
        asked = scene.change(joining, "80/TCP")
        asked = replace(asked, candidate=replace(asked.candidate, sharing_key=KEY))
        assert messages(await scene.validate(asked)) == ""
        await scene.delete("old")

        assert messages(await scene.validate(scene.new("new", "80/TCP"))) == ""
        assert await scene.claims() == [("new", "80/TCP")]

    tell(connection, story)


def test_a_conflict_that_cannot_be_read_is_not_taken_for_nobodys(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An API server may word it otherwise one day: the claim of a request on its way is not taken over by force."""
    monkeypatch.setattr("cluster.field_conflicts._MANAGER", re.compile("nothing"))

    async def story(scene: Scene) -> None:
        first, second = (scene.new("web", "80/TCP") for _ in range(2))
        assert messages(await scene.validate(first)) == ""
        assert "under way" in messages(await scene.validate(replace(second, patience_seconds=0.2)))
        ledger = await scene.ledger()
        assert ledger is not None
        assert ledger.members == (member_of(first.candidate),)

    tell(connection, story)


@pytest.mark.parametrize("happens", ["nothing", "a namesake comes and goes", "too long ago"])
def test_a_port_that_nobody_was_seen_to_give_up_is_not_free(connection: Connection, happens: str) -> None:
    """It is on its way as far as anybody knows: a namesake is another, and an API server that restarted knows less."""

    async def story(scene: Scene) -> None:
        scene.replicas[0].freeze()
        asked = scene.new("old", "80/TCP")
        claims = grow(None, asked.candidate, old=None, now=now())
        await scene.store.claim(
            scene.group(), member_of(asked.candidate), shared=shared_values(asked.candidate), claims=claims
        )
        if happens != "nothing":
            await scene.stored("old", "80/TCP")
            await scene.delete("old")
        if happens == "too long ago":
            scene.replicas[0].services.reflector.position = "1"

        said = messages(await scene.validate(scene.new("new", "80/TCP")))
        assert "is being created right now; try again in a moment" in said
        assert await scene.claims() == [("old", "80/TCP")]

    tell(connection, story)


GIVEN_UP = [
    pytest.param({"spec": {"ports": [{"port": 443}]}}, id="another port"),
    pytest.param({"metadata": {"annotations": {SHARED_VIP: "elsewhere"}}}, id="another group"),
    pytest.param({"metadata": {"annotations": {SHARED_VIP: None}}}, id="out of the group"),
    pytest.param({"spec": {"type": "ClusterIP"}}, id="another type"),
]


@pytest.mark.parametrize("patch", GIVEN_UP)
def test_a_port_that_was_given_up_is_free_at_once(connection: Connection, patch: dict[str, Any]) -> None:
    """On any replica, however late its cache, and without a janitor: the claim is of no update that may still come."""

    async def story(scene: Scene) -> None:
        scene.replicas[0].freeze()
        old = await scene.settled("old", "80/TCP")
        changed = scene.change(old, "80/TCP", "443/TCP")
        assert messages(await scene.validate(changed)) == ""
        assert "already served" in messages(await scene.validate(scene.new("new", "80/TCP")))
        await connection.kubectl_async("patch", "service", "old", "--type=merge", f"-p={json.dumps(patch)}")

        assert messages(await scene.validate(scene.new("new", "80/TCP"))) == ""
        assert ("new", "80/TCP") in await scene.claims()

    tell(connection, story)


def test_who_left_a_group_without_an_address_is_in_nobody_s_way(connection: Connection) -> None:
    """No address is no address that somebody has; its claim is still there, as no janitor came."""

    async def story(scene: Scene) -> None:
        await scene.settled("old", "80/TCP")
        patch = {"metadata": {"annotations": {SHARED_VIP: None}}}
        await connection.kubectl_async("patch", "service", "old", "--type=merge", f"-p={json.dumps(patch)}")

        assert messages(await scene.validate(scene.new("new", "443/TCP"))) == ""

    tell(connection, story)


def test_a_port_that_an_update_may_still_bring_is_not_given_up(connection: Connection) -> None:
    """Its Service has the very version that the update is to replace."""

    async def story(scene: Scene) -> None:
        old = await scene.settled("old", "80/TCP")
        assert messages(await scene.validate(scene.change(old, "80/TCP", "443/TCP"))) == ""
        refused = messages(await scene.validate(scene.new("new", "443/TCP")))
        assert "is being claimed" in refused
        assert "try again" in refused

        await connection.kubectl_async("label", "service", "old", "is=another-version")
        assert messages(await scene.validate(scene.new("new", "443/TCP"))) == ""

    tell(connection, story)
