"""A Service that leaves its group, the annotation gone, and the address that it then asks for by itself.

It never judges: whether the group still needs that address is for who can look at the group.
"""

from datetime import timedelta
from typing import Final

from sharedvip.addresses import parse_address
from sharedvip.model import GroupName, ServiceView
from sharedvip.parse import static_address

LATEST_SECONDS: Final = 180.0
"""A replica whose cache is later than that lets nobody join with an address. A bookmark tells how far a
watch has come every minute; one that is silent for 90 s is broken, and what is older than that is listed anew."""
KEPT: Final = timedelta(seconds=240)
"""How long a lock tells of who left with its address, after its group has let go of it. By then the cache of every
replica that decides shows it: no request takes longer than the 30 s that the API server waits at most."""


def left_group(candidate: ServiceView, old: ServiceView | None) -> GroupName | None:
    """The group that an update leaves for no other one; None: it was in none, or does not leave."""
    return old.group if old is not None and old.is_member and candidate.sharing_key is None else None


def address_taken_along(candidate: ServiceView) -> str:
    """The address (canonical spelling) that it asks for without a group; "" where it asks for none that a VIP can have.

    Nobody checks what an ordinary Service writes there: the API server takes ``loadBalancerIP: localhost``.
    """
    address = static_address(candidate) if candidate.type == "LoadBalancer" else ""
    return address if parse_address(address) else ""
