"""Groups on a simulated Avi Controller through the real avisdk: how many calls, what is left, what is never touched."""

import itertools
from typing import Literal

import pytest

from reconciler.avi_client import AviRequest
from reconciler.avi_errors import AviBusy, AviError, AviUnreachable, NameTaken
from reconciler.avi_objects import AviObjects
from reconciler.loop import NotLeaderError
from sharedvip.model import GroupName
from simulator.faults import Fault
from tests.builders import GROUP, service
from tests.reconciler.controller import START, Avi, Stack, admitted, stack, tell
from tests.reconciler.fake_kubernetes import FakeKubernetes
from tests.reconciler.world import Endpoint, Slice

LB1 = service("sharedvip-avisvc-lb1", "80/TCP")
LB2 = service("sharedvip-avisvc-lb2", "80/UDP")
_GROUP = "default~shared-vip-key-1"
_BUILT = [
    f"l4policyset {_GROUP}",
    f"pool {_GROUP}~TCP~80",
    f"pool {_GROUP}~UDP~80",
    f"virtualservice {_GROUP}",
    f"vsvip {_GROUP}",
]


def test_a_group_is_created_by_one_macro_call(avi: Avi, cluster_name: str) -> None:
    """And both Services have the same VIP in their statuses."""

    async def story(reconciler: Stack) -> None:
        await reconciler.look()
        assert avi.calls() == ["POST macro"]
        assert avi.names(cluster_name) == _BUILT

    kubernetes = tell(avi, cluster_name, story, LB1, LB2)
    (vip,), (other,) = kubernetes.vips(LB1, LB2)
    assert vip == other
    assert vip.startswith("100.64.")
    assert [kubernetes.verdicts[s.name].reason for s in (LB1, LB2)] == ["Programmed", "Programmed"]
    assert kubernetes.ledgers[GROUP].has_finalizer
    assert kubernetes.reports[GROUP].vip == vip


def test_the_start_reads_five_lists_and_a_steady_state_writes_nothing(avi: Avi, cluster_name: str) -> None:
    """The licence and one list for each type; a second pass, and one after a restart, make no call at all."""

    async def story(reconciler: Stack) -> None:
        await reconciler.side.read()
        kinds = ["l4policyset", "pool", "systemconfiguration", "virtualservice", "vsvip"]
        assert sorted(avi.calls()) == [f"GET {kind}" for kind in kinds]
        await reconciler.look()
        avi.forget()
        written = len(reconciler.kubernetes.writes)
        assert await reconciler.look() == 0
        async with stack(avi, reconciler.kubernetes, cluster=cluster_name) as restarted:
            assert await restarted.look() == 0
        assert avi.calls(writes_only=True) == []
        # The restarted one remembers nothing, so it says once more what it said: two Services and the SharedVIP.
        assert len(reconciler.kubernetes.writes) <= written + 3

    tell(avi, cluster_name, story, LB1, LB2)


def test_endpoints_that_move_are_one_patch(avi: Avi, cluster_name: str) -> None:
    """Of the one pool that they are in."""

    async def story(reconciler: Stack) -> None:
        await reconciler.look()
        avi.forget()
        reconciler.kubernetes.endpoint_slices[LB1.name] = (Slice((Endpoint(("10.244.9.9",)),)),)
        await reconciler.look()
        assert avi.calls() == ["PATCH pool"]
        assert avi.servers(f"sharedvip~{cluster_name}~{_GROUP}~TCP~80") == ["10.244.9.9:8080"]

    tell(avi, cluster_name, story, LB1, LB2)


def test_a_port_is_added_and_removed_by_three_calls_each(avi: Avi, cluster_name: str) -> None:
    """And the VIP stays, of course."""

    async def story(reconciler: Stack) -> None:
        await reconciler.look()
        before = reconciler.kubernetes.vips(LB1, LB2)
        avi.forget()
        reconciler.kubernetes.admit(service(LB1.name.name, "80/TCP", "443/TCP"), at=START)
        await reconciler.look()
        assert avi.calls() == ["POST pool", "PUT l4policyset", "PUT virtualservice"]
        avi.forget()
        reconciler.kubernetes.apply(LB1)
        await reconciler.look()
        assert avi.calls() == ["PUT l4policyset", "PUT virtualservice", "DELETE pool"]
        assert avi.names(cluster_name) == _BUILT
        assert reconciler.kubernetes.vips(LB1, LB2) == before

    tell(avi, cluster_name, story, LB1, LB2)


def test_the_last_service_that_goes_leaves_nothing(avi: Avi, cluster_name: str) -> None:
    """One macro call, and then neither ledger nor address lock."""
    static = service("static", "80/TCP", load_balancer_ip="100.64.200.10")

    async def story(reconciler: Stack) -> None:
        await reconciler.kubernetes.take_address("100.64.200.10", GROUP)
        await reconciler.look()
        assert reconciler.kubernetes.vips(static) == [("100.64.200.10",)]
        avi.forget()
        reconciler.kubernetes.delete(static.name)
        await reconciler.look()
        assert avi.calls() == ["DELETE macro"]
        assert avi.names(cluster_name) == []

    kubernetes = tell(avi, cluster_name, story, static)
    assert kubernetes.ledgers == {}
    assert kubernetes.addresses == {}


def test_an_ipv6_address_is_a_vip_like_any_other(avi: Avi, cluster_name: str) -> None:
    """Asked for, given, told, and no reason to write again."""
    six = service("six", load_balancer_ip="2001:db8:0::77")

    async def story(reconciler: Stack) -> None:
        await reconciler.look()
        assert reconciler.kubernetes.vips(six) == [("2001:db8::77",)]
        assert await reconciler.look() == 0

    tell(avi, cluster_name, story, six)


def test_more_objects_than_fit_on_a_page_are_all_read(avi: Avi, cluster_name: str) -> None:
    """A Controller gives 200 at once; a pool that was overlooked would be created again."""
    wide = service("wide", *(f"{port}/TCP" for port in range(1, 204)))

    async def story(reconciler: Stack) -> None:
        await reconciler.look()
        async with stack(avi, reconciler.kubernetes, cluster=cluster_name, is_read=False) as successor:
            await successor.side.read()
            assert avi.calls().count("GET pool") == 2
            assert len(successor.side.view.group(GROUP).pools) == 203
            assert await successor.look() == 0

    tell(avi, cluster_name, story, wide)


def test_two_dashes_in_every_part_change_nothing(avi: Avi, cluster_name: str) -> None:
    """Listed, looked up, found again and deleted; and AKO's question for its VsVips does not find ours."""
    dashed = service("web", key="web--blue", namespace="a--b")
    group = GroupName("a--b", "web--blue")

    async def story(reconciler: Stack) -> None:
        await reconciler.look(group)
        reconciler.side.view.doubt(group)
        assert await reconciler.look(group) == 0
        akos = AviRequest("GET", "vsvip", {"name.contains": "web--"})
        assert (await reconciler.client.request(akos)).body == {"count": 0, "results": []}
        async with stack(avi, FakeKubernetes(), cluster=f"{cluster_name}--x") as successor:
            await successor.look_at_all()
        assert avi.names(f"{cluster_name}-~x") == []

    tell(avi, f"{cluster_name}--x", story, dashed)


def test_orphans_are_deleted_at_the_next_resync(avi: Avi, cluster_name: str) -> None:
    """The SharedVIP and the Services are gone, and nobody saw them go: what is left on Avi says whose it was."""

    async def story(reconciler: Stack) -> None:
        await reconciler.look()
        async with stack(avi, FakeKubernetes(), cluster=cluster_name) as restarted:
            await restarted.look_at_all()
        assert avi.names(cluster_name) == []

    tell(avi, cluster_name, story, LB1, LB2)


def test_objects_of_others_are_never_touched(avi: Avi, cluster_name: str) -> None:
    """Not those of another cluster, nor AKO's, nor a hand's that has our name."""
    other = f"{cluster_name}x"
    theirs = f"sharedvip~{cluster_name}~default~theirs"

    async def story(reconciler: Stack) -> None:
        for name, owner in ((theirs, "somebody"), (f"{cluster_name}--default-x", f"ako-{cluster_name}")):
            body = {"name": name, "created_by": owner, "cloud_ref": "/api/cloud?name=Default-Cloud"}
            await reconciler.client.request(AviRequest("POST", "pool", body=body))
            body = {"name": name, "created_by": owner}
            await reconciler.client.request(AviRequest("POST", "l4policyset", body=body))
        async with stack(avi, admitted(LB1), cluster=other) as neighbour:
            await neighbour.look()
        await reconciler.look_at_all()
        taken = service("x", key="theirs")
        reconciler.kubernetes.admit(taken, at=START)
        with pytest.raises(NameTaken, match="sharedvip did not create it"):
            await reconciler.look(GroupName("default", "theirs"))
        assert reconciler.kubernetes.verdicts[taken.name].reason == "NameTaken"
        reconciler.kubernetes.delete(taken.name, LB1.name)
        with pytest.raises(NameTaken):
            await reconciler.look(GroupName("default", "theirs"))
        await reconciler.look()

    tell(avi, cluster_name, story, LB1)
    assert avi.names(cluster_name) == ["l4policyset default~theirs", "pool default~theirs"]
    assert len(avi.names(other)) == 4
    assert avi.body("pool", f"{cluster_name}--default-x")["created_by"] == f"ako-{cluster_name}"


@pytest.mark.parametrize("survived", range(4), ids=lambda k: f"killed after call {k}")
def test_a_crash_after_any_call_converges(avi: Avi, cluster_name: str, survived: int) -> None:
    """From one listener to two others: whatever was done, the next process finishes it, with no orphan and no twin."""
    sent = 0

    def dies() -> None:
        nonlocal sent
        sent += 1
        if sent > survived + 1:  # the first call is the one that makes the group
            raise NotLeaderError

    async def story(reconciler: Stack) -> None:
        await reconciler.look()
        kubernetes = reconciler.kubernetes
        kubernetes.admit(LB2, at=START)
        kubernetes.apply(service(LB1.name.name, "443/TCP"))
        kubernetes.admit(service(LB1.name.name, "443/TCP"), at=START)
        with pytest.raises(NotLeaderError):
            await reconciler.look()
        async with stack(avi, kubernetes, cluster=cluster_name) as successor:
            await successor.look_at_all()
            assert await successor.look() == 0
        assert avi.names(cluster_name) == sorted(
            [
                *(name for name in _BUILT if "TCP" not in name),
                f"pool {_GROUP}~TCP~443",
            ]
        )

    tell(avi, cluster_name, story, LB1, fence=dies)


@pytest.mark.parametrize(
    ("action", "method"),
    # A DELETE's answer has no body that could be cut.
    [("cut", "POST"), ("cut", "PUT"), *itertools.product(("lose", "drop"), ("POST", "PATCH", "PUT", "DELETE"))],
)
def test_a_lost_answer_is_safe_to_repeat(
    avi: Avi, cluster_name: str, method: str, action: Literal["lose", "cut", "drop"]
) -> None:
    """The Controller did it, or not, and nobody heard: the next pass looks first, and makes no twin."""

    async def story(reconciler: Stack) -> None:
        kubernetes = reconciler.kubernetes
        await reconciler.look()
        kubernetes.admit(service(LB1.name.name, "80/TCP", "443/TCP"), at=START)
        await reconciler.look()
        kubernetes.apply(service(LB1.name.name, "80/TCP"))
        kubernetes.admit(LB2, at=START)
        kubernetes.endpoint_slices[LB1.name] = (Slice((Endpoint(("10.244.9.9",)),)),)
        avi.running.faults.set(Fault(action=action, method=method))
        with pytest.raises(AviUnreachable):
            await reconciler.look()
        assert kubernetes.verdicts[LB1.name].reason == "ControllerUnreachable"
        await reconciler.look()
        assert await reconciler.look() == 0

    kubernetes = tell(avi, cluster_name, story, LB1)
    assert kubernetes.verdicts[LB1.name].reason == "Programmed"
    assert avi.names(cluster_name) == sorted([*(name for name in _BUILT if "UDP" not in name), f"pool {_GROUP}~UDP~80"])


def test_a_controller_that_refuses_is_asked_once_per_pass(avi: Avi, cluster_name: str) -> None:
    """No retry of ours inside a pass, none of avisdk's either; the status says what the Controller said."""

    async def story(reconciler: Stack) -> None:
        refusal = {"error": "Field check failed"}
        avi.running.faults.set(Fault(action="status", status=400, body=refusal, times=0))
        with pytest.raises(AviError, match="Field check failed"):
            await reconciler.look()
        assert avi.calls() == ["POST macro"]

    kubernetes = tell(avi, cluster_name, story, LB1)
    assert kubernetes.verdicts[LB1.name].reason == "ControllerRefused"
    assert kubernetes.events == [(LB1.name.name, "Warning", "ControllerRefused")]


def test_a_controller_that_is_away_at_the_start_takes_no_vip_out_of_a_status(avi: Avi, cluster_name: str) -> None:
    """We restart, the Controller is down: what served before still serves, and the condition says what is wrong."""

    async def story(reconciler: Stack) -> None:
        kubernetes = reconciler.kubernetes
        await reconciler.look()
        before = kubernetes.vips(LB1, LB2)
        async with stack(avi, kubernetes, cluster=cluster_name, is_read=False) as restarted:
            avi.running.faults.set(Fault(action="status", status=503, path="/api/", times=0))
            with pytest.raises(AviBusy):
                await restarted.side.read()
            assert await restarted.look() == 0
            assert kubernetes.vips(LB1, LB2) == before
            assert kubernetes.verdicts[LB1.name].reason == "ControllerUnavailable"
            assert (kubernetes.reports[GROUP].vip,) == before[0]
        assert len(avi.names(cluster_name)) == len(_BUILT)

    tell(avi, cluster_name, story, LB1, LB2)


def test_drift_is_repaired_at_the_next_resync(avi: Avi, cluster_name: str) -> None:
    """A hand deletes the virtual service and edits a pool."""

    async def story(reconciler: Stack) -> None:
        await reconciler.look()
        name = f"sharedvip~{cluster_name}~{_GROUP}"
        await reconciler.client.request(
            AviRequest("DELETE", f"virtualservice/{avi.body('virtualservice', name)['uuid']}")
        )
        pool = avi.body("pool", f"{name}~TCP~80")["uuid"]
        await reconciler.client.request(AviRequest("PATCH", f"pool/{pool}", body={"replace": {"servers": []}}))
        avi.forget()
        await reconciler.look_at_all()
        assert avi.calls(writes_only=True) == ["PATCH pool", "POST virtualservice"]
        assert await reconciler.look() == 0

    tell(avi, cluster_name, story, LB1)


def test_a_resync_keeps_one_copy_of_what_it_knows_already(avi: Avi, cluster_name: str) -> None:
    """Two would be 50 MiB at 1,000 groups, for ever: what is freed later goes back to nobody."""

    async def story(reconciler: Stack) -> None:
        await reconciler.look()
        await reconciler.side.read()
        before = reconciler.side.view.documents()
        objects = AviObjects(reconciler.client, cluster=cluster_name, cloud="Default-Cloud")
        listed = await objects.list_ours(before)
        bodies = [part.body for observed in listed.values() for part in observed]
        assert len(bodies) == len(_BUILT)
        assert all(any(body is known for known in before.values()) for body in bodies)

    tell(avi, cluster_name, story, LB1, LB2)
