"""A lock that its group let go of while a leaver has the address: it tells who has it, and is in nobody's way."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from cluster.api import KubernetesApi
from cluster.ip_addresses import AddressLocks
from cluster.leavers import BeingLeftError, Leaver
from sharedvip.leaving import KEPT
from sharedvip.model import AddressHolder, GroupName, ServiceName
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
    def locks(self) -> AddressLocks:
        """At the time that it is."""
        return AddressLocks(self.api, now=lambda: self.now)

    async def begin(self) -> None:
        """As admission notes it, and the reconciler unlocks it."""
        spec = {"type": "LoadBalancer", "loadBalancerIP": self.address, "ports": [{"port": 80}]}
        made = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": spec}
        await asyncio.to_thread(self.connection.kubectl, "create", "-f", "-", input=json.dumps(made))
        await self.locks.note_leaver(self.address, self.group, self.leaver("first"))
        assert await self.locks.release(self.address, self.group, is_needed=no) == "left"

    def leaver(self, request: str) -> Leaver:
        """Who is noted."""
        return Leaver("web", "1", "2", self.now, request)

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
        for group in (one.group, one.other):
            await one.locks.release(one.address, group, is_needed=no)


def test_it_names_the_service_to_all_but_that_one(connection: Connection) -> None:
    """To its former group too; it is no group's, and the Service that has the address may bring it anywhere."""

    async def story(api: KubernetesApi) -> None:
        async with left(connection, api) as one:
            web = AddressHolder(connection.namespace, service="web")
            for group in (one.group, one.other):
                assert await one.locks.take(one.address, group) == web
                assert await one.locks.take(one.address, group, is_expected=True, minds_leaver=True) == web
            assert await one.locks.owner(one.address) is None
            (told,) = [lock for lock in await one.locks.list_ours() if lock.address == one.address]
            assert (told.group, told.is_leaving, told.left_since) == (one.group, False, START)

            name = ServiceName(connection.namespace, "web")
            assert await one.locks.take(one.address, one.other, but=name, dry_run=True) is None
            assert await one.locks.take(one.address, one.group) == web
            assert await one.locks.take(one.address, one.other, but=name) is None
            assert await one.locks.owner(one.address) == one.other

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
            await one.locks.note_leaver(one.address, one.other, one.leaver("next")._replace(service="api"))
            assert await one.locks.owner(one.address) is None
            await one.locks.forget_leaver(one.address, one.group, one.leaver("first"))
            assert await one.locks.take(one.address, one.group) == AddressHolder(connection.namespace, service="web")

            await one.goes()
            await one.locks.note_leaver(one.address, one.other, one.leaver("next")._replace(service="api"))
            assert await one.locks.owner(one.address) == one.other
            with pytest.raises(BeingLeftError, match="about to leave with the address: api"):
                await one.locks.take(one.address, one.other, minds_leaver=True)

    connection.tell(story)
