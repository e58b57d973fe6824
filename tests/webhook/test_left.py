"""Who has left with the group's address, on the real API server: its lock tells of it, however late a cache is."""

from dataclasses import replace

import pytest

from cluster.errors import Unreachable
from cluster.ip_addresses import AddressLocks
from cluster.leavers import Leaver
from sharedvip.leaving import LATEST_SECONDS
from sharedvip.ledger import member_of
from tests.builders import KEY
from tests.cluster.connection import Connection
from tests.webhook.leavers import last, leaving, left, nobody
from tests.webhook.replicas import Scene, messages, now, some_address, tell
from webhook.answer import Verdict
from webhook.view import Asked

pytestmark = pytest.mark.e2e


async def gone_with(address: str, connection: Connection, scene: Scene, *, by: int = 0) -> None:
    """Service web, the last of its group, has left with the address as a replica admitted; the janitor has let go."""
    leaver = await last(scene, "web", address)
    assert messages(await scene.validate(leaving(leaver), by=by)) == ""
    await left(connection, "web")
    await scene.store.leave(scene.group(), member_of(leaver))
    assert await AddressLocks(scene.api).release(address, scene.group(), is_needed=nobody) == "left"


def test_who_has_left_with_the_address_has_it_however_late_the_cache(connection: Connection) -> None:
    """The janitor has let go of its claims and the lock; the cache shows a member that it is no more."""

    async def story(scene: Scene) -> None:
        address = some_address()
        await scene.stored("web", "80/TCP", loadBalancerIP=address)
        await scene.seen("web")
        scene.replicas[0].freeze()
        await left(connection, "web")

        joining = replace(scene.new("api", "443/TCP", load_balancer_ip=address), patience_seconds=0.2)
        assert "try again" in messages(await scene.validate(joining))
        assert await scene.claims() == []

    tell(connection, story)


def test_who_has_left_past_admission_with_the_address_has_it_in_other_groups_eyes_too(connection: Connection) -> None:
    """It is noted nowhere, and the cache shows a member of a group that is no more: what was read of it counts."""

    async def story(scene: Scene) -> None:
        address = some_address()
        await scene.stored("web", "80/TCP", loadBalancerIP=address)
        await scene.seen("web")
        scene.replicas[0].freeze()
        await left(connection, "web")

        joining = scene.new("api", "443/TCP", key="another", load_balancer_ip=address)
        assert "already held by Service 'web'" in messages(await scene.validate(joining))
        # It may bring it there itself.
        asked = scene.change(await scene.live("web"), "80/TCP")
        asked = replace(asked, candidate=replace(asked.candidate, sharing_key="another"))
        assert messages(await scene.validate(asked)) == ""

    tell(connection, story)


def test_who_has_left_is_told_by_the_lock_to_a_cache_that_never_showed_it(connection: Connection) -> None:
    """Its watch broke with the API server before the leaver came, and the janitor has let go of all since.

    Found by ``make soak``, ``api-server-restarts``, in full: both were stored.
    """

    async def story(scene: Scene) -> None:
        scene.replicas[0].freeze()
        address = some_address()
        await gone_with(address, connection, scene, by=1)

        for key in (KEY, "another"):
            joining = scene.new("api", "443/TCP", key=key, load_balancer_ip=address)
            assert messages(await scene.validate(joining)) == (
                f"spec.loadBalancerIP: {address} is already held by Service 'web'; "
                "choose another address, or leave it out [static-address-taken]"
            )
            assert await scene.claims(key) == []

    tell(connection, story, replicas=2)


def test_who_has_left_with_an_address_may_bring_it_to_another_group(connection: Connection) -> None:
    """What tells of its leave is in nobody's way: not in its own, nor in another's once it has the address no more."""

    async def story(scene: Scene) -> None:
        address = some_address()
        await gone_with(address, connection, scene)

        ordinary = await scene.live("web")
        assert messages(await scene.validate(Asked(replace(ordinary, sharing_key="another"), ordinary))) == ""
        assert await scene.lock_of(address) == "another"

    tell(connection, story)


def test_a_replica_that_was_told_nothing_for_long_lets_nobody_join_with_an_address(connection: Connection) -> None:
    """By then no lock tells of who left; who brings no address is not concerned."""

    async def story(scene: Scene) -> None:
        reflector = scene.replicas[0].services.reflector
        with pytest.MonkeyPatch.context() as late:
            late.setattr(reflector, "age_seconds", lambda: LATEST_SECONDS + 1)
            with pytest.raises(Unreachable, match="what is known of Services is 181 s old"):
                await scene.validate(scene.new("api", "443/TCP", load_balancer_ip=some_address()))
            assert await scene.claims() == []
            assert messages(await scene.validate(scene.new("web", "80/TCP"))) == ""
            member = await last(scene, "db", some_address(), key="another")
            changed = scene.change(member, "80/TCP", "81/TCP")
            assert messages(await scene.validate(changed)) == ""

    tell(connection, story)


def test_a_namesake_of_who_has_left_exists_already(connection: Connection) -> None:
    """By a late cache nobody is there: it must not take the address over in that one's name."""

    async def story(scene: Scene) -> None:
        scene.replicas[0].freeze()
        address = some_address()
        await gone_with(address, connection, scene, by=1)

        for key in (KEY, "another"):
            answer = await scene.validate(scene.new("web", "80/TCP", key=key, load_balancer_ip=address))
            assert answer.verdict is Verdict.ALREADY_EXISTS
            assert await scene.claims(key) == []

    tell(connection, story, replicas=2)


def test_a_namesake_made_anew_with_the_address_has_it_too(connection: Connection) -> None:
    """The note is of another incarnation, and the cache shows neither."""

    async def story(scene: Scene) -> None:
        scene.replicas[0].freeze()
        address, locks = some_address(), AddressLocks(scene.api)
        await locks.take(address, scene.group())
        await scene.stored("web", "80/TCP", key=None, loadBalancerIP=address)
        await locks.note_leaver(address, scene.group(), Leaver("web", "another", "1", now(), "x"))

        joining = replace(scene.new("api", "443/TCP", load_balancer_ip=address), patience_seconds=0.2)
        assert "try again" in messages(await scene.validate(joining))
        assert await scene.claims() == []

    tell(connection, story)


def test_nobody_leaves_with_an_address_that_another_has_left_with(connection: Connection) -> None:
    """Where it is noted nowhere, nobody would wait for it; with what it has, it may leave as anywhere."""

    async def story(scene: Scene) -> None:
        address = some_address()
        await gone_with(address, connection, scene)

        next_one = await last(scene, "api", some_address(), key="another")
        assert "already held by Service 'web'" in messages(
            await scene.validate(leaving(next_one, load_balancer_ip=address))
        )
        past = await scene.stored("past", "80/TCP", key="third", loadBalancerIP=address)
        assert messages(await scene.validate(leaving(past))) == ""

    tell(connection, story)


@pytest.mark.parametrize("is_stored", [False, True])
def test_who_came_past_admission_leaves_with_what_another_group_just_lets_go(
    connection: Connection, *, is_stored: bool
) -> None:
    """Its own group could have the address then, while the leave is on its way: the cache shows it leaving nowhere."""

    async def story(scene: Scene) -> None:
        address, locks = some_address(), AddressLocks(scene.api)
        owner = await last(scene, "owner", address, key="another")
        past = await scene.stored("past", "80/TCP", loadBalancerIP=address)
        await scene.seen("past")
        scene.replicas[0].freeze()
        assert messages(await scene.validate(leaving(past))) == ""

        await connection.kubectl_async("delete", "service", "owner")
        await scene.store.leave(scene.group("another"), member_of(owner))
        assert await locks.release(address, scene.group("another"), is_needed=nobody) == "left"
        if is_stored:
            await left(connection, "past")
        joining = replace(scene.new("api", "443/TCP", load_balancer_ip=address), patience_seconds=0.2)
        assert messages(await scene.validate(joining)) == (
            "metadata.annotations[ako.vmware.com/enable-shared-vip]: Service 'past' is being changed right now on "
            f"shared VIP '{KEY}'; try again in a moment [duplicate-port]"
            if is_stored
            else f"spec.loadBalancerIP: {address} is being claimed by Service 'past' right now; "
            "try again in a moment, or choose another address [static-address-taken]"
        )
        assert await scene.claims() == []

    tell(connection, story)


def test_a_foreign_leave_is_told_by_the_lock_to_a_cache_that_never_showed_it(connection: Connection) -> None:
    """And while the other group still has the address, nobody who joins that one waits for it."""

    async def story(scene: Scene) -> None:
        scene.replicas[0].freeze()
        address, locks = some_address(), AddressLocks(scene.api)
        owner = await last(scene, "owner", address, key="another")
        past = await scene.stored("past", "80/TCP", loadBalancerIP=address)
        await scene.seen("past", by=1)
        assert messages(await scene.validate(leaving(past), by=1)) == ""
        peer = scene.new("peer", "443/TCP", key="another", load_balancer_ip=address)
        assert messages(await scene.validate(peer, by=1)) == ""

        await connection.kubectl_async("delete", "service", "owner")
        await scene.store.leave(scene.group("another"), member_of(owner))
        await scene.store.leave(scene.group("another"), member_of(peer.candidate))
        await left(connection, "past")
        assert await locks.release(address, scene.group("another"), is_needed=nobody) == "left"
        joining = scene.new("api", "443/TCP", load_balancer_ip=address)
        assert f"{address} is already held by Service 'past'" in messages(await scene.validate(joining))
        assert await scene.claims() == []

    tell(connection, story, replicas=2)


def test_whoever_joins_waits_for_a_leave_that_was_noted_while_the_lock_was_nobodys(connection: Connection) -> None:
    """Another has left with the address, and gone; the lock is the group's again by the leaver's own next request."""

    async def story(scene: Scene) -> None:
        address = some_address()
        await gone_with(address, connection, scene)
        past = await scene.stored("past", "81/TCP", loadBalancerIP=address)
        await scene.seen("past")
        assert messages(await scene.validate(leaving(past))) == ""
        await connection.kubectl_async("delete", "service", "web")
        assert await AddressLocks(scene.api).take(address, scene.group(), asking=member_of(past)) is None

        joining = replace(scene.new("api", "443/TCP", load_balancer_ip=address), patience_seconds=0.2)
        assert "Service 'past' is being changed right now" in messages(await scene.validate(joining))

    tell(connection, story)
