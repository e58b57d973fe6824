"""Who else holds a static address: other groups by their ledgers, ordinary LoadBalancer Services by what they say.

It never looks anything up, and it never names a group by its members: a member of another group holds nothing itself.
"""

from collections.abc import Iterable

from sharedvip.model import AddressHolder, GroupName, ServiceName, ServiceView


def address_holders(
    group: GroupName, *, candidate: ServiceName, services: Iterable[ServiceView], groups: Iterable[GroupName]
) -> tuple[AddressHolder, ...]:
    """The holders outside the group, sorted by namespace, key and Service.

    Args:
        group: Who asks.
        candidate: For whom: an ordinary Service that joins a group brings its own address with it.
        services: The LoadBalancer Services that ask for the address or have it.
        groups: The groups that claim the address or live on it.
    """
    others = {AddressHolder(other.namespace, key=other.key) for other in groups if other != group}
    ordinary = {
        AddressHolder(service.name.namespace, service=service.name.name)
        for service in services
        if service.name != candidate and is_ordinary(service)
    }
    return tuple(sorted(others | ordinary, key=lambda holder: (holder.namespace, holder.key, holder.service)))


def is_ordinary(service: ServiceView) -> bool:
    """Whether it holds its address itself, not through a group.

    One with our condition was a member a moment ago: what is in its status is its group's.
    """
    return service.type == "LoadBalancer" and service.sharing_key is None and not service.has_ready_condition
