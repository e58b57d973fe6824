"""A lock that its group let go of while a leaver has the address: it tells who has it, and is in nobody's way."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

from cluster.api import KubernetesApi
from cluster.ip_addresses import AddressLocks
from cluster.leavers import BeingLeftError, Leaver
from cluster.services import read_service
from sharedvip.annotations import SHARED_VIP
from sharedvip.leaving import KEPT
from sharedvip.ledger import GRACE, Member, member_of
from sharedvip.model import AddressHolder, GroupName, ServiceName, ServiceView
from tests.cluster.connection import Connection
from tests.cluster.ledgers import group_in
from tests.cluster.test_ip_addresses import no, some_ipv4

pytestmark = pytest.mark.e2e

START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Left:
    """An ordinary Service that has left its group with the address, and the lock that tells of it."""

    connection: Connection
    api: KubernetesApi
    address: str = field(default_factory=some_ipv4)
    now: datetime = START

    @property
    def group(self) -> GroupName:
        """The one it has left."""
        return group_in(self.connection.namespace, "one")

    @property
    def other(self) -> GroupName:
        """Another, elsewhere."""
        return group_in(f"{self.connection.namespace}-b", "two")

    @property
    def near(self) -> GroupName:
        """Another of the same namespace."""
        return group_in(self.connection.namespace, "near")

    @property
    def locks(self) -> AddressLocks:
        """At the time that it is."""
        return AddressLocks(self.api, now=lambda: self.now)

    async def begin(self) -> None:
        """As admission notes it, and the reconciler unlocks it."""
        await self._create({"name": "web"})
        await self.locks.note_leaver(self.address, self.group, self.leaver("first"))
        assert await self.locks.release(self.address, self.group, is_needed=no) == "left"

    async def past(self) -> tuple[ServiceView, Leaver]:
        """A member of the near group with the address that came past admission, and what is noted when it leaves."""
        await self._create({"name": "past", "annotations": {SHARED_VIP: self.near.key}})
        stored = await self._stored("past")
        return stored, Leaver("past", stored.uid, stored.resource_version, self.now, "x")

    async def noted_on_anothers(self) -> tuple[ServiceView, Leaver]:
        """Likewise; the lock is another group's by now, and the leave is noted there."""
        await self.goes()
        assert await self.locks.take(self.address, self.other) is None
        past, note = await self.past()
        assert await self.locks.note_leaver(self.address, self.near, note, has_it=True) is None
        return past, note

    async def itself(self) -> Member:
        """The Service that has left, as it is stored."""
        return member_of(await self._stored("web"))

    async def _create(self, metadata: dict[str, object]) -> None:
        spec = {"type": "LoadBalancer", "loadBalancerIP": self.address, "ports": [{"port": 80}]}
        made = {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}
        await asyncio.to_thread(self.connection.kubectl, "create", "-f", "-", input=json.dumps(made))

    async def _stored(self, name: str) -> ServiceView:
        stored = await read_service(self.api, ServiceName(self.connection.namespace, name))
        assert stored is not None
        return stored

    def leaver(self, request: str) -> Leaver:
        """Who is noted."""
        return Leaver("web", "1", "2", self.now, request)

    async def uid(self) -> str:
        """Of the lock."""
        return await self.connection.kubectl_async("get", "ipaddress", self.address, "-o", "jsonpath={.metadata.uid}")

    async def goes(self) -> None:
        """It has the address no more."""
        await self.connection.kubectl_async("delete", "service", "web")


@asynccontextmanager
async def left(connection: Connection, api: KubernetesApi) -> AsyncGenerator[Left]:
    """And away with the lock afterwards."""
    one = Left(connection, api)
    await one.begin()
    try:
        yield one
    finally:
        one.now += 2 * KEPT
        for group in (one.group, one.near, one.other):
            await one.locks.release(one.address, group, is_needed=no)


def test_it_names_the_service_to_all_but_that_one(connection: Connection) -> None:
    """To its former group too; it is no group's, and the Service that has the address may bring it anywhere."""

    async def story(api: KubernetesApi) -> None:
        async with left(connection, api) as one:
            web = AddressHolder(connection.namespace, service="web")
            for group in (one.group, one.other):
                assert await one.locks.take(one.address, group) == web
                assert await one.locks.take(one.address, group, is_expected=True, minds_leaver=True) == web
                assert await one.locks.held_by_another(one.address, group) == web
            assert await one.locks.owner(one.address) is None
            (told,) = [lock for lock in await one.locks.list_ours() if lock.address == one.address]
            assert (told.group, told.is_leaving, told.left_since) == (one.group, False, START)

            itself = await one.itself()
            # A namesake, anew or elsewhere, is another one.
            assert await one.locks.take(one.address, one.group, asking=Member("web", "another")) == web
            assert await one.locks.take(one.address, one.other, asking=itself) == web
            assert await one.locks.take(one.address, one.near, asking=itself, dry_run=True) is None
            assert await one.locks.held_by_another(one.address, one.near, asking=itself) is None
            assert await one.locks.take(one.address, one.group) == web

    connection.tell(story)


@pytest.mark.parametrize("is_its_own", [False, True])
def test_who_left_takes_it_over_and_stays_noted(connection: Connection, *, is_its_own: bool) -> None:
    """Its update may never be stored: then it has the address still, and the lock is to tell of it again.

    Were the lock deleted and made anew, a newcomer could have the address in between.
    """

    async def story(api: KubernetesApi) -> None:
        async with left(connection, api) as one:
            group, uid = one.group if is_its_own else one.near, await one.uid()
            assert await one.locks.take(one.address, group, asking=await one.itself()) is None
            assert (await one.locks.owner(one.address), await one.uid()) == (group, uid)
            with pytest.raises(BeingLeftError, match="about to leave with the address: web"):
                await one.locks.take(one.address, group, minds_leaver=True)
            assert await one.locks.release(one.address, group, is_needed=no) == "left"

    connection.tell(story)


def test_it_may_be_taken_over_again_and_again(connection: Connection) -> None:
    """Also by the group that had it first, and each of them may let it go."""

    async def story(api: KubernetesApi) -> None:
        async with left(connection, api) as one:
            itself, heirs = await one.itself(), (one.near, one.group, one.near)
            for group, other in zip(heirs, (one.group, one.near, one.other), strict=True):
                assert await one.locks.take(one.address, group, asking=itself) is None
                assert await one.locks.take(one.address, other) == AddressHolder(group.namespace, key=group.key)
                assert await one.locks.release(one.address, other, is_needed=no) == "not held"
                assert await one.locks.release(one.address, group, is_needed=no) == "left"
            await one.goes()
            assert await one.locks.release(one.address, one.group, is_needed=no) == "not held"
            assert await one.locks.release(one.address, one.near, is_needed=no) == "unlocked"

    connection.tell(story)


def test_who_has_it_through_another_group_holds_it_for_that_one(connection: Connection) -> None:
    """It joined past admission, which would have locked it for that group."""

    async def story(api: KubernetesApi) -> None:
        async with left(connection, api) as one:
            await connection.kubectl_async("annotate", "service", "web", f"{SHARED_VIP}={one.near.key}")
            held = AddressHolder(connection.namespace, key=one.near.key)
            assert await one.locks.take(one.address, one.other) == held
            assert await one.locks.take(one.address, one.near) is None

    connection.tell(story)


def test_of_many_that_take_it_over_one_gets_it(connection: Connection) -> None:
    """Whoever is slower meets a lock that is another's by then."""

    async def story(api: KubernetesApi) -> None:
        async with left(connection, api) as one:
            await one.goes()
            groups = [group_in(connection.namespace, f"group-{number}") for number in range(8)]
            taken = await asyncio.gather(*(one.locks.take(one.address, group) for group in (one.group, *groups)))
            assert [holder for holder in taken if holder is None] == [None]
            owner = await one.locks.owner(one.address)
            assert owner is not None
            assert set(taken) == {None, AddressHolder(owner.namespace, key=owner.key)}
            one.now += 2 * KEPT
            await one.locks.release(one.address, owner, is_needed=no)

    connection.tell(story)


def test_who_has_the_address_no_more_is_in_nobodys_way(connection: Connection) -> None:
    """Not for as long as an unlucky reconciler needs to see it."""

    async def story(api: KubernetesApi) -> None:
        async with left(connection, api) as one:
            await one.goes()
            assert await one.locks.take(one.address, one.other, is_expected=True) is None
            assert await one.locks.owner(one.address) == one.other
            assert await one.locks.release(one.address, one.group, is_needed=no) == "not held"

    connection.tell(story)


@pytest.mark.parametrize("goes", [False, True])
def test_it_goes_when_every_cache_has_shown_it_or_nobody_has_left(connection: Connection, *, goes: bool) -> None:
    """A release may come as often as it likes until then."""

    async def story(api: KubernetesApi) -> None:
        async with left(connection, api) as one:
            one.now += KEPT
            assert await one.locks.release(one.address, one.group, is_needed=no) == "left"
            if goes:
                await one.goes()
            else:
                one.now += timedelta(seconds=1)
            assert await one.locks.release(one.address, one.group, is_needed=no) == "unlocked"
            assert await one.locks.take(one.address, one.other) is None

    connection.tell(story)


def test_the_next_leave_is_noted_on_a_lock_of_its_own(connection: Connection) -> None:
    """Who came past admission leaves with an address that was left before; while another has that, nothing is noted."""

    async def story(api: KubernetesApi) -> None:
        async with left(connection, api) as one:
            next_one = one.leaver("next")._replace(service="api")
            web = AddressHolder(connection.namespace, service="web")
            assert await one.locks.note_leaver(one.address, one.other, next_one) == web
            assert await one.locks.owner(one.address) is None
            await one.locks.forget_leaver(one.address, one.group, one.leaver("first"))
            assert await one.locks.take(one.address, one.group) == web

            await one.goes()
            assert await one.locks.note_leaver(one.address, one.other, next_one) is None
            assert await one.locks.owner(one.address) == one.other
            with pytest.raises(BeingLeftError, match="about to leave with the address: api"):
                await one.locks.take(one.address, one.other, minds_leaver=True)

    connection.tell(story)


def test_who_leaves_beside_another_that_has_left_is_told_of_for_as_long(connection: Connection) -> None:
    """It came past admission with the same address: whoever takes the lock over must wait for its update too."""

    async def story(api: KubernetesApi) -> None:
        async with left(connection, api) as one:
            web, (_, note) = AddressHolder(connection.namespace, service="web"), await one.past()
            one.now += KEPT
            note = note._replace(since=one.now)
            assert await one.locks.note_leaver(one.address, one.near, note, has_it=True) == web
            await one.goes()

            leaving = AddressHolder(connection.namespace, service="past", is_pending=True)
            assert await one.locks.take(one.address, one.near) == leaving
            one.now += GRACE
            assert await one.locks.release(one.address, one.group, is_needed=no) == "left"
            await connection.kubectl_async("annotate", "service", "past", f"{SHARED_VIP}-")
            one.now += KEPT
            assert await one.locks.take(one.address, one.near) == replace(leaving, is_pending=False)
            assert await one.locks.release(one.address, one.group, is_needed=no) == "left"

    connection.tell(story)


def test_who_leaves_with_an_address_that_another_group_has_is_told_of_once_that_has_let_go(
    connection: Connection,
) -> None:
    """It is noted on that one's lock, with the group that it leaves."""

    async def story(api: KubernetesApi) -> None:
        async with left(connection, api) as one:
            past, note = await one.noted_on_anothers()
            with pytest.raises(BeingLeftError) as noted:
                await one.locks.take(one.address, one.other, minds_leaver=True)
            assert [leaver.group for leaver in noted.value.leavers] == [one.near]
            asked = list[tuple[Leaver, ...]]()

            async def needed_by(leavers: tuple[Leaver, ...]) -> bool:
                asked.append(leavers)
                return False

            await connection.kubectl_async("annotate", "service", "past", f"{SHARED_VIP}-")
            assert await one.locks.release(one.address, one.other, is_needed=needed_by) == "left"
            assert asked == [(note._replace(group=one.near),)]
            held = AddressHolder(connection.namespace, service="past")
            for group in (one.near, one.other):
                assert await one.locks.take(one.address, group) == held
            # Its next group's joiners wait for it, as its update may never be stored.
            assert await one.locks.take(one.address, one.near, asking=member_of(past)) is None
            with pytest.raises(BeingLeftError, match="about to leave with the address: past"):
                await one.locks.take(one.address, one.near, minds_leaver=True)

    connection.tell(story)


def test_a_refused_leave_is_taken_back_from_another_groups_lock(connection: Connection) -> None:
    """Others stay in its group, it turned out."""

    async def story(api: KubernetesApi) -> None:
        async with left(connection, api) as one:
            _, note = await one.noted_on_anothers()
            await one.locks.forget_leaver(one.address, one.near, note)
            assert await one.locks.release(one.address, one.other, is_needed=no) == "unlocked"

    connection.tell(story)
