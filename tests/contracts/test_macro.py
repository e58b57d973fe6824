"""macro: a whole tree in one call, all of it or nothing."""

from tests.contracts.bodies import l4policyset, macro, pool, rule, server, tree, virtualservice, vsvip
from tests.contracts.client import Client, Document, Site, path_of, unique

KINDS = ("virtualservice", "l4policyset", "pool", "vsvip")


def counts(client: Client) -> list[int]:
    """How many objects of each kind the tenant has."""
    return [client.get(kind).body["count"] for kind in KINDS]


def made_tree(client: Client, controller: Site) -> dict[str, list[Document]]:
    """The seed's shared VIP, made by one call; its objects by kind."""
    answer = client.post("macro", macro(tree(controller)))
    assert answer.status == 201, answer.text
    return {kind: [one for one in answer.bodies if f"/api/{kind}/" in one["url"]] for kind in KINDS}


def test_a_post_makes_the_whole_tree(client: Client, controller: Site) -> None:
    """And answers every object, children before parents, linked."""
    made = made_tree(client, controller)
    (vs,), (policy,), pools, (vip,) = (made[kind] for kind in KINDS)
    rules = policy["l4_connection_policy"]["rules"]

    assert counts(client) == [1, 1, 2, 1]
    assert vs["vsvip_ref"] == vip["url"]
    assert vs["l4_policies"][0]["l4_policy_set_ref"] == policy["url"]
    assert [each["action"]["select_pool"]["pool_ref"] for each in rules] == [one["url"] for one in pools]
    assert vip["vip"][0]["ip_address"]["addr"]
    assert [entry["port"] for entry in vs["services"]] == [80, 80]
    assert not any("_ref_data" in key for key in vs)


def test_a_post_that_fails_below_leaves_nothing(client: Client, controller: Site) -> None:
    """The second pool is wrong, after the vsvip got its address."""
    data = tree(controller)
    policy = data["l4_policies"][0]["l4_policy_set_ref_data"]
    policy["l4_connection_policy"]["rules"][1]["action"]["select_pool"]["pool_ref_data"]["default_server_port"] = 0
    answer = client.post("macro", macro(data))

    assert (answer.status, counts(client)) == (400, [0, 0, 0, 0])


def test_a_post_that_fails_at_the_top_leaves_nothing(client: Client, controller: Site) -> None:
    """The virtual service comes last."""
    answer = client.post("macro", macro(tree(controller, weight=1000)))

    assert (answer.status, counts(client)) == (400, [0, 0, 0, 0])


def test_a_post_of_a_name_that_is_taken_leaves_nothing(client: Client, controller: Site) -> None:
    """409 after a lost answer tells that the tree is there."""
    data = tree(controller)
    assert client.post("macro", macro(data)).status == 201

    assert client.post("macro", macro(data)).status == 409
    assert counts(client) == [1, 1, 2, 1]


def test_a_put_changes_the_tree(client: Client, controller: Site) -> None:
    """The objects keep their uuids."""
    data = tree(controller)
    made = client.post("macro", macro(data)).bodies
    data["description"] = "changed"
    answer = client.call("PUT", "macro", body=macro(data))

    assert answer.status == 200
    assert {one["uuid"] for one in answer.bodies} == {one["uuid"] for one in made}
    assert client.get(f"virtualservice?name={data['name']}").results[0]["description"] == "changed"
    assert counts(client) == [1, 1, 2, 1]


def test_a_put_that_fails_changes_nothing(client: Client, controller: Site) -> None:
    """Atomic too."""
    data = tree(controller)
    made = {one["uuid"]: one["_last_modified"] for one in client.post("macro", macro(data)).bodies}
    answer = client.call("PUT", "macro", body=macro({**data, "weight": 1000}))
    now = {entry["uuid"]: entry["_last_modified"] for kind in KINDS for entry in client.get(kind).results}

    assert (answer.status, now) == (400, made)


def test_a_delete_takes_the_whole_tree(client: Client, controller: Site) -> None:
    """One call."""
    (vs,) = made_tree(client, controller)["virtualservice"]
    answer = client.delete("macro", macro({"uuid": vs["uuid"]}))

    assert 200 <= answer.status < 300
    assert counts(client) == [0, 0, 0, 0]


def test_a_delete_leaves_what_others_use(client: Client, controller: Site) -> None:
    """And the cloud, the VRF and the profiles, which a virtual service refers to as well."""
    made = made_tree(client, controller)
    (vs,), (vip,) = made["virtualservice"], made["vsvip"]
    services = [{"port": 8080}]
    other = client.made("virtualservice", virtualservice(controller, vsvip_ref=vip["url"], services=services))
    client.delete("macro", macro({"uuid": vs["uuid"]}))

    assert counts(client) == [1, 0, 0, 1]
    assert client.read(other)["vsvip_ref"] == vip["url"].partition("#")[0]
    assert client.get("networkprofile?name=System-TCP-Proxy").body["count"] == 1


def test_a_delete_of_what_is_gone_is_not_found(client: Client) -> None:
    """404, so that a second try is harmless."""
    answer = client.delete("macro", macro({"uuid": unique("virtualservice")}))

    assert (answer.status, answer.error) == (404, "VirtualService object not found!")


def test_a_delete_of_what_is_referred_to_changes_nothing(client: Client, controller: Site) -> None:
    """A policy set in use, say."""
    made = made_tree(client, controller)
    body = {"model_name": "L4PolicySet", "data": {"uuid": made["l4policyset"][0]["uuid"]}}

    assert client.delete("macro", body).status in {400, 403}
    assert counts(client) == [1, 1, 2, 1]


def test_a_macro_may_be_of_any_kind_and_mix_references(client: Client, controller: Site) -> None:
    """A list of references, and existing objects by name."""
    monitor = {"name": unique("monitor"), "type": "HEALTH_MONITOR_TCP"}
    there = client.made("pool", pool(controller))
    new = pool(controller, health_monitor_refs_data=[monitor], servers=[server("10.0.0.1")])
    rules = [rule(80, "TCP", pool_ref=f"/api/pool?name={there['name']}"), rule(81, "TCP", index=1, pool_ref_data=new)]
    body = {"model_name": "L4PolicySet", "data": l4policyset(controller, l4_connection_policy={"rules": rules})}
    answer = client.post("macro", body)

    assert answer.status == 201
    assert [one["name"] for one in answer.bodies[:2]] == [monitor["name"], new["name"]]


def test_an_unknown_model_is_refused(client: Client) -> None:
    """400."""
    assert client.post("macro", {"model_name": "Nothing", "data": {}}).status == 400
    assert client.post("macro", {"model_name": "Pool"}).status == 400


def test_a_tree_made_by_single_calls_is_taken_by_one(client: Client, controller: Site) -> None:
    """A macro is only a way to write."""
    vip = client.made("vsvip", vsvip(controller))
    vs = client.made("virtualservice", virtualservice(controller, vsvip_ref=vip["url"]))
    client.delete("macro", macro({"uuid": vs["uuid"]}))

    assert client.get(path_of(vip)).status == 404


def test_a_put_by_uuid_renames(client: Client, controller: Site) -> None:
    """A child is meant by its uuid or its name; a uuid of nothing is not found."""
    made = client.made("pool", pool(controller))
    renamed = pool(controller, uuid=made["uuid"])
    answer = client.call("PUT", "macro", body={"model_name": "Pool", "data": renamed})
    nothing = {"model_name": "Pool", "data": {**renamed, "uuid": unique("pool")}}

    assert (answer.status, client.read(made)["name"]) == (200, renamed["name"])
    assert client.call("PUT", "macro", body=nothing).status == 404


def test_a_child_of_no_known_kind_is_refused(client: Client, controller: Site) -> None:
    """400, and one that is no message is a bad one."""
    unknown = tree(controller, nothing_ref_data={"name": "x"})
    broken = tree(controller) | {"vsvip_ref_data": "x"}

    assert client.post("macro", macro(unknown)).status == 400
    assert client.post("macro", macro(broken)).status >= 400
    assert counts(client) == [0, 0, 0, 0]
