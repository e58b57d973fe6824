"""Who else holds a static address: other groups by their ledgers, ordinary LoadBalancer Services by what they say.

It never looks anything up, and it never names a group by its members: a member of another group holds nothing itself.
"""

from collections.abc import Iterable

from sharedvip.model import AddressHolder, GroupName, ServiceView


def address_holders(
    group: GroupName, *, services: Iterable[ServiceView], groups: Iterable[GroupName]
) -> tuple[AddressHolder, ...]:
    """The holders outside the group, sorted by namespace, key and Service.

    Args:
        group: Who asks.
        services: The LoadBalancer Services that ask for the address or have it.
        groups: The groups that claim the address or live on it.
    """
    others = {AddressHolder(other.namespace, key=other.key) for other in groups if other != group}
    # A Service with our condition was a member a moment ago: what is in its status is its group's.
    ordinary = {
        AddressHolder(s.name.namespace, service=s.name.name)
        for s in services
        if s.type == "LoadBalancer" and s.sharing_key is None and not s.has_ready_condition
    }
    return tuple(sorted(others | ordinary, key=lambda holder: (holder.namespace, holder.key, holder.service)))
