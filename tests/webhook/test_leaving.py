"""Who takes the annotation away, on the real API server: the group's address stays with the group."""

from datetime import timedelta

import pytest

from cluster.errors import ApiError
from cluster.ip_addresses import AddressLocks
from cluster.shared_vips import SharedVipStore
from sharedvip.annotations import SHARED_VIP
from sharedvip.ledger import GRACE, grow, member_of
from sharedvip.model import GroupName
from sharedvip.parse import shared_values
from tests.builders import KEY
from tests.cluster.connection import Connection
from tests.webhook.leavers import last, leaving
from tests.webhook.replicas import Scene, messages, now, some_address, tell
from tests.webhook.samples import writes

pytestmark = pytest.mark.e2e


def test_the_address_stays_with_those_who_stay(connection: Connection) -> None:
    """An ordinary Service with it would have every newcomer of the group refused; without it, it may go."""

    async def story(scene: Scene) -> None:
        address, other = some_address(), some_address()
        leaver = await scene.settled("web", "80/TCP", loadBalancerIP=address)
        await scene.settled("api", "443/TCP", loadBalancerIP=address)

        assert messages(await scene.validate(leaving(leaver))) == (
            f"spec.loadBalancerIP: {address} is already held by shared VIP '{KEY}'; choose another address, take it "
            f"out (set it to null where your manifest does not name it), or use sharing key '{KEY}' "
            "[static-address-taken]"
        )
        assert messages(await scene.validate(leaving(leaver, load_balancer_ip=""))) == ""
        assert messages(await scene.validate(leaving(leaver, load_balancer_ip=other))) == ""
        assert messages(await scene.validate(leaving(leaver, load_balancer_ip="localhost"))) == ""
        assert messages(await scene.validate(leaving(leaver, type="NodePort"))) == ""
        assert messages(await scene.validate(leaving(leaver, is_deleting=True))) == ""

    tell(connection, story)


@pytest.mark.parametrize(
    ("is_stored", "said"),
    [
        pytest.param(True, "is already held by shared VIP 'other'; choose another address", id="a member has it"),
        pytest.param(False, "is being claimed by shared VIP 'other' right now; try again", id="its lock is left"),
    ],
)
def test_nobody_leaves_with_the_address_of_another_group(connection: Connection, said: str, *, is_stored: bool) -> None:
    """From then on every newcomer of that group would be refused; this update is the only one that is asked about."""

    async def story(scene: Scene) -> None:
        address, locks = some_address(), AddressLocks(scene.api)
        leaver = await last(scene, "web", some_address())
        if is_stored:
            await scene.settled("api", "80/TCP", key="other", loadBalancerIP=address)
            await scene.seen("api")
        assert await locks.take(address, scene.group("other")) is None

        assert said in messages(await scene.validate(leaving(leaver, load_balancer_ip=address)))
        assert await locks.owner(address) == scene.group("other")

    tell(connection, story)


def test_the_last_one_takes_its_address_along(connection: Connection) -> None:
    """Also where another was a member until a moment ago, and its claim is still there; what is noted is counted."""

    async def story(scene: Scene) -> None:
        address = some_address()
        leaver = await scene.settled("web", "80/TCP", age=2 * GRACE, loadBalancerIP=address)
        await scene.settled("api", "443/TCP", loadBalancerIP=address)
        await scene.seen("api")
        await scene.delete("api")
        await scene.gone("api")

        assert [name for name, _ in await scene.claims()] == ["web", "api"]
        before = writes("lock")
        assert messages(await scene.validate(leaving(leaver))) == ""
        # There was no lock: it is made, and then says so.
        assert writes("lock") == before + 2

    tell(connection, story)


@pytest.mark.parametrize(
    ("age", "said"),
    [
        pytest.param(timedelta(), "is being claimed by shared VIP", id="on its way"),
        pytest.param(GRACE + timedelta(seconds=1), "", id="never came"),
    ],
)
def test_who_is_on_its_way_into_the_group_counts(connection: Connection, age: timedelta, said: str) -> None:
    """It has inherited the address already; within the grace it is there, or it never comes."""

    async def story(scene: Scene) -> None:
        address = some_address()
        leaver = await scene.settled("web", "80/TCP", loadBalancerIP=address)
        coming = scene.new("api", "443/TCP", load_balancer_ip=address).candidate
        claims = grow(None, coming, old=None, now=now() - age)
        await scene.store.claim(scene.group(), member_of(coming), shared=shared_values(coming), claims=claims)

        found = messages(await scene.validate(leaving(leaver)))
        assert (said in found) if said else found == ""

    tell(connection, story)


def test_two_that_leave_together_are_not_in_each_others_way(connection: Connection) -> None:
    """The first is stored without the annotation; that its claim is still there says nothing."""

    async def story(scene: Scene) -> None:
        address = some_address()
        await scene.settled("web", "80/TCP", loadBalancerIP=address)
        leaver = await scene.settled("api", "443/TCP", loadBalancerIP=address)
        patch = f'-p={{"metadata":{{"annotations":{{"{SHARED_VIP}":null}}}},"spec":{{"loadBalancerIP":null}}}}'
        await connection.kubectl_async("patch", "service", "web", "--type=merge", patch)

        assert messages(await scene.validate(leaving(leaver))) == ""

    tell(connection, story)


def test_whoever_came_past_admission_stays_on_the_address_too(connection: Connection) -> None:
    """It is in no ledger yet, though its group has one."""

    async def story(scene: Scene) -> None:
        address = some_address()
        leaver = await last(scene, "web", address)
        await scene.stored("api", "443/TCP", loadBalancerIP=address)
        await scene.seen("api")

        assert f"already held by shared VIP '{KEY}'" in messages(await scene.validate(leaving(leaver)))

    tell(connection, story)


def test_who_may_leave_leaves_also_where_its_group_can_have_no_ledger(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quota of SharedVIPs, or a namespace that goes: it came past admission, and would only join to leave."""

    async def none_may_be_made(store: SharedVipStore, group: GroupName) -> None:
        del store
        raise ApiError(403, "Forbidden", message=f"no more for {group.key}")

    async def story(scene: Scene) -> None:
        address = some_address()
        leaver = await scene.stored("web", "80/TCP", loadBalancerIP=address)
        monkeypatch.setattr(SharedVipStore, "found", none_may_be_made)

        assert messages(await scene.validate(leaving(leaver))) == ""
        assert await scene.lock_of(address) == KEY

    tell(connection, story)
