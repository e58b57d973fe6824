"""What an operator may set, on a simulated Avi Controller through the real avisdk; each change is followed, or told."""

from collections.abc import Generator
from typing import cast

import pytest

from cluster.ako_resources import Namespace
from reconciler.avi_client import AviRequest
from reconciler.avi_errors import AviRefused
from reconciler.graph import JsonObject
from reconciler.networks import NodeNetwork, VipNetwork
from simulator.faults import Fault
from tests.builders import GROUP, service
from tests.reconciler.controller import START, Avi
from tests.reconciler.options import FakeSurroundings, Scene, controller, detailed, furnished, play
from tests.reconciler.world import Endpoint, Slice, two_pods

DUAL = VipNetwork("net1", "100.64.192.0/18", "2001:db8::/64")
WEB = service("web", "80/TCP")


@pytest.fixture(scope="module")
def avi(tmp_path_factory: pytest.TempPathFactory) -> Generator[Avi]:
    """A Controller with two networks, two SE groups, two VRFs, another tenant."""
    with furnished(tmp_path_factory.mktemp("options")) as simulated:
        yield simulated


@pytest.fixture(scope="module")
def named_avi(tmp_path_factory: pytest.TempPathFactory) -> Generator[Avi]:
    """A Controller whose cloud has a DNS profile, with the domain ``avi.internal``."""
    with controller(tmp_path_factory.mktemp("dns")) as simulated:

        async def furnish(scene: Scene) -> None:
            await scene.make("ipamdnsproviderprofile", name="dns", type="IPAMDNS_TYPE_INTERNAL_DNS")
            store = simulated.running.controller.store
            cloud = next(record for record in store.of_kind("cloud") if record.name == "Default-Cloud")
            body = cast("JsonObject", {**cloud.document, "dns_provider_ref": "/api/ipamdnsproviderprofile?name=dns"})
            await scene.client.request(AviRequest("PUT", f"cloud/{cloud.uuid}", body=body))

        play(simulated, furnish)
        yield simulated


def test_where_a_group_is_built_is_the_operators_choice(avi: Avi) -> None:
    """SE group, VRF, route injection, peers, node networks; AKO's fields (``ako.md`` 2.2)."""

    async def story(scene: Scene) -> None:
        assert await scene.look() == ["POST macro"]
        vs, vsvip, pool = scene.body("virtualservice"), scene.body("vsvip"), scene.body("pool", "TCP~80")
        assert (vs["se_group_ref"], vs["vrf_context_ref"], vs["enable_rhi"]) == ("gold-group", "blue", True)
        assert (vsvip["vrf_context_ref"], vsvip["bgp_peer_labels"]) == ("blue", ["leaf", "spine"])
        assert pool["vrf_ref"] == "blue"
        assert [(n["network_ref"], n["subnet"]["mask"]) for n in pool["placement_networks"]] == [("net2", 25)] * 2
        assert await scene.look() == []

    play(
        avi,
        story,
        WEB,
        avi_se_group="gold-group",
        avi_vrf="blue",
        avi_enable_rhi=True,
        avi_bgp_peer_labels="leaf, spine",
        avi_node_networks=(NodeNetwork("net2", ("100.65.0.0/25", "100.65.0.128/25")),),
    )


def test_a_t1_stands_in_place_of_the_vrf(avi: Avi) -> None:
    """NSX-T: on VsVip and pools; the virtual service has neither (``ako.md`` 2.2)."""

    async def story(scene: Scene) -> None:
        await scene.look()
        assert scene.body("vsvip")["tier1_lr"] == "/infra/tier-1s/t1"
        assert scene.body("pool", "TCP~80")["tier1_lr"] == "/infra/tier-1s/t1"
        assert "vrf_ref" not in scene.body("pool", "TCP~80")
        assert await scene.look() == []

    play(avi, story, WEB, avi_nsxt_t1_lr="/infra/tier-1s/t1")


def test_a_network_may_be_named_by_its_uuid(avi: Avi) -> None:
    """Where several have the same name."""
    record = next(r for r in avi.running.controller.store.of_kind("network") if r.name == "net2")

    async def story(scene: Scene) -> None:
        await scene.look()
        assert scene.kubernetes.vips(WEB)[0][0].startswith("100.65.0.")
        assert await scene.look() == []

    node_networks = (NodeNetwork("", ("100.65.0.0/24",), uuid=record.uuid),)
    play(avi, story, WEB, avi_vip_networks=(VipNetwork("", uuid=record.uuid),), avi_node_networks=node_networks)


def test_a_dual_stack_network_gives_an_address_of_each_family(avi: Avi) -> None:
    """And the pool has the endpoints of both; the status says both."""

    async def story(scene: Scene) -> None:
        slices = (*two_pods(), Slice((Endpoint(("2001:db8:1::7",)),), address_type="IPv6"))
        scene.kubernetes.endpoint_slices[WEB.name] = slices
        assert await scene.look() == ["POST macro"]
        (vip,) = scene.body("vsvip")["vip"]
        assert vip["auto_allocate_ip_type"] == "V4_V6"
        assert scene.kubernetes.vips(WEB) == [(vip["ip_address"]["addr"],)]
        assert scene.kubernetes.verdicts[WEB.name].further_vips == (vip["ip6_address"]["addr"],)
        assert avi.servers(scene.name("TCP~80"))[-1] == "2001:db8:1::7:8080"
        assert await scene.look() == []

    play(avi, story, WEB, avi_vip_networks=(DUAL,))


@pytest.mark.parametrize(
    ("address", "field"), [("100.64.200.77", "ip_address"), ("2001:db8::77", "ip6_address")], ids=["IPv4", "IPv6"]
)
def test_a_static_address_in_a_dual_stack_network_leaves_the_other_family_to_avi(
    avi: Avi, address: str, field: str
) -> None:
    """And nothing is created anew because the other address is there too."""

    async def story(scene: Scene) -> None:
        await scene.look()
        (vip,) = scene.body("vsvip")["vip"]
        assert vip[field]["addr"] == address
        assert {"ip_address", "ip6_address"} <= set(vip)
        assert await scene.look() == []

    play(avi, story, service("web", "80/TCP", load_balancer_ip=address), avi_vip_networks=(DUAL,))


def test_a_network_with_ipv6_alone_gives_ipv6(avi: Avi) -> None:
    """And no address of the other family."""

    async def story(scene: Scene) -> None:
        await scene.look()
        (vip,) = scene.kubernetes.vips(WEB)
        assert vip[0].startswith("2001:db8::")
        assert scene.kubernetes.verdicts[WEB.name].further_vips == ()

    play(avi, story, WEB, avi_vip_networks=(VipNetwork("net1", cidr_v6="2001:db8::/64"),))


def test_a_groups_tenant_is_its_namespaces(avi: Avi) -> None:
    """The annotation moves the group: torn down there, built here; another start finds it."""
    around = FakeSurroundings(namespaces={"default": Namespace("default")})

    async def story(scene: Scene) -> None:
        await scene.look()
        assert scene.body("virtualservice")["tenant_ref"] == "admin"
        around.namespaces["default"] = Namespace("default", tenant="shop")
        assert await scene.look() == ["DELETE macro", "POST macro"]
        for kind, listener in (("virtualservice", ""), ("vsvip", ""), ("l4policyset", ""), ("pool", "TCP~80")):
            assert scene.body(kind, listener)["tenant_ref"] == "shop"
        assert await scene.side.read() == ()
        scene.kubernetes.endpoint_slices[WEB.name] = ()
        assert await scene.look() == ["PATCH pool"]
        scene.kubernetes.admit(service("web", "80/TCP", "81/TCP"), at=START)
        assert await scene.look() == ["POST pool", "PUT l4policyset", "PUT virtualservice"]
        assert await scene.look() == []
        scene.kubernetes.delete(WEB.name)
        assert await scene.look() == ["DELETE macro"]

    play(avi, story, WEB, around=around, avi_tenant_per_namespace=True)


def test_the_tenant_annotation_says_nothing_unless_the_operator_wants_it(avi: Avi) -> None:
    """Whoever may annotate a Namespace must not thereby choose a tenant."""
    around = FakeSurroundings(namespaces={"default": Namespace("default", tenant="shop")})

    async def story(scene: Scene) -> None:
        await scene.look()
        assert scene.body("virtualservice")["tenant_ref"] == "admin"

    play(avi, story, WEB, around=around)


def test_a_namespace_that_loses_its_label_loses_its_group_and_gets_it_back(avi: Avi) -> None:
    """AKO leaves the virtual service (``ako.md`` section 7, i); our words leave the Services' statuses."""
    around = FakeSurroundings(namespaces={"default": Namespace("default", {"avi": "yes"})})

    async def story(scene: Scene) -> None:
        await scene.look()
        around.namespaces["default"] = Namespace("default", {"avi": "no"})
        assert await scene.look() == ["DELETE macro"]
        assert scene.kubernetes.vips(WEB) == [()]
        assert not scene.kubernetes.stored[WEB.name].has_ready_condition
        assert scene.kubernetes.reports[GROUP].verdict.reason == "NamespaceNotSelected"
        assert await scene.look() == []
        around.namespaces["default"] = Namespace("default", {"avi": "yes"})
        assert await scene.look() == ["POST macro"]
        assert scene.kubernetes.vips(WEB) != [()]

    play(avi, story, WEB, around=around, namespace_selector="avi=yes")


def test_a_blocked_namespace_is_left_alone(avi: Avi) -> None:
    """No call, and no word in a status that may be somebody else's."""

    async def story(scene: Scene) -> None:
        assert await scene.look() == []
        assert WEB.name not in scene.kubernetes.verdicts

    play(avi, story, WEB, blocked_namespaces="kube-system,default")


def test_every_member_has_a_name_and_the_status_shows_one_that_has_a_record(named_avi: Avi) -> None:
    """AKO's status shows a name without a record where one is annotated (``ako.md`` section 7, q).

    An underscore has its record too, and no status may hold it: written there, nothing else would be told either.
    """
    own = detailed(service("own", "81/TCP"), hostname="shop_1.avi.internal, shop.avi.internal, shop.example.com")

    async def story(scene: Scene) -> None:
        assert await scene.look() == ["POST macro"]
        assert [record["fqdn"] for record in scene.body("vsvip")["dns_info"]] == [
            "shop.avi.internal",
            "shop_1.avi.internal",
            "web.default.avi.internal",
        ]
        verdicts = scene.kubernetes.verdicts
        assert verdicts[WEB.name].hostname == "web.default.avi.internal"
        assert verdicts[own.name].hostname == "shop.avi.internal"
        assert await scene.look() == []
        scene.kubernetes.delete(own.name)
        assert "PUT vsvip" in await scene.look()
        assert [record["fqdn"] for record in scene.body("vsvip")["dns_info"]] == ["web.default.avi.internal"]
        assert verdicts[WEB.name].hostname == "web.default.avi.internal"

    play(named_avi, story, WEB, own)


def test_a_name_that_the_controller_refuses_is_in_no_status(named_avi: Avi) -> None:
    """The VIP stays; the name comes with its record."""
    before, after = (detailed(WEB, hostname=f"{name}.avi.internal") for name in ("before", "after"))

    async def story(scene: Scene) -> None:
        await scene.look()
        assert scene.kubernetes.verdicts[WEB.name].hostname == "before.avi.internal"
        scene.kubernetes.apply(after)
        named_avi.running.faults.set(Fault(action="status", status=400, method="PUT", path="/api/vsvip"))
        with pytest.raises(AviRefused):
            await scene.look()
        assert scene.kubernetes.verdicts[WEB.name].hostname == ""
        assert scene.kubernetes.vips(WEB) != [()]
        assert (await scene.look())[-1] == "PUT vsvip"
        assert scene.kubernetes.verdicts[WEB.name].hostname == "after.avi.internal"

    play(named_avi, story, before)


def test_a_cloud_without_dns_gives_no_names(avi: Avi) -> None:
    """And the status shows none, whatever is annotated."""
    own = detailed(service("own", "81/TCP"), hostname="shop.avi.internal")

    async def story(scene: Scene) -> None:
        await scene.look()
        assert "dns_info" not in scene.body("vsvip")
        assert scene.kubernetes.verdicts[own.name].hostname == ""

    play(avi, story, own)


def test_names_cost_two_reads_at_the_start_and_a_steady_state_writes_nothing(named_avi: Avi) -> None:
    """The cloud and its domains, besides the licence and four lists."""

    async def story(scene: Scene) -> None:
        named_avi.forget()
        await scene.side.read()
        assert sorted(named_avi.calls()) == [
            f"GET {kind}"
            for kind in (
                *("cloud", "ipamdnsproviderprofiledomainlist", "l4policyset", "pool", "systemconfiguration"),
                *("virtualservice", "vsvip"),
            )
        ]

    play(named_avi, story, WEB)
