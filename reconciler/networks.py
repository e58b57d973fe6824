"""Networks and short texts as an operator writes them, in a file or a variable, and what is wrong with them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class VipNetwork:
    """Where VIPs come from. Source: AKO ``NetworkSettings.vipNetworkList``."""

    name: str
    cidr: str = ""
    """``100.64.196.0/24``; "" leaves the choice of the subnet to Avi."""
    cidr_v6: str = ""
    """With ``cidr`` a VIP has an address of each family; alone, a VIP is an IPv6 address."""
    uuid: str = ""
    """In place of the name, where several networks have it."""

    @property
    def families(self) -> tuple[str, ...]:
        """``IPv4``, ``IPv6`` or both: what a VIP of this network has."""
        return (("IPv4", "IPv6") if self.cidr else ("IPv6",)) if self.cidr_v6 else ("IPv4",)


@dataclass(frozen=True, slots=True)
class NodeNetwork:
    """Where a pool's servers are. Source: AKO ``NetworkSettings.nodeNetworkList``."""

    name: str
    cidrs: tuple[str, ...] = ()
    uuid: str = ""


class Selector(NamedTuple):
    """A label that must be there, with this value unless it is "". Source: AKO ``nodePortSelector``."""

    key: str
    value: str = ""

    def selects(self, labels: Mapping[str, str]) -> bool:
        """Whether something with these labels is selected."""
        return self.key in labels and self.value in ("", labels[self.key])


def parse_words(given: tuple[str, ...] | str) -> tuple[str, ...]:
    """A list, or its members separated by commas as in a variable."""
    parts = given.split(",") if isinstance(given, str) else given
    return tuple(part.strip() for part in parts if part.strip())


def parse_selector(text: str) -> Selector | None:
    """``key=value`` or ``key``, as kubectl takes it; None where there is none."""
    key, _, value = text.partition("=")
    return Selector(key.strip(), value.strip().strip("=")) if key.strip() else None


def parse_node_networks(given: tuple[NodeNetwork, ...] | str) -> tuple[NodeNetwork, ...]:
    """A list, or ``net1=10.0.0.0/24=10.1.0.0/24,net2=10.2.0.0/24`` as in a variable."""
    if not isinstance(given, str):
        return given
    return tuple(_parse_node_network(part) for part in parse_words(given))


def _parse_node_network(text: str) -> NodeNetwork:
    name, *cidrs = text.split("=")
    return NodeNetwork(name, tuple(cidrs))


def parse_network(cidr: str) -> IPv4Network | IPv6Network | None:
    """The subnet, None where the text is none."""
    try:
        return ip_network(cidr)
    except ValueError:
        return None


def vip_network_problems(network: VipNetwork) -> Iterator[str]:
    """What is wrong with one of ``avi_vip_networks``."""
    if not network.name and not network.uuid:
        yield "avi_vip_networks: a network must have a name; for example 'net1'"
    if network.cidr and not isinstance(parse_network(network.cidr), IPv4Network):
        yield f"avi_vip_networks: {network.cidr!r} must be an IPv4 subnet; for example '100.64.196.0/24'"
    if network.cidr_v6 and not isinstance(parse_network(network.cidr_v6), IPv6Network):
        yield f"avi_vip_networks: {network.cidr_v6!r} must be an IPv6 subnet; for example '2001:db8::/64'"


def node_network_problems(networks: tuple[NodeNetwork, ...]) -> Iterator[str]:
    """What is wrong with ``avi_node_networks``."""
    if len(networks) > MAX_NODE_NETWORKS:
        yield f"avi_node_networks: {len(networks)} networks; there must be at most {MAX_NODE_NETWORKS}"
    for network in networks:
        if not (network.name or network.uuid) or not network.cidrs:
            yield f"avi_node_networks: {network.name!r} must have a name and a subnet; for example 'net1=10.0.0.0/24'"
        for cidr in network.cidrs:
            if parse_network(cidr) is None:
                yield f"avi_node_networks: {cidr!r} must be a subnet; for example '10.0.0.0/24'"


MAX_NODE_NETWORKS = 5
"""Source: AKO ``nodeNetworkList`` (``ako.md`` 8)."""
