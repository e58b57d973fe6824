"""Each program's own calls with the rights of its own ServiceAccount: nothing that it needs is missing."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime
from ipaddress import IPv6Address
from typing import Final, NamedTuple, Self
from zlib import crc32

import pytest

from cluster.api import KubernetesApi
from cluster.endpoint_slices import EndpointSliceCache
from cluster.events import Events
from cluster.ip_address_documents import LEFT_ANNOTATION
from cluster.ip_addresses import AddressLocks
from cluster.lease import Lease
from cluster.leavers import Leaver, render_time
from cluster.service_status import publish, withdraw
from cluster.services import ServiceCache, read_service
from cluster.shared_vip_cache import SharedVipCache
from cluster.shared_vip_documents import SharedVipStatus
from cluster.shared_vips import SharedVipStore
from localcluster.cluster import LocalCluster
from sharedvip.annotations import SHARED_VIP
from sharedvip.ledger import grow, member_of
from sharedvip.model import GroupName, ServiceName, ServiceView
from sharedvip.parse import shared_values
from tests.repo.manifests import SYSTEM, grant

pytestmark = pytest.mark.e2e

DEADLINE_SECONDS: Final = 20.0
NOW: Final = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
STATUS: Final = SharedVipStatus(is_ready=True, reason="Programmed", message="It is served.")


class Member(NamedTuple):
    """A stored Service with a static address, and a ServiceAccount's connection."""

    api: KubernetesApi
    service: ServiceView

    @classmethod
    async def met_by(cls, api: KubernetesApi, namespace: str) -> Self:
        """Read with that account's rights."""
        found = await read_service(api, ServiceName(namespace, "web"))
        assert found is not None
        return cls(api, found)

    @property
    def group(self) -> GroupName:
        """The one that it asks for."""
        return GroupName(self.service.name.namespace, self.service.sharing_key or "")

    async def claims(self) -> None:
        """As admission and the reconciler do."""
        store, locks = SharedVipStore(self.api), AddressLocks(self.api)
        claims = grow(await store.read(self.group), self.service, old=None, now=NOW)
        shared = shared_values(self.service)
        ledger = await store.claim(self.group, member_of(self.service), shared=shared, claims=claims)
        assert ledger.claims == claims
        assert await locks.take(self.service.load_balancer_ip, self.group) is None


async def not_needed(leavers: tuple[Leaver, ...]) -> bool:
    """Nobody claims the address any more."""
    del leavers
    return False


async def synced(run: Callable[[], Coroutine[None, None, None]], is_synced: Callable[[], Awaitable[None]]) -> None:
    """A cache has listed; it watches next."""
    running = asyncio.create_task(run())
    await asyncio.wait_for(is_synced(), DEADLINE_SECONDS)
    running.cancel()
    await asyncio.wait([running])


@pytest.fixture(scope="module")
def system(cluster: LocalCluster) -> LocalCluster:
    """A cluster with our CRD and rights."""
    grant(cluster)
    return cluster


@pytest.fixture
def shop(system: LocalCluster, namespace: str) -> str:
    """A namespace with one member of one group."""
    address = IPv6Address((0x20010DB8 << 96) + (1 << 64) + crc32(namespace.encode()))
    spec = {"type": "LoadBalancer", "loadBalancerIP": str(address), "ports": [{"port": 80}]}
    metadata = {"name": "web", "annotations": {SHARED_VIP: "key"}}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}
    system.run_kubectl("create", "-n", namespace, "-f", "-", input=json.dumps(service))
    return namespace


Story = Callable[[KubernetesApi], Coroutine[None, None, None]]


def as_account(cluster: LocalCluster, name: str, *, story: Story) -> None:
    """Run it with that account's rights."""

    async def connected() -> None:
        api = await KubernetesApi.connect(cluster.service_account_kubeconfig(SYSTEM, name), user_agent=name)
        try:
            await story(api)
        finally:
            await api.close()

    asyncio.run(connected())


def test_the_webhook_has_what_it_needs(cluster: LocalCluster, shop: str) -> None:
    """Caches, live look, claim, lock, and giving a claim back."""

    async def story(api: KubernetesApi) -> None:
        services, ledgers = ServiceCache(api), SharedVipCache(api)
        await synced(services.run, services.reflector.synced)
        await synced(ledgers.run, ledgers.reflector.synced)
        member = await Member.met_by(api, shop)
        await member.claims()
        store = SharedVipStore(api)
        await store.leave(member.group, member_of(member.service))
        assert await store.found(GroupName(shop, "another")) is not None
        await takes_what_was_left(member)

    async def takes_what_was_left(member: Member) -> None:
        """By one that has the address no more: noted, let go of by the reconciler, and another's by now."""
        locks, address = AddressLocks(member.api), member.service.load_balancer_ip
        leaver = Leaver("gone", "1", "2", NOW, "x")
        await locks.note_leaver(address, member.group, leaver)
        patch = f'{{"metadata":{{"annotations":{{"{LEFT_ANNOTATION}":"{render_time(NOW)}"}}}}}}'
        cluster.run_kubectl("patch", "ipaddress", address, "--type=merge", "-p", patch)
        another = GroupName(shop, "another")
        assert await locks.take(address, another) is None
        assert await locks.owner(address) == another

    as_account(cluster, "sharedvip-webhook", story=story)


def test_the_reconciler_has_what_it_needs(cluster: LocalCluster, shop: str) -> None:
    """A group's whole life: accepted, reported, published, told of, and taken down."""

    async def story(api: KubernetesApi) -> None:
        slices = EndpointSliceCache(api, on_change=lambda _: None)
        await synced(slices.run, slices.reflector.synced)
        member = await Member.met_by(api, shop)
        await member.claims()
        await lives(member)
        await ends(member)

    async def lives(member: Member) -> None:
        store, service = SharedVipStore(member.api), member.service
        ledger = await store.read(member.group)
        assert ledger is not None
        await store.put_finalizer(ledger)
        await store.report(member.group, STATUS, now=NOW)
        vip = service.load_balancer_ip
        assert not await publish(
            member.api, service, vip=vip, ready=True, reason=STATUS.reason, message=STATUS.message, now=NOW
        )
        events = Events(member.api, component="sharedvip.dev/reconciler")
        for _ in range(2):
            await events.tell(service, "Normal", reason=STATUS.reason, message=STATUS.message)

    async def ends(member: Member) -> None:
        store, locks = SharedVipStore(member.api), AddressLocks(member.api)
        address = member.service.load_balancer_ip
        await withdraw(member.api, member.service)
        await store.leave(member.group, member_of(member.service))
        ledger = await store.read(member.group)
        assert ledger is not None
        await store.remove(ledger)
        assert address in {held.address for held in await locks.list_ours()}
        await locks.release(address, member.group, is_needed=not_needed)
        assert address not in {held.address for held in await locks.list_ours()}
        assert await store.read(member.group) is None

    as_account(cluster, "sharedvip-reconciler", story=story)
    told = cluster.run_kubectl("get", "events.events.k8s.io", "-n", shop, "-o", "jsonpath={.items[*].series.count}")
    assert told.stdout == "2"


def test_the_reconciler_can_lead(system: LocalCluster) -> None:
    """Make its Lease, renew it, hand it over."""

    async def story(api: KubernetesApi) -> None:
        lease = Lease(api, namespace=SYSTEM, name="sharedvip-reconciler", identity="me")
        assert await lease.attempt()
        assert await lease.attempt()
        await lease.release()

    system.run_kubectl("delete", "lease", "-n", SYSTEM, "sharedvip-reconciler", "--ignore-not-found")
    as_account(system, "sharedvip-reconciler", story=story)
    holder = "jsonpath={.spec.holderIdentity}"
    assert system.run_kubectl("get", "lease", "-n", SYSTEM, "sharedvip-reconciler", "-o", holder).stdout == ""
