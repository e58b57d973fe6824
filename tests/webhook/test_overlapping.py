"""Requests that overlap, on the real API server: what one was admitted with, another does not take back."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from cluster.api import KubernetesApi
from cluster.ip_addresses import AddressLocks
from sharedvip.annotations import SHARED_VIP
from sharedvip.ledger import GRACE, Claim, grow, member_of
from sharedvip.model import AddressHolder, GroupName
from sharedvip.parse import shared_values
from tests.builders import KEY
from tests.cluster.connection import Connection
from tests.webhook.replicas import DEADLINE_SECONDS, Scene, messages, now, replica, some_address, tell
from webhook.view import Asked

pytestmark = pytest.mark.e2e

LATE, IN_TIME = 0, 1
"""A replica of which the cache has stopped, and one that follows."""
UNDER_WAY = f"another request for Service 'web' is under way on shared VIP '{KEY}'; try again in a moment"


async def shared_address(scene: Scene) -> str:
    """The one in the ledger."""
    ledger = await scene.ledger()
    assert ledger is not None
    return ledger.shared.static_address


def test_who_came_past_admission_may_put_its_port_right(connection: Connection) -> None:
    """As the refusal tells: it never had the port that it leaves."""

    async def story(scene: Scene) -> None:
        await scene.settled("web", "80/TCP")
        late = await scene.stored("late", "80/TCP")

        assert messages(await scene.validate(scene.change(late, "443/TCP"))) == ""
        assert await scene.claims() == [("web", "80/TCP"), ("late", "443/TCP")]

    tell(connection, story)


def test_a_member_that_got_a_port_past_admission_may_drop_it(connection: Connection) -> None:
    """Back to what it was accepted with."""

    async def story(scene: Scene) -> None:
        await scene.settled("web", "80/TCP")
        await scene.settled("api", "443/TCP")
        await connection.kubectl_async(
            "patch",
            "service",
            "api",
            "--type=merge",
            '-p={"spec":{"ports":[{"port":443,"name":"a"},{"port":80,"name":"b"}]}}',
        )
        wrong = await scene.live("api")
        assert len(wrong.ports) == 2

        assert messages(await scene.validate(scene.change(wrong, "443/TCP"))) == ""
        assert await scene.claims() == [("web", "80/TCP"), ("api", "443/TCP")]

    tell(connection, story)


def test_another_update_leaves_alone_where_the_service_is_about_to_go(connection: Connection) -> None:
    """Alone in its group, its new address is in the ledger before it is stored: which of the two will be is open."""

    async def story(scene: Scene) -> None:
        old_address, new_address, third = some_address(), some_address(), some_address()
        old = await scene.settled("web", "80/TCP", loadBalancerIP=old_address)

        assert messages(await scene.validate(scene.change(old, "80/TCP", load_balancer_ip=new_address))) == ""
        assert messages(await scene.validate(scene.change(old, "80/TCP", "443/TCP"))) == ""
        assert await shared_address(scene) == new_address
        assert await scene.claims() == [("web", "80/TCP"), ("web", "443/TCP")]
        turned = await scene.validate(scene.change(old, "80/TCP", load_balancer_ip=third))
        assert UNDER_WAY in messages(turned)
        assert messages(await scene.validate(scene.change(old, "80/TCP", load_balancer_ip=new_address))) == ""
        assert await shared_address(scene) == new_address

    tell(connection, story)


def test_what_is_asked_for_again_is_claimed_again(connection: Connection) -> None:
    """Over the same version and over a newer one: who takes back what never came counts from the latest request."""

    async def story(scene: Scene) -> None:
        new = some_address()
        old = await scene.settled("web", "80/TCP", loadBalancerIP=some_address())
        claimed: list[Claim] = []
        for _ in range(2):
            assert messages(await scene.validate(scene.change(old, "80/TCP", load_balancer_ip=new))) == ""
            claimed += await claims_of(scene)
        await connection.kubectl_async("label", "service", "web", "is=another-version")
        old = await scene.live("web")
        assert messages(await scene.validate(scene.change(old, "80/TCP", load_balancer_ip=new))) == ""
        claimed += await claims_of(scene)

        first, second, third = claimed
        assert first.claimed_at == second.claimed_at == third.claimed_at
        assert first.latest < second.latest < third.latest
        assert first.replaces == second.replaces != third.replaces == old.resource_version

    tell(connection, story)


@pytest.mark.parametrize("is_of_addresses", [False, True])
def test_an_update_over_an_old_version_undoes_no_other(connection: Connection, *, is_of_addresses: bool) -> None:
    """A slow webhook before us had kept it. The API server will not store it, and may store the one asked first."""

    async def story(scene: Scene) -> None:
        address = some_address()
        old = await scene.settled("web", "80/TCP", loadBalancerIP=some_address())
        await connection.kubectl_async("label", "service", "web", "is=another-version")
        await scene.until(lambda: scene.replicas[0].ledgers.get(scene.group()) is not None)
        now = await scene.live("web")
        if is_of_addresses:
            first = scene.change(now, "80/TCP", load_balancer_ip=address)
            late = scene.change(old, "80/TCP", load_balancer_ip=some_address())
        else:
            first, late = scene.change(now, "80/TCP", "443/TCP"), scene.change(old, "80/TCP", "443/TCP")
        assert messages(await scene.validate(first)) == ""
        claimed = await claims_of(scene)
        await scene.until(lambda: scene.cached_claims() == claimed)

        answer = await scene.validate(late)
        assert (messages(answer), answer.claimed) == ("", "")
        assert await claims_of(scene) == claimed
        assert not is_of_addresses or await shared_address(scene) == address

    tell(connection, story)


def test_two_ways_into_a_group_leave_each_other_alone(connection: Connection) -> None:
    """A Service that shares nothing yet is to join with one address, or with another: either may be stored."""

    async def story(scene: Scene) -> None:
        one, other = some_address(), some_address()
        plain = await scene.stored("web", "80/TCP", key=None)
        joins, joins_elsewhere = (
            Asked(replace(plain, sharing_key=KEY, load_balancer_ip=address), plain, patience_seconds=0.2)
            for address in (one, other)
        )
        assert messages(await scene.validate(joins)) == ""

        assert UNDER_WAY in messages(await scene.validate(joins_elsewhere))
        assert await shared_address(scene) == one
        assert messages(await scene.validate(joins)) == ""

    tell(connection, story)


@pytest.mark.parametrize("is_dead", [False, True])
def test_a_newcomer_s_claim_lets_no_update_in_without_one(connection: Connection, *, is_dead: bool) -> None:
    """It meets a change that is on its way, and is about to be given back; until then both have to wait.

    Also where the change is dead, as a label came in between: the ledger still says what it was to bring.
    """

    async def story(scene: Scene) -> None:
        new = some_address()
        old = await scene.settled("web", "80/TCP", loadBalancerIP=some_address())
        assert messages(await scene.validate(scene.change(old, "80/TCP", load_balancer_ip=new))) == ""
        other = scene.new("other", "53/UDP", load_balancer_ip=new).candidate
        claims = grow(None, other, old=None, now=now())
        await scene.store.claim(scene.group(), member_of(other), shared=shared_values(other), claims=claims)

        if is_dead:
            await connection.kubectl_async("label", "service", "web", "is=another-version")
        more = replace(scene.change(await scene.live("web"), "80/TCP", "443/TCP"), patience_seconds=0.2)
        assert "try again" in messages(await scene.validate(more))

    tell(connection, story)


@pytest.mark.parametrize("by", [LATE, IN_TIME])
def test_who_joins_beside_one_that_is_to_bring_the_address_waits(connection: Connection, *, by: int) -> None:
    """That one is an ordinary Service with it until its own update is stored, whether the cache shows it or not."""

    async def story(scene: Scene) -> None:
        address = some_address()
        scene.replicas[LATE].freeze()
        plain = await scene.stored("web", "80/TCP", key=None, loadBalancerIP=address)
        await scene.seen("web", by=IN_TIME)
        brings = Asked(replace(plain, sharing_key=KEY), plain)
        assert messages(await scene.validate(brings, by=IN_TIME)) == ""

        joining = scene.new("api", "443/TCP", load_balancer_ip=address)
        hurried = messages(await scene.validate(replace(joining, patience_seconds=0.2), by=by))
        assert f"{address} is being claimed by Service 'web' right now; try again in a moment" in hurried
        async with asyncio.TaskGroup() as both:
            patient = both.create_task(scene.validate(replace(joining, patience_seconds=DEADLINE_SECONDS), by=by))
            both.create_task(connection.kubectl_async("annotate", "service", "web", f"{SHARED_VIP}={KEY}"))
        assert messages(patient.result()) == ""

    tell(connection, story, replicas=2)


def test_who_is_told_to_try_again_is_told_who_is_being_changed(connection: Connection) -> None:
    """A Service that came past admission adds a port beside one that brings its address into the group."""

    async def story(scene: Scene) -> None:
        address = some_address()
        past = await scene.stored("api", "443/TCP", loadBalancerIP=address)
        plain = await scene.stored("web", "80/TCP", key=None, loadBalancerIP=address)
        claims = grow(None, brings := replace(plain, sharing_key=KEY), old=plain, now=now())
        await scene.store.claim(scene.group(), member_of(brings), shared=shared_values(brings), claims=claims)
        await scene.seen("web")

        more = replace(scene.change(past, "443/TCP", "444/TCP"), patience_seconds=0.2)
        assert "Service 'web' is being changed right now" in messages(await scene.validate(more))

    tell(connection, story)


def test_a_member_whose_group_has_lost_its_lock_keeps_what_it_has(connection: Connection) -> None:
    """Beside another request of its own, which may just be giving the address back, it looks at the lock."""

    async def story(scene: Scene) -> None:
        address = some_address()
        old = await scene.settled("web", "80/TCP", age=2 * GRACE, loadBalancerIP=address)
        assert await AddressLocks(scene.api).take(address, scene.group("other")) is None
        assert messages(await scene.validate(scene.change(old, "80/TCP", "443/TCP"))) == ""

        assert messages(await scene.validate(scene.change(old, "80/TCP", "444/TCP"))) == ""
        assert await scene.claims() == [("web", f"{port}/TCP") for port in (80, 443)]
        ledger = await scene.ledger()
        assert ledger is not None
        assert [str(one.listener) for one in ledger.reserved] == ["444/TCP"]

    tell(connection, story)


async def claims_of(scene: Scene) -> tuple[Claim, ...]:
    """As they are stored."""
    ledger = await scene.ledger()
    assert ledger is not None
    return ledger.claims


def test_who_joins_waits_until_it_is_open_no_more(connection: Connection) -> None:
    """With either address: on a replica that knows the Service, and on one whose cache has never shown it."""

    async def story(scene: Scene) -> None:
        scene.replicas[LATE].freeze()
        old_address, new_address = some_address(), some_address()
        old = await scene.settled("web", "80/TCP", loadBalancerIP=old_address)
        await scene.seen("web", by=IN_TIME)
        change = scene.change(old, "80/TCP", load_balancer_ip=new_address)
        assert messages(await scene.validate(change, by=IN_TIME)) == ""

        for address in (old_address, new_address):
            for by in (LATE, IN_TIME):
                newcomer = scene.new("api", "443/TCP", load_balancer_ip=address)
                assert "api" not in [name for name, _ in await scene.claims()]
                assert messages(await scene.validate(newcomer, by=by)) != ""
        await patched(connection, new_address)
        newcomer = scene.new("api", "443/TCP", load_balancer_ip=new_address)
        assert messages(await scene.validate(newcomer, by=LATE)) == ""

    tell(connection, story, replicas=2)


async def patched(connection: Connection, address: str) -> None:
    """``web`` is stored with another address, whoever was asked."""
    patch = f'-p={{"spec":{{"loadBalancerIP":"{address}"}}}}'
    await connection.kubectl_async("patch", "service", "web", "--type=merge", patch)


def test_what_was_stored_past_admission_can_be_changed_at_once(connection: Connection) -> None:
    """The ledger says something else, but of no request that may still be stored."""

    async def story(scene: Scene) -> None:
        bypassed, free = some_address(), some_address()
        await scene.settled("web", "80/TCP", loadBalancerIP=some_address())
        await patched(connection, bypassed)

        assert (
            messages(await scene.validate(scene.change(await scene.live("web"), "80/TCP", load_balancer_ip=free))) == ""
        )
        assert await shared_address(scene) == free

    tell(connection, story)


def test_who_was_overtaken_is_asked_again_by_the_api_server(connection: Connection) -> None:
    """Its update is never stored over the new version: a refusal would lose it, and a claim would stand for nothing."""

    async def story(scene: Scene) -> None:
        new = some_address()
        old = await scene.settled("web", "80/TCP", loadBalancerIP=some_address())
        first, second = (scene.change(old, "80/TCP", load_balancer_ip=one) for one in (new, some_address()))
        assert messages(await scene.validate(first)) == ""
        await patched(connection, new)

        answer = await scene.validate(second)
        assert (messages(answer), answer.claimed) == ("", "")
        assert await shared_address(scene) == new

    tell(connection, story)


def test_a_ledger_that_no_cache_shows_is_not_taken_for_a_new_one(connection: Connection) -> None:
    """A ports-only update, on a replica that has never seen the group, leaves alone where it is about to go."""

    async def story(scene: Scene) -> None:
        new = some_address()
        scene.replicas[LATE].freeze()
        old = await scene.settled("web", "80/TCP", loadBalancerIP=some_address())
        await scene.until(lambda: scene.replicas[IN_TIME].ledgers.get(scene.group()) is not None)
        assert messages(await scene.validate(scene.change(old, "80/TCP", load_balancer_ip=new), by=IN_TIME)) == ""

        assert messages(await scene.validate(scene.change(old, "80/TCP", "443/TCP"), by=LATE)) == ""
        assert await shared_address(scene) == new

    tell(connection, story, replicas=2)


def test_who_joins_beside_another_newcomer_looks_too(connection: Connection) -> None:
    """The other is about to be sent away, and its claim vouches for nobody."""

    async def story(scene: Scene) -> None:
        new = some_address()
        scene.replicas[LATE].freeze()
        old = await scene.settled("web", "80/TCP", loadBalancerIP=some_address())
        await scene.until(lambda: scene.replicas[IN_TIME].ledgers.get(scene.group()) is not None)
        assert messages(await scene.validate(scene.change(old, "80/TCP", load_balancer_ip=new), by=IN_TIME)) == ""
        other = scene.new("other", "53/UDP", load_balancer_ip=new).candidate
        claims = grow(None, other, old=None, now=now())
        await scene.store.claim(scene.group(), member_of(other), shared=shared_values(other), claims=claims)

        refused = messages(await scene.validate(scene.new("api", "443/TCP", load_balancer_ip=new), by=LATE))
        assert "is being changed right now" in refused or "differs from" in refused

    tell(connection, story, replicas=2)


def test_who_gives_back_leaves_alone_what_the_group_shares_by_now(connection: Connection) -> None:
    """Its address is another group's; and meanwhile another request has turned the Service somewhere else."""
    third = some_address()

    class MeetsAnother(AddressLocks):
        """While it asks for the lock, the same claims are written with another address."""

        scene: Scene

        async def take(self, address: str, group: GroupName, **given: Any) -> AddressHolder | None:  # noqa: ANN401 - whatever it takes
            """Somebody else holds it."""
            del address, given
            ledger, web = await self.scene.ledger(), await self.scene.live("web")
            assert ledger is not None
            shared = replace(ledger.shared, static_address=third)
            await self.scene.store.claim(group, member_of(web), shared=shared, claims=ledger.claims)
            return AddressHolder("elsewhere", key="other")

    async def whole(api: KubernetesApi) -> None:
        locks = MeetsAnother(api)
        async with replica(api, locks=locks) as one:
            scene = locks.scene = Scene(api, connection.namespace, [one])
            old = await scene.settled("web", "80/TCP", loadBalancerIP=some_address())

            answer = await scene.validate(scene.change(old, "80/TCP", load_balancer_ip=some_address()))

            assert answer.rules == ("static-address-taken",)
            assert await shared_address(scene) == third

    connection.tell(whole)
