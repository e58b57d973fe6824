"""What a group is to be on Avi: one virtual service, one VIP, a pool per listener; pure, it never sees what is there.

Source of the shapes: ``ako.md`` 2.2 and 2.3, AKO's graph for a shared VIP in ClusterIP mode, names excepted. AKO's
``service_metadata`` (its own notes) and ``error_page_profile_ref`` (empty) are left out.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from reconciler.graph import AviObject, GroupGraph, Json, JsonObject, ObjectType, reference
from reconciler.names import ObjectName, created_by
from reconciler.profiles import APPLICATION_PROFILE, health_monitor, network_profile, override
from reconciler.servers import Slice, servers
from reconciler.settings import ReconcilerSettings, VipNetwork
from sharedvip.addresses import family_of, parse_address
from sharedvip.model import GroupName, Listener, ServiceName, ServicePort, ServiceView


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


def desired(observation: Observation, settings: ReconcilerSettings) -> GroupGraph | None:
    """The group's graph, None for a group that serves nothing. Every order in it is fixed."""
    if not observation.serving:
        return None
    draft = _Draft(observation, settings)
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
            "tenant_ref": reference("tenant", self.settings.avi_tenant),
            "cloud_ref": reference("cloud", self.settings.avi_cloud),
        }

    @property
    def _vrf(self) -> str:
        return reference("vrfcontext", self.settings.avi_vrf)

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
            "vrf_context_ref": self._vrf,
            "east_west_placement": False,
            "vip": [self._vip()],
            # A VsVip has no created_by (avi.md 3).
            "markers": [*self._markers, _marker("created_by", self._owner)],
        }
        return self._sealed("vsvip", body, "vsvip_cloud_config_cksum")

    def _vip(self) -> JsonObject:
        vip: dict[str, Json] = {"vip_id": "0", "auto_allocate_ip": True, **self._preferred()}
        # Source: AKO uses the first network everywhere but on AWS (ako.md 8).
        if self.settings.avi_vip_networks:
            vip["ipam_network_subnet"] = _subnet(self.settings.avi_vip_networks[0])
        return vip

    def _preferred(self) -> dict[str, Json]:
        address = parse_address(self.observation.static_address)
        if address is None:
            return {}
        value: JsonObject = {"addr": str(address), "type": f"V{address.version}"}
        is_v6 = address.version == 6  # noqa: PLR2004 - the version of the protocol
        return {"ip6_address": value, "auto_allocate_ip_type": "V6_ONLY"} if is_v6 else {"ip_address": value}

    def pool(self, listener: Listener) -> AviObject:
        service, port = self.observation.serving[listener]
        address = parse_address(self.observation.static_address)
        slices = (self.observation.slices or {}).get(service.name, ())
        body: dict[str, Json] = {
            "name": self.pool_name(listener),
            **self._where,
            "vrf_ref": self._vrf,
            "created_by": self._owner,
            "graceful_disable_timeout": 1,
            "sni_enabled": False,
            "health_monitor_refs": [reference("healthmonitor", health_monitor(listener))],
            "servers": servers(port, slices, family=family_of(address) if address else "IPv4"),
            "markers": self._pool_markers(service.name.name, listener),
        }
        return self._sealed("pool", body, "cloud_config_cksum")

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
        return {
            "index": index,
            "name": rule_name(listener),
            "match": {
                "port": {"match_criteria": "IS_IN", "ports": [listener.port]},
                "protocol": {"match_criteria": "IS_IN", "protocol": f"PROTOCOL_{listener.protocol}"},
            },
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
            "se_group_ref": reference("serviceenginegroup", self.settings.avi_se_group),
            "vrf_context_ref": self._vrf,
            "vsvip_ref": reference("vsvip", self.name),
            "application_profile_ref": reference("applicationprofile", APPLICATION_PROFILE),
            "network_profile_ref": reference("networkprofile", profile),
            "created_by": self._owner,
            "remove_listening_port_on_vs_down": True,
            "services": [self._service(listener) for listener in self.listeners],
            "l4_policies": [{"index": 0, "l4_policy_set_ref": reference("l4policyset", self.name)}],
            "markers": self._markers,
        }
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
        return AviObject(kind, str(body["name"]), {**body, checksum: content_hash(body)})


def _subnet(network: VipNetwork) -> JsonObject:
    subnet: dict[str, Json] = {"network_ref": reference("network", network.name)}
    for field, cidr in (("subnet", network.cidr), ("subnet6", network.cidr_v6)):
        address, _, mask = cidr.partition("/")
        if parsed := parse_address(address):
            subnet[field] = {"ip_addr": {"addr": address, "type": f"V{parsed.version}"}, "mask": int(mask)}
    return subnet
