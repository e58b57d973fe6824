"""What the operator and AKO's kinds ask of a group, looked up and judged: where, with what rule, or not at all.

It never waits. What is asked and cannot be done is a note for the people who asked, in the group's message.
"""

from dataclasses import dataclass

from cluster.ako_resources import InfraSetting, L4Rule, Namespace
from reconciler.l4_rules import notes as l4_notes
from reconciler.placement import Placement, placement
from reconciler.settings import ReconcilerSettings
from reconciler.surroundings import Surroundings
from sharedvip.ledger import Ledger
from sharedvip.model import GroupName, SharedValues


@dataclass(frozen=True, slots=True)
class Wishes:
    """The answer for one group."""

    placement: Placement
    l4_rule: L4Rule | None = None
    waits_for: str = ""
    """What must exist before a group that is not on Avi yet can be built; "" as a rule."""
    is_selected: bool = True
    notes: tuple[str, ...] = ()


def wishes(
    group: GroupName, ledger: Ledger | None, *, surroundings: Surroundings, settings: ReconcilerSettings
) -> Wishes:
    """What is asked of a group.

    Its Services' AviInfraSetting comes before its Namespace's. One that does not exist, or that AKO rejects, is as if
    nobody had named it for a group that lives already, so that it goes on serving; a new group waits for it, because a
    VIP does not move from one network to another later.
    """
    shared = ledger.shared if ledger else SharedValues()
    namespace = surroundings.namespace(group.namespace) or Namespace(group.namespace)
    infra, missing = _infra(shared.infra_setting or namespace.infra_setting, surroundings)
    rule, unruled = _rule(group.namespace, shared.l4_rule, surroundings)
    listeners = frozenset(claim.listener for claim in (ledger.claims if ledger else ()))
    left_out = l4_notes(rule, listeners=listeners, static_address=shared.static_address) if rule else ()
    tenant = namespace.tenant if settings.avi_tenant_per_namespace else ""
    return Wishes(
        placement=placement(settings, infra, tenant=tenant),
        l4_rule=rule,
        waits_for=missing,
        is_selected=is_selected(namespace, settings),
        notes=tuple(note for note in (missing, unruled, *left_out) if note),
    )


def is_selected(namespace: Namespace, settings: ReconcilerSettings) -> bool:
    """Whether groups of a Namespace are built. Source: AKO ``blockedNamespaceList``, ``namespaceSelector``."""
    if namespace.name in settings.blocked:
        return False
    return settings.namespaces is None or settings.namespaces.selects(namespace.labels)


def _infra(name: str, surroundings: Surroundings) -> tuple[InfraSetting | None, str]:
    if not name:
        return None, ""
    infra = surroundings.infra_setting(name)
    if infra is None:
        return None, f"AviInfraSetting '{name}' does not exist; create it, or take it out of the annotation"
    if infra.rejection is not None:
        return None, f"AviInfraSetting '{name}' is rejected by AKO: {infra.rejection}"
    return infra, ""


def _rule(namespace: str, name: str, surroundings: Surroundings) -> tuple[L4Rule | None, str]:
    if not name:
        return None, ""
    rule = surroundings.l4_rule(namespace, name)
    if rule is None:
        return None, f"L4Rule '{name}' does not exist; create it, or take it out of the annotation"
    if rule.rejection is not None:
        return None, f"L4Rule '{name}' is rejected by AKO: {rule.rejection}"
    return rule, ""
