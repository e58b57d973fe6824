"""The graph of a group: AKO's of ``ako.md`` 2.3 for the seed's manifests, and better where AKO's is wrong."""

import json
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.desired import desired
from reconciler.graph import AviObject, Json, JsonObject, object_in, objects_in, referred_name, text_in
from reconciler.settings import ReconcilerSettings
from sharedvip.model import ServiceView
from tests.builders import service
from tests.reconciler.world import LB1, LB2, SETTINGS, Endpoint, Port, Slice, graph, observation

_NAME = "sharedvip~cluster~default~shared-vip-key-1"
_HASHES = {"cloud_config_cksum", "vsvip_cloud_config_cksum"}


def _plain(value: Json) -> Json:
    """The body with references as names, without hashes: what ``ako.md`` 2.3 is compared by."""
    if isinstance(value, dict):
        return {
            key: referred_name(cast("str", entry), {}) if key.endswith("_ref") else _plain(entry)
            for key, entry in value.items()
            if key not in _HASHES
        }
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value if not _is_hash(entry)]
    return referred_name(value, {}) if isinstance(value, str) and value.startswith("/api/") else value


def _is_hash(entry: Json) -> bool:
    return isinstance(entry, dict) and cast("JsonObject", entry).get("key") in _HASHES


def _body(part: AviObject) -> Json:
    return _plain(json.loads(json.dumps(part.body)))


def _marker(key: str, value: str) -> JsonObject:
    return {"key": key, "values": [value]}


_GROUP_MARKERS = [_marker("clustername", "cluster"), _marker("Namespace", "default")]
_KEY_MARKER = _marker("GatewayName", "shared-vip-key-1")
_WHERE = {"tenant_ref": "admin", "cloud_ref": "Default-Cloud"}
_SUBNET = {"ip_addr": {"addr": "100.64.196.0", "type": "V4"}, "mask": 24}


def _expected_pool(service_name: str, protocol: str) -> JsonObject:
    return {
        "name": f"{_NAME}~{protocol}~80",
        **_WHERE,
        "vrf_ref": "global",
        "created_by": "sharedvip-cluster",
        "graceful_disable_timeout": 1,
        "sni_enabled": False,
        "health_monitor_refs": [f"System-{protocol}"],
        "servers": [
            {
                "ip": {"addr": address, "type": "V4"},
                "port": 8080,
                "external_uuid": f"{address}:8080",
                "enabled": True,
                "server_node": node,
            }
            for address, node in (("10.244.1.11", "node-0"), ("10.244.2.12", "node-1"))
        ],
        "markers": [
            *_GROUP_MARKERS,
            _marker("ServiceName", service_name),
            _marker("Port", "80"),
            _marker("Protocol", protocol),
            _KEY_MARKER,
        ],
    }


def _expected_rule(index: int, protocol: str) -> JsonObject:
    return {
        "index": index,
        "name": f"{protocol}-80",
        "match": {
            "port": {"match_criteria": "IS_IN", "ports": [80]},
            "protocol": {"match_criteria": "IS_IN", "protocol": f"PROTOCOL_{protocol}"},
        },
        "action": {
            "select_pool": {
                "action_type": "L4_RULE_ACTION_SELECT_POOL",
                "pool_ref": f"{_NAME}~{protocol}~80",
            }
        },
    }


def test_the_seeds_first_manifest_gives_akos_graph_with_our_names() -> None:
    """Both Services, no static address: ``ako.md`` 2.3, object by object."""
    wanted = graph(LB1, LB2)

    assert _body(wanted.vsvip) == {
        "name": _NAME,
        **_WHERE,
        "vrf_context_ref": "global",
        "east_west_placement": False,
        "vip": [
            {
                "vip_id": "0",
                "auto_allocate_ip": True,
                "ipam_network_subnet": {"network_ref": "net1", "subnet": _SUBNET},
            }
        ],
        "markers": [*_GROUP_MARKERS, _KEY_MARKER, _marker("created_by", "sharedvip-cluster")],
    }
    assert [_body(pool) for pool in wanted.pools.values()] == [
        _expected_pool("sharedvip-avisvc-lb1", "TCP"),
        _expected_pool("sharedvip-avisvc-lb2", "UDP"),
    ]
    assert _body(wanted.l4policyset) == {
        "name": _NAME,
        "tenant_ref": "admin",
        "created_by": "sharedvip-cluster",
        "l4_connection_policy": {"rules": [_expected_rule(0, "TCP"), _expected_rule(1, "UDP")]},
        "markers": [*_GROUP_MARKERS, _KEY_MARKER],
    }
    plain = {"port": 80, "port_range_end": 80, "enable_ssl": False, "enable_http2": False}
    assert _body(wanted.virtualservice) == {
        "name": _NAME,
        **_WHERE,
        "se_group_ref": "Default-Group",
        "vrf_context_ref": "global",
        "vsvip_ref": _NAME,
        "application_profile_ref": "System-L4-Application",
        "network_profile_ref": "System-TCP-Proxy",
        "created_by": "sharedvip-cluster",
        "remove_listening_port_on_vs_down": True,
        "services": [plain, {**plain, "override_network_profile_ref": "System-UDP-Fast-Path"}],
        "l4_policies": [{"index": 0, "l4_policy_set_ref": _NAME}],
        "markers": [*_GROUP_MARKERS, _KEY_MARKER],
    }


def test_the_seeds_second_manifest_asks_for_its_address_and_is_otherwise_the_same() -> None:
    """A static address is preferred on top of automatic allocation, as AKO asks."""
    static, automatic = graph(LB1, LB2, static_address="100.64.196.75"), graph(LB1, LB2)

    vip = objects_in(static.vsvip.body, "vip")[0]
    assert vip["auto_allocate_ip"] is True
    assert vip["ip_address"] == {"addr": "100.64.196.75", "type": "V4"}
    assert static.pools == automatic.pools
    assert static.l4policyset == automatic.l4policyset
    assert static.virtualservice == automatic.virtualservice


def test_a_group_that_serves_nothing_is_nothing() -> None:
    """No listener, no virtual service."""
    assert desired(observation(), SETTINGS) is None


def test_without_a_network_the_controller_chooses_one() -> None:
    """Source: ``avi.md`` 2.8."""
    wanted = desired(observation(LB1), ReconcilerSettings(cluster_name="cluster"))

    assert wanted is not None
    assert objects_in(wanted.vsvip.body, "vip") == ({"vip_id": "0", "auto_allocate_ip": True},)


@pytest.mark.parametrize(
    ("ports", "licence", "profile", "overrides"),
    [
        pytest.param(["80/TCP"], "ENTERPRISE", "System-TCP-Proxy", [""], id="TCP alone is proxied"),
        pytest.param(["80/TCP"], "BASIC", "System-TCP-Fast-Path", [""], id="TCP alone without the licence"),
        pytest.param(["80/UDP"], "ENTERPRISE", "System-UDP-Fast-Path", [""], id="UDP alone needs no override"),
        pytest.param(["80/SCTP"], "ENTERPRISE", "System-SCTP-Proxy", [""], id="SCTP alone needs no override"),
        pytest.param(
            ["80/SCTP", "80/TCP", "80/UDP"],
            "ENTERPRISE_WITH_CLOUD_SERVICES",
            "System-TCP-Proxy",
            ["System-SCTP-Proxy", "", "System-UDP-Fast-Path"],
            id="beside TCP the others override",
        ),
        pytest.param(
            ["80/SCTP", "80/UDP"],
            "ENTERPRISE",
            "System-UDP-Fast-Path",
            ["System-SCTP-Proxy", "System-UDP-Fast-Path"],
            id="UDP with SCTP both override",
        ),
    ],
)
def test_network_profiles_are_those_of_akos_table(
    ports: list[str], licence: str, profile: str, overrides: list[str]
) -> None:
    """Source: ``ako.md`` 2.2."""
    wanted = graph(service("web", *ports), licence_tier=licence).virtualservice.body

    services = objects_in(wanted, "services")
    assert referred_name(text_in(wanted, "network_profile_ref"), {}) == profile
    assert [referred_name(text_in(s, "override_network_profile_ref"), {}) for s in services] == overrides


def test_services_and_rules_are_in_one_order_whatever_the_order_of_members() -> None:
    """Sorted by protocol and port as texts, as AKO does."""
    one = graph(service("a", "443/TCP", "80/UDP"), service("b", "80/TCP"))
    other = graph(service("b", "80/TCP"), service("a", "80/UDP", "443/TCP"))

    rules = objects_in(object_in(one.l4policyset.body, "l4_connection_policy"), "rules")
    assert [rule["name"] for rule in rules] == ["TCP-443", "TCP-80", "UDP-80"]
    assert one == other


def _addresses(member: ServiceView, *slices: Slice) -> list[tuple[str, bool]]:
    wanted = desired(observation(member, slices={member.name: slices}), SETTINGS)
    assert wanted is not None
    servers = objects_in(next(iter(wanted.pools.values())).body, "servers")
    return [(text_in(s, "external_uuid"), s["enabled"] is True) for s in servers]


_WEB = service("web", "80/TCP")


@pytest.mark.parametrize(
    ("slices", "expected"),
    [
        pytest.param([], [], id="no slice yet: a pool without servers"),
        pytest.param(
            [Slice((Endpoint(("10.0.0.2",), is_ready=False),))],
            [("10.0.0.2:8080", False)],
            id="not ready is disabled, not removed",
        ),
        pytest.param(
            [Slice((Endpoint(("10.0.0.2",), is_terminating=True),))],
            [("10.0.0.2:8080", False)],
            id="terminating is disabled, not removed",
        ),
        pytest.param(
            [Slice((Endpoint(("10.0.0.10",)),)), Slice((Endpoint(("10.0.0.9",)),))],
            [("10.0.0.9:8080", True), ("10.0.0.10:8080", True)],
            id="several slices are one list, in the order of addresses as numbers",
        ),
        pytest.param(
            [
                Slice((Endpoint(("10.0.0.2",)),), (Port(port=8080),)),
                Slice((Endpoint(("10.0.0.3",)),), (Port(port=9090),)),
            ],
            [("10.0.0.2:8080", True), ("10.0.0.3:9090", True)],
            id="a named target port is another number in another slice",
        ),
        pytest.param(
            [Slice((Endpoint(("2001:db8::1",)),), address_type="IPv6"), Slice((Endpoint(("10.0.0.2",)),))],
            [("10.0.0.2:8080", True)],
            id="only the VIP's family",
        ),
        pytest.param(
            [Slice((Endpoint(("10.0.0.2",)),), (Port(protocol="UDP"),))],
            [],
            id="the same port of another protocol does not count",
        ),
        pytest.param(
            [Slice((Endpoint(("10.0.0.2",)),), (Port(name="metrics"),))],
            [],
            id="another port's endpoints do not count",
        ),
        pytest.param(
            [Slice((Endpoint(("10.0.0.2",), is_ready=False),)), Slice((Endpoint(("10.0.0.2",)),))],
            [("10.0.0.2:8080", True)],
            id="in two slices at once: ready in one is ready",
        ),
    ],
)
def test_servers_come_from_endpoint_slices(slices: list[Slice], expected: list[tuple[str, bool]]) -> None:
    """Source: ``ako.md`` section 7 (r) and (s), done better."""
    assert _addresses(_WEB, *slices) == expected


@given(st.permutations([("10.0.0.1", "node-0"), ("10.0.0.2", "node-1"), ("10.0.0.3", "node-2")]))
def test_the_order_of_endpoints_changes_nothing(pods: list[tuple[str, str]]) -> None:
    """Or a rollout would write for nothing."""
    slices = (Slice(tuple(Endpoint((address,), node=node) for address, node in pods)),)

    assert [address for address, _ in _addresses(_WEB, *slices)] == ["10.0.0.1:8080", "10.0.0.2:8080", "10.0.0.3:8080"]
