"""An intended address must be one that the whole group can move to.

Field:   ``metadata.annotations[sharedvip.dev/intended-address]``.
Source:  ``docs/adr/0005-address-change.md``: a group of several Services changes its static address by a move.
Because: a group moves to one address at a time, and only where our reconciler builds it: to AKO a group with two
         addresses is in conflict, and its virtual service stands still until every Service is made anew.
"""

from typing import Final

from sharedvip.addresses import family_of, parse_address
from sharedvip.model import Denial, Group, ServiceView, Situation
from sharedvip.parse import INTENDED_ADDRESS_FIELD, intended_address, static_address
from sharedvip.wording import quoted, services

ID: Final = "intended-address-unfit"


def check(candidate: ServiceView, situation: Situation) -> tuple[Denial, ...]:
    """At most one denial; its subject is the intended address."""
    if not candidate.is_member or not candidate.intended_address:
        return ()
    found = _unusable(candidate) or _unfit(candidate, situation)
    return () if found is None else (found,)


def _unusable(candidate: ServiceView) -> Denial | None:
    """A matter of the Service alone."""
    address, families = parse_address(candidate.intended_address), candidate.ip_families
    if address is None:
        problem = f"{quoted(candidate.intended_address)} is not an IP address that a VIP can have"
        return _denial(candidate, problem, "set an IPv4 or IPv6 address, or remove the annotation")
    if families and family_of(address) not in families:
        having = " and ".join(families)
        problem = f"{address} is {family_of(address)}, but spec.ipFamilies has only {having}"
        return _denial(candidate, problem, f"set an address of {having}, or remove the annotation")
    return None


def _unfit(candidate: ServiceView, situation: Situation) -> Denial | None:
    group, intended, mine = situation.group, intended_address(candidate), static_address(candidate)
    old = group.static_address or mine
    if not old:
        problem = f"{intended} is no address to move to, as there is no static address to move from"
        return _denial(candidate, problem, "set a static address, or remove the annotation")
    if group.intended_address not in {"", intended} and (intended != old or mine == group.intended_address):
        return _other_way(candidate, group)
    if intended == old or (mine == intended and not situation.is_member):
        # Nothing to move, or a newcomer with an address of its own: another rule speaks.
        return None
    if not group.is_built:
        problem = f"shared VIP {quoted(group.name.key)} is not built by sharedvip's reconciler, and cannot be moved"
        return _denial(candidate, problem, "remove the annotation, or try again when it is")
    return None


def _other_way(candidate: ServiceView, group: Group) -> Denial:
    intended, theirs = intended_address(candidate), group.intended_address
    names = tuple(sorted({peer.service for peer in group.peers if peer.shared.intended_address == theirs}))
    whose = f" with {services(names)}" if names else ""
    problem = f"{intended} is not the {theirs} that shared VIP {quoted(group.name.key)} is moving to{whose}"
    return _denial(candidate, problem, f"set {theirs}, or remove the annotation", peers=names)


def _denial(candidate: ServiceView, problem: str, remedy: str, *, peers: tuple[str, ...] = ()) -> Denial:
    return Denial(ID, INTENDED_ADDRESS_FIELD, problem, remedy, subject=intended_address(candidate), peers=peers)
