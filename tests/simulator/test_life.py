"""Restarts, leader changes, start-up, upgrade and clock jumps."""

import pytest

from simulator.controller import Controller
from simulator.settings import Settings
from tests.contracts.bodies import macro, pool, tree, vsvip
from tests.contracts.client import Client, path_of
from tests.simulator.desk import PASSWORD, Desk, desk

HOUR = 3600.0


def again(it: Desk) -> Client:
    """A client that logged in again."""
    client = it.stranger()
    assert client.login("admin", PASSWORD).status == 200
    return client


def test_a_restart_keeps_the_objects_and_ends_the_sessions() -> None:
    """Uuids, addresses and tokens are as before; ``up_since`` is not."""
    it = desk()
    made = it.client.made("vsvip", vsvip(it.site))
    token = it.client.post("user-token", {"hours": "1"}).body["token"]
    since = it.client.get("cluster/runtime").body["node_states"][0]["up_since"]
    it.clock.forward(60)
    it.controller.restart(keeps_state=True)

    assert it.client.get("vsvip").status == 401
    client = again(it)
    assert client.read(made)["vip"][0]["ip_address"] == made["vip"][0]["ip_address"]
    assert it.stranger().login("admin", token).status == 200
    assert client.get("cluster/runtime").body["node_states"][0]["up_since"] > since


def test_a_restart_that_loses_its_state_is_a_fresh_controller() -> None:
    """Seeded, with other uuids, no tokens, and every address free again."""
    it = desk()
    made = it.client.post("macro", macro(tree(it.site))).bodies
    token = it.client.post("user-token", {"hours": "1"}).body["token"]
    old = it.client.get("network").results[0]["uuid"]
    it.controller.restart(keeps_state=False)
    client = again(it)

    assert [client.get(path_of(one)).status for one in made] == [404] * len(made)
    assert client.get("network").names == ["net1"]
    assert client.get("network").results[0]["uuid"] != old
    assert it.stranger().login("admin", token).status == 401
    assert client.made("vsvip", vsvip(it.site))["vip"][0]["ip_address"]["addr"] == "100.64.196.61"


def test_a_controller_that_is_not_ready_answers_503_to_everything() -> None:
    """Login too; then it is ready by itself."""
    it = desk()
    it.controller.restart(keeps_state=True, seconds=30)
    answers = [it.stranger().login("admin", PASSWORD), it.client.get("pool"), it.stranger().get("cluster/status")]

    assert {(answer.status, answer.error) for answer in answers} == {
        (503, "INITIALIZING \N{EN DASH} Avi Controller is not ready")
    }
    it.clock.forward(30)
    assert again(it).get("pool").status == 200


def test_while_it_is_upgraded_it_is_read_and_not_written() -> None:
    """AKO looks for these words; logins go on."""
    it = desk()
    it.controller.life.enter("upgrading")
    answer = it.client.post("pool", pool(it.site))

    assert (answer.status, answer.error) == (403, "Configuration is disallowed during upgrade")
    assert again(it).get("pool").status == 200
    it.controller.life.enter("ready")
    assert it.client.post("pool", pool(it.site)).status == 201


def test_the_leader_changes_and_the_objects_stay() -> None:
    """The next node leads, since now; AKO restarts itself when it sees that."""
    it = desk(Settings(password=PASSWORD, nodes=3))
    made = it.client.made("pool", pool(it.site))
    before = it.client.get("cluster/runtime").body
    it.clock.forward(60)
    it.controller.life.elect(seconds=0)
    after = it.client.get("cluster/runtime").body

    roles = [[node["role"] for node in one["node_states"]] for one in (before, after)]
    assert roles == [
        ["CLUSTER_LEADER", "CLUSTER_FOLLOWER", "CLUSTER_FOLLOWER"],
        ["CLUSTER_FOLLOWER", "CLUSTER_LEADER", "CLUSTER_FOLLOWER"],
    ]
    assert after["cluster_state"]["state"] == "CLUSTER_UP_HA_ACTIVE"
    assert after["cluster_state"]["up_since"] > before["cluster_state"]["up_since"]
    assert len(it.client.get("cluster").body["nodes"]) == 3
    assert it.client.read(made)["uuid"] == made["uuid"]


def test_a_single_node_follows_itself() -> None:
    """Its ``up_since`` is all that shows it."""
    it = desk()
    before = it.client.get("cluster/runtime").body["node_states"]
    it.clock.forward(60)
    it.controller.life.elect(seconds=0)
    after = it.client.get("cluster/runtime").body["node_states"]

    assert [node["role"] for node in after] == ["CLUSTER_LEADER"]
    assert after[0]["up_since"] > before[0]["up_since"]


def test_a_jump_ahead_ends_sessions_and_shows_in_the_objects() -> None:
    """As if the time had passed."""
    it = desk()
    made = it.client.made("pool", pool(it.site))
    it.controller.clock.jump(HOUR)

    assert it.client.get("pool").status == 401
    changed = again(it).patch(path_of(made), {"replace": {"description": "x"}}).body
    assert int(changed["_last_modified"]) - int(made["_last_modified"]) >= (HOUR - 1) * 1e6


def test_a_jump_back_ends_no_session_and_no_order() -> None:
    """``_last_modified`` still grows, so that no stale PUT passes for a fresh one."""
    it = desk()
    made = it.client.made("pool", pool(it.site))
    it.controller.clock.jump(-24 * HOUR)
    changed = it.client.patch(path_of(made), {"replace": {"description": "x"}}).body

    assert int(changed["_last_modified"]) > int(made["_last_modified"])
    assert it.client.put(path_of(made), made).status == 412


def test_a_jump_does_not_shorten_an_outage() -> None:
    """A condition lasts by the true time."""
    it = desk()
    it.controller.restart(keeps_state=True, seconds=30)
    it.controller.clock.jump(HOUR)

    assert it.client.get("pool").status == 503


def test_a_cluster_has_nodes() -> None:
    """At least one."""
    with pytest.raises(ValueError, match="nodes: 0"):
        Controller(Settings(nodes=0))
