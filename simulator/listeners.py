"""Which ports and protocols a virtual service listens on, and whether that can be; it changes nothing."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from simulator.documents import Document, message, messages, number, text
from simulator.references import uuid_of
from simulator.refusals import RefusedError, field_check
from simulator.settings import Knobs
from simulator.store import Record, Store

TRANSPORTS: Final = ("TCP", "UDP", "SCTP")


@dataclass(frozen=True, slots=True, order=True)
class Listener:
    """Ports ``first`` to ``last`` of one transport protocol."""

    protocol: str
    first: int
    last: int

    def __str__(self) -> str:
        """``80/TCP`` or ``80-90/TCP``."""
        ports = str(self.first) if self.first == self.last else f"{self.first}-{self.last}"
        return f"{ports}/{self.protocol}"


def listeners(store: Store, document: Document) -> list[Listener]:
    """What a stored virtual service listens on, in the order of its services.

    Source: avi.md 3: a service's protocol is its override profile's, else the virtual service's profile's.
    """
    default = _transport(store, document.get("network_profile_ref"))
    return [_listener(store, service, default) for service in messages(document.get("services"))]


def check(store: Store, document: Document, *, uuid: str, knobs: Knobs) -> None:
    """Refuse listeners that cannot be.

    Source: avi.md 3 "Reject in simulator" and 2.8 (two virtual services on one vsvip); statuses and texts [INF].
    """
    own = listeners(store, document)
    for service, listener in zip(messages(document.get("services")), own, strict=True):
        if listener.last < listener.first:
            raise field_check(("services", "port_range_end"), f"{listener.last} is below port {listener.first}")
        if service.get("enable_ssl") is True and listener.protocol == "UDP":
            raise field_check(("services", "enable_ssl"), "SSL needs TCP, the service's network profile is UDP")
    _check_overlap(own, "in this virtual service", status=knobs.duplicate_listener_status)
    for other in _neighbours(store, document, uuid):
        theirs = listeners(store, other.document)
        if not knobs.shares_port_between_protocols:
            own, theirs = _without_protocol(own), _without_protocol(theirs)
        _check_overlap([*own, *theirs], f"with virtual service {other.name}", status=knobs.duplicate_listener_status)
    if knobs.refuses_unserved_rule_protocol:
        _check_rules(store, document, {listener.protocol for listener in own})


def _listener(store: Store, service: Document, default: str) -> Listener:
    override = service.get("override_network_profile_ref")
    protocol = _transport(store, override) if override else default
    return Listener(protocol, number(service.get("port")), number(service.get("port_range_end")))


def _transport(store: Store, reference: object) -> str:
    profile = store.get(uuid_of(reference))
    kind = text(message(profile.document.get("profile")).get("type")) if profile else ""
    return next((name for name in TRANSPORTS if f"_{name}_" in kind), "TCP")


def _neighbours(store: Store, document: Document, uuid: str) -> list[Record]:
    users = store.referrers(uuid_of(document.get("vsvip_ref")))
    return [user for user in users if user.kind.path == "virtualservice" and user.uuid != uuid]


def _without_protocol(given: Iterable[Listener]) -> list[Listener]:
    return sorted({Listener("any protocol", listener.first, listener.last) for listener in given})


def _check_overlap(given: list[Listener], where: str, *, status: int) -> None:
    ordered = sorted(given)
    for left, right in pairwise(ordered):
        if left.protocol == right.protocol and right.first <= left.last:
            raise RefusedError(status, f"Service port {right} overlaps with {left} {where}")


def _check_rules(store: Store, document: Document, served: set[str]) -> None:
    """Every protocol an L4 rule names must be served.

    Assumed: only when the virtual service is written, since AKO writes the policy set first (ako.md 3.1).
    """
    for policy in messages(document.get("l4_policies")):
        record = store.get(uuid_of(policy.get("l4_policy_set_ref")))
        rules = messages(message(record.document.get("l4_connection_policy")).get("rules")) if record else []
        for rule in rules:
            protocol = text(message(message(rule.get("match")).get("protocol")).get("protocol"))
            if protocol and protocol.removeprefix("PROTOCOL_") not in served:
                raise RefusedError(400, f"L4 rule {rule.get('name')} matches {protocol}, which no service speaks")
