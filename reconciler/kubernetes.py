"""``ports.Kubernetes`` on package ``cluster``: caches for what was observed, the API server for the rest; no decisions.

Every write asks the fence first. Whatever says that the ledger is not what we thought becomes ``ClaimLostError``.
"""

import asyncio
from collections.abc import Callable, Collection, Coroutine, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

import structlog

from cluster import service_status
from cluster.ako_resources import DetailedServiceCache
from cluster.api import KubernetesApi
from cluster.endpoint_slices import EndpointSlice, EndpointSliceCache
from cluster.events import Events
from cluster.ip_address_documents import HeldAddress
from cluster.ip_addresses import AddressLocks, IsNeeded, Unlocked
from cluster.services import ServiceCache, read_service
from cluster.shared_vip_cache import SharedVipCache
from cluster.shared_vip_documents import ListenerStatus, SharedVipStatus
from cluster.shared_vips import ClaimRefused, SharedVipStore, StaleLedger
from reconciler.cluster_surroundings import EVERYWHERE, ClusterSurroundings
from reconciler.ports import ClaimHeldError, ClaimLostError, GroupReport, Verdict
from reconciler.settings import ReconcilerSettings
from sharedvip.ledger import Claim, Ledger, Member, Release
from sharedvip.model import AddressHolder, GroupName, ServiceName, ServiceView, SharedValues

COMPONENT: Final = "sharedvip.dev/reconciler"

_log = structlog.get_logger("reconciler.kubernetes")


@dataclass(frozen=True, slots=True)
class Subscriber:
    """Who is told of changes, after the caches know them."""

    group_changed: Callable[[GroupName], None]
    """Something of the group changed."""
    service_left: Callable[[ServiceName], None]
    """A Service carries our condition and is no member any more."""


class ClusterKubernetes:
    """The cluster as caches and an API server.

    Args:
        api: The connection.
        fence: Raises when we may not be the leader any more; called right before every write.
        now: UTC.
        subscriber: Who is told of changes.
        has_slices: Whether EndpointSlices are of interest: in guard mode nobody needs them.
        settings: What they say of the surroundings; None: these are of no interest either.
    """

    def __init__(
        self,
        api: KubernetesApi,
        *,
        fence: Callable[[], None],
        now: Callable[[], datetime],
        subscriber: Subscriber,
        has_slices: bool = True,
        settings: ReconcilerSettings | None = None,
    ) -> None:
        self._api: Final = api
        self._fence: Final = fence
        self._now: Final = now
        self._subscriber: Final = subscriber
        self._services: Final[ServiceCache] = DetailedServiceCache(api) if has_slices else ServiceCache(api)
        self.surroundings: Final = (
            ClusterSurroundings(api, settings=settings, on_change=self._on_surroundings) if settings else None
        )
        self._ledgers: Final = SharedVipCache(api)
        self._slices: Final = EndpointSliceCache(api, on_change=self._on_endpoints) if has_slices else None
        self._store: Final = SharedVipStore(api)
        self._locks: Final = AddressLocks(api, on_write=fence, now=now)
        self._events: Final = Events(api, component=COMPONENT)
        self._services.subscribe(self._on_service)
        self._ledgers.subscribe(self._on_ledger)

    def watches(self) -> tuple[Coroutine[Any, Any, None], ...]:
        """What keeps the caches in step, each to run until cancelled."""
        caches = (self._services.run(), self._ledgers.run())
        around = self.surroundings.watches() if self.surroundings else ()
        return (*caches, *around) if self._slices is None else (*caches, *around, self._slices.run())

    @property
    def has_synced(self) -> bool:
        """Whether every cache was complete at least once."""
        return all(reflector.has_synced for reflector in self._reflectors)

    async def synced(self) -> None:
        """Wait until it is so."""
        await asyncio.gather(*(reflector.synced() for reflector in self._reflectors))

    def uids(self) -> frozenset[str]:
        """The uids of all Services that a status may be on."""
        members = (service for group in self._services.groups() for service in self._services.members(group))
        return frozenset(service.uid for service in (*members, *self._services.leavers()))

    def groups(self) -> Collection[GroupName]:
        """As ``ports.Kubernetes``."""
        return self._services.groups().union(ledger.name for ledger in self._ledgers.all())

    def members(self, group: GroupName) -> tuple[ServiceView, ...]:
        """As ``ports.Kubernetes``."""
        return self._services.members(group)

    def leavers(self) -> tuple[ServiceView, ...]:
        """As ``ports.Kubernetes``."""
        return self._services.leavers()

    def service(self, name: ServiceName) -> ServiceView | None:
        """As ``ports.Kubernetes``."""
        return self._services.get(name)

    def services_at(self, address: str) -> tuple[ServiceView, ...]:
        """As ``ports.Kubernetes``."""
        return self._services.by_address(address)

    def ledger(self, group: GroupName) -> Ledger | None:
        """As ``ports.Kubernetes``."""
        return self._ledgers.get(group)

    def ledgers_at(self, address: str) -> tuple[GroupName, ...]:
        """As ``ports.Kubernetes``."""
        return self._ledgers.by_address(address)

    def slices(self, service: ServiceName) -> tuple[EndpointSlice, ...]:
        """As ``ports.Kubernetes``."""
        return () if self._slices is None else self._slices.of(service)

    async def read_service(self, name: ServiceName) -> ServiceView | None:
        """As ``ports.Kubernetes``."""
        return await read_service(self._api, name)

    async def read_ledger(self, group: GroupName) -> Ledger | None:
        """As ``ports.Kubernetes``."""
        return await self._store.read(group)

    async def found_ledger(self, group: GroupName) -> Ledger:
        """As ``ports.Kubernetes``."""
        self._fence()
        ledger = await self._store.found(group)
        if ledger is None:
            raise ClaimLostError(f"the ledger of {group.key!r} went as it came")
        return ledger

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
        """As ``ports.Kubernetes``."""
        self._fence()
        with _losing():
            return await self._store.claim(
                group, member, shared=shared, claims=claims, resource_version=resource_version, force=force
            )

    async def leave(self, group: GroupName, member: Member, *, resource_version: str = "") -> None:
        """As ``ports.Kubernetes``."""
        self._fence()
        with _losing():
            await self._store.leave(group, member, resource_version=resource_version)

    async def release(self, ledger: Ledger, release: Release) -> Ledger | None:
        """As ``ports.Kubernetes``."""
        self._fence()
        with _losing():
            return await self._store.release(ledger, release)

    async def drop_intended(self, ledger: Ledger) -> Ledger:
        """As ``ports.Kubernetes``."""
        self._fence()
        with _losing():
            return await self._store.drop_intended(ledger)

    async def put_finalizer(self, ledger: Ledger) -> None:
        """As ``ports.Kubernetes``."""
        self._fence()
        with _losing():
            await self._store.put_finalizer(ledger)

    async def remove(self, ledger: Ledger) -> None:
        """As ``ports.Kubernetes``."""
        self._fence()
        with _losing():
            await self._store.remove(ledger)

    async def report(self, group: GroupName, report: GroupReport) -> None:
        """As ``ports.Kubernetes``."""
        self._fence()
        await self._store.report(group, _status(report), now=self._now(), may_write=self._fence)

    async def address_holder(self, address: str, group: GroupName) -> AddressHolder | None:
        """As ``ports.Kubernetes``."""
        return await self._locks.held_by_another(address, group)

    async def take_address(self, address: str, group: GroupName, *, minds_leaver: bool = False) -> AddressHolder | None:
        """As ``ports.Kubernetes``."""
        self._fence()
        return await self._locks.take(address, group, minds_leaver=minds_leaver)

    async def release_address(self, address: str, group: GroupName, *, is_needed: IsNeeded) -> Unlocked:
        """As ``ports.Kubernetes``."""
        self._fence()
        return await self._locks.release(address, group, is_needed=is_needed)

    async def held_addresses(self) -> tuple[HeldAddress, ...]:
        """As ``ports.Kubernetes``."""
        return await self._locks.list_ours()

    async def publish(self, service: ServiceView, *, vip: str, verdict: Verdict) -> None:
        """As ``ports.Kubernetes``; where another manager owns the address, only our condition is written."""
        self._fence()
        conflicts = await service_status.publish(
            self._api,
            service,
            vip=vip,
            ready=verdict.is_ready,
            reason=verdict.reason,
            message=verdict.message,
            now=self._now(),
            hostname=verdict.hostname,
            further_vips=verdict.further_vips,
            may_write=self._fence,
        )
        if conflicts:
            owners = ", ".join(sorted({f"'{conflict.manager}'" for conflict in conflicts}))
            _log.warning("status.owned_by_other", service=service.name, managers=owners)
            message = service_status.owned_by_other(conflicts, vip=vip)
            verdict = Verdict(is_ready=False, reason=service_status.OWNED_BY_OTHER, message=message)
            await self.tell(service, "Warning", verdict)

    async def withdraw(self, service: ServiceView) -> None:
        """As ``ports.Kubernetes``."""
        self._fence()
        await service_status.withdraw(self._api, service)

    async def tell(self, service: ServiceView, kind: Literal["Normal", "Warning"], verdict: Verdict) -> bool:
        """As ``ports.Kubernetes``."""
        self._fence()
        return await self._events.tell(service, kind, reason=verdict.reason, message=verdict.message)

    @property
    def _reflectors(self) -> tuple[Any, ...]:
        # Of different record types, which nobody here looks at.
        around = self.surroundings.reflectors if self.surroundings else ()
        always = (self._services.reflector, self._ledgers.reflector, *around)
        return always if self._slices is None else (*always, self._slices.reflector)

    def _on_service(self, old: ServiceView | None, new: ServiceView | None) -> None:
        for group in {service.group for service in (old, new) if service is not None and service.group is not None}:
            self._subscriber.group_changed(group)
        if new is not None and new.has_ready_condition and not new.is_member:
            self._subscriber.service_left(new.name)

    def _on_ledger(self, old: Ledger | None, new: Ledger | None) -> None:
        for group in {ledger.name for ledger in (old, new) if ledger is not None}:
            self._subscriber.group_changed(group)

    def _on_endpoints(self, name: ServiceName) -> None:
        service = self._services.get(name)
        if service is not None and service.group is not None:
            self._subscriber.group_changed(service.group)

    def _on_surroundings(self, namespace: str) -> None:
        for group in self._services.groups():
            if namespace in (EVERYWHERE, group.namespace):
                self._subscriber.group_changed(group)


@contextmanager
def _losing() -> Generator[None]:
    try:
        yield
    except ClaimRefused as error:
        raise ClaimHeldError(error.conflicts, str(error)) from error
    except StaleLedger as error:
        raise ClaimLostError(str(error)) from error


def _status(report: GroupReport) -> SharedVipStatus:
    return SharedVipStatus(
        is_ready=report.verdict.is_ready,
        reason=report.verdict.reason,
        message=report.verdict.message,
        vip=report.vip,
        virtual_service=report.virtual_service,
        services=report.services,
        moving=report.moving,
        listeners=tuple(
            ListenerStatus(each.listener, each.service, each.servers, each.servers_ready) for each in report.listeners
        ),
    )
