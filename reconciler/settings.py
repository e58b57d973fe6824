"""What an operator decides about the reconciler, and what is wrong with it; it reads no flag, file or variable."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Final, Literal, NamedTuple
from urllib.parse import urlsplit

from reconciler.names import CLUSTER_NAME
from sharedvip.model import Policy

Mode = Literal["full", "guard"]

CONTROLLER_REQUESTS_PER_SECOND: Final = 32
"""What a Controller lets one client do on average. Source: Broadcom KB 372209 (``avi.md`` 2.9)."""

HTTPS_PORT: Final = 443


@dataclass(frozen=True, slots=True)
class VipNetwork:
    """Where VIPs come from. Source: AKO ``NetworkSettings.vipNetworkList``."""

    name: str
    cidr: str = ""
    """``100.64.196.0/24``; "" leaves the choice of the subnet to Avi."""
    cidr_v6: str = ""


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
    avi_vip_networks: tuple[VipNetwork, ...] = ()
    """Empty: the first usable network of the cloud's IPAM profile."""
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
    workers: int = 8
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
        yield from _network_problems(network)


def _network_problems(network: VipNetwork) -> Iterator[str]:
    if not network.name:
        yield "avi_vip_networks: a network must have a name; for example 'net1'"
    if network.cidr and not isinstance(_network(network.cidr), IPv4Network):
        yield f"avi_vip_networks: {network.cidr!r} must be an IPv4 subnet; for example '100.64.196.0/24'"
    if network.cidr_v6 and not isinstance(_network(network.cidr_v6), IPv6Network):
        yield f"avi_vip_networks: {network.cidr_v6!r} must be an IPv6 subnet; for example '2001:db8::/64'"


def _network(cidr: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(cidr)
    except ValueError:
        return None
