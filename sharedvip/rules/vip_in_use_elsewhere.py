"""A group that lives on an allocated address is not moved by a newcomer's static address.

Field:   ``spec.loadBalancerIP``, else ``metadata.annotations[ako.vmware.com/load-balancer-ip]``.
Source:  Avi Controller: the address of a VsVip cannot be changed, "recreate the VIP" (AKO ``constants.go:129``).
Because: moving live peers is never a side effect of adding one. A Service alone in its group may move itself.
"""

from typing import Final

from sharedvip.addresses import parse_address
from sharedvip.model import Denial, ServiceView, Situation
from sharedvip.parse import static_address, static_address_field
from sharedvip.wording import quoted, services

ID: Final = "vip-in-use-elsewhere"


def check(candidate: ServiceView, situation: Situation) -> tuple[Denial, ...]:
    """At most one denial; its subject is the candidate's address."""
    mine, group = static_address(candidate), situation.group
    if parse_address(mine) is None or not group.peers or group.vip in {"", mine}:
        return ()
    if any(peer.shared.static_address for peer in group.peers):
        return ()
    names = tuple(sorted({peer.service for peer in group.peers}))
    return (
        Denial(
            rule=ID,
            field=static_address_field(candidate),
            problem=(
                f"{mine} would move shared VIP {quoted(group.name.key)}, "
                f"which {services(names, one='uses', many='use')}, away from {group.vip}"
            ),
            remedy="leave it out, or use another sharing key",
            subject=mine,
            peers=names,
        ),
    )
