"""Placement: the states of a virtual service from its making to its end, by a clock that tests turn."""

from simulator.settings import Knobs
from tests.contracts.bodies import macro, tree
from tests.contracts.client import Document, path_of
from tests.simulator.desk import Desk, desk


def placed(*, seconds: float = 9.0) -> tuple[Desk, Document]:
    """A desk with one shared VIP, just made; its virtual service."""
    it = desk(knobs=Knobs(placement_seconds=seconds))
    return it, it.client.post("macro", macro(tree(it.site))).bodies[-1]


def state(it: Desk, made: Document) -> str:
    """The operational state."""
    return it.client.get(f"{path_of(made)}/runtime").body["oper_status"]["state"]


def test_a_virtual_service_is_placed_in_steps() -> None:
    """Creating, resources, processing, then up; each tells a reason but the last, and since when."""
    it, vs = placed()
    seen: list[tuple[str, bool, int]] = []
    began = int(it.clock())
    for _ in range(4):
        status = it.client.get(f"{path_of(vs)}/runtime").body["oper_status"]
        seen.append((status["state"], bool(status["reason"]), status["last_changed_time"]["secs"] - began))
        it.clock.forward(3)

    assert seen == [
        ("OPER_CREATING", True, 0),
        ("OPER_RESOURCES", True, 3),
        ("OPER_PROCESSING", True, 6),
        ("OPER_UP", False, 9),
    ]


def test_what_is_shown_follows_the_placement() -> None:
    """Percentage, health score, engines of the vsvip, and the states of its VIPs."""
    it, vs = placed()
    (before,) = it.client.get("virtualservice-inventory").results
    (vip,) = it.client.get("vsvip-inventory").results
    assert (before["runtime"]["percent_ses_up"], before["health_score"]["health_score"]) == (0, 0)
    assert vip["runtime"].items() >= {"num_se_assigned": 0, "vip_id": "0"}.items()
    assert vip["runtime"]["oper_status"]["state"] == "OPER_CREATING"
    it.clock.forward(9)
    (after,) = it.client.get("virtualservice-inventory").results
    (vip,) = it.client.get("vsvip-inventory").results

    assert (after["runtime"]["percent_ses_up"], after["health_score"]["health_score"]) == (100, 100)
    assert after["runtime"]["vip_summary"][0]["oper_status"]["state"] == "OPER_UP"
    assert (after["app_profile_type"], after["uuid"]) == ("APPLICATION_PROFILE_TYPE_L4", vs["uuid"])
    assert (vip["runtime"]["num_se_assigned"], vip["runtime"]["oper_status"]["state"]) == (1, "OPER_UP")


def test_a_virtual_service_without_servers_is_placed_and_down() -> None:
    """The vsvip is up all the same: its address is announced."""
    it, vs = placed()
    for one in it.client.get("pool").results:
        it.client.patch(path_of(one), {"replace": {"servers": []}})
    it.clock.forward(9)
    (vip,) = it.client.get("vsvip-inventory").results

    assert state(it, vs) == "OPER_DOWN"
    assert vip["runtime"]["oper_status"]["state"] == "OPER_UP"


def test_disabling_ends_the_placement_and_enabling_begins_it_anew() -> None:
    """Assumed; a PUT or PATCH that only changes something else does not."""
    it, vs = placed()
    it.clock.forward(9)
    it.client.patch(path_of(vs), {"replace": {"description": "x"}})
    assert state(it, vs) == "OPER_UP"
    it.client.patch(path_of(vs), {"replace": {"enabled": False}})
    assert state(it, vs) == "OPER_DISABLED"
    it.client.patch(path_of(vs), {"replace": {"enabled": True}})

    assert state(it, vs) == "OPER_CREATING"
    it.clock.forward(9)
    assert state(it, vs) == "OPER_UP"


def test_the_time_of_a_state_is_that_of_its_cause() -> None:
    """A pool that loses its servers changes its virtual service then."""
    it, vs = placed(seconds=0.0)
    it.clock.forward(100)
    for one in it.client.get("pool").results:
        it.client.patch(path_of(one), {"replace": {"servers": []}})
    status = it.client.get(f"{path_of(vs)}/runtime").body["oper_status"]

    assert (status["state"], status["last_changed_time"]["secs"]) == ("OPER_DOWN", int(it.clock()))
