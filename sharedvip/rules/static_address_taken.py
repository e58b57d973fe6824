"""A static address belongs to one group, or to one ordinary LoadBalancer Service, in the whole cluster.

Field:   ``spec.loadBalancerIP``, else ``metadata.annotations[ako.vmware.com/load-balancer-ip]``; for the address that
         a group is to move to, ``metadata.annotations[sharedvip.dev/intended-address]``.
Source:  Avi Controller: a VIP's address is unique within its VRF; ours is stricter, as no Service tells its VRF.
Because: what is in another namespace is not the asker's to know, so it is never named.
"""

from typing import Final

from sharedvip.addresses import parse_address
from sharedvip.model import AddressHolder, Denial, ServiceView, Situation
from sharedvip.parse import INTENDED_ADDRESS_FIELD, intended_address, static_address, static_address_field
from sharedvip.wording import joined, services

ID: Final = "static-address-taken"
LEAVE_OUT: Final = "leave it out"
"""What may be done about it, as it is said to who brings the address."""


def check(candidate: ServiceView, situation: Situation) -> tuple[Denial, ...]:
    """One denial for each address, which is its subject; its peers are the ordinary Services of the same namespace."""
    mine, intended = static_address(candidate), intended_address(candidate)
    found = [_denial(candidate, mine, situation.address_holders)]
    if intended != mine:
        found.append(_denial(candidate, intended, situation.intended_holders, field=INTENDED_ADDRESS_FIELD))
    return tuple(denial for denial in found if denial is not None)


def _denial(
    candidate: ServiceView, address: str, holders: tuple[AddressHolder, ...], *, field: str = ""
) -> Denial | None:
    if parse_address(address) is None or not holders:
        return None
    settled = [holder for holder in holders if not holder.is_pending]
    counting = settled or holders
    here = [holder for holder in counting if holder.namespace == candidate.name.namespace]
    is_abroad = len(here) < len(counting)
    whose = _holders(here, is_abroad=is_abroad)
    if settled:
        problem = f"{address} is already held {whose}"
        remedy = "choose another address, or remove the annotation" if field else _remedy(here, is_abroad=is_abroad)
    else:
        problem = f"{address} is being claimed {whose} right now"
        remedy = "try again in a moment, or choose another address"
    return Denial(
        rule=ID,
        field=field or static_address_field(candidate),
        problem=problem,
        remedy=remedy,
        subject=address,
        peers=_service_names(here),
    )


def _keys(here: list[AddressHolder]) -> tuple[str, ...]:
    return tuple(sorted({holder.key for holder in here if holder.key}))


def _service_names(here: list[AddressHolder]) -> tuple[str, ...]:
    return tuple(sorted({holder.service for holder in here if holder.service}))


def _holders(here: list[AddressHolder], *, is_abroad: bool) -> str:
    keys, names = _keys(here), _service_names(here)
    phrases = (
        f"by shared VIP{'s' if len(keys) > 1 else ''} {joined(keys)}" if keys else "",
        f"by {services(names)}" if names else "",
        "by an IPAddress that is not sharedvip's" if any(not (h.key or h.service) for h in here) else "",
        "in another namespace" if is_abroad else "",
    )
    return " and ".join(phrase for phrase in phrases if phrase)


def _remedy(holders: list[AddressHolder], *, is_abroad: bool) -> str:
    if len(holders) == 1 and holders[0].key and not is_abroad:
        return f"choose another address, {LEAVE_OUT}, or use sharing key {joined(_keys(holders))}"
    return f"choose another address, or {LEAVE_OUT}"
