"""Who else holds a static address: other groups, by their ledgers or their members, and ordinary LoadBalancer Services.

It never looks anything up, and it never names a group by its members.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from sharedvip.addresses import canonical
from sharedvip.ledger import Ledger, member_of
from sharedvip.model import AddressHolder, GroupName, ServiceName, ServiceView
from sharedvip.parse import static_address


def address_holders(
    group: GroupName,
    address: str,
    *,
    candidate: ServiceName,
    services: Iterable[ServiceView],
    groups: Iterable[GroupName],
) -> tuple[AddressHolder, ...]:
    """The holders outside the group, sorted by namespace, key and Service.

    A group whose members came past admission holds what they ask for, though no ledger says so yet. But a group whose
    ledger has the address was there before: such a one stands in nobody's way there.

    Args:
        group: Who asks.
        address: In canonical spelling.
        candidate: For whom: an ordinary Service that joins a group brings its own address with it.
        services: The LoadBalancer Services that ask for the address or have it.
        groups: The groups that claim the address or live on it.
    """
    known = set(groups)
    stored = [service for service in services if service.name != candidate]
    if group not in known:
        known |= {one.group for one in stored if one.group is not None and asks_for_its_group(one, address)}
    others = {AddressHolder(other.namespace, key=other.key) for other in known if other != group}
    ordinary = {
        AddressHolder(one.name.namespace, service=one.name.name) for one in stored if holds_by_itself(one, address)
    }
    return tuple(sorted(others | ordinary, key=lambda holder: (holder.namespace, holder.key, holder.service)))


def as_joining(
    holders: Iterable[AddressHolder],
    ledger: Ledger | None,
    live: Mapping[ServiceName, ServiceView | None],
    *,
    now: datetime,
) -> tuple[AddressHolder, ...]:
    """The holders; pending are also ordinary Services that were admitted to the group, and bring their address along.

    Args:
        holders: Of ``address_holders``.
        ledger: Of the group that asks.
        live: What was read of Services after it.
        now: UTC, of before that.
    """

    def is_joining(holder: AddressHolder) -> bool:
        stored = live.get(ServiceName(holder.namespace, holder.service))
        if ledger is None or stored is None or holder.namespace != ledger.name.namespace:
            return False
        return any(claim.may_be_on_its_way(stored, now=now) for claim in ledger.claims_of(member_of(stored)))

    return tuple(replace(holder, is_pending=holder.is_pending or is_joining(holder)) for holder in holders)


def asks_for_its_group(service: ServiceView, address: str) -> bool:
    """Whether it is a member that asks for the address, or has it from somebody else than us."""
    return service.is_member and _has(service, address)


def holds_by_itself(service: ServiceView, address: str) -> bool:
    """Whether it is an ordinary LoadBalancer Service that asks for the address or has it, not through a group."""
    return service.type == "LoadBalancer" and service.sharing_key is None and _has(service, address)


def _has(service: ServiceView, address: str) -> bool:
    """One with our condition is or was a member: what is in its status is its group's."""
    has_of_others = not service.has_ready_condition and address in map(canonical, service.vips)
    return has_of_others or address == static_address(service)
