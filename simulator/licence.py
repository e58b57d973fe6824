"""What the licence tiers below Enterprise refuse, and the defaults they have instead; it changes no body.

Source: avi.md 2.5 for the two texts [DOC], status 400 [INF]; for the fields avi.md 3 (*Ent*) [SW 30.2.1] and the
"Allowed in" sentences of alb-sdk's ``go/models/{virtual_service,service,pool,server}.go`` [SW+]. Vip and VsVip have no
limits there. Assumed: a value that means "unset" (false, 0, empty) is never refused, though its field is not licensed.
"""

from collections.abc import Iterator, Mapping
from typing import Final, TypeAlias

from simulator.documents import Document, message, messages, text
from simulator.references import uuid_of
from simulator.refusals import RefusedError
from simulator.settings import ENTERPRISE_TIERS
from simulator.store import Store

Limits: TypeAlias = Mapping[str, Mapping[str, tuple[object, ...]]]
"""By field, then by tier: the values it may have; none at all if empty; any if the tier is not named."""

_NEITHER: Final[Mapping[str, tuple[object, ...]]] = {"BASIC": (), "ESSENTIALS": ()}
_NOT_ESSENTIALS: Final[Mapping[str, tuple[object, ...]]] = {"ESSENTIALS": ()}


_FALSE: Final[Mapping[str, tuple[object, ...]]] = {"BASIC": (False,), "ESSENTIALS": (False,)}
_TRUE: Final[Mapping[str, tuple[object, ...]]] = {"BASIC": (True,), "ESSENTIALS": (True,)}


def _only(*values: str | int) -> Mapping[str, tuple[object, ...]]:
    return {"BASIC": values, "ESSENTIALS": values}


def _each(limit: Mapping[str, tuple[object, ...]], *fields: str) -> Limits:
    return dict.fromkeys(fields, limit)


VIRTUAL_SERVICE: Final[Limits] = {
    **_each(_NEITHER, "service_pool_select", "enable_rhi", "enable_rhi_snat", "bgp_peer_labels", "content_rewrite"),
    **_each(_NEITHER, "csrf_policy_ref", "dns_info", "dns_policies", "enable_session", "fqdn", "host_name_xlate"),
    **_each(_NEITHER, "icap_request_profile_refs", "jwt_config", "ldap_vs_config", "microservice_ref"),
    **_each(_NEITHER, "oauth_vs_config", "requests_rate_limit", "saml_sp_config", "security_policy_ref"),
    **_each(_NEITHER, "server_network_profile_ref", "sideband_profile", "ssl_profile_selectors", "sso_policy_ref"),
    **_each(_NEITHER, "static_dns_records", "topology_policies", "traffic_clone_profile_ref", "vh_matches"),
    **_each(_NEITHER, "waf_policy_ref"),
    **_each(_NOT_ESSENTIALS, "connections_rate_limit", "pool_group_ref", "snat_ip", "vs_datascripts", "vh_type"),
    **_each(_FALSE, "advertise_down_vs", "allow_invalid_client_cert", "bulk_sync_kvcache"),
    **_each(_FALSE, "close_client_conn_on_config_update", "delay_fairness", "east_west_placement"),
    **_each(_FALSE, "enable_autogw", "use_bridge_ip_as_vip"),
    "use_vip_as_snat": {"ESSENTIALS": (False,)},
    "flow_dist": _only("LOAD_AWARE"),
    "type": {"BASIC": ("VS_TYPE_NORMAL", "VS_TYPE_VH_PARENT"), "ESSENTIALS": ("VS_TYPE_NORMAL",)},
    "weight": _only(1),
}
SERVICE: Final[Limits] = {
    **_each(_NEITHER, "override_network_profile_ref", "override_application_profile_ref"),
    **_each(_NEITHER, "horizon_internal_ports", "is_active_ftp_data_port", "is_passive_ftp_data_port"),
    "enable_http2": _FALSE,
}
POOL: Final[Limits] = {
    **_each(_NEITHER, "autoscale_launch_config_ref", "autoscale_networks", "autoscale_policy_ref"),
    **_each(_NEITHER, "graceful_disable_timeout_sec", "graceful_hm_down_disable_timeout", "horizon_profile"),
    **_each(_NEITHER, "lb_algo_rr_per_se", "max_conn_rate_per_server", "min_health_monitors_up", "pool_type"),
    **_each(_NEITHER, "server_disable_type", "use_service_ssl_mode"),
    **_each(_FALSE, "capacity_estimation", "enable_http2", "lookup_server_by_name", "request_queue_enabled"),
    "append_port": _only("NEVER"),
    "capacity_estimation_ttfb_thresh": _only(0),
    "connection_ramp_duration": _only(0),
    "delete_server_on_dns_refresh": _TRUE,
    "lb_algorithm": _only("LB_ALGORITHM_LEAST_CONNECTIONS", "LB_ALGORITHM_ROUND_ROBIN", "LB_ALGORITHM_CONSISTENT_HASH"),
    "lb_algorithm_core_nonaffinity": _only(2),
    "lb_algorithm_hash": _only("LB_ALGORITHM_CONSISTENT_HASH_SOURCE_IP_ADDRESS"),
    "request_queue_depth": _only(128),
    "use_service_port": {"ESSENTIALS": (False,)},
}
SERVER: Final[Limits] = {
    **_each(_NEITHER, "health_monitor_refs", "location", "prst_hdr_val"),
    "autoscaling_group_name": _NOT_ESSENTIALS,
    "resolve_server_by_dns": _FALSE,
}
L4_MATCH: Final[Limits] = _each(_NEITHER, "client_ip", "protocol")
SELECT_POOL: Final[Limits] = {"action_type": _only("L4_RULE_ACTION_SELECT_POOL")}
NETWORK_PROFILE: Final[Limits] = {
    "type": {
        "ESSENTIALS": tuple(
            f"PROTOCOL_TYPE_{name}"
            for name in ("TCP_FAST_PATH", "UDP_FAST_PATH", "UDP_PROXY", "SCTP_PROXY", "SCTP_FAST_PATH")
        )
    }
}
"""Source: avi.md 3: TCP proxy is not allowed in Essentials."""

DEFAULTS: Final[Mapping[str, Document]] = {
    "virtualservice": {"enable_autogw": False},
    "pool": {"append_port": "NEVER", "connection_ramp_duration": 0},
}
"""The tiers' own defaults, for the usual ones are not licensed. Source: alb-sdk go/models [SW+], "Special default"."""

ESSENTIALS_REFERENCES: Final[Mapping[str, tuple[str, str]]] = {
    "network_profile_ref": ("networkprofile", "System-TCP-Fast-Path"),
    "application_profile_ref": ("applicationprofile", "System-L4-Application"),
}
"""What an absent reference becomes. Source: alb-sdk go/models/virtual_service.go [SW+], "Special default"."""


def with_defaults(path: str, body: Document, *, tier: str) -> Document:
    """The body with the tier's own defaults, where it has any."""
    return body if tier in ENTERPRISE_TIERS else {**DEFAULTS.get(path, {}), **body}


def check(path: str, body: Document, *, tier: str) -> None:
    """Refuse a field or a value that the tier lacks.

    Raises:
        RefusedError: 400, for the first one.
    """
    if tier in ENTERPRISE_TIERS:
        return
    refused = next(
        (words for name, part, limits in _parts(path, body) for words in _words(name, part, limits, tier)), ""
    )
    if refused:
        raise RefusedError(400, refused)


def check_profile(store: Store, document: Document, *, tier: str) -> None:
    """Refuse a virtual service whose profile the tier lacks. Assumed: in the words for making such a profile."""
    profile = store.get(uuid_of(document.get("network_profile_ref")))
    if profile is not None:
        check("networkprofile", profile.document, tier=tier)


def _parts(path: str, body: Document) -> Iterator[tuple[str, Document, Limits]]:
    """Every message of the body that has limits, with its class name."""
    if path == "virtualservice":
        yield "VirtualService", body, VIRTUAL_SERVICE
        yield from (("Service", service, SERVICE) for service in messages(body.get("services")))
    elif path == "pool":
        yield "Pool", body, POOL
        yield from (("Server", server, SERVER) for server in messages(body.get("servers")))
    elif path == "networkprofile":
        yield "NetworkProfileUnion", message(body.get("profile")), NETWORK_PROFILE
    elif path == "l4policyset":
        for rule in messages(message(body.get("l4_connection_policy")).get("rules")):
            yield "L4RuleMatchTarget", message(rule.get("match")), L4_MATCH
            yield "L4RuleActionSelectPool", message(message(rule.get("action")).get("select_pool")), SELECT_POOL


def _words(name: str, part: Document, limits: Limits, tier: str) -> Iterator[str]:
    for field, by_tier in limits.items():
        allowed, value = by_tier.get(tier), part.get(field)
        if allowed is None or not value or value in allowed:
            continue
        if not allowed:
            yield f"Field {name}.{field} cannot be set in {tier} license tier."
            continue
        listed = ",".join(map(str, allowed))
        plural = "s" if len(allowed) > 1 else ""
        shown = text(value) or str(value)
        words = f"Field {name}.{field} cannot have {shown} as its value in {tier} license tier."
        yield f"{words} Allowed value{plural}: {listed}."
