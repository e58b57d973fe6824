"""What a group is to be on Avi: one virtual service, one VIP, a pool per listener; pure, it never sees what is there.

Source of the shapes: ``ako.md`` 2.2 and 2.3, AKO's graph for a shared VIP in ClusterIP mode, names excepted. AKO's
``service_metadata`` (its own notes) and ``error_page_profile_ref`` (empty) are left out.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from cluster.ako_resources import L4Rule
from reconciler.backends import Backends, pool_servers, server_families
from reconciler.graph import AviObject, GroupGraph, Json, JsonObject, ObjectType, reference
from reconciler.l4_rules import pool_fields, virtual_service_fields
from reconciler.names import ObjectName, created_by
from reconciler.networks import NodeNetwork, VipNetwork
from reconciler.placement import Placement, placement
from reconciler.profiles import APPLICATION_PROFILE, has_overrides, health_monitor, network_profile, override
from reconciler.servers import Slice
from reconciler.settings import ReconcilerSettings
from sharedvip.addresses import family_of, parse_address
from sharedvip.model import GroupName, Listener, ServiceName, ServicePort, ServiceView

UNHASHED: Final[Mapping[ObjectType, frozenset[str]]] = {
    "pool": frozenset({"servers", "markers"}),
    "vsvip": frozenset({"vip"}),
}
"""What an object's own hash leaves out: a VIP stays as it is; a pool's servers, and whose they are, move by a PATCH."""


class Serving(NamedTuple):
    """Who serves a listener: a member whose claim is in the ledger and whose port is in the cluster."""

    service: ServiceView
    port: ServicePort


@dataclass(frozen=True, slots=True)
class Observation:
    """All that the graph of a group depends on, besides the settings."""

    group: GroupName
    serving: Mapping[Listener, Serving]
    """Every accepted listener; empty: the group is to be nothing."""
    static_address: str = ""
    """The group's, in canonical spelling; "" lets Avi choose."""
    slices: Mapping[ServiceName, tuple[Slice, ...]] | None = None
    licence_tier: str = "ENTERPRISE"
    """``default_license_tier`` of ``/api/systemconfiguration``."""
    backends: Backends = field(default_factory=Backends)
    """Nodes and the ports on them; the slices are in ``slices``."""
    placement: Placement | None = None
    """None: as the settings say."""
    l4_rule: L4Rule | None = None
    host_names: Mapping[ServiceName, tuple[str, ...]] = field(default_factory=dict[ServiceName, tuple[str, ...]])
    """The DNS names of each member; none where the cloud has no DNS."""
    unserved: Mapping[ServiceName, str] = field(default_factory=dict[ServiceName, str])
    """Why listeners of a member are not in ``serving`` though it may have them."""
    waits_for: str = ""
    """What the group needs before anything can be built; "" as a rule."""
    is_selected: bool = True
    """Whether the operator wants groups of this namespace built."""
    notes: tuple[str, ...] = ()
    """What of the members' and the operator's wishes is not followed, and why."""


def desired(observation: Observation, settings: ReconcilerSettings) -> GroupGraph | None:
    """The group's graph, None for a group that serves nothing. Every order in it is fixed."""
    if not observation.serving:
        return None
    draft = _Draft(observation, settings, observation.placement or placement(settings))
    return GroupGraph(
        vsvip=draft.vsvip(),
        pools={listener: draft.pool(listener) for listener in draft.listeners},
        l4policyset=draft.l4policyset(),
        virtualservice=draft.virtualservice(),
    )


def content_hash(body: JsonObject) -> str:
    """64 bits of SHA-256 of the body, in hexadecimal: enough to tell two versions of one object apart."""
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def rule_name(listener: Listener) -> str:
    """``TCP-80``: also the order of rules and services, as AKO sorts them."""
    return f"{listener.protocol}-{listener.port}"


def _marker(key: str, value: str) -> JsonObject:
    return {"key": key, "values": [value]}


@dataclass(frozen=True, slots=True)
class _Draft:
    observation: Observation
    settings: ReconcilerSettings
    place: Placement

    @property
    def name(self) -> str:
        return str(ObjectName(self.settings.cluster_name, self.observation.group))

    @property
    def listeners(self) -> list[Listener]:
        return sorted(self.observation.serving, key=rule_name)

    def pool_name(self, listener: Listener) -> str:
        return str(ObjectName(self.settings.cluster_name, self.observation.group, listener))

    @property
    def _where(self) -> dict[str, Json]:
        return {
            "tenant_ref": reference("tenant", self.place.tenant),
            "cloud_ref": reference("cloud", self.place.cloud),
        }

    def _routing(self, field: str) -> dict[str, Json]:
        """The VRF in a field, or the T1 in its place; a virtual service (no field) has no T1 (``ako.md`` 2.2)."""
        if self.place.t1_lr:
            return {"tier1_lr": self.place.t1_lr} if field else {}
        return {field or "vrf_context_ref": reference("vrfcontext", self.place.vrf)} if self.place.vrf else {}

    @property
    def _markers(self) -> list[JsonObject]:
        namespace, key = self.observation.group
        return [
            _marker("clustername", self.settings.cluster_name),
            _marker("Namespace", namespace),
            _marker("GatewayName", key),
        ]

    @property
    def _owner(self) -> str:
        return created_by(self.settings.cluster_name)

    def vsvip(self) -> AviObject:
        body: dict[str, Json] = {
            "name": self.name,
            **self._where,
            **self._routing("vrf_context_ref"),
            "east_west_placement": False,
            "vip": [self._vip()],
            # A VsVip has no created_by (avi.md 3).
            "markers": [*self._markers, _marker("created_by", self._owner)],
        }
        if names := sorted({name for each in self.observation.host_names.values() for name in each}):
            body["dns_info"] = [{"fqdn": name} for name in names]
        if self.place.bgp_peer_labels:
            body["bgp_peer_labels"] = list(self.place.bgp_peer_labels)
        return self._sealed("vsvip", body, "vsvip_cloud_config_cksum")

    @property
    def _families(self) -> tuple[str, ...]:
        """Of the VIP: the network's, and a static address's own in any case."""
        address = parse_address(self.observation.static_address)
        families = self.place.families
        return families if address is None or family_of(address) in families else (family_of(address),)

    def _vip(self) -> JsonObject:
        vip: dict[str, Json] = {"vip_id": "0", "auto_allocate_ip": True, **self._preferred()}
        if (kind := _ALLOCATION[self._families]) != "V4_ONLY":
            vip["auto_allocate_ip_type"] = kind
        if self.place.has_public_ip:
            vip["auto_allocate_floating_ip"] = True
        # Source: AKO uses the first network everywhere but on AWS (ako.md 8).
        if self.place.vip_networks:
            vip["ipam_network_subnet"] = _subnet(self.place.vip_networks[0])
        return vip

    def _preferred(self) -> dict[str, Json]:
        address = parse_address(self.observation.static_address)
        if address is None:
            return {}
        value: JsonObject = {"addr": str(address), "type": f"V{address.version}"}
        return {"ip_address" if family_of(address) == "IPv4" else "ip6_address": value}

    def pool(self, listener: Listener) -> AviObject:
        service, _ = self.observation.serving[listener]
        body: dict[str, Json] = {
            "name": self.pool_name(listener),
            **self._where,
            **self._routing("vrf_ref"),
            "created_by": self._owner,
            "graceful_disable_timeout": 1,
            "sni_enabled": False,
            "health_monitor_refs": [reference("healthmonitor", health_monitor(listener))],
            "servers": self._servers(listener),
            "markers": self._pool_markers(service.name.name, listener),
        }
        if networks := list(_placement_networks(self.place.node_networks)):
            body["placement_networks"] = networks
        if self.observation.l4_rule:
            body |= pool_fields(self.observation.l4_rule, listener)
        return self._sealed("pool", body, "cloud_config_cksum")

    def _servers(self, listener: Listener) -> tuple[JsonObject, ...]:
        service, port = self.observation.serving[listener]
        backends = replace(self.observation.backends, slices=self.observation.slices or {})
        families = server_families(service, vip=self._families, setting=self.settings.ip_family)
        return pool_servers(service, port, backends, kind=self.settings.service_type, families=families)

    def _pool_markers(self, service: str, listener: Listener) -> list[JsonObject]:
        clustername, namespace, gateway = self._markers
        own = [
            _marker("ServiceName", service),
            _marker("Port", str(listener.port)),
            _marker("Protocol", listener.protocol),
        ]
        return [clustername, namespace, *own, gateway]

    def l4policyset(self) -> AviObject:
        rules = [self._rule(index, listener) for index, listener in enumerate(self.listeners)]
        body: dict[str, Json] = {
            "name": self.name,
            "tenant_ref": self._where["tenant_ref"],
            "created_by": self._owner,
            "l4_connection_policy": {"rules": rules},
        }
        markers = [*self._markers, _marker("cloud_config_cksum", content_hash(body))]
        return AviObject("l4policyset", self.name, {**body, "markers": markers})

    def _rule(self, index: int, listener: Listener) -> JsonObject:
        match: dict[str, Json] = {"port": {"match_criteria": "IS_IN", "ports": [listener.port]}}
        if has_overrides(self.observation.licence_tier):
            # Without the licence there is one protocol (``licence.licensed``), and the port tells enough.
            match["protocol"] = {"match_criteria": "IS_IN", "protocol": f"PROTOCOL_{listener.protocol}"}
        return {
            "index": index,
            "name": rule_name(listener),
            "match": match,
            "action": {
                "select_pool": {
                    "action_type": "L4_RULE_ACTION_SELECT_POOL",
                    "pool_ref": reference("pool", self.pool_name(listener)),
                }
            },
        }

    def virtualservice(self) -> AviObject:
        profile = network_profile(self.listeners, licence_tier=self.observation.licence_tier)
        body: dict[str, Json] = {
            "name": self.name,
            **self._where,
            "se_group_ref": reference("serviceenginegroup", self.place.se_group),
            **self._routing(""),
            "vsvip_ref": reference("vsvip", self.name),
            "application_profile_ref": reference("applicationprofile", APPLICATION_PROFILE),
            "network_profile_ref": reference("networkprofile", profile),
            "created_by": self._owner,
            "remove_listening_port_on_vs_down": True,
            "services": [self._service(listener) for listener in self.listeners],
            "l4_policies": [{"index": 0, "l4_policy_set_ref": reference("l4policyset", self.name)}],
            "markers": self._markers,
        }
        if self.place.enable_rhi:
            body["enable_rhi"] = True
        if self.observation.l4_rule:
            body |= virtual_service_fields(self.observation.l4_rule)
        return self._sealed("virtualservice", body, "cloud_config_cksum")

    def _service(self, listener: Listener) -> JsonObject:
        port, protocols = listener.port, [each.protocol for each in self.listeners]
        service: dict[str, Json] = {
            "port": port,
            "port_range_end": port,
            "enable_ssl": False,
            "enable_http2": False,
        }
        if profile := override(listener, protocols=protocols):
            service["override_network_profile_ref"] = reference("networkprofile", profile)
        return service

    def _sealed(self, kind: ObjectType, body: dict[str, Json], checksum: str) -> AviObject:
        hashed = {key: value for key, value in body.items() if key not in UNHASHED.get(kind, ())}
        return AviObject(kind, str(body["name"]), {**body, checksum: content_hash(hashed)})


_ALLOCATION: Final[Mapping[tuple[str, ...], str]] = {
    ("IPv4",): "V4_ONLY",
    ("IPv6",): "V6_ONLY",
    ("IPv4", "IPv6"): "V4_V6",
}


def _subnet(network: VipNetwork) -> JsonObject:
    subnet: dict[str, Json] = {"network_ref": _network(network.name, uuid=network.uuid)}
    for field_name, cidr in (("subnet", network.cidr), ("subnet6", network.cidr_v6)):
        if prefix := _prefix(cidr):
            subnet[field_name] = prefix
    return subnet


def _placement_networks(networks: Iterable[NodeNetwork]) -> Iterable[JsonObject]:
    """One entry for each subnet (``ako.md`` 2.2; ``avi.md`` 3, Pool)."""
    pairs = ((network, _prefix(cidr)) for network in networks for cidr in network.cidrs)
    return (
        {"network_ref": _network(network.name, uuid=network.uuid), "subnet": prefix}
        for network, prefix in pairs
        if prefix
    )


def _network(name: str, *, uuid: str) -> str:
    return f"/api/network/{uuid}" if uuid else reference("network", name)


def _prefix(cidr: str) -> JsonObject:
    address, _, mask = cidr.partition("/")
    parsed = parse_address(address)
    if parsed is None or not mask.isdigit():
        return {}
    return {"ip_addr": {"addr": address, "type": f"V{parsed.version}"}, "mask": int(mask)}
