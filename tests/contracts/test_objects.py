"""Create, read, replace, rename, delete, for every kind that a guest may make."""

import pytest

from tests.contracts.bodies import BUILDERS, pool, server, virtualservice, vsvip
from tests.contracts.client import Client, Document, Site, path_of, unique

every_kind = pytest.mark.parametrize("kind", [*BUILDERS, "virtualservice"])
CLASS_NAMES = {
    "healthmonitor": ("HealthMonitor", "Health monitor with this Name and Tenant ref already exists."),
    "networkprofile": ("NetworkProfile", "Network profile with this Name and Tenant ref already exists."),
    "applicationprofile": ("ApplicationProfile", "Application profile with this Name and Tenant ref already exists."),
    "pool": ("Pool", "Pool with this Name, Tenant ref and Cloud ref already exists."),
    "vsvip": ("VsVip", "Vs vip with this Name, Tenant ref and Cloud ref already exists."),
    "l4policyset": ("L4PolicySet", "L4 policy set with this Name and Tenant ref already exists."),
    "virtualservice": ("VirtualService", "Virtual service with this Name, Tenant ref and Cloud ref already exists."),
}


def body_of(kind: str, client: Client, controller: Site) -> Document:
    """A body that a POST takes."""
    if kind == "virtualservice":
        vip = client.made("vsvip", vsvip(controller))
        return virtualservice(controller, vsvip_ref=f"/api/vsvip/?name={vip['name']}")
    return BUILDERS[kind](controller)


@every_kind
def test_a_post_makes_an_object(kind: str, client: Client, controller: Site) -> None:
    """201, with its uuid, its URL with name, and the time as text."""
    body = body_of(kind, client, controller)
    answer = client.post(kind, body)
    made = answer.body

    assert answer.status == 201, answer.text
    assert made["name"] == body["name"]
    assert made["uuid"].startswith(f"{kind}-")
    assert made["url"] == f"{controller.url}/api/{kind}/{made['uuid']}#{body['name']}"
    assert answer.headers["location"] == made["url"]
    assert made["tenant_ref"].endswith(f"#{client.tenant}")
    assert made["_last_modified"].isdigit()


@every_kind
def test_what_was_made_is_read_by_uuid_and_by_name(kind: str, client: Client, controller: Site) -> None:
    """And both show the same object, with bare references."""
    made = client.made(kind, body_of(kind, client, controller))
    listed = client.get(f"{kind}/?name={made['name']}").body

    assert (listed["count"], listed["results"][0]["uuid"]) == (1, made["uuid"])
    assert "#" not in listed["results"][0]["url"]
    assert client.read(made)["_last_modified"] == made["_last_modified"]


@every_kind
def test_a_name_is_had_once_in_a_tenant(kind: str, client: Client, controller: Site) -> None:
    """409 in the Controller's words."""
    made = client.made(kind, body_of(kind, client, controller))
    answer = client.post(kind, {**body_of(kind, client, controller), "name": made["name"]})

    assert (answer.status, answer.error) == (409, CLASS_NAMES[kind][1])
    assert client.get(f"{kind}?name={made['name']}").body["count"] == 1


@every_kind
def test_a_put_replaces_the_whole_object_and_may_rename_it(kind: str, client: Client, controller: Site) -> None:
    """The uuid stays, the time moves on."""
    body = body_of(kind, client, controller)
    made = client.made(kind, {**body, "description": "old"})
    name = unique("renamed")
    answer = client.put(path_of(made), {**body, "name": name})

    assert (answer.status, answer.body["uuid"], answer.body["name"]) == (200, made["uuid"], name)
    assert "description" not in answer.body
    assert int(answer.body["_last_modified"]) > int(made["_last_modified"])
    assert client.get(f"{kind}?name={made['name']}").body["count"] == 0


@every_kind
def test_a_put_may_not_take_anothers_name(kind: str, client: Client, controller: Site) -> None:
    """409, and nothing changed."""
    first = client.made(kind, body_of(kind, client, controller))
    second = client.made(kind, body := body_of(kind, client, controller))

    assert client.put(path_of(second), {**body, "name": first["name"]}).status == 409
    assert client.read(second)["name"] == second["name"]


@every_kind
def test_a_delete_leaves_nothing(kind: str, client: Client, controller: Site) -> None:
    """204 without a body, then 404 with the class's name, for every method."""
    made = client.made(kind, body_of(kind, client, controller))
    answer = client.delete(path_of(made))

    assert (answer.status, answer.text, answer.headers["content-length"]) == (204, "", "0")
    gone = [client.get(path_of(made)), client.put(path_of(made), made), client.delete(path_of(made))]
    assert [each.status for each in gone] == [404, 404, 404]
    assert {each.error for each in gone} == {f"{CLASS_NAMES[kind][0]} object not found!"}


@every_kind
def test_an_object_needs_a_name(kind: str, client: Client, controller: Site) -> None:
    """400 by the field check."""
    body = {key: value for key, value in body_of(kind, client, controller).items() if key != "name"}
    answer = client.post(kind, body)

    assert answer.status == 400
    assert answer.error


def test_defaults_are_filled_in(client: Client, controller: Site) -> None:
    """Those recorded from a real Controller."""
    made = client.made("pool", {**pool(controller), "servers": [{"ip": {"addr": "10.0.0.1", "type": "V4"}}]})

    assert (made["default_server_port"], made["lb_algorithm"]) == (80, "LB_ALGORITHM_LEAST_CONNECTIONS")
    assert made["servers"][0].items() >= {"hostname": "10.0.0.1", "enabled": True, "ratio": 1}.items()


def test_a_virtual_service_gets_its_defaults(client: Client, controller: Site) -> None:
    """Profiles, SE group and VRF among them."""
    vip = client.made("vsvip", vsvip(controller))
    body = {"name": unique("vs"), "cloud_ref": f"/api/cloud?name={controller.cloud}", "vsvip_ref": vip["url"]}
    made = client.made("virtualservice", {**body, "services": [{"port": 80}]})

    assert made["services"][0].items() >= {"port": 80, "port_range_end": 80, "enable_ssl": False}.items()
    assert made["application_profile_ref"].endswith("#System-HTTP")
    assert made["network_profile_ref"].endswith("#System-TCP-Proxy")
    assert made["se_group_ref"].endswith("#Default-Group")
    assert made.items() >= {"enabled": True, "traffic_enabled": True, "type": "VS_TYPE_NORMAL", "weight": 1}.items()


def test_an_unknown_field_is_ignored(client: Client, controller: Site) -> None:
    """As a recorded Controller did."""
    assert client.post("pool", pool(controller, application_profile_name="x")).status == 201


def test_a_number_out_of_its_range_is_refused(client: Client, controller: Site) -> None:
    """400 by the field check, whose words are the Controller's own."""
    assert client.post("pool", pool(controller, servers=[server("10.0.0.1", ratio=21)])).status == 400


def test_a_slug_forces_the_uuid(client: Client, controller: Site) -> None:
    """The SDK calls it ``force_uuid``."""
    uuid = unique("pool")
    answer = client.call("POST", "pool", body=pool(controller), headers={"Slug": uuid})

    assert (answer.status, answer.body["uuid"]) == (201, uuid)


def test_a_uuid_in_the_body_is_not_taken(client: Client, controller: Site) -> None:
    """The Controller chooses."""
    assert client.made("pool", pool(controller, uuid="pool-mine"))["uuid"] != "pool-mine"


def test_a_wrong_method_is_refused(client: Client) -> None:
    """405 in the SDK's words."""
    answer = client.delete("pool")

    assert (answer.status, answer.error) == (405, "Method 'DELETE' not allowed")


def test_an_unknown_path_is_not_found(client: Client) -> None:
    """404."""
    assert client.get("poool").status == 404


def test_a_body_that_is_no_json_is_refused(client: Client) -> None:
    """400, not a crash."""
    assert client.post("pool", b"{").status == 400


def test_objects_of_another_tenant_are_not_seen(client: Client, admin: Client, controller: Site) -> None:
    """Neither in lists nor by uuid, and ``*`` sees all."""
    made = client.made("pool", pool(controller))

    assert admin.get(f"pool?name={made['name']}").body["count"] == 0
    assert admin.get(path_of(made)).status == 404
    assert admin.within("*").get(f"pool?name={made['name']}").body["count"] == 1


def test_two_tenants_may_use_one_name(client: Client, admin: Client, controller: Site) -> None:
    """A name is had per tenant."""
    made = client.made("healthmonitor", body_of("healthmonitor", client, controller))
    other = admin.made("healthmonitor", {**body_of("healthmonitor", client, controller), "name": made["name"]})

    assert other["uuid"] != made["uuid"]
    assert admin.delete(path_of(other)).status == 204


def test_an_unknown_tenant_is_refused(client: Client) -> None:
    """AKO looks for these words."""
    answer = client.within("sharedvip-nowhere").get("pool")

    assert (answer.status, answer.error) == (403, "Tenant 'sharedvip-nowhere' does not exist!")


def test_a_tenant_may_be_given_by_uuid(client: Client, admin: Client, controller: Site) -> None:
    """X-Avi-Tenant-UUID, as avisdk's ``tenant_uuid``."""
    made = client.made("pool", pool(controller))
    uuid = admin.get(f"tenant?name={client.tenant}").results[0]["uuid"]
    answer = client.within("").call("GET", path_of(made), headers={"X-Avi-Tenant-UUID": uuid})

    assert answer.body["uuid"] == made["uuid"]
