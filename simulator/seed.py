"""What a fresh Controller holds; it is written once, before the first request.

Source: avi.md 2.2 (names used by AKO, ``pkg/utils/constants.go``); avi.md 2.8 for the IPAM profile's networks.
"""

import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from simulator.documents import Document
from simulator.kinds import KINDS
from simulator.references import ADMIN
from simulator.settings import Settings, Subnet
from simulator.store import Record
from simulator.writes import Caller, Writer

IPAM_PROFILE: Final = "avi-ipam"
"""Source: ako.md Appendix B."""

FACTORY: Final = Caller(is_factory=True)

NETWORK_PROFILES: Final = {
    "System-TCP-Proxy": "TCP_PROXY",
    "System-TCP-Fast-Path": "TCP_FAST_PATH",
    "System-UDP-Fast-Path": "UDP_FAST_PATH",
    "System-UDP-Per-Pkt": "UDP_FAST_PATH",
    "System-UDP-No-Snat": "UDP_FAST_PATH",
    "System-SCTP-Proxy": "SCTP_PROXY",
}
APPLICATION_PROFILES: Final = {
    "System-HTTP": "HTTP",
    "System-L4-Application": "L4",
    "System-SSL-Application": "SSL",
}
HEALTH_MONITORS: Final = {"System-TCP": "TCP", "System-UDP": "UDP", "System-SCTP": "SCTP", "System-Ping": "PING"}


def seed(writer: Writer, settings: Settings) -> None:
    """Write tenant ``admin``, the default cloud with its IPAM, and the system profiles."""
    _system(writer, "tenant", {"name": ADMIN}, forced_uuid=ADMIN)
    for path, body in _profiles():
        _system(writer, path, body)
    # The networks need the cloud, the profile needs the networks, the cloud needs the profile: hence the second write.
    cloud = _system(writer, "cloud", {"name": settings.cloud, "vtype": "CLOUD_NONE"})
    cloud_defaults(writer, cloud.name)
    for network in _networks(settings.subnets):
        _write(writer, "network", network)
    usable: list[object] = [{"nw_ref": f"/api/network?name={name}"} for name in _names(settings.subnets)]
    profile: Document = {"name": IPAM_PROFILE, "type": "IPAMDNS_TYPE_INTERNAL"}
    _write(writer, "ipamdnsproviderprofile", {**profile, "internal_profile": {"usable_networks": usable}})
    body = {**cloud.document, "ipam_provider_ref": f"/api/ipamdnsproviderprofile?name={IPAM_PROFILE}"}
    writer.change(cloud, body, FACTORY)


def cloud_defaults(writer: Writer, cloud: str) -> None:
    """What every cloud is born with. Source: avi.md 2.2 for the default cloud; assumed for another."""
    _system(writer, "vrfcontext", {"name": "global", "system_default": True, "cloud_ref": f"/api/cloud?name={cloud}"})
    _system(writer, "serviceenginegroup", {"name": "Default-Group", "cloud_ref": f"/api/cloud?name={cloud}"})


def _profiles() -> Iterator[tuple[str, Document]]:
    for name, kind in NETWORK_PROFILES.items():
        yield "networkprofile", {"name": name, "profile": _profile(name, kind)}
    for name, kind in APPLICATION_PROFILES.items():
        yield "applicationprofile", {"name": name, "type": f"APPLICATION_PROFILE_TYPE_{kind}"}
    for name, kind in HEALTH_MONITORS.items():
        yield "healthmonitor", {"name": name, "type": f"HEALTH_MONITOR_{kind}"}
    yield "analyticsprofile", {"name": "System-Analytics-Profile"}


def _profile(name: str, kind: str) -> Document:
    whole: Document = {"type": f"PROTOCOL_TYPE_{kind}"}
    if kind == "UDP_FAST_PATH":
        whole["udp_fast_path_profile"] = {
            "per_pkt_loadbalance": name.endswith("Per-Pkt"),
            "snat": not name.endswith("Snat"),
        }
    elif kind == "TCP_FAST_PATH":
        whole["tcp_fast_path_profile"] = {}
    return whole


def _names(subnets: Iterable[Subnet]) -> list[str]:
    return list(dict.fromkeys(subnet.network for subnet in subnets))


def _networks(subnets: tuple[Subnet, ...]) -> Iterator[Document]:
    for name in _names(subnets):
        configured: list[object] = [_subnet(subnet) for subnet in subnets if subnet.network == name]
        yield {"name": name, "configured_subnets": configured}


def _subnet(subnet: Subnet) -> Document:
    prefix = ipaddress.ip_network(subnet.cidr)
    ranges: list[object] = [
        {"range": {"begin": {"addr": first}, "end": {"addr": last}}, "type": "STATIC_IPS_FOR_VIP_AND_SE"}
        for first, last in subnet.ranges
    ]
    shown: Document = {"prefix": {"ip_addr": {"addr": str(prefix.network_address)}, "mask": prefix.prefixlen}}
    return {**shown, "static_ip_ranges": ranges} if ranges else shown


def _write(writer: Writer, path: str, body: Document, *, forced_uuid: str = "") -> Record:
    return writer.create(KINDS[path], body, FACTORY, forced_uuid=forced_uuid)


def _system(writer: Writer, path: str, body: Document, *, forced_uuid: str = "") -> Record:
    record = replace(_write(writer, path, body, forced_uuid=forced_uuid), is_system=True)
    writer.store.put(record)
    return record
