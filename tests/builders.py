"""Minimal valid Services, peers and situations: a test says only what it is about.

Everything is the seed's: namespace ``default``, key ``shared-vip-key-1``, a LoadBalancer Service with port 80/TCP.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TypedDict, Unpack, cast

from sharedvip.annotations import SHARED_VIP
from sharedvip.model import (
    AddressHolder,
    Denial,
    Group,
    GroupName,
    Listener,
    Peer,
    Policy,
    ServiceName,
    ServicePort,
    ServiceView,
    SharedValues,
    Situation,
)
from sharedvip.parse import ServiceObject

NAMESPACE = "default"
KEY = "shared-vip-key-1"
GROUP = GroupName(NAMESPACE, KEY)
DEFAULT_PORTS = ("80/TCP",)


class ServiceFields(TypedDict, total=False):
    """What a test may say of a ``ServiceView`` besides its name, ports and key."""

    uid: str
    type: str
    sharing_label: str | None
    load_balancer_ip: str
    address_annotation: str
    intended_address: str
    load_balancer_class: str
    infra_setting: str
    l4_rule: str
    ip_families: tuple[str, ...]
    session_affinity: str
    has_source_ranges: bool
    external_traffic_policy: str
    is_deleting: bool
    vips: tuple[str, ...]
    has_ready_condition: bool


def listener(text: str) -> Listener:
    """``80/UDP`` as Kubernetes prints it; ``80`` is 80/TCP."""
    port, _, protocol = text.partition("/")
    return Listener(int(port), protocol or "TCP")


def listeners(*texts: str) -> tuple[Listener, ...]:
    """Several listeners, in the order given."""
    return tuple(listener(text) for text in texts)


def service(
    name: str = "web",
    *ports: str,
    key: str | None = KEY,
    namespace: str = NAMESPACE,
    **fields: Unpack[ServiceFields],
) -> ServiceView:
    """A member of the seed's group: ``service("web", "443/TCP", load_balancer_ip="10.0.0.1")``; ``key=None``: none."""
    entries = tuple(ServicePort(i, listener(text)) for i, text in enumerate(ports or DEFAULT_PORTS))
    view = ServiceView(
        name=ServiceName(namespace, name), uid=f"uid-of-{name}", type="LoadBalancer", sharing_key=key, ports=entries
    )
    return replace(view, **fields)


def service_object(
    name: str = "web",
    *ports: str,
    key: str | None = KEY,
    namespace: str = NAMESPACE,
    annotations: Mapping[str, str] | None = None,
    spec: Mapping[str, object] | None = None,
) -> ServiceObject:
    """The same as Kubernetes JSON, as ``kubectl create`` would send it: no uid, no status, everything JSON can hold.

    Args:
        name: ``metadata.name``.
        *ports: ``443/TCP``; named by protocol and port, as Kubernetes wants where there are several.
        key: The sharing key, None for a Service without the annotation.
        namespace: ``metadata.namespace``.
        annotations: Further annotations.
        spec: Fields of ``spec`` to add or replace (``{"loadBalancerIP": "10.0.0.1"}``).
    """
    notes = {SHARED_VIP: key} if key is not None else {}
    metadata = {"name": name, "namespace": namespace, "annotations": {**notes, **(annotations or {})}}
    merged = {
        "type": "LoadBalancer",
        "selector": {"app": "avi-server"},
        "ports": [_port_object(listener(text)) for text in ports or DEFAULT_PORTS],
        **(spec or {}),
    }
    return cast("ServiceObject", {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": merged})


def _port_object(of: Listener) -> dict[str, object]:
    return {"name": f"{of.protocol.lower()}-{of.port}", "port": of.port, "protocol": of.protocol, "targetPort": 8080}


def peer(name: str, *ports: str, is_pending: bool = False, **shared: str) -> Peer:
    """Another member of the group: ``peer("api", "443/TCP", static_address="10.0.0.1")``."""
    return Peer(
        name, f"uid-of-{name}", listeners(*(ports or ("9999/TCP",))), SharedValues(**shared), is_pending=is_pending
    )


def situation(
    *peers: Peer,
    key: str = KEY,
    vip: str = "",
    holders: Iterable[AddressHolder] = (),
    policy: Policy | None = None,
) -> Situation:
    """The seed's group with these peers."""
    return Situation(Group(GroupName(NAMESPACE, key), peers, vip=vip), tuple(holders), policy or Policy())


def lines(denials: Iterable[Denial]) -> list[str]:
    """The denials as users read them."""
    return [str(denial) for denial in denials]
