"""What an L4Rule changes in a shared virtual service and its pools; pure, it never decides which L4Rule counts.

Source: AKO 2.2.1 ``docs/crds/l4rule.md`` and its CRD; ``ako.md`` 1.2 for what AKO leaves out of a shared VIP. What
would reach beyond one member (TLS at the VIP, an address, a withdrawn route) is left out, and said.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

from cluster.ako_resources import L4Rule
from reconciler.graph import Json, JsonObject, reference
from sharedvip.model import Listener

_VS_REFS: Final = {
    "analyticsProfileRef": "analyticsprofile",
    "applicationProfileRef": "applicationprofile",
    "networkProfileRef": "networkprofile",
    "serverNetworkProfileRef": "networkprofile",
    "networkSecurityPolicyRef": "networksecuritypolicy",
    "securityPolicyRef": "securitypolicy",
}
_VS_VALUES: Final = ("analyticsPolicy", "performanceLimits", "delayFairness", "enabled")
_POOL_REFS: Final = {
    "analyticsProfileRef": "analyticsprofile",
    "applicationPersistenceProfileRef": "applicationpersistenceprofile",
    "pkiProfileRef": "pkiprofile",
    "sslProfileRef": "sslprofile",
    "sslKeyAndCertificateRef": "sslkeyandcertificate",
}
_POOL_VALUES: Final = (
    *("analyticsPolicy", "defaultServerPort", "enabled", "inlineHealthMonitor", "lbAlgorithm", "minServersUp"),
    *("lbAlgorithmCoreNonaffinity", "useServicePort"),
)
_HASH_VALUES: Final = ("lbAlgorithmHash", "lbAlgorithmConsistentHashHdr")
_CRD_DEFAULTS: Final = {
    "analyticsProfileRef": "System-Analytics-Profile",
    "applicationProfileRef": "System-L4-Application",
    "networkProfileRef": "System-TCP-Proxy",
}
"""The API server puts these into every L4Rule: they say nothing, and the last would be wrong for UDP or SCTP."""

_LEFT_OUT: Final = {
    "revokeVipRoute": "it would withdraw the route of all members",
    "loadBalancerIP": "the Services' own loadBalancerIP decides for all members",
    "sslProfileRef": "TLS at a shared VIP is not supported",
    "sslKeyAndCertificateRefs": "TLS at a shared VIP is not supported",
}


def notes(rule: L4Rule, *, listeners: frozenset[Listener], static_address: str) -> Iterator[str]:
    """What of the rule is not applied, one sentence each."""
    for key, why in _LEFT_OUT.items():
        value = rule.spec.get(key)
        if value and value != static_address:
            yield f"L4Rule '{rule.name}': {key} is not applied, as {why}"
    if any(entry.get("enableSsl") or entry.get("enableSSL") for entry in _entries(rule, "listenerProperties")):
        yield f"L4Rule '{rule.name}': enableSSL is not applied, as TLS at a shared VIP is not supported"
    for backend in _entries(rule, "backendProperties"):
        if _listener(backend) not in listeners:
            yield f"L4Rule '{rule.name}': no Service of the group has port {_listener(backend)}"
        if backend.get("healthMonitorCrdRefs"):
            yield f"L4Rule '{rule.name}': healthMonitorCrdRefs is not applied; use healthMonitorRefs"


def virtual_service_fields(rule: L4Rule) -> JsonObject:
    """The fields of the virtual service that the rule sets."""
    told = {key: value for key, value in rule.spec.items() if value != _CRD_DEFAULTS.get(key, _NOTHING)}
    scripts: list[Json] = [
        {"index": index, "vs_datascript_set_ref": reference("vsdatascriptset", name)}
        for index, name in enumerate(cast("list[str]", told.get("vsDatascriptRefs") or []))
    ]
    fields: dict[str, Json] = {**_references(told, _VS_REFS), **_values(told, _VS_VALUES)}
    return {**fields, "vs_datascripts": scripts} if scripts else fields


def pool_fields(rule: L4Rule, listener: Listener) -> JsonObject:
    """The fields of a listener's pool that the rule sets."""
    backend = next((b for b in _entries(rule, "backendProperties") if _listener(b) == listener), None)
    if backend is None:
        return {}
    told = {key: value for key, value in backend.items() if value != _CRD_DEFAULTS.get(key, _NOTHING)}
    fields: dict[str, Json] = {**_references(told, _POOL_REFS), **_values(told, _POOL_VALUES)}
    if told.get("lbAlgorithm") == "LB_ALGORITHM_CONSISTENT_HASH":
        fields |= _values(told, _HASH_VALUES)
    if monitors := cast("list[str]", told.get("healthMonitorRefs") or []):
        fields["health_monitor_refs"] = [reference("healthmonitor", name) for name in monitors]
    return fields


_NOTHING: Final = object()


def _entries(rule: L4Rule, name: str) -> tuple[Mapping[str, Any], ...]:
    return tuple(cast("list[Mapping[str, Any]]", rule.spec.get(name) or []))


def _listener(entry: Mapping[str, Any]) -> Listener:
    return Listener(int(entry.get("port") or 0), str(entry.get("protocol") or "TCP"))


def _references(told: Mapping[str, Any], kinds: Mapping[str, str]) -> dict[str, Json]:
    return {_snake(key): reference(kind, str(told[key])) for key, kind in kinds.items() if told.get(key)}


def _values(told: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Json]:
    return {_snake(name): _snaked(told[name]) for name in names if told.get(name) is not None}


def _snaked(value: Any) -> Json:  # noqa: ANN401 - whatever JSON a custom resource holds
    if isinstance(value, Mapping):
        return {_snake(key): _snaked(entry) for key, entry in cast("Mapping[str, Any]", value).items()}
    if isinstance(value, list):
        return [_snaked(entry) for entry in cast("list[Any]", value)]
    return cast("Json", value)


def _snake(camel: str) -> str:
    """``lbAlgorithmHash`` is ``lb_algorithm_hash``: Avi's name of the same field."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", camel).lower()
