"""The kinds that a guest does not touch on a real Controller: tenants, clouds, networks and what belongs to them."""

import pytest

from simulator.kinds import EMPTY_KINDS
from tests.contracts.bodies import macro, pool, tree, virtualservice, vsvip
from tests.contracts.client import Document, path_of
from tests.simulator.desk import desk

BODIES: dict[str, Document] = {
    "tenant": {"name": "blue"},
    "cloud": {"name": "vcenter", "vtype": "CLOUD_VCENTER"},
    "vrfcontext": {"name": "vrf-blue"},
    "serviceenginegroup": {"name": "group-blue"},
    "network": {"name": "net-blue"},
    "ipamdnsproviderprofile": {"name": "ipam-blue", "type": "IPAMDNS_TYPE_INTERNAL"},
    "analyticsprofile": {"name": "analytics-blue"},
}
every_kind = pytest.mark.parametrize("kind", BODIES)


@every_kind
def test_an_object_lives_through_every_method(kind: str) -> None:
    """Made, listed, read, replaced, patched, deleted, gone."""
    it = desk()
    made = it.client.made(kind, BODIES[kind])
    path = path_of(made)

    assert it.client.get(f"{kind}?name={made['name']}").body["count"] == 1
    assert it.client.post(kind, BODIES[kind]).status == 409
    assert it.client.put(path, {**BODIES[kind], "description": "x"}).body["description"] == "x"
    assert it.client.patch(path, {"replace": {"description": "y"}}).body["description"] == "y"
    assert it.client.delete(path).status == 204
    assert it.client.get(path).status == 404


def test_a_fresh_controller_holds_what_a_virtual_service_needs() -> None:
    """And tenant admin's uuid is its name."""
    it = desk()

    assert it.client.get("tenant").results[0]["uuid"] == "admin"
    assert it.client.get("cloud").names == ["Default-Cloud"]
    assert it.client.get("vrfcontext").names == ["global"]
    assert it.client.get("serviceenginegroup").names == ["Default-Group"]
    assert it.client.get("network").names == ["net1"]
    assert it.client.get("ipamdnsproviderprofile").names == ["avi-ipam"]
    assert it.client.get("ipamdnsproviderprofiledomainlist?cloud_uuid=x").body["domains"] == ["avi.internal"]
    assert it.client.get("analyticsprofile").names == ["System-Analytics-Profile"]


def test_a_cloud_is_born_with_vrf_and_group_and_takes_them_along() -> None:
    """Names are had per cloud."""
    it = desk()
    cloud = it.client.made("cloud", {"name": "other"})

    assert it.client.get("vrfcontext?cloud_ref.name=other").names == ["global"]
    assert it.client.get("serviceenginegroup?cloud_ref.name=other").names == ["Default-Group"]
    first = it.client.made("pool", {"name": "same"})
    second = it.client.made("pool", {"name": "same", "cloud_ref": cloud["url"]})
    assert first["vrf_ref"] != second["vrf_ref"]
    assert it.client.delete(path_of(cloud)).status == 403
    it.client.delete(path_of(second))
    assert it.client.delete(path_of(cloud)).status == 204
    assert it.client.get("vrfcontext").names == ["global"]


def test_parts_of_two_clouds_do_not_mix() -> None:
    """Assumed."""
    it = desk()
    cloud = it.client.made("cloud", {"name": "other"})
    vip = it.client.made("vsvip", vsvip(it.site))
    body = {**virtualservice(it.site, vsvip_ref=vip["url"]), "cloud_ref": cloud["url"]}

    assert it.client.post("virtualservice", body).status == 400
    assert it.client.put(path_of(vip), {**vip, "cloud_ref": cloud["url"]}).status == 400


def test_a_macros_names_are_looked_up_in_its_own_cloud() -> None:
    """A pool of that name in another cloud is another pool."""
    it = desk()
    it.client.made("cloud", {"name": "other"})
    it.client.made("pool", {"name": "web", "cloud_ref": "/api/cloud?name=other"})
    answer = it.client.post("macro", {"model_name": "Pool", "data": {"name": "web"}})

    assert answer.status == 201


def test_labels_of_a_group_are_found_and_changed() -> None:
    """AKO marks its SE group so."""
    it = desk()
    group = it.client.get("serviceenginegroup").results[0]
    labels = [{"key": "clustername", "value": "c1"}]

    assert it.client.put(path_of(group), {**group, "labels": labels}).body["labels"] == labels
    assert it.client.get("serviceenginegroup?label_key=clustername&label_value=c1").names == ["Default-Group"]
    assert it.client.get("serviceenginegroup?label_key=clustername&label_value=c2").names == []


def test_static_routes_of_a_vrf_are_kept() -> None:
    """AKO writes them in ClusterIP mode, with the time it read."""
    it = desk()
    vrf = it.client.get("vrfcontext").results[0]
    routes = [{"route_id": "c1-1", "next_hop": {"addr": "10.0.0.1", "type": "V4"}}]

    assert it.client.put(path_of(vrf), {**vrf, "static_routes": routes}).body["static_routes"] == routes
    assert it.client.put(path_of(vrf), {**vrf, "static_routes": []}).status == 412


@pytest.mark.parametrize("kind", sorted(EMPTY_KINDS))
def test_a_kind_that_is_not_simulated_is_an_empty_list(kind: str) -> None:
    """AKO lists them at its start; none can be made."""
    it = desk()

    assert it.client.within("*").get(f"{kind}?include_name=true&page_size=100").body == {"count": 0, "results": []}
    assert it.client.post(kind, {"name": "x"}).status == 405


def test_without_a_tenant_header_admin_is_meant() -> None:
    """The user's default tenant; a write to all tenants goes there too."""
    it = desk()

    assert it.client.within("").made("pool", pool(it.site))["tenant_ref"].endswith("/api/tenant/admin#admin")
    assert it.client.within("*").made("pool", pool(it.site))["tenant_ref"].endswith("/api/tenant/admin#admin")


def test_the_bodys_tenant_beats_the_header() -> None:
    """Assumed."""
    it = desk()
    tenant = it.client.made("tenant", {"name": "blue"})
    made = it.client.made("pool", pool(it.site, tenant_ref="/api/tenant/?name=blue"))

    assert made["tenant_ref"] == tenant["url"]


def test_the_runtime_follows_the_servers() -> None:
    """UP with an enabled server, DOWN without, DISABLED when disabled."""
    it = desk()
    made = it.client.post("macro", macro(tree(it.site))).bodies
    (vs,) = [one for one in made if "/virtualservice/" in one["url"]]
    pools = [one for one in made if "/pool/" in one["url"]]

    def state(one: Document) -> str:
        return it.client.get(f"{path_of(one)}/runtime").body["oper_status"]["state"]

    assert (state(vs), [state(one) for one in pools]) == ("OPER_UP", ["OPER_UP", "OPER_UP"])
    it.client.patch(path_of(pools[0]), {"replace": {"servers": []}})
    assert (state(vs), state(pools[0])) == ("OPER_UP", "OPER_DOWN")
    it.client.patch(path_of(pools[1]), {"replace": {"enabled": False}})
    assert (state(vs), state(pools[1])) == ("OPER_DOWN", "OPER_DISABLED")
    it.client.patch(path_of(vs), {"replace": {"enabled": False}})
    assert state(vs) == "OPER_DISABLED"
    assert it.client.get(f"{path_of(pools[0])}/runtime/detail").bodies[0]["num_servers"] == 0


def test_unused_objects_say_so() -> None:
    """OPER_UNUSED."""
    it = desk()
    for made in (it.client.made("pool", pool(it.site)), it.client.made("vsvip", vsvip(it.site))):
        assert it.client.get(f"{path_of(made)}/runtime").body["oper_status"]["state"] == "OPER_UNUSED"


def test_inventories_join_configuration_and_state() -> None:
    """With the VIP, which the virtual service itself does not show."""
    it = desk()
    made = it.client.post("macro", macro(tree(it.site))).bodies
    (item,) = it.client.get("virtualservice-inventory").results

    assert item["config"]["vip"][0]["ip_address"]["addr"] == "100.64.196.61"
    assert item["runtime"]["oper_status"]["state"] == "OPER_UP"
    assert len(item["pools"]) == 2
    assert "vip" not in it.client.get("virtualservice").results[0]
    assert "config" not in it.client.get("virtualservice-inventory?include=runtime").results[0]
    assert it.client.get("pool-inventory").body["count"] == 2
    assert it.client.get(f"vsvip-inventory/{made[0]['uuid']}").body["runtime"]["vip_id"] == "0"
    assert it.client.get("l4policyset-inventory").status == 404
    assert it.client.get(f"{path_of(made[2])}/runtime/nothing").status == 404


def test_a_read_virtual_service_leaks_internals() -> None:
    """Clients must bear them, and may send them back."""
    it = desk()
    made = it.client.post("macro", macro(tree(it.site))).bodies[-1]
    shown = it.client.read(made)

    assert "redis_port" in shown
    assert "redis_port" not in it.client.put(path_of(made), shown).body


def test_a_nested_message_of_the_wrong_type_is_a_bad_one() -> None:
    """The one documented 500."""
    answer = desk().client.post("pool", {"name": "x", "servers": "10.0.0.1"})

    assert (answer.status, answer.error) == (500, "Bad pb: servers: expected a list of messages")


def test_a_field_check_is_nested_as_the_controller_nests_it() -> None:
    """A string within a string."""
    answer = desk().client.post("pool", {"name": "x", "servers": [{"ip": {"addr": "y", "type": "V4"}}]})

    assert answer.error == (
        '{"servers":"{"ip":"{"addr":"Field check for addr failed : \'y\' is not an IP address"}"}"}'
    )
