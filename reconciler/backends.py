"""Which servers a listener's pool has in each of AKO's three service types; pure, it never looks anything up.

Source: ``ako.md`` 1.4, 2.2 and 2.3. Better than AKO: nodes that external load balancers must leave out are left out,
a node whose endpoints are not ready takes no new connections under ``externalTrafficPolicy: Local``, and a pod that
NodePortLocal serves counts only while it is an endpoint.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from cluster.ako_resources import DetailedService
from cluster.nodes import LocalPort, Node
from reconciler.graph import JsonObject
from reconciler.servers import Endpoint, Place, Slice, State, endpoints, order, render, servers
from reconciler.settings import IpFamily, ServiceType
from sharedvip.model import ServiceName, ServicePort, ServiceView

_FAMILIES: Final[Mapping[IpFamily, tuple[str, ...]]] = {
    "V4": ("IPv4",),
    "V6": ("IPv6",),
    "V4_V6": ("IPv4", "IPv6"),
}


@dataclass(frozen=True, slots=True)
class Backends:
    """Everything that servers are made of."""

    slices: Mapping[ServiceName, tuple[Slice, ...]] = field(default_factory=dict[ServiceName, tuple[Slice, ...]])
    nodes: tuple[Node, ...] = ()
    """Those that the operator's selector selects, sorted by name."""
    local_ports: Mapping[str, tuple[LocalPort, ...]] = field(default_factory=dict[str, tuple[LocalPort, ...]])
    """By address of a pod."""


def server_families(service: ServiceView, *, vip: Collection[str], setting: IpFamily) -> tuple[str, ...]:
    """Which endpoints are servers: the setting's, else the VIP's; where the Service has none of these, its own.

    The last is what a Controller can translate; without it the pool would be empty.
    """
    wanted = _FAMILIES.get(setting, tuple(vip))
    own = service.ip_families
    return own if own and not setting and not set(own).intersection(wanted) else wanted


def pool_servers(
    service: ServiceView, port: ServicePort, backends: Backends, *, kind: ServiceType, families: Collection[str]
) -> tuple[JsonObject, ...]:
    """The servers of a listener, sorted by address and port.

    Args:
        service: Who serves it.
        port: By which port.
        backends: What there is.
        kind: The operator's ``service_type``.
        families: Of the servers.
    """
    slices = backends.slices.get(service.name, ())
    if kind == "NodePort" and not _skips_node_ports(service):
        local = None
        if service.external_traffic_policy == "Local":
            local = _nodes_with_endpoints(port, slices)
        found = _on_nodes(_node_port(service, port), backends.nodes, local=local, families=families)
    elif kind == "NodePortLocal":
        found = _opened(endpoints(port, slices, families=("IPv4", "IPv6")), port, backends.local_ports)
    else:
        return servers(port, slices, families=families)
    states: dict[Place, State] = {}
    for place, state in found:
        states[place] = max(states.get(place, state), state)
    return tuple(render(Endpoint(place, states[place])) for place in sorted(states, key=order))


def has_no_node_port(service: ServiceView, port: ServicePort) -> bool:
    """Whether NodePort cannot serve it: ``allocateLoadBalancerNodePorts: false``."""
    return not _skips_node_ports(service) and not _node_port(service, port)


def _skips_node_ports(service: ServiceView) -> bool:
    return isinstance(service, DetailedService) and service.skips_node_ports


def _node_port(service: ServiceView, port: ServicePort) -> int:
    ports = service.node_ports if isinstance(service, DetailedService) else ()
    return ports[port.index] if port.index < len(ports) else 0


def _nodes_with_endpoints(port: ServicePort, slices: Collection[Slice]) -> dict[str, bool]:
    """By node: whether an endpoint there takes new connections."""
    nodes: dict[str, bool] = {}
    for _, state in endpoints(port, slices, families=("IPv4", "IPv6")):
        nodes[state.node] = nodes.get(state.node, False) or state.is_enabled
    return nodes


def _on_nodes(
    node_port: int, nodes: Collection[Node], *, local: Mapping[str, bool] | None, families: Collection[str]
) -> Iterator[Endpoint]:
    """Each node once, by its address of the first family that it has."""
    for node in nodes if node_port else ():
        address = next((node.addresses[family] for family in families if family in node.addresses), "")
        if not address or node.is_excluded or (local is not None and node.name not in local):
            continue
        yield Endpoint(Place(address, node_port), State(local is None or local[node.name], node.name))


def _opened(
    found: Collection[Endpoint], port: ServicePort, local_ports: Mapping[str, tuple[LocalPort, ...]]
) -> Iterator[Endpoint]:
    for place, state in found:
        for opened in local_ports.get(place.address, ()):
            if (opened.pod_port, opened.protocol) == (place.port, port.listener.protocol):
                yield Endpoint(Place(opened.node_ip, opened.node_port), state)
