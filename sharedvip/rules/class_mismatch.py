"""A Service that shares a VIP must be of the class we serve, the same as its peers'.

Field:   ``spec.loadBalancerClass``.
Source:  AKO ``lib.go:1859 ValidateSvcforClass``; Kubernetes API reference: the field cannot be changed while the type
         stays LoadBalancer.
Because: in AKO one member of a foreign class deletes the whole group. Classes compare literally: leaving it out and
         naming ours differ, as another default could take over the one and not the other.
"""

from typing import Final

from sharedvip.disagreement import AGREE_FIRST, Disagreement, names_by_value
from sharedvip.model import Denial, Policy, ServiceView, Situation
from sharedvip.parse import CLASS_FIELD
from sharedvip.wording import quoted

ID: Final = "class-mismatch"

_ANEW = "(an existing LoadBalancer Service must be created anew for that)"


def check(candidate: ServiceView, situation: Situation) -> tuple[Denial, ...]:
    """At most one denial; its subject is the candidate's class. That it is not ours comes before the peers."""
    if not candidate.is_member:
        return ()
    mine, policy = candidate.load_balancer_class, situation.policy
    theirs = names_by_value(situation.group.peers, lambda peer: peer.shared.load_balancer_class)
    difference = Disagreement(situation.group.name.key, mine, theirs, without="a loadBalancerClass")
    fitting = _agreed_and_ours(difference, policy)
    if not _is_ours(mine, policy):
        wanted = policy.load_balancer_class if fitting is None else fitting
        return (_denial(difference, problem=_foreign(mine), remedy=_setting(wanted)),)
    if difference.peers:
        remedy = AGREE_FIRST if fitting is None else _setting(fitting)
        return (_denial(difference, problem=difference.problem, remedy=remedy),)
    return ()


def _agreed_and_ours(difference: Disagreement, policy: Policy) -> str | None:
    theirs = difference.agreed
    return theirs if theirs is not None and _is_ours(theirs, policy) else None


def _is_ours(load_balancer_class: str, policy: Policy) -> bool:
    return load_balancer_class == policy.load_balancer_class or (not load_balancer_class and policy.is_default_class)


def _denial(difference: Disagreement, *, problem: str, remedy: str) -> Denial:
    return Denial(
        rule=ID,
        field=CLASS_FIELD,
        problem=problem,
        remedy=remedy,
        subject=difference.mine or "(unset)",
        peers=difference.peers,
    )


def _foreign(mine: str) -> str:
    return (
        f"{quoted(mine)} is not a class that Avi serves here" if mine else "is not set, and Avi is not the default here"
    )


def _setting(load_balancer_class: str) -> str:
    return f"set {quoted(load_balancer_class)} {_ANEW}" if load_balancer_class else f"leave it out {_ANEW}"
