"""Lists: pages, filters, fields."""

from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.contracts.bodies import l4policyset, pool, rule, vsvip
from tests.contracts.client import Client, Site, path_of, unique

MARKERS = [{"key": "clustername", "values": ["c1"]}]


def test_an_empty_list_is_no_error(client: Client) -> None:
    """Nothing found is 200."""
    answer = client.get("pool?name=nowhere")

    assert (answer.status, answer.body) == (200, {"count": 0, "results": []})


def test_pages_hold_every_object_once(client: Client, controller: Site) -> None:
    """``next`` leads from page to page and is missing on the last."""
    owner = unique("owner")
    names = sorted(client.made("pool", pool(controller, created_by=owner))["name"] for _ in range(5))
    seen: list[str] = []
    path: str | None = f"pool?created_by={owner}&sort=name&page_size=2"
    while path:
        body = client.get(path).body
        assert body["count"] == 5
        seen += [entry["name"] for entry in body["results"]]
        path = body["next"].partition("/api/")[2] if "next" in body else None

    assert seen == names


def test_the_next_page_is_named_as_a_whole_url(client: Client, controller: Site) -> None:
    """With the request's own parameters and the page's number."""
    owner = unique("owner")
    for _ in range(2):
        client.made("pool", pool(controller, created_by=owner))
    following = urlsplit(str(client.get(f"pool?created_by={owner}&page_size=1").body["next"]))

    assert f"{following.scheme}://{following.netloc}" == controller.url
    assert dict(parse_qsl(following.query)).items() >= {"created_by": owner, "page_size": "1", "page": "2"}.items()


@pytest.mark.parametrize("query", ["page_size=201", "page_size=0", "page_size=x", "page=99", "page=0"])
def test_a_page_that_can_not_be_is_refused(query: str, client: Client) -> None:
    """More than 200 at once, or beyond the last."""
    assert 400 <= client.get(f"pool?{query}").status < 500


def test_objects_are_found_by_parts_of_their_name(client: Client, controller: Site) -> None:
    """AKO asks so for vsvips."""
    name = unique("Shop--web")
    client.made("pool", pool(controller, name=name))
    part = name[3:-2]

    assert client.get(f"pool?name.contains={part}").names == [name]
    assert client.get(f"pool?name.contains={part.lower()}x").names == []
    assert client.get(f"pool?name.icontains={part.upper()}").names == [name]
    assert client.get(f"pool?name.in=nowhere,{name}").names == [name]
    assert client.get(f"pool?search=(name,{part})").names == [name]
    assert client.get(f"pool?isearch=(name,{part.upper()})").names == [name]


def test_objects_are_found_by_uuid_and_by_owner(client: Client, controller: Site) -> None:
    """And both at once."""
    owner = unique("owner")
    mine = client.made("pool", pool(controller, created_by=owner))
    other = client.made("pool", pool(controller))
    both = f"{mine['uuid']},{other['uuid']}"

    assert client.get(f"pool?created_by={owner}").names == [mine["name"]]
    assert set(client.get(f"pool?uuid.in={both}").names) == {mine["name"], other["name"]}
    assert client.get(f"pool?uuid.in={both}&created_by={owner}").names == [mine["name"]]
    assert client.get(f"pool?created_by={owner}&exclude=uuid.in={mine['uuid']}").names == []


def test_objects_are_found_by_cloud(client: Client, controller: Site) -> None:
    """By its name or uuid."""
    made = client.made("pool", pool(controller))
    cloud = made["cloud_ref"].partition("#")[0].rpartition("/")[2]

    for query in (f"cloud_ref.name={controller.cloud}", f"cloud_ref.uuid={cloud}", f"cloud_uuid={cloud}"):
        assert client.get(f"pool?name={made['name']}&{query}").body["count"] == 1
    assert client.get(f"pool?name={made['name']}&cloud_ref.name=nowhere").body["count"] == 0


def test_objects_are_found_by_who_they_refer_to(client: Client, controller: Site) -> None:
    """And by who refers to them."""
    made = client.made("pool", pool(controller))
    rules = {"rules": [rule(80, "TCP", pool_ref=made["url"])]}
    policy = client.made("l4policyset", l4policyset(controller, l4_connection_policy=rules))

    assert client.get(f"l4policyset?refers_to=pool:{made['uuid']}").names == [policy["name"]]
    assert client.get(f"pool?referred_by=l4policyset:{policy['uuid']}").names == [made["name"]]


def test_objects_are_sorted(client: Client, controller: Site) -> None:
    """By name, forwards and backwards."""
    owner = unique("owner")
    names = sorted(client.made("pool", pool(controller, created_by=owner))["name"] for _ in range(3))

    assert client.get(f"pool?created_by={owner}&sort=name").names == names
    assert client.get(f"pool?created_by={owner}&sort=-name").names == names[::-1]


def test_fields_narrow_what_is_shown(client: Client, controller: Site) -> None:
    """Name, url and uuid always come."""
    made = client.made("pool", pool(controller, cloud_config_cksum="7"))
    shown = client.get(f"pool?name={made['name']}&fields=cloud_config_cksum,_last_modified").results[0]

    assert set(shown) == {"name", "url", "uuid", "cloud_config_cksum", "_last_modified"}


def test_names_come_with_references_when_asked(client: Client, controller: Site) -> None:
    """Bare, as AKO asks."""
    made = client.made("vsvip", vsvip(controller))
    shown = client.get(f"vsvip/?include_name&name={made['name']}").results[0]

    assert shown["cloud_ref"].endswith(f"#{controller.cloud}")
    assert shown["url"].endswith(f"#{made['name']}")


def test_a_checksum_and_markers_come_back_as_they_were_sent(client: Client, controller: Site) -> None:
    """AKO dies without its checksum, our ownership is in the markers."""
    made = client.made("pool", pool(controller, cloud_config_cksum="123", service_metadata="{}", markers=MARKERS))
    shown = client.get(f"pool?name={made['name']}").results[0]

    assert shown.items() >= {"cloud_config_cksum": "123", "service_metadata": "{}", "markers": MARKERS}.items()


def test_defaults_are_left_out_when_asked(client: Client, controller: Site) -> None:
    """``skip_default``: what was set stays."""
    made = client.made("pool", pool(controller, description="x"))
    whole = client.get(f"pool?name={made['name']}").results[0]
    short = client.get(f"pool?name={made['name']}&skip_default=true").results[0]

    assert {"enabled", "default_server_port"} <= set(whole)
    assert not {"enabled", "default_server_port"} & set(short)
    assert short["description"] == "x"
    assert short["servers"][0]["ip"]["addr"] == whole["servers"][0]["ip"]["addr"]


def test_the_runtime_is_joined_when_asked(client: Client, controller: Site) -> None:
    """``join_subresources``, on a list and on one object."""
    made = client.made("pool", pool(controller))

    assert "runtime" not in client.read(made)
    assert client.get(f"{path_of(made)}?join_subresources=runtime").body["runtime"]["oper_status"]
    assert client.get(f"pool?name={made['name']}&join_subresources=runtime").results[0]["runtime"]["oper_status"]


def test_a_limit_cuts_the_list(client: Client, controller: Site) -> None:
    """``limit_by``, before the pages."""
    owner = unique("owner")
    for _ in range(3):
        client.made("pool", pool(controller, created_by=owner))

    assert len(client.get(f"pool?created_by={owner}&limit_by=2&page_size=100").results) == 2


def test_inventories_have_pages(client: Client, controller: Site) -> None:
    """Like lists, each object once."""
    names = {client.made("pool", pool(controller))["name"] for _ in range(3)}
    seen: list[str] = []
    path = f"pool-inventory?name.in={','.join(names)}&page_size=2"
    while path:
        body = client.get(path).body
        seen += [item["config"]["name"] for item in body["results"]]
        path = str(body.get("next", "")).partition("/api/")[2]

    assert sorted(seen) == sorted(names)


def test_a_name_is_found_in_all_tenants(client: Client, admin: Client, controller: Site) -> None:
    """``X-Avi-Tenant: *`` with ``name`` and with ``name.in``."""
    body = pool(controller)
    client.made("pool", body)
    everyone = admin.within("*")

    assert everyone.get(f"pool?name={body['name']}").names == [body["name"]]
    assert everyone.get(f"pool?name.in=nowhere,{body['name']}").names == [body["name"]]
    assert admin.within("admin").get(f"pool?name={body['name']}").names == []


def test_akos_boot_requests_are_answered(client: Client, controller: Site) -> None:
    """Each as ako.md 6.1 lists it, with what AKO reads from the answer."""
    cloud = client.get(f"cloud/?include_name&name={controller.cloud}")
    network = client.get(f"network/?include_name=true&name={controller.network}&cloud_ref.name={controller.cloud}")
    group = f"serviceenginegroup/?include_name&page_size=100&cloud_ref.name={controller.cloud}&name.in=Default-Group"
    runtime = client.get("cluster/runtime").body

    assert "#" in cloud.results[0]["ipam_provider_ref"]
    assert "#" in network.results[0]["vrf_context_ref"]
    assert client.get(group).names == ["Default-Group"]
    assert client.get(f"vrfcontext?name=global&include_name=true&cloud_ref.name={controller.cloud}").names == ["global"]
    assert runtime["cluster_state"]["state"] in {"CLUSTER_UP_NO_HA", "CLUSTER_UP_HA_ACTIVE"}
    assert client.get("systemconfiguration").body["default_license_tier"]
    assert client.get("cluster").body["uuid"].startswith("cluster-")
    assert client.get("tenant/?include_name&name=admin").body["count"] == 1
    name = cloud.results[0]["ipam_provider_ref"].rpartition("#")[2]
    assert client.get(f"ipamdnsproviderprofile/?include_name&name={name}").results[0]["type"]


def test_an_object_is_listed_until_it_is_gone(client: Client, controller: Site) -> None:
    """Read after write."""
    made = client.made("pool", pool(controller))
    client.delete(path_of(made))

    assert client.get(f"pool?name={made['name']}").body["count"] == 0
