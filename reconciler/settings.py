"""What an operator decides about the reconciler, and what is wrong with it; it reads no flag, file or variable."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, NamedTuple
from urllib.parse import urlsplit

from reconciler.names import CLUSTER_NAME
from reconciler.networks import (
    NodeNetwork,
    Selector,
    VipNetwork,
    node_network_problems,
    parse_node_networks,
    parse_selector,
    parse_words,
    vip_network_problems,
)
from sharedvip.model import Policy

Mode = Literal["full", "guard"]
ServiceType = Literal["ClusterIP", "NodePort", "NodePortLocal"]
AutoFqdn = Literal["default", "flat", "disabled"]
IpFamily = Literal["", "V4", "V6", "V4_V6"]

CONTROLLER_REQUESTS_PER_SECOND: Final = 32
"""What a Controller lets one client do on average. Source: Broadcom KB 372209 (``avi.md`` 2.9)."""

HTTPS_PORT: Final = 443


class Endpoint(NamedTuple):
    """Where the Controller listens."""

    host: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcilerSettings:
    """All settings; ``problems`` tells what is wrong with them, all at once.

    Names follow AKO's Helm keys where there is one (``ako.md`` section 8).
    """

    cluster_name: str
    mode: Mode = "full"
    avi_controller: str = ""
    """Host, address, or ``https://host:port``."""
    avi_credentials_directory: Path | None = None
    """Holds the files ``username``, ``password`` and ``ca.crt``: a mounted Secret, read again when it changes."""
    avi_tenant: str = "admin"
    avi_cloud: str = "Default-Cloud"
    avi_se_group: str = "Default-Group"
    avi_vrf: str = "global"
    """"" lets the Controller choose; of no account where there is a T1."""
    avi_nsxt_t1_lr: str = ""
    """Path of the T1 in an NSX-T cloud: in place of the VRF."""
    avi_vip_networks: tuple[VipNetwork, ...] = ()
    """Empty: the first usable network of the cloud's IPAM profile."""
    avi_node_networks: tuple[NodeNetwork, ...] | str = ()
    """Where servers are, for clouds that must be told; as text ``net1=10.0.0.0/24,net2=10.1.0.0/24=10.2.0.0/24``."""
    avi_enable_rhi: bool = False
    """Whether the VIP's route is announced."""
    avi_bgp_peer_labels: tuple[str, ...] | str = ()
    """To whom; as text, separated by commas. Only with ``avi_enable_rhi``."""
    avi_auto_fqdn: AutoFqdn = "default"
    """One name per member: ``web.shop.<domain>``, ``web-shop.<domain>`` (flat), or only the annotated ones."""
    avi_default_domain: str = ""
    """One of the cloud's DNS domains; "": the first of them by alphabet."""
    avi_tenant_per_namespace: bool = False
    """Whether the annotation ``ako.vmware.com/tenant-name`` of a Namespace decides; reads then go to all tenants."""
    service_type: ServiceType = "ClusterIP"
    """What a pool's servers are: endpoints, node ports, or Antrea's NodePortLocal ports."""
    node_port_selector: str = ""
    """Which nodes serve NodePort: ``key=value``; "": all."""
    ip_family: IpFamily = ""
    """Which endpoints are servers; "": those of the VIP's families."""
    blocked_namespaces: tuple[str, ...] | str = ()
    """Groups in these are never built; as text, separated by commas."""
    namespace_selector: str = ""
    """Only groups in namespaces with this label are built: ``key=value``; "": in all."""
    avi_api_version: str = "30.2.1"
    avi_requests_per_second: float = 25.0
    """Below the Controller's 32, with room for a person's browser behind the same address."""
    avi_has_macro: bool = True
    """Whether the Controller takes macro calls (``avi.md`` 4.1); without them a new group of n listeners is n + 3."""
    policy: Policy = field(default_factory=Policy)
    namespace: str = "sharedvip-system"
    """Where the Lease is."""
    lease_name: str = "sharedvip-reconciler"
    identity: str = ""
    """Who we are in the Lease, different in each process; "" makes one from the host's name and a random part."""
    resync_seconds: float = 300.0
    """How often Avi's objects are listed again; drift lives at most this long."""
    workers: int = 24
    """Twice the calls that are on their way at the Controller's limit: a worker waits for the API server, too. Eight
    could make 8 / 0.37 s = 22 calls a second at most."""
    health_host: str = "0.0.0.0"  # noqa: S104 - probes and scrapes come from outside the pod; nothing secret is served
    health_port: int = 8080
    """0 takes a free one, told in the log."""

    @property
    def endpoint(self) -> Endpoint:
        """Where the Controller listens; host "" where the setting is unusable."""
        has_scheme = "://" in self.avi_controller
        parts = urlsplit(self.avi_controller if has_scheme else f"https://{_bracketed(self.avi_controller)}")
        try:
            return Endpoint(parts.hostname or "", parts.port or HTTPS_PORT)
        except ValueError:
            return Endpoint("", HTTPS_PORT)

    @property
    def peer_labels(self) -> tuple[str, ...]:
        """``avi_bgp_peer_labels``, however written."""
        return parse_words(self.avi_bgp_peer_labels)

    @property
    def node_networks(self) -> tuple[NodeNetwork, ...]:
        """``avi_node_networks``, however written."""
        return parse_node_networks(self.avi_node_networks)

    @property
    def nodes(self) -> Selector | None:
        """``node_port_selector``; None: all nodes."""
        return parse_selector(self.node_port_selector)

    @property
    def namespaces(self) -> Selector | None:
        """``namespace_selector``; None: all namespaces."""
        return parse_selector(self.namespace_selector)

    @property
    def blocked(self) -> frozenset[str]:
        """``blocked_namespaces``, however written."""
        return frozenset(parse_words(self.blocked_namespaces))

    @property
    def problems(self) -> tuple[str, ...]:
        """One line per setting that is wrong: its name, its value, what it must be, an example."""
        return (*_general_problems(self), *(_avi_problems(self) if self.mode == "full" else ()))


def _bracketed(host: str) -> str:
    # More than one colon and no bracket: an IPv6 address as people write it.
    is_bare_ipv6 = host.count(":") > 1 and not host.startswith("[")
    return f"[{host}]" if is_bare_ipv6 else host


def _general_problems(settings: ReconcilerSettings) -> Iterator[str]:
    if not CLUSTER_NAME.fullmatch(settings.cluster_name):
        yield (
            f"cluster_name: {settings.cluster_name!r} must be 1 to 63 letters, digits, '-' or '_', no '-' at the end, "
            "different for each cluster on one Controller; for example 'production-1'"
        )
    if settings.resync_seconds <= 0:
        yield f"resync_seconds: {settings.resync_seconds} must be more than 0; for example 300"
    if settings.workers < 1:
        yield f"workers: {settings.workers} must be at least 1; for example 8"


def _avi_problems(settings: ReconcilerSettings) -> Iterator[str]:
    if not settings.endpoint.host or settings.avi_controller.startswith("http:"):
        yield (
            f"avi_controller: {settings.avi_controller!r} must be a host, an address or an https URL; "
            "for example 'avi.example.com'"
        )
    if settings.avi_credentials_directory is None:
        yield "avi_credentials_directory: must name a directory with the files username, password and ca.crt"
    if not 0 < settings.avi_requests_per_second <= CONTROLLER_REQUESTS_PER_SECOND:
        yield (
            f"avi_requests_per_second: {settings.avi_requests_per_second} must be more than 0 and at most "
            f"{CONTROLLER_REQUESTS_PER_SECOND}, the Controller's own limit; for example 25"
        )
    for network in settings.avi_vip_networks:
        yield from vip_network_problems(network)
    yield from node_network_problems(settings.node_networks)
    if settings.peer_labels and not settings.avi_enable_rhi:
        yield f"avi_bgp_peer_labels: {settings.peer_labels[0]!r} must come with avi_enable_rhi: true"
    for name in ("node_port_selector", "namespace_selector"):
        text: str = getattr(settings, name)
        if text and parse_selector(text) is None:
            yield f"{name}: {text!r} must be a label; for example 'key=value'"
