"""All Services of a group have the same static address, or none has one.

Field:   ``spec.loadBalancerIP``, else ``metadata.annotations[ako.vmware.com/load-balancer-ip]``.
Source:  AKO ``docs/shared_vip.md``: "all LB Services sharing the Annotation value must have the same preferred VIP".
Because: a candidate without an address inherits the group's before this rule sees it, so a missing one is a race, a
         manifest, or a Service that bypassed admission. Where the peers disagree about having one, those with an
         address speak for the group.
"""

from typing import Final

from sharedvip.addresses import parse_address
from sharedvip.disagreement import AGREE_FIRST, Disagreement, names_by_value
from sharedvip.model import Denial, Group, ServiceView, Situation
from sharedvip.parse import static_address, static_address_field
from sharedvip.wording import quoted

ID: Final = "static-address-mismatch"


def check(candidate: ServiceView, situation: Situation) -> tuple[Denial, ...]:
    """At most one denial; its subject is the candidate's address.

    Silent where the candidate's text is no address, or where the group lives on another, allocated address: other
    rules speak then.
    """
    mine, group = static_address(candidate), situation.group
    if mine and parse_address(mine) is None:
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
            remedy=_remedy(difference),
            subject=mine or "(unset)",
            peers=difference.peers,
        ),
    )


def _lives_elsewhere(group: Group, address: str) -> bool:
    return group.vip not in {"", address}


def _shown(address: str) -> str:
    return quoted(address) if parse_address(address) is None else address


def _remedy(difference: Disagreement) -> str:
    theirs = difference.agreed
    if theirs == "":
        return "leave it out, or use another sharing key"
    if theirs is None or parse_address(theirs) is None:
        return AGREE_FIRST
    return f"set {theirs}, or leave it out to inherit it" if difference.mine else f"set {theirs}"
