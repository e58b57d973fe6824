"""Groups whose members came past admission and are in no ledger yet, on the real API server: they hold their address.

So it is while we are installed into a living cluster, until the janitor has been everywhere; and as long as it cannot
accept such a group, for its members are in conflict.
"""

from dataclasses import replace

import pytest

from tests.builders import KEY
from tests.cluster.connection import Connection
from tests.webhook.replicas import Scene, messages, some_address, tell
from webhook.view import Asked

pytestmark = pytest.mark.e2e

OTHER = "other"


async def unlisted(scene: Scene, *names: str, address: str, key: str = OTHER) -> None:
    """Members that are stored and in no ledger; the replica's cache shows them."""
    for name in names:
        await scene.stored(name, "80/TCP", key=key, loadBalancerIP=address)
        await scene.seen(name)


def test_the_address_of_a_group_without_a_ledger_is_taken(connection: Connection) -> None:
    """By its members' word; whoever asks for another address, or joins that very group, is not concerned."""

    async def story(scene: Scene) -> None:
        address = some_address()
        await unlisted(scene, "one", "two", address=address)

        assert messages(await scene.validate(scene.new("web", "443/TCP", load_balancer_ip=address))) == (
            f"spec.loadBalancerIP: {address} is already held by shared VIP '{OTHER}'; choose another address, leave it "
            f"out, or use sharing key '{OTHER}' [static-address-taken]"
        )
        assert await scene.claims() == []
        assert await scene.lock_of(address) is None
        for asked in (
            scene.new("web", "443/TCP", load_balancer_ip=some_address()),
            scene.new("three", "443/TCP", key=OTHER, load_balancer_ip=address),
        ):
            assert messages(await scene.validate(asked)) == ""

    tell(connection, story)


def test_a_group_that_is_in_its_ledger_is_disturbed_by_none_that_is_not(connection: Connection) -> None:
    """It was there before: who comes past admission with its address keeps none of its newcomers out."""

    async def story(scene: Scene) -> None:
        address = some_address()
        await scene.settled("web", "80/TCP", loadBalancerIP=address)
        await scene.until(lambda: scene.group() in scene.replicas[0].ledgers.by_address(address))
        await unlisted(scene, "thief", address=address)

        assert messages(await scene.validate(scene.new("api", "443/TCP", load_balancer_ip=address))) == ""
        found = messages(await scene.validate(scene.new("late", "443/TCP", key=OTHER, load_balancer_ip=address)))
        assert f"already held by shared VIP '{KEY}'" in found

    tell(connection, story)


def test_who_is_gone_holds_nothing_however_late_the_cache(connection: Connection) -> None:
    """Or has another address by now: looked at live before anybody is refused."""

    async def story(scene: Scene) -> None:
        address = some_address()
        await unlisted(scene, "one", "two", address=address)
        scene.replicas[0].freeze()
        await scene.delete("one")
        await connection.kubectl_async(
            "patch", "service", "two", "--type=merge", f'-p={{"spec":{{"loadBalancerIP":"{some_address()}"}}}}'
        )

        assert messages(await scene.validate(scene.new("web", "443/TCP", load_balancer_ip=address))) == ""

    tell(connection, story)


def test_who_leaves_such_a_group_leaves_its_address(connection: Connection) -> None:
    """As of one that is in a ledger; the last one takes it along."""

    async def story(scene: Scene) -> None:
        address = some_address()
        await unlisted(scene, "one", "two", address=address)
        old = await scene.live("one")
        leaving = Asked(replace(old, sharing_key=None), old)

        assert f"already held by shared VIP '{OTHER}'" in messages(await scene.validate(leaving))
        await scene.delete("two")
        assert messages(await scene.validate(leaving)) == ""

    tell(connection, story)
