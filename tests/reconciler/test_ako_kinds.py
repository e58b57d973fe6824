"""AviInfraSettings and L4Rules on a simulated Avi Controller through the real avisdk: appear, change, disappear."""

from collections.abc import Generator
from dataclasses import replace

import pytest

from cluster.ako_resources import InfraSetting, L4Rule, Namespace, Network
from tests.builders import service
from tests.reconciler.controller import Avi
from tests.reconciler.options import FakeSurroundings, Scene, furnished, play

WEB = service("web", "80/TCP")
_ANNOTATED = service("web", "80/TCP", infra_setting="gold", l4_rule="rule")


@pytest.fixture(scope="module")
def avi(tmp_path_factory: pytest.TempPathFactory) -> Generator[Avi]:
    """A Controller with two networks and two SE groups."""
    with furnished(tmp_path_factory.mktemp("kinds")) as simulated:
        yield simulated


def test_a_new_group_waits_for_its_infra_setting_and_follows_it(avi: Avi) -> None:
    """Appears, changes, disappears; what AKO would build with defaults, it would have to build on another network."""
    around = FakeSurroundings()
    gold = InfraSetting("gold", se_group="gold-group", vip_networks=(Network("net2"),), enable_rhi=True)

    async def story(scene: Scene) -> None:
        assert await scene.look() == []
        missing = "AviInfraSetting 'gold' does not exist; create it, or take it out of the annotation"
        assert scene.verdict(_ANNOTATED) == (False, "InfraSettingMissing", missing)
        assert scene.message() == missing
        around.infra["gold"] = replace(gold, rejection="no such group")
        assert await scene.look() == []
        assert scene.message() == "AviInfraSetting 'gold' is rejected by AKO: no such group"

        around.infra["gold"] = gold
        assert await scene.look() == ["POST macro"]
        (vip,) = scene.kubernetes.vips(_ANNOTATED)
        assert vip[0].startswith("100.65.0.")
        assert scene.body("virtualservice")["se_group_ref"] == "gold-group"

        around.infra["gold"] = replace(gold, se_group="", bgp_peer_labels=("leaf",), vip_networks=())
        assert await scene.look() == ["PUT vsvip", "PUT virtualservice"]
        assert scene.body("virtualservice")["se_group_ref"] == "Default-Group"
        assert scene.body("vsvip")["bgp_peer_labels"] == ["leaf"]

        del around.infra["gold"]
        assert await scene.look() == ["PUT vsvip", "PUT virtualservice"]
        assert scene.body("virtualservice")["enable_rhi"] is False
        assert "bgp_peer_labels" not in scene.body("vsvip")
        assert missing in scene.message()
        assert scene.verdict(_ANNOTATED)[:2] == (True, "Programmed")
        # A VIP never moves from one network to another by itself.
        assert scene.kubernetes.vips(_ANNOTATED) == [vip]
        assert await scene.look() == []

    play(avi, story, _ANNOTATED, around=around)


def test_a_namespaces_infra_setting_counts_for_its_groups_and_a_services_own_comes_first(avi: Avi) -> None:
    """AKO applies it to half of the objects (``ako.md`` section 7, h)."""
    around = FakeSurroundings(
        namespaces={"default": Namespace("default", infra_setting="silver")},
        infra={
            "silver": InfraSetting(
                "silver", se_group="gold-group", node_networks=(Network("net2", cidrs=("100.65.0.0/24",)),)
            ),
            "gold": InfraSetting("gold", enable_rhi=True),
        },
    )

    async def by_namespace(scene: Scene) -> None:
        await scene.look()
        assert scene.body("virtualservice")["se_group_ref"] == "gold-group"
        assert scene.body("pool", "TCP~80")["placement_networks"][0]["network_ref"] == "net2"
        around.namespaces["default"] = Namespace("default")
        assert await scene.look() == ["PUT pool", "PUT virtualservice"]
        assert "placement_networks" not in scene.body("pool", "TCP~80")

    async def by_service(scene: Scene) -> None:
        await scene.look()
        vs = scene.body("virtualservice")
        assert (vs["se_group_ref"], vs["enable_rhi"]) == ("Default-Group", True)

    play(avi, by_namespace, WEB, around=around)
    play(avi, by_service, _ANNOTATED, around=around)


def test_an_l4_rule_is_applied_changed_and_taken_back(avi: Avi) -> None:
    """To the virtual service and to the pool that it names; without it both are as they were."""
    around = FakeSurroundings(infra={"gold": InfraSetting("gold")})
    backend = {
        "port": 80,
        "protocol": "TCP",
        "healthMonitorRefs": ["own"],
        "lbAlgorithm": "LB_ALGORITHM_CONSISTENT_HASH",
        "lbAlgorithmHash": "LB_ALGORITHM_CONSISTENT_HASH_SOURCE_IP_ADDRESS",
        "minServersUp": 1,
        "analyticsPolicy": {"enableRealtimeMetrics": True},
    }
    spec = {
        "performanceLimits": {"maxConcurrentConnections": 105, "maxThroughput": 100},
        "networkProfileRef": "System-TCP-Fast-Path",
        "applicationProfileRef": "System-L4-Application",
        "backendProperties": [backend],
    }
    dns = service("dns", "53/UDP", infra_setting="gold", l4_rule="rule")

    async def story(scene: Scene) -> None:
        assert await scene.look() == ["POST macro"]
        assert "L4Rule 'rule' does not exist; create it" in scene.message()
        plain = scene.body("pool", "TCP~80")

        around.rules["rule"] = L4Rule("default", "rule", spec)
        assert await scene.look() == ["PUT pool", "PUT virtualservice"]
        vs, pool = scene.body("virtualservice"), scene.body("pool", "TCP~80")
        assert vs["network_profile_ref"] == "System-TCP-Fast-Path"
        assert vs["performance_limits"] == {"max_concurrent_connections": 105, "max_throughput": 100}
        assert pool["health_monitor_refs"] == ["own"]
        assert pool["lb_algorithm"] == "LB_ALGORITHM_CONSISTENT_HASH"
        assert (pool["min_servers_up"], pool["analytics_policy"]) == (1, {"enable_realtime_metrics": True})
        assert scene.body("pool", "UDP~53")["health_monitor_refs"] == ["System-UDP"]
        assert "L4Rule" not in scene.message()
        assert await scene.look() == []

        # Endpoints that move in the same moment must not hide that a field is wanted no more.
        del around.rules["rule"]
        scene.kubernetes.endpoint_slices[_ANNOTATED.name] = ()
        assert await scene.look() == ["PUT pool", "PUT virtualservice"]
        pool = scene.body("pool", "TCP~80")
        assert "min_servers_up" not in pool
        assert (pool["health_monitor_refs"], pool["lb_algorithm"]) == (
            plain["health_monitor_refs"],
            plain["lb_algorithm"],
        )
        assert "performance_limits" not in scene.body("virtualservice")
        assert await scene.look() == []

    play(avi, story, _ANNOTATED, dns, around=around)


def test_what_of_an_l4_rule_cannot_be_for_one_member_is_left_out_and_told(avi: Avi) -> None:
    """TLS, an address, a withdrawn route: AKO drops or forbids them in a shared VIP (``ako.md`` 1.2)."""
    spec = {
        "revokeVipRoute": True,
        "loadBalancerIP": "100.64.200.99",
        "networkProfileRef": "System-TCP-Proxy",
        "listenerProperties": [{"port": 53, "protocol": "UDP", "enableSsl": True}],
        "backendProperties": [{"port": 81, "protocol": "TCP", "enabled": False}],
    }
    around = FakeSurroundings(rules={"rule": L4Rule("default", "rule", spec)})
    dns = service("dns", "53/UDP", l4_rule="rule")

    async def story(scene: Scene) -> None:
        await scene.look()
        assert scene.message().partition(" served on ")[0] == "53/UDP"
        assert scene.message().split("; ")[1:] == [
            "L4Rule 'rule': revokeVipRoute is not applied, as it would withdraw the route of all members",
            "L4Rule 'rule': loadBalancerIP is not applied, as the Services' own loadBalancerIP decides for all members",
            "L4Rule 'rule': enableSSL is not applied, as TLS at a shared VIP is not supported",
            "L4Rule 'rule': no Service of the group has port 81/TCP",
        ]
        # The default that the API server puts into every L4Rule would be wrong for UDP.
        assert scene.body("virtualservice")["network_profile_ref"] == "System-UDP-Fast-Path"
        assert scene.body("virtualservice").get("revoke_vip_route") is None

    play(avi, story, dns, around=around)
