"""Plans: the fewest calls, in an order that every reference allows, and none when all is as wanted."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.desired import desired
from reconciler.graph import GroupGraph, JsonObject, ObservedGroup, object_in, objects_in
from reconciler.plan import Call, plan
from sharedvip.model import ServiceView
from tests.builders import listener, service
from tests.reconciler.world import LB1, LB2, SETTINGS, Endpoint, Slice, after, graph, observation

_NOTHING = ObservedGroup()


def _built(wanted: GroupGraph) -> ObservedGroup:
    return after(plan(wanted, _NOTHING), _NOTHING)


def _told(calls: tuple[Call, ...]) -> list[str]:
    return [f"{call.method} {call.target}" for call in calls]


def test_a_new_group_is_one_macro_call() -> None:
    """Where AKO needs five."""
    assert _told(plan(graph(LB1, LB2), _NOTHING)) == ["POST macro"]


def test_a_new_group_without_macro_is_created_from_the_leaves_up() -> None:
    """N + 3 calls, whoever is referred to first."""
    assert _told(plan(graph(LB1, LB2), _NOTHING, has_macro=False)) == [
        "POST vsvip",
        "POST pool",
        "POST pool",
        "POST l4policyset",
        "POST virtualservice",
    ]


def test_a_group_that_is_as_wanted_needs_no_call() -> None:
    """A steady state writes nothing."""
    wanted = graph(LB1, LB2)

    assert plan(wanted, _built(wanted)) == ()


def test_endpoints_of_one_service_are_one_patch_of_its_servers() -> None:
    """With the hash in the same body."""
    before = _built(graph(LB1, LB2))
    moved = observation(LB1, LB2)
    moved = replace(moved, slices={**(moved.slices or {}), LB1.name: (Slice((Endpoint(("10.244.9.9",)),)),)})
    wanted = desired(moved, SETTINGS)

    calls = plan(wanted, before)
    assert _told(calls) == ["PATCH pool"]
    assert set(object_in(calls[0].body, "replace")) == {"servers", "cloud_config_cksum"}


def test_a_port_that_passes_to_another_service_is_one_patch() -> None:
    """A pool belongs to the listener: servers and the marker that names the Service change, nothing else."""
    before = _built(graph(LB1, LB2))

    calls = plan(graph(service("heir", "80/TCP"), LB2), before)
    assert _told(calls) == ["PATCH pool"]
    assert set(object_in(calls[0].body, "replace")) <= {"servers", "markers", "cloud_config_cksum"}


def test_a_port_that_is_added_is_three_calls() -> None:
    """The pool before the rule that refers to it."""
    before = _built(graph(LB1, LB2))

    assert _told(plan(graph(LB1, LB2, service("more", "443/TCP")), before)) == [
        "POST pool",
        "PUT l4policyset",
        "PUT virtualservice",
    ]


def test_a_port_that_is_removed_is_three_calls() -> None:
    """The pool after the rule that referred to it, or the Controller refuses."""
    before = _built(graph(LB1, LB2))

    assert _told(plan(graph(LB1), before)) == ["PUT l4policyset", "PUT virtualservice", "DELETE pool"]


def test_a_put_carries_the_optimistic_lock() -> None:
    """A leader that lost its lease unawares gets 412."""
    before = _built(graph(LB1, LB2))
    assert before.l4policyset is not None
    stamped = replace(before.l4policyset, body={**before.l4policyset.body, "_last_modified": "17"})

    calls = plan(graph(LB1), before.having(stamped))
    assert [call.body.get("_last_modified") for call in calls[:2]] == ["17", None]


def test_a_group_that_goes_is_one_macro_call() -> None:
    """By the uuid of its virtual service."""
    calls = plan(None, _built(graph(LB1, LB2)))

    assert _told(calls) == ["DELETE macro"]
    assert object_in(calls[0].body, "data") == {"uuid": calls[0].uuid}


def test_a_group_that_goes_without_macro_is_deleted_from_the_root_down() -> None:
    """Who refers goes first."""
    assert _told(plan(None, _built(graph(LB1, LB2)), has_macro=False)) == [
        "DELETE virtualservice",
        "DELETE l4policyset",
        "DELETE pool",
        "DELETE pool",
        "DELETE vsvip",
    ]


def test_a_pool_that_no_rule_refers_to_is_deleted_beside_the_macro() -> None:
    """A crash between a pool's POST and the rule's PUT leaves one."""
    built = _built(graph(LB1, LB2))
    extra = _built(graph(LB1, LB2, service("more", "443/TCP"))).pools[listener("443/TCP")]

    calls = plan(None, built.having(extra, listener=listener("443/TCP")))
    assert _told(calls) == ["DELETE macro", "DELETE pool"]
    assert calls[1].uuid == extra.uuid


def test_remnants_without_a_virtual_service_go_one_by_one() -> None:
    """What a refused or interrupted creation left."""
    built = _built(graph(LB1))

    assert _told(plan(None, replace(built, virtualservice=None))) == [
        "DELETE l4policyset",
        "DELETE pool",
        "DELETE vsvip",
    ]


def test_another_static_address_is_a_new_tree() -> None:
    """The Controller moves no VIP: "please recreate the VIP"."""
    before = _built(graph(LB1))

    assert _told(plan(graph(LB1, static_address="100.64.196.99"), before)) == ["DELETE macro", "POST macro"]


def test_a_static_address_that_the_group_lives_on_already_changes_nothing() -> None:
    """A group may write down the address it was given."""
    before = _built(graph(LB1))

    assert plan(graph(LB1, static_address="100.64.196.61"), before) == ()


def test_another_network_in_the_settings_moves_no_living_group() -> None:
    """New groups go there; the VIPs of the others stay."""
    elsewhere = desired(observation(LB1), replace(SETTINGS, avi_vip_networks=()))

    assert plan(elsewhere, _built(graph(LB1))) == ()


def test_a_field_that_a_hand_changed_is_put_back() -> None:
    """The hash is the same: content is compared."""
    wanted = graph(LB1)
    built = _built(wanted)
    vs = built.virtualservice
    assert vs is not None
    edited = replace(vs, body={**vs.body, "se_group_ref": "https://c/api/serviceenginegroup/x#Other-Group"})

    assert _told(plan(wanted, built.having(edited))) == ["PUT virtualservice"]


def test_what_the_controller_adds_by_itself_is_no_difference() -> None:
    """Defaults, leaked internals, references as URLs with names."""
    wanted = graph(LB1)
    built = _built(wanted)
    pool = built.pools[listener("80/TCP")]
    servers = [{"hostname": "x", "ratio": 1, **server} for server in objects_in(pool.body, "servers")]
    refs = ["https://10.0.0.1/api/healthmonitor/healthmonitor-1#System-TCP"]
    grown: JsonObject = {**pool.body, "servers": servers, "health_monitor_refs": refs, "lb_algorithm": "X"}

    assert plan(wanted, built.having(replace(pool, body=grown), listener=listener("80/TCP"))) == ()


@pytest.mark.parametrize("kept", range(31), ids=lambda kept: f"what is left is {kept:05b}")
def test_whatever_is_missing_is_added_and_nothing_else(kept: int) -> None:
    """A crash after any call, or a hand that deletes anything: every subset of the five objects."""
    wanted = graph(LB1, LB2)
    parts = list(_built(wanted))
    remnant = _NOTHING
    for part in (part for index, part in enumerate(parts) if kept >> index & 1):
        at = next((at for at, pool in _built(wanted).pools.items() if pool.name == part.name), None)
        remnant = remnant.having(part, listener=at)

    calls = plan(wanted, remnant)
    assert {call.method for call in calls} == {"POST"}
    assert len(calls) == (5 - kept.bit_count() if kept else 1)
    assert plan(wanted, after(calls, remnant)) == ()


_members = st.lists(
    st.tuples(st.sampled_from(["a", "b", "c"]), st.sampled_from(["80/TCP", "80/UDP", "443/TCP", "9/SCTP"])),
    unique_by=lambda pair: pair[1],
    max_size=4,
)
_addresses = st.sampled_from(["", "100.64.196.61", "100.64.196.75"])


def _services(pairs: list[tuple[str, str]]) -> list[ServiceView]:
    return [service(name, *(p for n, p in pairs if n == name)) for name in sorted({n for n, _ in pairs})]


@given(before=_members, later=_members, first=_addresses, second=_addresses, has_macro=st.booleans())
def test_a_plan_that_was_done_leaves_nothing_to_plan(
    *, before: list[tuple[str, str]], later: list[tuple[str, str]], first: str, second: str, has_macro: bool
) -> None:
    """From any group to any other, and after any prefix of the calls."""
    built = _from(_NOTHING, before, first)
    wanted = desired(observation(*_services(later), static_address=second), SETTINGS)

    calls = plan(wanted, built, has_macro=has_macro)
    for done in range(len(calls) + 1):
        halfway = after(calls[:done], built, address=second or "100.64.196.61")
        rest = plan(wanted, halfway, has_macro=has_macro)
        assert plan(wanted, after(rest, halfway, address=second or "100.64.196.61"), has_macro=has_macro) == ()


def _from(observed: ObservedGroup, pairs: list[tuple[str, str]], address: str) -> ObservedGroup:
    wanted = desired(observation(*_services(pairs), static_address=address), SETTINGS)
    return after(plan(wanted, observed), observed, address=address or "100.64.196.61")
