"""Service JSON to ``ServiceView``: the only module that knows where a Service's fields live; it never judges them.

The TypedDicts name just the fields we read, so that a decoder skips the rest (msgspec: 5 us for a whole review
against 27 us with json; ``shared/design/kubernetes.md`` 3.1).
"""

from collections.abc import Hashable, Mapping
from functools import lru_cache
from sys import intern
from typing import Final, TypedDict

from sharedvip import annotations
from sharedvip.addresses import canonical
from sharedvip.model import Listener, ServiceName, ServicePort, ServiceView, SharedValues

_SHORT: Final = 64
"""Protocol, name and target port together have 34 letters at most, a namespace or a key 63. Source: Kubernetes
``core/validation``."""


def port_field(index: int) -> str:
    """Path of an entry of ``spec.ports``."""
    return f"spec.ports[{index}]"


def annotation_field(annotation: str) -> str:
    """Path of an annotation."""
    return f"metadata.annotations[{annotation}]"


ADDRESS_FIELD = "spec.loadBalancerIP"
ADDRESS_ANNOTATION_FIELD = annotation_field(annotations.LOAD_BALANCER_IP)
INTENDED_ADDRESS_FIELD = annotation_field(annotations.INTENDED_ADDRESS)
SHARING_KEY_FIELD = annotation_field(annotations.SHARED_VIP)
TYPE_FIELD = "spec.type"
PORTS_FIELD = "spec.ports"
CLASS_FIELD = "spec.loadBalancerClass"


_IDENTITY: Final = ("name", "generateName", "namespace", "uid", "annotations", "deletionTimestamp")
"""What is read of ``metadata`` as it is."""
_NOTES: Final = (
    annotations.SHARED_VIP,
    annotations.LOAD_BALANCER_IP,
    annotations.INTENDED_ADDRESS,
    annotations.INFRA_SETTING,
    annotations.L4_RULE,
)
"""The annotations that are read."""
_JUDGED: Final = ("type", "loadBalancerIP", "loadBalancerClass", "sessionAffinity", "externalTrafficPolicy")
"""What is read of ``spec`` as it is."""


class MetadataObject(TypedDict, total=False):
    """``metadata``."""

    name: str
    generateName: str
    namespace: str
    uid: str
    resourceVersion: str
    annotations: dict[str, str] | None
    labels: dict[str, str] | None
    deletionTimestamp: str | None


class PortObject(TypedDict, total=False):
    """One of ``spec.ports``."""

    name: str
    port: int
    protocol: str
    targetPort: int | str | None


class SpecObject(TypedDict, total=False):
    """``spec``."""

    type: str
    ports: list[PortObject] | None
    loadBalancerIP: str
    loadBalancerClass: str | None
    ipFamilies: list[str] | None
    sessionAffinity: str
    loadBalancerSourceRanges: list[str] | None
    externalTrafficPolicy: str


class IngressObject(TypedDict, total=False):
    """One of ``status.loadBalancer.ingress``."""

    ip: str


class LoadBalancerObject(TypedDict, total=False):
    """``status.loadBalancer``."""

    ingress: list[IngressObject] | None


class ConditionObject(TypedDict, total=False):
    """One of ``status.conditions``."""

    type: str


class StatusObject(TypedDict, total=False):
    """``status``."""

    loadBalancer: LoadBalancerObject
    conditions: list[ConditionObject] | None


class ServiceObject(TypedDict, total=False):
    """A ``v1`` Service, as far as we read it."""

    apiVersion: str
    kind: str
    metadata: MetadataObject
    spec: SpecObject
    status: StatusObject


def parse_service(service: ServiceObject, *, namespace: str = "") -> ServiceView:
    """What we read of a Service; ``namespace`` stands in where the object does not say (a manifest)."""
    metadata = service.get("metadata", {})
    spec = service.get("spec", {})
    status = service.get("status", {})
    notes = metadata.get("annotations") or {}
    key = notes.get(annotations.SHARED_VIP)
    # Interned are the texts that many Services have in common: a cache of 10,000 is 4 MB smaller.
    return ServiceView(
        name=ServiceName(
            _common(metadata.get("namespace") or namespace), metadata.get("name") or metadata.get("generateName", "")
        ),
        uid=metadata.get("uid", ""),
        type=_common(spec.get("type") or "ClusterIP"),
        sharing_key=key if key is None else _common(key),
        sharing_label=(metadata.get("labels") or {}).get(annotations.SHARED_VIP),
        ports=_parse_ports(spec),
        load_balancer_ip=spec.get("loadBalancerIP") or "",
        address_annotation=notes.get(annotations.LOAD_BALANCER_IP, ""),
        intended_address=notes.get(annotations.INTENDED_ADDRESS, ""),
        load_balancer_class=_common(spec.get("loadBalancerClass") or ""),
        infra_setting=notes.get(annotations.INFRA_SETTING, ""),
        l4_rule=notes.get(annotations.L4_RULE, ""),
        ip_families=tuple(map(_common, spec.get("ipFamilies") or ())),
        session_affinity=_common(spec.get("sessionAffinity") or ""),
        has_source_ranges=bool(spec.get("loadBalancerSourceRanges")),
        external_traffic_policy=_common(spec.get("externalTrafficPolicy") or ""),
        is_deleting=bool(metadata.get("deletionTimestamp")),
        vips=_parse_vips(status),
        has_ready_condition=_has_ready_condition(status),
    )


def _common(text: str) -> str:
    """One object for all that say the same. Of what is too long to be valid none is kept: Python 3.12 never lets go."""
    return intern(text) if len(text) <= _SHORT else text


def reads_alike(one: ServiceObject, other: ServiceObject) -> bool:
    """Whether ``parse_service`` would read the same of both: cheaper than to read the second."""
    if one.get("spec") != other.get("spec") or one.get("status") != other.get("status"):
        return False
    mine, theirs = one.get("metadata", {}), other.get("metadata", {})
    return all(mine.get(field) == theirs.get(field) for field in _IDENTITY) and (
        (mine.get("labels") or {}).get(annotations.SHARED_VIP)
        == (theirs.get("labels") or {}).get(annotations.SHARED_VIP)
    )


def judged_spec(spec: SpecObject) -> tuple[Hashable, ...]:
    """What a rule or a warning looks at: all that is read but a port's target, which is for the pool to know.

    Numbers as text: of two of those the same hash can be found by whoever looks for it (80 and 80 + 2^61 - 1).
    """
    return (
        *(spec.get(field) for field in _JUDGED),
        tuple(spec.get("ipFamilies") or ()),
        bool(spec.get("loadBalancerSourceRanges")),
        tuple([(str(port.get("port")), port.get("protocol"), port.get("name")) for port in spec.get("ports") or ()]),
    )


def judged_annotations(notes: Mapping[str, str] | None) -> tuple[str | None, ...]:
    """Likewise; ``kubectl apply`` writes the whole Service into another one each time."""
    return tuple([notes.get(name) for name in _NOTES]) if notes else ()


def _parse_ports(spec: SpecObject) -> tuple[ServicePort, ...]:
    return tuple([_parse_port(index, port) for index, port in enumerate(spec.get("ports") or ())])


def _parse_port(index: int, port: PortObject) -> ServicePort:
    number = port.get("port", 0)
    # Source: Kubernetes API: "If this is not specified, the value of the 'port' field is used".
    target = port.get("targetPort") or number
    protocol, name = port.get("protocol") or "TCP", port.get("name") or ""
    # When a Service is mutated, nobody has looked yet how long its texts are; of long ones none is remembered.
    is_short = len(protocol) + len(name) + (len(target) if isinstance(target, str) else 0) <= _SHORT
    return (_service_port if is_short else _service_port.__wrapped__)(index, number, protocol, name, target)


@lru_cache(maxsize=4096)
def _service_port(index: int, number: int, protocol: str, name: str, target: int | str) -> ServicePort:
    """One object for all Services that say the same: few of a cluster's ports differ."""
    return ServicePort(index, Listener(number, protocol), name, target)


def _parse_vips(status: StatusObject) -> tuple[str, ...]:
    entries = status.get("loadBalancer", {}).get("ingress")
    return tuple([entry.get("ip", "") for entry in entries if entry.get("ip")]) if entries else ()


def _has_ready_condition(status: StatusObject) -> bool:
    conditions = status.get("conditions")
    return bool(conditions) and any(c.get("type") == annotations.READY_CONDITION for c in conditions)


def static_address(service: ServiceView) -> str:
    """Its static address in canonical spelling, "" where it asks for none; ``spec.loadBalancerIP`` wins."""
    return canonical(service.load_balancer_ip or service.address_annotation)


def static_address_field(service: ServiceView) -> str:
    """Path of the field that its static address is in, or would be."""
    is_annotation = bool(service.address_annotation) and not service.load_balancer_ip
    return ADDRESS_ANNOTATION_FIELD if is_annotation else ADDRESS_FIELD


def intended_address(service: ServiceView) -> str:
    """The address that it wants its group to have, in canonical spelling, "" where it says nothing."""
    return canonical(service.intended_address)


def shared_values(service: ServiceView) -> SharedValues:
    """What it would have to have in common with its group; where it intends what it has, it intends nothing."""
    intended = intended_address(service)
    return SharedValues(
        static_address=static_address(service),
        load_balancer_class=service.load_balancer_class,
        infra_setting=service.infra_setting,
        l4_rule=service.l4_rule,
        intended_address="" if intended == static_address(service) else intended,
    )
