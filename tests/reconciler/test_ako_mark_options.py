"""Rows g, h, i and q of `ako.md` section 7: nodes, AviInfraSettings, Namespaces and host names, as users see them."""

from collections.abc import Generator
from typing import cast

import pytest

from cluster.ako_resources import InfraSetting, Namespace
from cluster.nodes import Node
from reconciler.avi_client import AviRequest
from reconciler.graph import JsonObject
from tests.builders import GROUP, service
from tests.reconciler.controller import Avi
from tests.reconciler.options import FakeSurroundings, Scene, controller, detailed, play

WEB = service("web", "80/TCP")


@pytest.fixture(scope="module")
def own_avi(tmp_path_factory: pytest.TempPathFactory) -> Generator[Avi]:
    """A Controller with another SE group, and a DNS profile with the domain ``avi.internal``."""
    with controller(tmp_path_factory.mktemp("mark")) as simulated:

        async def furnish(scene: Scene) -> None:
            await scene.make("serviceenginegroup", name="gold", cloud_ref="/api/cloud?name=Default-Cloud")
            await scene.make("ipamdnsproviderprofile", name="dns", type="IPAMDNS_TYPE_INTERNAL_DNS")
            store = simulated.running.controller.store
            cloud = next(record for record in store.of_kind("cloud") if record.name == "Default-Cloud")
            body = cast("JsonObject", {**cloud.document, "dns_provider_ref": "/api/ipamdnsproviderprofile?name=dns"})
            await scene.client.request(AviRequest("PUT", f"cloud/{cloud.uuid}", body=body))

        play(simulated, furnish)
        yield simulated


def test_g_a_node_that_comes_or_goes_moves_the_pools(own_avi: Avi) -> None:
    """NodePort: AKO's shared VIPs ignore nodes."""
    web = detailed(WEB, node_ports=(31000,))
    around = FakeSurroundings(machines=[Node("n0", {"IPv4": "10.10.0.10"})])

    async def story(scene: Scene) -> None:
        await scene.look()
        for machines in (["10.10.0.10", "10.10.0.11"], ["10.10.0.11"]):
            around.machines[:] = [Node(f"n{address}", {"IPv4": address}) for address in machines]
            assert await scene.look() == ["PATCH pool"]
            assert own_avi.servers(scene.name("TCP~80")) == [f"{address}:31000" for address in machines]

    play(own_avi, story, web, around=around, service_type="NodePort")


@pytest.mark.parametrize("is_namespaced", [False, True], ids=["of the Service", "of the Namespace"])
def test_h_an_infra_setting_that_comes_late_or_changes_is_followed(own_avi: Avi, *, is_namespaced: bool) -> None:
    """AKO builds with defaults, never looks again, and applies half of a Namespace's."""
    web = service("web", "80/TCP", infra_setting="" if is_namespaced else "late")
    around = FakeSurroundings()
    if is_namespaced:
        around.namespaces["default"] = Namespace("default", infra_setting="late")

    async def story(scene: Scene) -> None:
        assert await scene.look() == []
        around.infra["late"] = InfraSetting("late", se_group="gold")
        assert await scene.look() == ["POST macro"]
        assert scene.body("virtualservice")["se_group_ref"] == "gold"

    play(own_avi, story, web, around=around)


def test_i_a_namespace_that_is_not_selected_any_more_loses_its_group(own_avi: Avi) -> None:
    """AKO keeps the shared virtual service."""
    around = FakeSurroundings(namespaces={"default": Namespace("default", {"team": "shop"})})

    async def story(scene: Scene) -> None:
        await scene.look()
        around.namespaces["default"] = Namespace("default")
        assert await scene.look() == ["DELETE macro"]

    kubernetes = play(own_avi, story, WEB, around=around, namespace_selector="team=shop")
    assert kubernetes.vips(WEB) == [()]


def test_q_a_hostname_in_a_status_is_one_that_has_a_record(own_avi: Avi) -> None:
    """AKO shows the automatic name, and registers the annotated one."""
    web = detailed(WEB, hostname="shop.avi.internal")

    async def story(scene: Scene) -> None:
        await scene.look()
        records = {entry["fqdn"] for entry in scene.body("vsvip")["dns_info"]}
        assert "shop.avi.internal" in records
        assert scene.side.view.group(GROUP).host_names
        assert set(scene.side.view.group(GROUP).host_names) <= records

    play(own_avi, story, web)
