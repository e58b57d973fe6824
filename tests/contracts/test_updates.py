"""PUT and PATCH: what is lost, what is kept, and who wins."""

import pytest

from tests.contracts.bodies import l4policyset, pool, server, vsvip
from tests.contracts.client import Client, Document, Site, path_of


def addresses(shown: Document) -> list[str]:
    """The addresses of a pool's servers, in order."""
    return [entry["ip"]["addr"] for entry in shown.get("servers", [])]


def test_a_put_with_the_time_it_read_is_taken(client: Client, controller: Site) -> None:
    """The optimistic lock, held."""
    made = client.made("pool", pool(controller))

    assert client.put(path_of(made), made).status == 200


def test_a_put_with_an_old_time_is_refused_and_changes_nothing(client: Client, controller: Site) -> None:
    """412 with the words that AKO looks for."""
    made = client.made("vsvip", vsvip(controller))
    now = client.put(path_of(made), made).body
    answer = client.put(path_of(made), {**made, "vsvip_cloud_config_cksum": "late"})

    assert answer.status == 412
    assert "Concurrent update" in answer.error
    assert "Need to reload object data VsVip" in answer.error
    assert client.read(made)["_last_modified"] == now["_last_modified"]


def test_without_a_time_the_last_writer_wins(client: Client, controller: Site) -> None:
    """Which is why our reconciler sends it."""
    body = pool(controller)
    made = client.made("pool", body)
    client.put(path_of(made), {**body, "servers": [server("10.0.0.1")]})
    answer = client.put(path_of(made), {**body, "servers": [server("10.0.0.2")]})

    assert (answer.status, addresses(answer.body)) == (200, ["10.0.0.2"])


def test_a_put_resets_what_it_leaves_out(client: Client, controller: Site) -> None:
    """It replaces the whole object."""
    body = pool(controller)
    made = client.made("pool", {**body, "default_server_port": 8080, "created_by": "me"})
    renewed = client.put(path_of(made), body).body

    assert made["default_server_port"] == 8080
    assert renewed["default_server_port"] == 80
    assert "created_by" not in renewed


def test_every_write_moves_the_time_on(client: Client, controller: Site) -> None:
    """Strictly, also when nothing changed."""
    made = client.made("pool", pool(controller))
    times = [int(made["_last_modified"])]
    for _ in range(3):
        answer = client.patch(path_of(made), {"replace": {"description": "same"}})
        times.append(int(answer.body["_last_modified"]))

    assert times == sorted(set(times))


def test_patch_replace_swaps_a_whole_list(client: Client, controller: Site) -> None:
    """How our reconciler moves the endpoints of a pool."""
    made = client.made("pool", pool(controller, cloud_config_cksum="1"))
    change = {"servers": [server("10.0.0.1"), server("10.0.0.2")], "cloud_config_cksum": "2"}
    answer = client.patch(path_of(made), {"replace": change})

    assert (answer.status, addresses(answer.body)) == (200, ["10.0.0.1", "10.0.0.2"])
    assert answer.body["cloud_config_cksum"] == "2"
    assert answer.body["servers"][0]["enabled"] is True
    assert answer.body["vrf_ref"] == made["vrf_ref"]


def test_patch_replace_may_empty_a_list(client: Client, controller: Site) -> None:
    """The last endpoint goes."""
    made = client.made("pool", pool(controller))
    answer = client.patch(path_of(made), {"replace": {"servers": []}})

    assert (answer.status, addresses(answer.body)) == (200, [])


def test_patch_add_appends(client: Client, controller: Site) -> None:
    """To a list."""
    made = client.made("pool", pool(controller))
    answer = client.patch(path_of(made), {"add": {"servers": [server("10.0.0.9")]}})

    assert addresses(answer.body) == ["10.244.1.11", "10.0.0.9"]


def test_patch_delete_removes_the_entries_that_match(client: Client, controller: Site) -> None:
    """From a list."""
    first, second = server("10.0.0.1"), server("10.0.0.2")
    made = client.made("pool", pool(controller, servers=[first, second]))
    answer = client.patch(path_of(made), {"delete": {"servers": [first]}})

    assert addresses(answer.body) == ["10.0.0.2"]


@pytest.mark.parametrize("verb", ["add", "replace"])
def test_patch_sets_a_scalar(verb: str, client: Client, controller: Site) -> None:
    """Adding is replacing."""
    made = client.made("pool", pool(controller))

    assert client.patch(path_of(made), {verb: {"default_server_port": 8443}}).body["default_server_port"] == 8443


def test_patch_delete_resets_a_scalar(client: Client, controller: Site) -> None:
    """To its default."""
    made = client.made("pool", pool(controller, default_server_port=8443))

    assert client.patch(path_of(made), {"delete": {"default_server_port": 8443}}).body["default_server_port"] == 80


def test_a_patch_keeps_all_else_and_needs_no_time(client: Client, controller: Site) -> None:
    """No optimistic lock."""
    made = client.made("pool", pool(controller))
    client.patch(path_of(made), {"replace": {"description": "first"}})
    shown = client.patch(path_of(made), {"replace": {"default_server_port": 8080}}).body
    changing = {"description", "default_server_port", "_last_modified"}

    assert shown["description"] == "first"
    assert {key: value for key, value in shown.items() if key not in changing} == {
        key: value for key, value in made.items() if key not in changing
    }


def test_a_patch_is_checked_as_a_put(client: Client, controller: Site) -> None:
    """And changes nothing when it is refused."""
    made = client.made("pool", pool(controller))
    answer = client.patch(path_of(made), {"replace": {"default_server_port": 70000}})

    assert answer.status == 400
    assert client.read(made)["_last_modified"] == made["_last_modified"]


def test_a_patch_of_a_reference_is_resolved(client: Client, controller: Site) -> None:
    """As in any body."""
    made = client.made("pool", pool(controller))
    change = {"health_monitor_refs": ["/api/healthmonitor?name=System-TCP"]}
    shown = client.patch(path_of(made), {"replace": change}).body

    assert [ref.rpartition("#")[2] for ref in shown["health_monitor_refs"]] == ["System-TCP"]
    nowhere = {"health_monitor_refs": ["/api/healthmonitor?name=nowhere"]}
    assert client.patch(path_of(made), {"replace": nowhere}).status == 404


def test_a_patch_of_a_policy_set_swaps_its_rules(client: Client, controller: Site) -> None:
    """A message is replaced as a whole: depth one."""
    made = client.made("l4policyset", l4policyset(controller, description="kept"))
    shown = client.patch(path_of(made), {"replace": {"l4_connection_policy": {"rules": []}}}).body

    assert (shown["l4_connection_policy"], shown["description"]) == ({"rules": []}, "kept")


def test_json_patch_edits_deeply(client: Client, controller: Site) -> None:
    """The newer form."""
    made = client.made("pool", pool(controller))
    operations = [
        {"op": "add", "path": "/servers/-", "value": server("10.0.0.2")},
        {"op": "replace", "path": "/servers/0/port", "value": 9090},
    ]
    shown = client.patch(path_of(made), {"json_patch": operations}).body

    assert (addresses(shown), shown["servers"][0]["port"]) == (["10.244.1.11", "10.0.0.2"], 9090)


def test_a_patch_without_a_verb_is_refused(client: Client, controller: Site) -> None:
    """400."""
    made = client.made("pool", pool(controller))

    assert client.patch(path_of(made), {"servers": []}).status == 400
