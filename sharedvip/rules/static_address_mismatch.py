"""All Services of a group have the same static address, or none has one.

Field:   ``spec.loadBalancerIP``, else ``metadata.annotations[ako.vmware.com/load-balancer-ip]``.
Source:  AKO ``docs/shared_vip.md``: "all LB Services sharing the Annotation value must have the same preferred VIP".
Because: a candidate without an address inherits the group's before this rule sees it, so a missing one is a race, a
         manifest, or a Service that bypassed admission. Where the peers disagree about having one, those with an
         address speak for the group. While the group moves, a member carries the old address or the intended one.
"""

from typing import Final

from sharedvip.addresses import parse_address
from sharedvip.annotations import INTENDED_ADDRESS
from sharedvip.disagreement import AGREE_FIRST, Disagreement, names_by_value
from sharedvip.model import Denial, Group, ServiceView, Situation
from sharedvip.moving import goes_along
from sharedvip.parse import static_address, static_address_field
from sharedvip.wording import quoted

ID: Final = "static-address-mismatch"


def check(candidate: ServiceView, situation: Situation) -> tuple[Denial, ...]:
    """At most one denial; its subject is the candidate's address.

    Silent where the candidate's text is no address, where the group lives on another, allocated address, and where a
    member takes the address that it intends for the group: other rules speak then.
    """
    mine, group = static_address(candidate), situation.group
    if not group.peers or (mine and parse_address(mine) is None) or _may_go_along(candidate, situation):
        return ()
    settled = [peer for peer in group.peers if peer.shared.static_address]
    theirs = names_by_value(settled or group.peers, lambda peer: peer.shared.static_address)
    difference = Disagreement(group.name.key, mine, theirs, without="a static address", show=_shown)
    if not difference.peers or (not settled and _lives_elsewhere(group, mine)):
        return ()
    return (
        Denial(
            rule=ID,
            field=static_address_field(candidate),
            problem=difference.problem,
            remedy=_remedy(difference, situation),
            subject=mine or "(unset)",
            peers=difference.peers,
        ),
    )


def _may_go_along(candidate: ServiceView, situation: Situation) -> bool:
    group = situation.group
    if not group.static_address or not goes_along(candidate, group):
        return False
    # Only a member opens a move by going ahead: a newcomer with another address is as wrong as ever.
    return static_address(candidate) == group.intended_address or situation.is_member


def _lives_elsewhere(group: Group, address: str) -> bool:
    return group.vip not in {"", address}


def _shown(address: str) -> str:
    return quoted(address) if parse_address(address) is None else address


def _remedy(difference: Disagreement, situation: Situation) -> str:
    theirs, group = difference.agreed, situation.group
    if theirs == "":
        return "leave it out, or use another sharing key"
    if theirs is None or parse_address(theirs) is None:
        return AGREE_FIRST
    if group.intended_address:
        return f"set {theirs}, or {group.intended_address}, which the group is moving to"
    if situation.is_member and group.is_built and difference.mine:
        return (
            f"set {theirs}, or move the whole group with annotation {quoted(INTENDED_ADDRESS)} beside the new address"
        )
    return f"set {theirs}, or leave it out to inherit it" if difference.mine else f"set {theirs}"
