"""What the reconciler needs of Kubernetes, as one protocol; ``reconciler.kubernetes`` meets it with ``cluster``.

So the loop can be tried on a small in-memory world, and the end-to-end tests show that the real one behaves alike.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from cluster.errors import ClusterError
from cluster.field_conflicts import FieldConflict
from cluster.ip_address_documents import HeldAddress
from cluster.ip_addresses import IsNeeded, Unlocked
from reconciler.servers import Slice
from sharedvip.ledger import Claim, Ledger, Member, Release
from sharedvip.model import AddressHolder, GroupName, Listener, ServiceName, ServiceView, SharedValues


class ClaimLostError(ClusterError):
    """Somebody else wrote the ledger first: a value or a port is theirs now, or what we read is old."""


class ClaimHeldError(ClaimLostError):
    """Others are recorded with another value, or hold a port."""

    def __init__(self, conflicts: tuple[FieldConflict, ...], text: str) -> None:
        """Keep which fields, and whose."""
        super().__init__(text)
        self.conflicts = conflicts


@dataclass(frozen=True, slots=True)
class Verdict:
    """What our condition says of a Service or a group."""

    is_ready: bool
    reason: str
    """CamelCase, for machines: ``Programmed``, ``Conflict``, ``ControllerUnreachable``."""
    message: str
    hostname: str = ""
    """A name with a DNS record for the VIP, for ``status.loadBalancer``; "" for none."""
    further_vips: tuple[str, ...] = ()
    """The VIP's addresses besides the first: its IPv6 address where it has both families."""


@dataclass(frozen=True, slots=True)
class ListenerReport:
    """One listener as users see it in ``kubectl get svip -o yaml``."""

    listener: Listener
    service: str
    servers: int
    servers_ready: int


@dataclass(frozen=True, slots=True)
class GroupReport:
    """The status of a ``SharedVIP``."""

    vip: str
    virtual_service: str
    """Its uuid on Avi; "" also where nobody can tell yet."""
    listeners: tuple[ListenerReport, ...]
    services: tuple[str, ...]
    verdict: Verdict
    moving: str = ""
    """How far its move to another address has come, "" while it stays."""


class Kubernetes(Protocol):
    """The cluster: what was observed (never waits), what is so now, and what we write.

    Every write is fenced: it raises where we may not be the leader any more.
    """

    def groups(self) -> Collection[GroupName]:
        """Every group with a ``SharedVIP`` or an annotated Service."""
        ...

    def members(self, group: GroupName) -> tuple[ServiceView, ...]:
        """The Services that carry the group's key, of whatever type, sorted."""
        ...

    def leavers(self) -> Iterable[ServiceView]:
        """Services that carry our condition and are no members of anything."""
        ...

    def service(self, name: ServiceName) -> ServiceView | None:
        """One Service."""
        ...

    def services_at(self, address: str) -> Iterable[ServiceView]:
        """LoadBalancer Services that ask for an address or have it; canonical spelling."""
        ...

    def ledger(self, group: GroupName) -> Ledger | None:
        """The group's ledger."""
        ...

    def ledgers_at(self, address: str) -> Iterable[GroupName]:
        """The groups that claim an address or live on it; canonical spelling."""
        ...

    def slices(self, service: ServiceName) -> tuple[Slice, ...]:
        """The Service's EndpointSlices."""
        ...

    async def read_service(self, name: ServiceName) -> ServiceView | None:
        """One Service, live."""
        ...

    async def read_ledger(self, group: GroupName) -> Ledger | None:
        """The group's ledger, live."""
        ...

    async def found_ledger(self, group: GroupName) -> Ledger:
        """The group's ledger, a new and empty one where there was none; raises ``ClaimLostError``."""
        ...

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
        """Write a member's claims, with force also over what others own; raises ``ClaimLostError``."""
        ...

    async def leave(self, group: GroupName, member: Member, *, resource_version: str = "") -> None:
        """Take a member's claims back; raises ``ClaimLostError``."""
        ...

    async def release(self, ledger: Ledger, release: Release) -> Ledger | None:
        """Shrink a member's claims, also those that others have written for it; raises ``ClaimLostError``."""
        ...

    async def drop_intended(self, ledger: Ledger) -> Ledger:
        """Take the intended address out, whoever owns it; raises ``ClaimLostError``."""
        ...

    async def put_finalizer(self, ledger: Ledger) -> None:
        """Keep the ``SharedVIP`` until what it stands for on Avi is gone."""
        ...

    async def remove(self, ledger: Ledger) -> None:
        """Let the ``SharedVIP`` go; raises ``ClaimLostError`` when it was written meanwhile."""
        ...

    async def report(self, group: GroupName, report: GroupReport) -> None:
        """Write the ``SharedVIP``'s status."""
        ...

    async def address_holder(self, address: str, group: GroupName) -> AddressHolder | None:
        """Whom ``take_address`` would return now; nothing is written."""
        ...

    async def take_address(self, address: str, group: GroupName, *, minds_leaver: bool = False) -> AddressHolder | None:
        """Lock an address for the group; None: it is the group's. A holder without names is something else.

        Raises:
            BeingLeftError: It is, and ``minds_leaver``, and somebody has asked to leave with it.
        """
        ...

    async def release_address(self, address: str, group: GroupName, *, is_needed: IsNeeded) -> Unlocked:
        """Unlock an address if the group holds it and needs it no more."""
        ...

    async def held_addresses(self) -> tuple[HeldAddress, ...]:
        """All addresses that groups hold."""
        ...

    async def publish(self, service: ServiceView, *, vip: str, verdict: Verdict) -> None:
        """Write a Service's status; "" takes our address out of it."""
        ...

    async def withdraw(self, service: ServiceView) -> None:
        """Take out of a Service's status all that we wrote."""
        ...

    async def tell(self, service: ServiceView, kind: Literal["Normal", "Warning"], verdict: Verdict) -> bool:
        """Publish an Event on a Service; that it could not be published is no error, and False."""
        ...
