"""Nodes, and the ports that NodePortLocal opened on them for pods, as last observed; it never picks servers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final, NamedTuple

import msgspec

from cluster.ako_resources import OptionalReflector
from cluster.api import KubernetesApi
from cluster.index import Index
from cluster.metadata import ObjectMeta

NODES_PATH: Final = "/api/v1/nodes"
PODS_PATH: Final = "/api/v1/pods"

EXCLUDED: Final = "node.kubernetes.io/exclude-from-external-load-balancers"
"""Source: Kubernetes well-known labels; its value does not matter."""
NODE_PORT_LOCAL: Final = "nodeportlocal.antrea.io"
"""On a Pod. Source: Antrea ``docs/node-port-local.md``; ``ako.md`` 2.3."""

_ADDRESS_ANNOTATIONS: Final = (
    "projectcalico.org/IPv4Address",
    "projectcalico.org/IPv6Address",
    "node.antrea.io/transport-addresses",
)
"""What the CNI uses comes before ``InternalIP``. Source: AKO ``lib.go:2349`` (``ako.md`` 2.3)."""


@dataclass(frozen=True, slots=True)
class Node:
    """A node, with one address per family."""

    name: str
    addresses: Mapping[str, str] = field(default_factory=dict[str, str])
    """By ``IPv4`` or ``IPv6``."""
    labels: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def is_excluded(self) -> bool:
        """Whether external load balancers are to leave it out."""
        return EXCLUDED in self.labels


class LocalPort(NamedTuple):
    """A port that NodePortLocal opened on a node for one port of a pod."""

    pod_port: int
    protocol: str
    """``TCP`` or ``UDP``."""
    node_ip: str
    node_port: int


@dataclass(frozen=True, slots=True)
class LocalPod:
    """A pod that NodePortLocal serves."""

    namespace: str
    name: str
    addresses: tuple[str, ...]
    ports: tuple[LocalPort, ...]


class _Address(msgspec.Struct):
    type: str = ""
    address: str = ""


class _NodeStatus(msgspec.Struct):
    addresses: list[_Address] | None = None


class _NodeObject(msgspec.Struct):
    metadata: ObjectMeta
    status: _NodeStatus = msgspec.field(default_factory=_NodeStatus)


class _PodAddress(msgspec.Struct):
    ip: str = ""


class _PodStatus(msgspec.Struct, rename="camel"):
    pod_i_ps: list[_PodAddress] | None = msgspec.field(name="podIPs", default=None)


class _PodObject(msgspec.Struct):
    metadata: ObjectMeta
    status: _PodStatus = msgspec.field(default_factory=_PodStatus)


class _LocalEntry(msgspec.Struct, rename="camel"):
    pod_port: int = 0
    node_ip: str = msgspec.field(name="nodeIP", default="")
    node_port: int = 0
    protocol: str = ""
    protocols: list[str] | None = None


_LOCAL: Final = msgspec.json.Decoder(list[_LocalEntry])


class NodeCache:
    """All nodes.

    Args:
        api: The connection.
        on_change: Called when a node came, went, or has other addresses or labels; never for its heartbeat.
    """

    def __init__(self, api: KubernetesApi, *, on_change: Callable[[], None]) -> None:
        """Read nothing before the reflector runs."""
        self.reflector = OptionalReflector(
            api, NODES_PATH, raw=_NodeObject, select=_parse_node, on_change=lambda _old, _new: on_change()
        )
        # Without nodes every pool would be empty: rather wait for the right to read them.
        self.reflector.is_required = True

    def all(self) -> tuple[Node, ...]:
        """All of them, sorted by name."""
        return tuple(sorted(self.reflector.records(), key=lambda node: node.name))


class LocalPodCache:
    """The pods that NodePortLocal serves, by address.

    Args:
        api: The connection.
        on_change: Told the namespace in which something changed.
    """

    def __init__(self, api: KubernetesApi, *, on_change: Callable[[str], None]) -> None:
        """Read nothing before the reflector runs."""
        self._tell = on_change
        self._by_address: Index[str, tuple[str, str], LocalPod] = Index()
        self.reflector = OptionalReflector(api, PODS_PATH, raw=_PodObject, select=_parse_pod, on_change=self._on_change)
        self.reflector.is_required = True

    def ports_at(self, address: str) -> tuple[LocalPort, ...]:
        """What is open for the pod at an address, sorted."""
        return tuple(sorted(port for pod in self._by_address.get(address) for port in pod.ports))

    def _on_change(self, old: LocalPod | None, new: LocalPod | None) -> None:
        if old is not None:
            for address in old.addresses:
                self._by_address.drop(address, (old.namespace, old.name))
        if new is not None:
            for address in new.addresses:
                self._by_address.put(address, (new.namespace, new.name), new)
        for namespace in {pod.namespace for pod in (old, new) if pod is not None}:
            self._tell(namespace)


def _parse_node(raw: _NodeObject) -> Node:
    notes = raw.metadata.annotations or {}
    told = [part.partition("/")[0].strip() for key in _ADDRESS_ANNOTATIONS for part in notes.get(key, "").split(",")]
    internal = [entry.address for entry in raw.status.addresses or () if entry.type == "InternalIP"]
    found: dict[str, str] = {}
    for text in (*told, *internal):
        family = _family(text)
        if family:
            found.setdefault(family, text)
    return Node(raw.metadata.name, found, raw.metadata.labels or {})


def _family(text: str) -> str:
    try:
        return f"IPv{ip_address(text).version}"
    except ValueError:
        return ""


def _parse_pod(raw: _PodObject) -> LocalPod | None:
    note = (raw.metadata.annotations or {}).get(NODE_PORT_LOCAL)
    if not note:
        return None
    ports = (
        LocalPort(entry.pod_port, protocol.upper(), entry.node_ip, entry.node_port)
        for entry in _LOCAL.decode(note)
        # Older Antrea says ``protocols``, newer ``protocol``; without either it is TCP.
        for protocol in entry.protocols or [entry.protocol or "tcp"]
    )
    addresses = tuple(entry.ip for entry in raw.status.pod_i_ps or () if entry.ip)
    return LocalPod(raw.metadata.namespace, raw.metadata.name, addresses, tuple(ports))
