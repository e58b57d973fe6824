"""A cluster in memory: ``reconciler.ports.Kubernetes`` with the API server's answers to our writes, and no lag.

Not simulated: managers' field ownership beyond "a port has one holder, shared values are co-owned, an intended address
by who claims it" (of the others, all that take part count as owners until somebody forces them); the watch's delay;
validation. ``tests/reconciler/test_run.py`` shows that the real one behaves alike.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import count
from typing import Literal

from cluster.errors import ClusterError
from cluster.field_conflicts import FieldConflict
from cluster.ip_address_documents import HeldAddress
from cluster.ip_addresses import IsNeeded, Unlocked
from cluster.leavers import BeingLeftError, Leaver
from reconciler.ports import ClaimHeldError, ClaimLostError, GroupReport, Verdict
from reconciler.servers import Slice
from sharedvip.addresses import canonical
from sharedvip.holders import holds_by_itself
from sharedvip.leaving import KEPT
from sharedvip.ledger import Claim, Ledger, Member, Release, group_of, grow, member_of, reserve
from sharedvip.model import AddressHolder, GroupName, ServiceName, ServiceView, SharedValues
from sharedvip.moving import with_heading
from sharedvip.parse import static_address
from sharedvip.turning import asked_again, change_under_way, is_overtaken, values_to_claim


@dataclass
class FakeKubernetes:
    """What is stored, and what was written by whom is under test."""

    stored: dict[ServiceName, ServiceView] = field(default_factory=dict[ServiceName, ServiceView])
    ledgers: dict[GroupName, Ledger] = field(default_factory=dict[GroupName, Ledger])
    endpoint_slices: dict[ServiceName, tuple[Slice, ...]] = field(default_factory=dict[ServiceName, tuple[Slice, ...]])
    addresses: dict[str, GroupName] = field(default_factory=dict[str, GroupName])
    leaving: set[str] = field(default_factory=set[str])
    """Addresses that somebody began to unlock, and did not."""
    noted: dict[str, tuple[Leaver, ...]] = field(default_factory=dict[str, tuple[Leaver, ...]])
    """Who is noted on the locks of addresses."""
    left: dict[str, datetime] = field(default_factory=dict[str, datetime])
    """Since when locks are nobody's any more, and only tell who left with the address."""
    now: Callable[[], datetime] = lambda: datetime(2026, 11, 23, tzinfo=UTC)
    """UTC."""
    shown_ledgers: dict[GroupName, Ledger] = field(default_factory=dict[GroupName, Ledger])
    """Ledgers that a late watch still shows, whatever is stored by now."""
    read_as: dict[ServiceName, ServiceView] = field(default_factory=dict[ServiceName, ServiceView])
    """Services that are stored otherwise than the watch has shown."""
    verdicts: dict[ServiceName, Verdict] = field(default_factory=dict[ServiceName, Verdict])
    reports: dict[GroupName, GroupReport] = field(default_factory=dict[GroupName, GroupReport])
    events: list[tuple[str, str, str]] = field(default_factory=list[tuple[str, str, str]])
    writes: list[str] = field(default_factory=list[str])
    unwritable: set[ServiceName] = field(default_factory=set[ServiceName])
    """Services whose status cannot be written."""
    no_to: dict[str, ClusterError] = field(default_factory=dict[str, ClusterError])
    """What is answered to ``claim web``, ``lock 10.0.0.1`` and ``unlock 10.0.0.1``."""
    untellable: set[ServiceName] = field(default_factory=set[ServiceName])
    """Services on which no Event can be published."""
    intending: dict[GroupName, set[Member]] = field(default_factory=dict[GroupName, set[Member]])
    """Who owns a ledger's intended address."""
    versions: "count[int]" = field(default_factory=lambda: count(1))

    def apply(self, *services: ServiceView) -> None:
        """Somebody creates or changes Services; their status stays."""
        for service in services:
            old = self.stored.get(service.name)
            if old is not None:
                service = replace(service, vips=old.vips, has_ready_condition=old.has_ready_condition)  # noqa: PLW2901 - as an API server does
            self.stored[service.name] = replace(service, resource_version=str(next(self.versions)))

    def admit(self, *services: ServiceView, at: datetime) -> None:
        """Services come by admission: claimed, then stored."""
        for service in services:
            self.ask(service, at=at)
            self.apply(service)

    def ask(self, service: ServiceView, *, at: datetime) -> None:
        """A Service is admitted: claimed, and on its way."""
        assert service.group is not None
        ledger = self.ledgers.get(service.group)
        old = self.stored.get(service.name)
        met = group_of(service.group, ledger=ledger, services=self.members(service.group), candidate=service)
        under_way = change_under_way(ledger, old, now=at)
        shared = values_to_claim(service, old=old, group=met, under_way=under_way)
        assert not is_overtaken(shared, candidate=service, old=old, under_way=under_way)
        grown = grow(ledger, service, old=old, now=at)
        headed = with_heading(grown, service, old=old, shared=shared, now=at)
        claims = asked_again(headed, service, old=old, now=at)
        self._claim(service.group, member_of(service), shared=shared, claims=claims)

    def ask_in_conflict(self, service: ServiceView, *, at: datetime) -> None:
        """A stored Service in conflict is admitted with more listeners: they are reserved, and it is on its way."""
        assert service.group is not None
        ledger = self.ledgers.get(service.group, Ledger(service.group))
        claims = reserve(ledger, service, old=self.stored[service.name], now=at)
        self._claim(service.group, member_of(service), shared=ledger.shared, claims=claims)

    def delete(self, *names: ServiceName) -> None:
        """Somebody deletes Services, and with them their endpoints."""
        for name in names:
            del self.stored[name]
            self.endpoint_slices.pop(name, None)

    def vips(self, *services: ServiceView) -> list[tuple[str, ...]]:
        """The addresses in their statuses."""
        return [self.stored[service.name].vips for service in services]

    def groups(self) -> Collection[GroupName]:
        """As ``Kubernetes``."""
        return {*self.ledgers, *(s.group for s in self.stored.values() if s.group is not None)}

    def members(self, group: GroupName) -> tuple[ServiceView, ...]:
        """As ``Kubernetes``."""
        return tuple(sorted((s for s in self.stored.values() if s.group == group), key=lambda s: s.name))

    def leavers(self) -> Iterable[ServiceView]:
        """As ``Kubernetes``."""
        return [s for s in self.stored.values() if s.has_ready_condition and not s.is_member]

    def service(self, name: ServiceName) -> ServiceView | None:
        """As ``Kubernetes``."""
        return self.stored.get(name)

    def services_at(self, address: str) -> Iterable[ServiceView]:
        """As ``Kubernetes``."""
        lbs = (s for s in self.stored.values() if s.type == "LoadBalancer")
        return [s for s in lbs if address in {static_address(s), *map(canonical, s.vips)}]

    def ledger(self, group: GroupName) -> Ledger | None:
        """As ``Kubernetes``."""
        return self.shown_ledgers.get(group, self.ledgers.get(group))

    def ledgers_at(self, address: str) -> Iterable[GroupName]:
        """As ``Kubernetes``."""
        return [name for name, ledger in self.ledgers.items() if address in {*ledger.addresses, ledger.vip}]

    def slices(self, service: ServiceName) -> tuple[Slice, ...]:
        """As ``Kubernetes``."""
        return self.endpoint_slices.get(service, ())

    async def read_service(self, name: ServiceName) -> ServiceView | None:
        """As ``Kubernetes``."""
        return self.read_as.get(name, self.stored.get(name))

    async def read_ledger(self, group: GroupName) -> Ledger | None:
        """As ``Kubernetes``."""
        return self.ledgers.get(group)

    async def found_ledger(self, group: GroupName) -> Ledger:
        """As ``Kubernetes``."""
        ledger = self.ledgers.get(group)
        return self._store(Ledger(group)) if ledger is None else ledger

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
        """As ``Kubernetes``."""
        self._refuse(f"claim {member.service}")
        self.writes.append(f"{'force' if force else 'claim'} {member.service}")
        self._check(group, resource_version)
        return self._claim(group, member, shared=shared, claims=claims, force=force)

    async def leave(self, group: GroupName, member: Member, *, resource_version: str = "") -> None:
        """As ``Kubernetes``."""
        self.writes.append(f"leave {member.service}")
        self._check(group, resource_version)
        if ledger := self.ledgers.get(group):
            left = ledger.with_held(c for c in ledger.held if (c.service, c.uid) != member)
            kept = replace(ledger.shared, intended_address=self._intended(ledger, member, ""))
            self._store(replace(left, shared=kept if left.claims else SharedValues()))

    async def release(self, ledger: Ledger, release: Release) -> Ledger | None:
        """As ``Kubernetes``."""
        (member, keep), version = release, ledger.resource_version
        if keep:
            return await self.claim(ledger.name, member, shared=ledger.shared, claims=keep, resource_version=version)
        await self.leave(ledger.name, member, resource_version=version)
        return self.ledgers.get(ledger.name)

    async def drop_intended(self, ledger: Ledger) -> Ledger:
        """As ``Kubernetes``."""
        self.writes.append("drop intended")
        self._check(ledger.name, ledger.resource_version)
        self.intending.pop(ledger.name, None)
        live = self.ledgers[ledger.name]
        return self._store(replace(live, shared=replace(live.shared, intended_address="")))

    async def put_finalizer(self, ledger: Ledger) -> None:
        """As ``Kubernetes``."""
        self.writes.append("finalizer")
        self._store(replace(self.ledgers[ledger.name], has_finalizer=True))

    async def remove(self, ledger: Ledger) -> None:
        """As ``Kubernetes``."""
        self.writes.append("remove")
        live = self.ledgers.get(ledger.name)
        if live is not None and (live.uid, live.held, live.shared) != (ledger.uid, ledger.held, ledger.shared):
            raise ClaimLostError("the ledger was written meanwhile")
        self.ledgers.pop(ledger.name, None)

    async def report(self, group: GroupName, report: GroupReport) -> None:
        """As ``Kubernetes``."""
        self.writes.append("report")
        self.reports[group] = report
        self._store(replace(self.ledgers[group], vip=report.vip))

    async def address_holder(self, address: str, group: GroupName) -> AddressHolder | None:
        """As ``Kubernetes``."""
        self._refuse(f"look at {address}")
        if address in self.left:
            return self._left_to(address)
        holder = self.addresses.get(address, group)
        return None if holder == group else AddressHolder(holder.namespace, key=holder.key)

    async def take_address(self, address: str, group: GroupName, *, minds_leaver: bool = False) -> AddressHolder | None:
        """As ``Kubernetes``."""
        self._refuse(f"lock {address}")
        if address in self.left:
            if holder := self._left_to(address):
                return holder
            del self.left[address]
            if self.addresses[address] != group:
                self.addresses[address] = group
                self.noted.pop(address, None)
        holder = self.addresses.setdefault(address, group)
        if holder == group and minds_leaver and address in self.noted:
            raise BeingLeftError(self.noted[address])
        return None if holder == group else AddressHolder(holder.namespace, key=holder.key)

    async def release_address(self, address: str, group: GroupName, *, is_needed: IsNeeded) -> Unlocked:
        """As ``Kubernetes``."""
        self._refuse(f"unlock {address}")
        if self.addresses.get(address) != group:
            return "not held"
        if address not in self.left:
            needed = await is_needed(self.noted.get(address, ()))
            self.leaving.discard(address)
            if needed:
                return "needed"
            self.left[address] = self.now()
        if self._left_to(address) and self.now() - self.left[address] <= KEPT:
            return "left"
        del self.addresses[address], self.left[address]
        self.noted.pop(address, None)
        return "unlocked"

    def _left_to(self, address: str) -> AddressHolder | None:
        """Who is noted on a lock, and has the address by itself."""
        namespace = self.addresses[address].namespace
        for leaver in self.noted.get(address, ()):
            stored = self.stored.get(ServiceName(namespace, leaver.service))
            if stored is not None and holds_by_itself(stored, address):
                return AddressHolder(namespace, service=leaver.service)
        return None

    async def held_addresses(self) -> tuple[HeldAddress, ...]:
        """As ``Kubernetes``."""
        held = sorted(self.addresses.items())
        return tuple(
            HeldAddress(address, group, address in self.leaving, self.left.get(address)) for address, group in held
        )

    async def publish(self, service: ServiceView, *, vip: str, verdict: Verdict) -> None:
        """As ``Kubernetes``."""
        if service.name in self.unwritable:
            raise ClusterError(f"the status of {service.name} cannot be written")
        self.writes.append(f"publish {service.name.name}")
        stored = self.stored[service.name]
        self.stored[service.name] = replace(stored, vips=(vip,) if vip else (), has_ready_condition=True)
        self.verdicts[service.name] = verdict

    async def withdraw(self, service: ServiceView) -> None:
        """As ``Kubernetes``."""
        self.writes.append(f"withdraw {service.name.name}")
        self.stored[service.name] = replace(self.stored[service.name], vips=(), has_ready_condition=False)
        self.verdicts.pop(service.name, None)

    async def tell(self, service: ServiceView, kind: Literal["Normal", "Warning"], verdict: Verdict) -> bool:
        """As ``Kubernetes``."""
        if service.name in self.untellable:
            return False
        self.events.append((service.name.name, kind, verdict.reason))
        return True

    def _refuse(self, asked: str) -> None:
        if asked in self.no_to:
            raise self.no_to[asked]

    def _check(self, group: GroupName, resource_version: str) -> None:
        ledger = self.ledgers.get(group)
        if resource_version and (ledger is None or ledger.resource_version != resource_version):
            raise ClaimLostError("the object has been modified")

    def _claim(
        self,
        group: GroupName,
        member: Member,
        *,
        shared: SharedValues,
        claims: Sequence[Claim],
        force: bool = False,
    ) -> Ledger:
        ledger = self.ledgers.get(group, Ledger(group))
        others = {c.listener: c for c in ledger.held if (c.service, c.uid) != member}
        is_sharing = not all(claim.is_reserved for claim in claims)
        owners = sorted({Member(c.service, c.uid).field_manager for c in others.values() if not c.is_reserved})
        if owners and is_sharing and not force and (field := _differing(ledger.shared, shared)):
            raise ClaimHeldError(tuple(FieldConflict(field, one) for one in owners), f"{field} is owned by others")
        if taken := [others[c.listener] for c in claims if c.listener in others]:
            owner = Member(taken[0].service, taken[0].uid).field_manager
            raise ClaimHeldError((FieldConflict(".spec.claims", owner),), "a port is owned by another manager")
        if not is_sharing:
            return self._store(ledger.with_held((*others.values(), *claims)))
        agreed = replace(shared, intended_address=self._intended(ledger, member, shared.intended_address))
        return self._store(replace(ledger, shared=agreed).with_held((*others.values(), *claims)))

    def _intended(self, ledger: Ledger, member: Member, said: str) -> str:
        """The intended address after a member says one, or says none: it goes with the last who said it."""
        owners = self.intending.setdefault(ledger.name, set())
        there = ledger.shared.intended_address
        if said and owners - {member} and said != there:
            raise ClaimLostError("the intended address is owned by another manager")
        owners.discard(member)
        if said:
            owners.add(member)
        return said or (there if owners else "")

    def _store(self, ledger: Ledger) -> Ledger:
        version = str(next(self.versions))
        stored = replace(ledger, uid=ledger.uid or f"uid-{version}", resource_version=version)
        self.ledgers[ledger.name] = stored
        return stored


def _differing(one: SharedValues, other: SharedValues) -> str:
    """The first field that the two do not have in common, as the API server names it; "" for none."""
    if one.static_address != other.static_address:
        return ".spec.staticAddress"
    return "" if replace(one, intended_address="") == replace(other, intended_address="") else ".spec.infraSetting"
