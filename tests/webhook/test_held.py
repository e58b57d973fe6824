"""Who holds an address while claims are on their way, on the real API server: the lock decides."""

from dataclasses import replace
from datetime import timedelta

import msgspec
import pytest

from cluster.api import KubernetesApi
from cluster.ip_addresses import AddressLocks
from sharedvip.annotations import INTENDED_ADDRESS, SHARED_VIP
from sharedvip.ledger import GRACE, grow, member_of
from sharedvip.model import ServiceView
from sharedvip.parse import shared_values
from tests.builders import KEY
from tests.cluster.connection import Connection
from tests.webhook.replicas import Scene, messages, now, replica, some_address, tell
from webhook.view import Asked

pytestmark = pytest.mark.e2e

OTHER = "other"


async def claimed(scene: Scene, address: str, *, is_seen: bool = True) -> ServiceView:
    """Another group claims an address, and its Service is not stored; whether the replica's cache shows it."""
    if not is_seen:
        scene.replicas[0].freeze()
    view = scene.new("ghost", "80/TCP", key=OTHER, load_balancer_ip=address).candidate
    claims = grow(None, view, old=None, now=now())
    await scene.store.claim(scene.group(OTHER), member_of(view), shared=shared_values(view), claims=claims)
    if is_seen:
        await scene.until(lambda: scene.group(OTHER) in scene.replicas[0].ledgers.by_address(address))
    return view


def test_who_has_lost_the_lock_is_in_nobodys_way(connection: Connection) -> None:
    """A member joins, and at the same moment another group is being refused its address: that is not its business."""

    async def story(scene: Scene) -> None:
        address = some_address()
        await scene.settled("web", "80/TCP", loadBalancerIP=address)
        await AddressLocks(scene.api).take(address, scene.group())
        await claimed(scene, address)

        assert messages(await scene.validate(scene.new("api", "443/TCP", load_balancer_ip=address))) == ""

    tell(connection, story)


def test_who_joins_a_group_with_an_address_writes_once(connection: Connection) -> None:
    """The claim; the lock is there, and looking at it is enough. Where it is not, it is made."""

    async def whole(api: KubernetesApi) -> None:
        writes: list[str] = []
        async with replica(api, locks=AddressLocks(api, on_write=lambda: writes.append("lock"))) as one:
            scene, address = Scene(api, connection.namespace, [one]), some_address()
            await scene.settled("web", "80/TCP", loadBalancerIP=address)
            await scene.until(lambda: scene.group() in one.ledgers.by_address(address))
            for number in range(3):
                asked = scene.new(f"api-{number}", f"{443 + number}/TCP", load_balancer_ip=address)
                assert messages(await scene.validate(asked)) == ""

            assert writes == ["lock"]
            assert await scene.lock_of(address) == scene.group().key

    connection.tell(whole)


def test_a_claim_without_a_lock_and_a_service_keeps_nobody_out(connection: Connection) -> None:
    """Its replica died in between: whoever takes the lock now has the address."""

    async def story(scene: Scene) -> None:
        address = some_address()
        await claimed(scene, address)

        assert messages(await scene.validate(scene.new("web", "80/TCP", load_balancer_ip=address))) == ""
        assert await scene.lock_of(address) == scene.group().key

    tell(connection, story)


@pytest.mark.parametrize(
    "is_seen", [pytest.param(True, id="seen by the cache"), pytest.param(False, id="met at the lock")]
)
def test_whose_service_is_not_stored_yet_may_give_the_address_up(connection: Connection, *, is_seen: bool) -> None:
    """A later webhook may refuse it: to be asked again, and once it is stored, for good."""

    async def story(scene: Scene) -> None:
        address = some_address()
        await AddressLocks(scene.api).take(address, scene.group(OTHER))
        view = await claimed(scene, address, is_seen=is_seen)
        asked = scene.new("web", "80/TCP", load_balancer_ip=address)

        assert messages(await scene.validate(asked)) == (
            f"spec.loadBalancerIP: {address} is being claimed by shared VIP 'other' right now; try again in a moment, "
            "or choose another address [static-address-taken]"
        )
        if is_seen:
            await scene.store.leave(scene.group(OTHER), member_of(view))
            await scene.settled("come", "80/TCP", key=OTHER, loadBalancerIP=address)
            assert "is already held by shared VIP 'other'" in messages(await scene.validate(asked))

    tell(connection, story)


def test_a_replica_that_dies_with_a_claim_and_its_lock_costs_its_service_one_grace(connection: Connection) -> None:
    """The same create, sent again, has another uid, and is in the way of itself until then."""

    async def story(scene: Scene) -> None:
        address = some_address()
        before = scene.new("web", "80/TCP", load_balancer_ip=address).candidate
        claims = grow(None, before, old=None, now=now() - GRACE - timedelta(seconds=1))
        await scene.store.claim(scene.group(), member_of(before), shared=shared_values(before), claims=claims)
        await AddressLocks(scene.api).take(address, scene.group())

        assert messages(await scene.validate(scene.new("web", "80/TCP", load_balancer_ip=address))) == ""
        assert await scene.claims() == [("web", "80/TCP")]

    tell(connection, story)


def test_nobody_shares_a_cluster_ip_not_even_its_own(connection: Connection) -> None:
    """It is held by a Service of that name: the one that asks, and no other incarnation of it."""

    async def story(scene: Scene) -> None:
        old = await scene.stored("web", "80/TCP", key=None)
        path = f"/api/v1/namespaces/{scene.namespace}/services/web"
        own: str = msgspec.json.decode(await scene.api.request("GET", path))["spec"]["clusterIP"]
        joining = replace(old, sharing_key=KEY, load_balancer_ip=own)
        said = messages(await scene.validate(Asked(joining, old)))
        assert f"{own} is already held by Service 'web'" in said
        assert await scene.claims() == []

    tell(connection, story)


async def held_by_another(scene: Scene, address: str) -> ServiceView:
    """Group ``other`` has it, with its lock; the replica has seen all that, and nothing of what comes."""
    await AddressLocks(scene.api).take(address, scene.group(OTHER))
    view = await scene.settled("there", "80/TCP", key=OTHER, loadBalancerIP=address)
    await scene.seen("there")
    await scene.until(lambda: scene.group(OTHER) in scene.replicas[0].ledgers.by_address(address))
    scene.replicas[0].freeze()
    return view


async def asked_for(scene: Scene, address: str) -> str:
    """What a group is told that wants it."""
    return messages(await scene.validate(scene.new("web", "80/TCP", load_balancer_ip=address)))


def test_whose_member_has_gone_is_about_to_let_go(connection: Connection) -> None:
    """A late cache shows it: the claim and the lock of a Service that is gone are not told as for good."""

    async def story(scene: Scene) -> None:
        address = some_address()
        await held_by_another(scene, address)
        assert "is already held by shared VIP 'other'" in await asked_for(scene, address)
        await scene.delete("there")

        assert "is being claimed by shared VIP 'other' right now" in await asked_for(scene, address)

    tell(connection, story)


def test_whose_member_has_left_with_it_is_told_by_its_name(connection: Connection) -> None:
    """It holds the address by itself now, and its group does not, whatever a late cache shows."""

    async def story(scene: Scene) -> None:
        address = some_address()
        await held_by_another(scene, address)
        await connection.kubectl_async("annotate", "service", "there", f"{SHARED_VIP}-")

        assert "is already held by Service 'there'" in await asked_for(scene, address)

    tell(connection, story)


def test_whoever_only_intends_it_has_it_too(connection: Connection) -> None:
    """By a claim, as its group is to move there."""

    async def story(scene: Scene) -> None:
        old, new = some_address(), some_address()
        view = await scene.settled("there", "80/TCP", key=OTHER, loadBalancerIP=old)
        moving = replace(shared_values(view), intended_address=new)
        claims = grow(None, view, old=None, now=now())
        await scene.store.claim(scene.group(OTHER), member_of(view), shared=moving, claims=claims)
        await connection.kubectl_async("annotate", "service", "there", f"{INTENDED_ADDRESS}={new}")
        await AddressLocks(scene.api).take(new, scene.group(OTHER))
        name = view.name
        await scene.until(lambda: (s := scene.replicas[0].services.get(name)) is not None and s.intended_address == new)
        await scene.until(lambda: scene.group(OTHER) in scene.replicas[0].ledgers.by_address(new))

        assert "is already held by shared VIP 'other'" in await asked_for(scene, new)

    tell(connection, story)


@pytest.mark.parametrize("owner", [KEY, ""])
def test_of_a_group_without_the_lock_nobody_is_left(connection: Connection, owner: str) -> None:
    """Its member is gone, and its claim had lost the address: that is in nobody's way."""

    async def story(scene: Scene) -> None:
        address = some_address()
        await held_by_another(scene, address)
        await scene.delete("there")
        await connection.kubectl_async("delete", "ipaddress", address)
        if owner:
            await AddressLocks(scene.api).take(address, scene.group())

        assert await asked_for(scene, address) == ""
        assert await scene.lock_of(address) == KEY

    tell(connection, story)


def test_who_moves_to_the_group_that_has_its_address_does_not_hold_it_against_itself(connection: Connection) -> None:
    """It came past admission with another group's address, and a request for it died between claim and lock."""

    async def story(scene: Scene) -> None:
        address = some_address()
        await AddressLocks(scene.api).take(address, scene.group())
        await scene.settled("web", "80/TCP", loadBalancerIP=address)
        late = await scene.settled("late", "443/TCP", key=OTHER, loadBalancerIP=address)
        await scene.seen("late")

        assert messages(await scene.validate(Asked(replace(late, sharing_key=KEY), late))) == ""

    tell(connection, story)


def test_a_lone_service_with_its_own_lock_is_told_for_good(connection: Connection) -> None:
    """A group with a static address cannot be renamed: "try again" would be untrue for ever."""

    async def story(scene: Scene) -> None:
        address = some_address()
        view = await held_by_another(scene, address)

        said = messages(await scene.validate(Asked(replace(view, sharing_key=KEY), view)))
        assert "is already held by shared VIP 'other'" in said

    tell(connection, story)


@pytest.mark.parametrize("is_late", [pytest.param(False, id="in time"), pytest.param(True, id="a late cache")])
def test_a_member_of_another_group_that_came_past_admission_is_in_nobodys_way(
    connection: Connection, *, is_late: bool
) -> None:
    """The group that is asked for has the address and its lock; the other one's ledger says it for a moment only."""

    async def story(scene: Scene) -> None:
        address = some_address()
        await scene.stored("late", "80/TCP", key=OTHER, loadBalancerIP=address)
        await scene.seen("late")
        if is_late:
            scene.replicas[0].freeze()
        await scene.settled("web", "80/TCP", loadBalancerIP=address)
        await AddressLocks(scene.api).take(address, scene.group())
        if not is_late:
            await claimed(scene, address)

        assert messages(await scene.validate(scene.new("api", "443/TCP", load_balancer_ip=address))) == ""

    tell(connection, story)


def test_who_has_left_one_of_many_with_the_address_holds_it(connection: Connection) -> None:
    """Past admission, unseen, and behind more members of another group than are looked at at once."""

    async def story(scene: Scene) -> None:
        address = some_address()
        for number in range(17):
            name = f"late-{number:02}"
            await scene.stored(name, f"{8000 + number}/TCP", key=OTHER, loadBalancerIP=address)
            await scene.seen(name)
        scene.replicas[0].freeze()
        await scene.settled("web", "80/TCP", loadBalancerIP=address)
        await AddressLocks(scene.api).take(address, scene.group())
        await connection.kubectl_async("annotate", "service", "late-16", f"{SHARED_VIP}-")

        said = messages(await scene.validate(scene.new("api", "443/TCP", load_balancer_ip=address)))
        assert "is already held by Service 'late-16'" in said

    tell(connection, story)
