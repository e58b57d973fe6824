"""May this Service share that VIP: all reasons against it, old and new; it never looks anything up.

A violation is known by its rule and its subject, within one group. Whoever changes key, joins, or becomes a
LoadBalancer arrives as a new member, and brings no old violations.
"""

from sharedvip.addresses import canonical
from sharedvip.keys import is_valid_key
from sharedvip.model import Denial, Group, ServiceView, Situation
from sharedvip.rules import RULES


def decide(candidate: ServiceView, situation: Situation) -> tuple[Denial, ...]:
    """All violations, in the order of ``RULES``; none without the annotation, none while it is being deleted.

    Args:
        candidate: The Service as it is to be.
        situation: The group it asks for, without itself (see ``ledger.group_of``), and who else holds its address.
    """
    if candidate.sharing_key is None or candidate.is_deleting:
        return ()
    met = situation if can_join(candidate) else _deserted(situation)
    return tuple(denial for rule in RULES for denial in rule.check(candidate, met))


def can_join(candidate: ServiceView) -> bool:
    """Whether there is a group to join: it has the type and a valid key, so that comparing it with others has sense."""
    return candidate.is_member and is_valid_key(candidate.sharing_key or "")


def new_denials(candidate: ServiceView, *, old: ServiceView | None, situation: Situation) -> tuple[Denial, ...]:
    """The violations that ``old`` did not have: what an update is refused for; for a create, all.

    Args:
        candidate: The Service as it is to be.
        old: The Service as it is stored, None for a create or a Service that was not accepted yet.
        situation: The candidate's, as for ``decide``; ``old`` is judged in it too, so that only a difference between
            the two Services counts, never one between two moments.
    """
    found = decide(candidate, situation)
    # Nearly always nothing is found, and then what the old one had is no matter.
    had = _identities(old, candidate=candidate, situation=situation) if found else frozenset[tuple[str, str]]()
    return tuple(denial for denial in found if (denial.rule, denial.subject) not in had)


def existing_denials(candidate: ServiceView, *, old: ServiceView | None, situation: Situation) -> tuple[Denial, ...]:
    """The violations that ``old`` had already and this update leaves: worth a warning; with ``new_denials`` all."""
    found = decide(candidate, situation)
    had = _identities(old, candidate=candidate, situation=situation) if found else frozenset[tuple[str, str]]()
    return tuple(denial for denial in found if (denial.rule, denial.subject) in had)


def _identities(old: ServiceView | None, *, candidate: ServiceView, situation: Situation) -> frozenset[tuple[str, str]]:
    if old is None or old.group != candidate.group or old.is_member != candidate.is_member:
        return frozenset()
    return frozenset((denial.rule, denial.subject) for denial in decide(old, situation))


def _deserted(situation: Situation) -> Situation:
    return Situation(Group(situation.group.name), policy=situation.policy, is_member=situation.is_member)


def relevant_change(old: ServiceView, new: ServiceView) -> bool:
    """Whether an update changes anything that a rule looks at; where it does not, it has no new violation."""
    return old is not new and _projection(old) != _projection(new)


def _projection(service: ServiceView) -> tuple[object, ...]:
    return (
        service.group,
        service.type,
        service.load_balancer_class,
        canonical(service.load_balancer_ip),
        canonical(service.address_annotation),
        canonical(service.intended_address),
        service.ip_families,
        service.infra_setting,
        service.l4_rule,
        # Sorted: another order of the same ports asks for nothing new.
        sorted(service.listeners),
    )
