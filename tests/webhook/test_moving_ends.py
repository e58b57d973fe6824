"""How moves end, on the real API server: the janitor's writes, where it may die, and what hands have written."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta

import msgspec
import pytest

from cluster.api import MERGE_PATCH, KubernetesApi
from cluster.errors import ClusterError
from cluster.ip_addresses import AddressLocks
from reconciler.kubernetes import ClusterKubernetes, Subscriber
from reconciler.mover import Mover
from sharedvip.ledger import GRACE, Claim, Ledger, Member, member_of
from sharedvip.model import GroupName, SharedValues
from tests.builders import KEY
from tests.cluster.connection import Connection
from tests.webhook.moving_group import Group, with_group
from tests.webhook.replicas import messages, now

pytestmark = pytest.mark.e2e


class KilledError(ClusterError):
    """The janitor's process dies."""


class Mortal(ClusterKubernetes):
    """The janitor's door to the cluster, live; it dies before a write to a ledger.

    Args:
        api: The connection.
        writes: How many writes it lives to make.
    """

    def __init__(self, api: KubernetesApi, *, writes: int) -> None:
        nobody = Subscriber(group_changed=lambda _: None, service_left=lambda _: None)
        super().__init__(api, fence=lambda: None, now=now, subscriber=nobody, has_slices=False)
        self.writes = writes

    async def claim(
        self,
        group: GroupName,
        member: Member,
        *,
        shared: SharedValues,
        claims: Sequence[Claim],
        resource_version: str = "",
        force: bool = False,
    ) -> Ledger:
        """As the door, while it lives."""
        if not self.writes:
            raise KilledError("killed")
        self.writes -= 1
        return await super().claim(
            group, member, shared=shared, claims=claims, resource_version=resource_version, force=force
        )


async def _step(group: Group, *, writes: int = 99, later: timedelta = timedelta()) -> str:
    """One pass of the janitor over the move; what it says of it."""
    mover = Mover(Mortal(group.scene.api, writes=writes), now=lambda: now() + later)
    services = [await group.scene.live(name) for name in ("api", "web")]
    with suppress(KilledError):
        return (await mover.step(await group.ledger(), services)).message
    return "killed"


@pytest.mark.parametrize("writes", [0, 1, 2], ids=lambda writes: f"killed after {writes} writes")
def test_when_all_have_come_the_address_changes_wherever_the_janitor_dies(connection: Connection, writes: int) -> None:
    """The next pass goes on; every member owns the new address, so that it stays whoever leaves."""

    async def story(group: Group) -> None:
        await group.goes("web", loadBalancerIP=group.new, intended=group.new)
        assert await _step(group) == f"1 of 2 Services carry {group.new}; waits for 'api'"
        await group.goes("api", loadBalancerIP=group.new)

        await _step(group, writes=writes)
        if (await group.addresses())[1]:
            await _step(group)

        assert await group.addresses() == (group.new, "")
        assert await group.headings() == {}
        for name in ("web", "api"):
            ledger = await group.ledger()
            assert ledger.shared.static_address == group.new
            await group.scene.store.leave(ledger.name, member_of(await group.scene.live(name)))
        assert (await group.ledger()).shared == SharedValues()

    with_group(connection, story)


def test_the_janitor_waits_for_a_way_back_that_was_admitted_and_is_not_stored_yet(connection: Connection) -> None:
    """All carry the new address, and one of them may carry the old one in a moment; after the grace it will not."""

    async def story(group: Group) -> None:
        await group.goes("web", loadBalancerIP=group.new, intended=group.new)
        await group.goes("api", loadBalancerIP=group.new)
        api = await group.scene.live("api")
        assert (
            messages(await group.scene.validate(group.scene.change(api, "443/TCP", load_balancer_ip=group.old))) == ""
        )

        assert await _step(group) == f"2 of 2 Services carry {group.new}; makes sure that 'api' stays so"
        assert await group.addresses() == (group.old, group.new)
        await _step(group, later=GRACE + timedelta(seconds=1))
        assert await group.addresses() == (group.new, "")

    with_group(connection, story)


def test_a_move_that_nobody_wants_any_more_is_given_up(connection: Connection) -> None:
    """Not at once: a request that was admitted with it may still be stored."""

    async def story(group: Group) -> None:
        await group.goes("web", intended=group.new)
        await group.goes("web", intended=None)

        await _step(group)
        assert await group.addresses() == (group.old, group.new)
        await _step(group, later=GRACE + timedelta(seconds=1))
        assert await group.addresses() == (group.old, "")

    with_group(connection, story)


def test_who_leaves_with_the_move_asks_for_no_lock_of_what_it_leaves(connection: Connection) -> None:
    """Somebody's by now, as the group came past admission: that is no business of who goes, and the way out."""

    async def story(group: Group) -> None:
        await group.goes("web", loadBalancerIP=group.new, intended=group.new)
        other = GroupName(group.scene.namespace, "other")
        assert await AddressLocks(group.scene.api).take(group.old, other) is None

        await group.goes("api", loadBalancerIP=group.new)

        assert [await group.scene.lock_of(address) for address in (group.old, group.new)] == ["other", KEY]

    with_group(connection, story)


def test_what_a_hand_writes_into_the_ledger_is_taken_out(connection: Connection) -> None:
    """No member intends it, and no member owns it."""

    async def story(group: Group) -> None:
        ledger = await group.ledger()
        body = msgspec.json.encode({"spec": {"intendedAddress": group.new}})
        path = f"/apis/sharedvip.dev/v1alpha1/namespaces/{group.scene.namespace}/sharedvips/{KEY}"
        by_hand = {"fieldManager": "kubectl-edit"}
        await group.scene.api.request("PATCH", path, query=by_hand, body=body, content_type=MERGE_PATCH)

        await _step(group)

        after = await group.ledger()
        assert (after.shared, after.claims) == (ledger.shared, ledger.claims)

    with_group(connection, story)


def test_a_move_whose_address_a_hand_took_out_is_kept_alive_by_who_intends_it(connection: Connection) -> None:
    """Who carries the new address is in no conflict, and may be updated."""

    async def story(group: Group) -> None:
        await group.goes("web", intended=group.new)
        await group.goes("api", loadBalancerIP=group.new)
        await group.scene.store.drop_intended(await group.ledger())
        api = await group.scene.live("api")

        answer = await group.scene.validate(group.scene.change(api, "443/TCP", "444/TCP"))

        assert messages(answer) == ""

    with_group(connection, story)
