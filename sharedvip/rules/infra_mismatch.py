"""All Services of a group name the same AviInfraSetting and the same L4Rule, or none.

Field:  ``metadata.annotations[aviinfrasetting.ako.vmware.com/name]``, ``metadata.annotations[ako.vmware.com/l4rule]``.
Source: AKO 2.2.1 ``handleL4SharedVipService`` (``shared/design/ako.md`` 1.2): it deletes the virtual service otherwise.
"""

from collections.abc import Callable
from typing import Final

from sharedvip.annotations import INFRA_SETTING, L4_RULE
from sharedvip.disagreement import AGREE_FIRST, Disagreement, names_by_value
from sharedvip.model import Denial, Group, Peer, ServiceView, Situation
from sharedvip.parse import annotation_field

ID: Final = "infra-mismatch"


def check(candidate: ServiceView, situation: Situation) -> tuple[Denial, ...]:
    """At most one denial for each of the two; its subject is the annotation with the candidate's value."""
    group = situation.group
    return (
        *_denials(INFRA_SETTING, candidate.infra_setting, group=group, value_of=lambda peer: peer.shared.infra_setting),
        *_denials(L4_RULE, candidate.l4_rule, group=group, value_of=lambda peer: peer.shared.l4_rule),
    )


def _denials(annotation: str, mine: str, *, group: Group, value_of: Callable[[Peer], str]) -> tuple[Denial, ...]:
    if all(value_of(peer) == mine for peer in group.peers):
        return ()
    difference = Disagreement(group.name.key, mine, names_by_value(group.peers, value_of), without="this annotation")
    return (
        Denial(
            rule=ID,
            field=annotation_field(annotation),
            problem=difference.problem,
            remedy=_remedy(difference),
            subject=f"{annotation}={mine}",
            peers=difference.peers,
        ),
    )


def _remedy(difference: Disagreement) -> str:
    theirs = difference.agreed
    if theirs is None:
        return AGREE_FIRST
    return f"{f'set {difference.show(theirs)}' if theirs else 'leave it out'}, or use another sharing key"
