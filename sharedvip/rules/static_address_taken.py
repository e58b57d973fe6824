"""A static address belongs to one group, or to one ordinary LoadBalancer Service, in the whole cluster.

Field:   ``spec.loadBalancerIP``, else ``metadata.annotations[ako.vmware.com/load-balancer-ip]``.
Source:  Avi Controller: a VIP's address is unique within its VRF; ours is stricter, as no Service tells its VRF.
Because: what is in another namespace is not the asker's to know, so it is never named.
"""

from typing import Final

from sharedvip.addresses import parse_address
from sharedvip.model import AddressHolder, Denial, ServiceView, Situation
from sharedvip.parse import static_address, static_address_field
from sharedvip.wording import joined, services

ID: Final = "static-address-taken"


def check(candidate: ServiceView, situation: Situation) -> tuple[Denial, ...]:
    """At most one denial; its subject is the address, its peers the ordinary Services of the same namespace."""
    mine = static_address(candidate)
    if parse_address(mine) is None or not situation.address_holders:
        return ()
    here = [holder for holder in situation.address_holders if holder.namespace == candidate.name.namespace]
    is_abroad = len(here) < len(situation.address_holders)
    return (
        Denial(
            rule=ID,
            field=static_address_field(candidate),
            problem=f"{mine} is already held {_holders(here, is_abroad=is_abroad)}",
            remedy=_remedy(here, is_abroad=is_abroad),
            subject=mine,
            peers=_service_names(here),
        ),
    )


def _keys(here: list[AddressHolder]) -> tuple[str, ...]:
    return tuple(sorted({holder.key for holder in here if holder.key}))


def _service_names(here: list[AddressHolder]) -> tuple[str, ...]:
    return tuple(sorted({holder.service for holder in here if not holder.key}))


def _holders(here: list[AddressHolder], *, is_abroad: bool) -> str:
    keys, names = _keys(here), _service_names(here)
    phrases = (
        f"by shared VIP{'s' if len(keys) > 1 else ''} {joined(keys)}" if keys else "",
        f"by {services(names)}" if names else "",
        "in another namespace" if is_abroad else "",
    )
    return " and ".join(phrase for phrase in phrases if phrase)


def _remedy(holders: list[AddressHolder], *, is_abroad: bool) -> str:
    if len(holders) == 1 and holders[0].key and not is_abroad:
        return f"choose another address, leave it out, or use sharing key {joined(_keys(holders))}"
    return "choose another address, or leave it out"
