"""The Services and groups of the benchmark, as plain values and documents; it never talks to a cluster.

Groups of five, two ports each; every fourth group has a static address. No selector, so that no controller works on
EndpointSlices meanwhile, and no node ports, of which a cluster has only 2,768.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from sharedvip.annotations import AVI_CLASS, LOAD_BALANCER_IP, SHARED_VIP
from sharedvip.ledger import object_name

MEMBERS: Final = 5
_FIRST_PORT: Final = 8000
_STATIC_EVERY: Final = 4

JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Namespace:
    """A namespace and how many Services are in it; a multiple of five."""

    name: str
    services: int


@dataclass(frozen=True, slots=True)
class BenchGroup:
    """A group, by its number in the whole population."""

    namespace: str
    number: int

    @property
    def key(self) -> str:
        """Its sharing key."""
        return f"vip-{self.number:05d}"

    @property
    def static_address(self) -> str:
        """Its address, "" for three groups of four."""
        if self.number % _STATIC_EVERY:
            return ""
        return f"100.64.{self.number // 250 % 256}.{self.number % 250 + 1}"

    @property
    def members(self) -> tuple[str, ...]:
        """The names of its Services."""
        return tuple(f"svc-{self.number:05d}-{member}" for member in range(MEMBERS))


def groups(namespaces: Iterable[Namespace]) -> Iterator[BenchGroup]:
    """All groups, numbered through."""
    number = 0
    for namespace in namespaces:
        for _ in range(namespace.services // MEMBERS):
            yield BenchGroup(namespace.name, number)
            number += 1


def render_members(group: BenchGroup) -> Iterator[JsonObject]:
    """The group's Services."""
    for member, name in enumerate(group.members):
        port = _FIRST_PORT + member
        yield render_service(group, name=name, ports=((port, "TCP"), (port, "UDP")))


def render_service(
    group: BenchGroup, *, name: str, ports: Iterable[tuple[int, str]], service_type: str = "LoadBalancer"
) -> JsonObject:
    """A Service that asks for the group."""
    notes = {SHARED_VIP: group.key}
    if group.static_address:
        notes[LOAD_BALANCER_IP] = group.static_address
    entries = [
        {"name": f"{protocol.lower()}-{port}", "port": port, "protocol": protocol, "targetPort": 8080}
        for port, protocol in ports
    ]
    spec: JsonObject = {"type": service_type, "ports": entries}
    if service_type == "LoadBalancer":
        spec |= {"allocateLoadBalancerNodePorts": False, "loadBalancerClass": AVI_CLASS}
    labels = {"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "bench", "team": "payments"}
    metadata = {"name": name, "namespace": group.namespace, "labels": labels, "annotations": notes}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def render_ledger(group: BenchGroup, services: Iterable[JsonObject]) -> JsonObject:
    """The group's ``SharedVIP`` with the claims of its stored Services."""
    claims = [
        {
            "port": port["port"],
            "protocol": port["protocol"],
            "service": service["metadata"]["name"],
            "uid": service["metadata"]["uid"],
            "claimedAt": "2026-01-01T00:00:00.000000Z",
        }
        for service in services
        for port in service["spec"]["ports"]
    ]
    return {
        "apiVersion": "sharedvip.dev/v1alpha1",
        "kind": "SharedVIP",
        "metadata": {"name": object_name(group.key), "namespace": group.namespace},
        "spec": {
            "key": group.key,
            "staticAddress": group.static_address,
            "loadBalancerClass": AVI_CLASS,
            "infraSetting": "",
            "l4Rule": "",
            "claims": claims,
        },
    }
