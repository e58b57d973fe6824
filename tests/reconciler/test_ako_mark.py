"""Every row of `ako.md` section 7, what users of AKO meet today, named after what they see here instead.

Rows g, h, i and q, where operators' settings matter, are in ``test_ako_mark_options``.
"""

import asyncio
import itertools
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import cast

import pytest
from prometheus_client import CollectorRegistry

from reconciler.avi_client import AviRequest
from reconciler.loop import Loop
from reconciler.metrics import ReconcilerMetrics
from reconciler.names import ObjectName
from sharedvip.model import GroupName, ServiceView
from simulator.faults import Fault
from tests.builders import GROUP, KEY, service
from tests.reconciler.controller import START, Avi, Stack, admitted, stack
from tests.reconciler.fake_kubernetes import FakeKubernetes
from tests.reconciler.world import Endpoint, Port, Slice

WEB = service("web", "80/TCP")
API = service("api", "443/TCP")
RIVAL = service("rival", "80/TCP")
FIRST, SECOND = "100.64.240.1", "100.64.240.2"

Story = Callable[[Stack], Awaitable[None]]
Tell = Callable[..., FakeKubernetes]


@pytest.fixture
def tell(avi: Avi, cluster_name: str) -> Tell:
    """Run a story of a reconciler that found these Services admitted and built them."""

    def telling(story: Story, *services: ServiceView) -> FakeKubernetes:
        kubernetes = admitted(*services)

        async def told() -> None:
            async with stack(avi, kubernetes, cluster=cluster_name) as reconciler:
                if services:
                    await reconciler.look()
                avi.forget()
                await story(reconciler)

        asyncio.run(told())
        return kubernetes

    return telling


def _serves(kubernetes: FakeKubernetes, avi: Avi, cluster: str) -> None:
    """WEB and API are served, on one VIP, by what is on Avi."""
    assert [kubernetes.verdicts[each.name].reason for each in (WEB, API)] == ["Programmed"] * 2
    assert kubernetes.vips(WEB) == kubernetes.vips(API) != [()]
    assert len(avi.names(cluster)) == 5


_BAD = {
    "a port that is taken": RIVAL,
    "another class": service("bad", "81/TCP", load_balancer_class="example.com/other"),
    "another address": service("bad", "81/TCP", load_balancer_ip=FIRST),
    "another infra setting": service("bad", "81/TCP", infra_setting="gold"),
    "another rule": service("bad", "81/TCP", l4_rule="rule"),
}


@pytest.mark.parametrize("bad", _BAD.values(), ids=_BAD.keys())
def test_a_one_bad_member_does_not_take_the_vip_from_the_others(
    tell: Tell, avi: Avi, cluster_name: str, bad: ServiceView
) -> None:
    """AKO deletes the working virtual service; we refuse the newcomer, and say so on it."""

    async def story(reconciler: Stack) -> None:
        reconciler.kubernetes.apply(bad)
        await reconciler.look()
        assert avi.calls() == []
        assert reconciler.kubernetes.verdicts[bad.name].reason == "Conflict"

    _serves(tell(story, WEB, API), avi, cluster_name)


def test_b_endpoints_of_a_refused_service_change_nothing(tell: Tell, avi: Avi, cluster_name: str) -> None:
    """AKO builds the refused group at the next EndpointSlice event."""

    async def story(reconciler: Stack) -> None:
        reconciler.kubernetes.apply(RIVAL)
        for number in (1, 2):
            reconciler.kubernetes.endpoint_slices[RIVAL.name] = (Slice((Endpoint((f"10.9.9.{number}",)),)),)
            await reconciler.look()
        assert avi.calls() == []

    _serves(tell(story, WEB, API), avi, cluster_name)


_ADDRESSED = (
    service("one", "1/TCP", load_balancer_ip=FIRST),
    service("two", "2/TCP"),
    service("three", "3/TCP", load_balancer_ip=SECOND),
)


@pytest.mark.parametrize(
    "order", tuple(itertools.permutations(_ADDRESSED)), ids=lambda order: "-".join(s.name.name for s in order)
)
def test_c_the_verdict_on_addresses_does_not_depend_on_who_comes_first(
    tell: Tell, avi: Avi, order: tuple[ServiceView, ...]
) -> None:
    """They come together and differ: nothing is built, all are told; AKO builds it, or not, by the order of events."""

    async def story(reconciler: Stack) -> None:
        reconciler.kubernetes.apply(*order)
        await reconciler.look()
        assert avi.calls() == []

    kubernetes = tell(story)
    assert {verdict.reason for verdict in kubernetes.verdicts.values()} == {"Conflict"}
    assert kubernetes.vips(*_ADDRESSED) == [(), (), ()]


def test_d_a_conflict_shows_no_external_ip_and_leaks_none(tell: Tell, avi: Avi, cluster_name: str) -> None:
    """AKO allocates a VIP, makes pools, tells the second Service an address, and has no virtual service."""

    async def story(reconciler: Stack) -> None:
        reconciler.kubernetes.apply(WEB, RIVAL)
        await reconciler.look()
        assert avi.calls() == []

    kubernetes = tell(story)
    assert kubernetes.vips(WEB, RIVAL) == [(), ()]
    assert avi.names(cluster_name) == []


def test_e_an_address_that_a_member_changes_alone_freezes_nobody(tell: Tell, avi: Avi) -> None:
    """The pools of all follow their endpoints; AKO's stop until every Service is made anew."""

    async def story(reconciler: Stack) -> None:
        reconciler.kubernetes.apply(replace(WEB, load_balancer_ip=FIRST))
        await reconciler.look()
        for each in (WEB, API):
            reconciler.kubernetes.endpoint_slices[each.name] = (Slice((Endpoint(("10.9.9.9",)),)),)
        await reconciler.look()
        assert avi.calls() == ["PATCH pool"] * 2
        assert reconciler.kubernetes.verdicts[WEB.name].reason == "Conflict"
        assert reconciler.kubernetes.verdicts[API.name].reason == "Programmed"

    kubernetes = tell(story, WEB, API)
    assert kubernetes.vips(WEB) == kubernetes.vips(API) != [()]


def test_f_a_service_that_changes_its_key_shows_its_new_vip(tell: Tell) -> None:
    """AKO's two workers race, and the EXTERNAL-IP is empty in the end."""
    moved = service("web", "80/TCP", key="another-key")

    async def story(reconciler: Stack) -> None:
        before = reconciler.kubernetes.vips(API)
        reconciler.kubernetes.admit(moved, at=START)
        for group in (GROUP, GroupName("default", "another-key")):
            await reconciler.look(group)
        assert reconciler.kubernetes.vips(API) == before
        assert reconciler.kubernetes.vips(WEB) not in ([()], before)

    tell(story, WEB, API)


def test_j_no_two_groups_share_a_name_and_a_key_that_cannot_be_one_is_refused(tell: Tell, avi: Avi) -> None:
    """AKO: namespace ``a`` with ``b-c`` overwrites ``a-b`` with ``c``; a ``/`` ends in nothing at all."""
    names = {str(ObjectName("c", GroupName(*group))) for group in (("a", "b-c"), ("a-b", "c"), ("a", "b--c"))}
    assert len(names) == 3
    slashed = service("web", key="a/b")

    async def story(reconciler: Stack) -> None:
        reconciler.kubernetes.apply(slashed)
        await reconciler.look(GroupName("default", "a/b"))
        assert avi.calls() == []

    kubernetes = tell(story)
    assert "invalid-key" in kubernetes.verdicts[slashed.name].message


def test_k_a_sync_of_what_is_in_step_writes_nothing(tell: Tell, avi: Avi, cluster_name: str) -> None:
    """AKO puts an L4PolicySet each time, for a checksum that never matches."""

    async def story(reconciler: Stack) -> None:
        await reconciler.look_at_all()
        await reconciler.look_at_all()
        assert avi.calls(writes_only=True) == []

    _serves(tell(story, WEB, API), avi, cluster_name)


@pytest.mark.parametrize("status", [400, 403, 422, 500, 503])
def test_l_a_write_that_was_refused_is_made_again(tell: Tell, avi: Avi, status: int) -> None:
    """AKO skips it, and the change is lost."""

    async def story(reconciler: Stack) -> None:
        avi.running.faults.set(Fault(action="status", method="PATCH", status=status))
        reconciler.kubernetes.endpoint_slices[WEB.name] = (Slice((Endpoint(("10.9.9.9",)),)),)
        with pytest.raises(Exception, match="scripted fault"):
            await reconciler.look()
        await reconciler.look()
        assert avi.calls(writes_only=True) == ["PATCH pool"] * 2

    tell(story, WEB, API)


def test_m_a_controller_that_answers_503_is_not_hammered(tell: Tell, avi: Avi) -> None:
    """AKO: 149 requests in 5 s, then 10 in each second for ever; ours come ever later."""

    async def story(reconciler: Stack) -> None:
        avi.running.faults.set(Fault(action="status", path="^/api/", times=0))
        loop = Loop(
            reconciler.kubernetes,
            worker=reconciler.worker,
            statuses=reconciler.statuses,
            metrics=ReconcilerMetrics(CollectorRegistry()),
        )
        reconciler.kubernetes.endpoint_slices[WEB.name] = ()
        stop = asyncio.Event()
        task = asyncio.create_task(loop.run(workers=8, resync=_Never(), stop=stop))
        loop.group_changed(GROUP)
        begun = time.monotonic()
        async with asyncio.timeout(60):
            while len(avi.calls()) < 1 + 2 * 4:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.02)
        stop.set()
        await task
        # One PATCH, then four lists to look it up, each time after twice as long; AKO makes ten in every second.
        tries = 2 + math.log2(max(1.0, (time.monotonic() - begun) / 0.2))
        assert len(avi.calls()) <= 1 + tries * 4

    tell(story, WEB)


def test_n_two_hundred_groups_do_not_wait_for_a_queue(tell: Tell, avi: Avi) -> None:
    """AKO takes 10 events in a second: 30 s for these 400 Services; ours takes a call for each group."""
    groups = [GroupName("default", f"key-{number}") for number in range(200)]

    async def story(reconciler: Stack) -> None:
        for number, group in enumerate(groups):
            members = (service(f"{name}{number}", f"{port}/TCP", key=group.key) for name, port in (("a", 1), ("b", 2)))
            reconciler.kubernetes.admit(*members, at=START)
        loop = Loop(
            reconciler.kubernetes,
            worker=reconciler.worker,
            statuses=reconciler.statuses,
            metrics=ReconcilerMetrics(CollectorRegistry()),
        )
        stop = asyncio.Event()
        task = asyncio.create_task(loop.run(workers=8, resync=_Never(), stop=stop))
        loop.everything(groups)
        async with asyncio.timeout(25):
            while len(reconciler.kubernetes.verdicts) < 400:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.02)
        stop.set()
        await task
        assert avi.calls(writes_only=True) == ["POST macro"] * 200

    tell(story)


def test_o_statuses_of_others_are_never_written(tell: Tell) -> None:
    """AKO empties the status of every LoadBalancer Service that is not its own, MetalLB's too, at each start."""
    theirs = service("theirs", key=None, vips=("192.0.2.1",), load_balancer_class="metallb.io/metallb")
    plain = service("plain", key=None, vips=("192.0.2.2",))

    async def story(reconciler: Stack) -> None:
        reconciler.kubernetes.apply(theirs, plain)
        await reconciler.look_at_all()
        assert not any(word in write for write in reconciler.kubernetes.writes for word in ("theirs", "plain"))
        assert list(reconciler.kubernetes.leavers()) == []

    assert tell(story, WEB).vips(theirs, plain) == [("192.0.2.1",), ("192.0.2.2",)]


def test_p_what_a_hand_deletes_on_the_controller_comes_back(tell: Tell, avi: Avi, cluster_name: str) -> None:
    """AKO never compares; it finds out at its next start."""

    async def story(reconciler: Stack) -> None:
        name = f"sharedvip~{cluster_name}~default~{KEY}"
        uuid = avi.body("virtualservice", name)["uuid"]
        await reconciler.client.request(AviRequest("DELETE", f"virtualservice/{uuid}"))
        await reconciler.look_at_all()

    _serves(tell(story, WEB, API), avi, cluster_name)


def test_r_an_endpoint_that_says_nothing_of_readiness_gets_traffic(tell: Tell, avi: Avi, cluster_name: str) -> None:
    """``ready: nil`` is ready, says Kubernetes' API; AKO disables it. Who is not ready is disabled."""

    async def story(reconciler: Stack) -> None:
        pods = (
            Endpoint(("10.9.9.1",)),
            Endpoint(("10.9.9.2",), is_ready=False),
            Endpoint(("10.9.9.3",), is_terminating=True),
        )
        reconciler.kubernetes.endpoint_slices[WEB.name] = (Slice(pods),)
        await reconciler.look()
        servers = avi.body("pool", f"sharedvip~{cluster_name}~default~{KEY}~TCP~80")["servers"]
        assert [s["enabled"] for s in cast("list[dict[str, bool]]", servers)] == [True, False, False]

    tell(story, WEB)


def test_s_a_named_target_port_may_be_another_number_in_each_pod(tell: Tell, avi: Avi, cluster_name: str) -> None:
    """During a rollout that changes it; AKO takes one number for all."""

    async def story(reconciler: Stack) -> None:
        reconciler.kubernetes.endpoint_slices[WEB.name] = tuple(
            Slice((Endpoint((f"10.9.9.{number}",)),), (Port(port=port),)) for number, port in ((1, 8080), (2, 9090))
        )
        await reconciler.look()
        assert avi.servers(f"sharedvip~{cluster_name}~default~{KEY}~TCP~80") == ["10.9.9.1:8080", "10.9.9.2:9090"]

    tell(story, WEB)


def test_t_whatever_is_wrong_is_a_warning_event_on_the_service(tell: Tell, avi: Avi) -> None:
    """A conflict, and what the Controller says; AKO writes log lines."""

    async def story(reconciler: Stack) -> None:
        reconciler.kubernetes.apply(RIVAL)
        await reconciler.look()
        avi.running.faults.set(
            Fault(action="status", method="PATCH", status=400, body={"error": "No available free IPs"})
        )
        reconciler.kubernetes.endpoint_slices[WEB.name] = ()
        with pytest.raises(Exception, match="No available free IPs"):
            await reconciler.look()

    warnings = [event for event in tell(story, WEB).events if event[1] == "Warning"]
    assert warnings == [("rival", "Warning", "Conflict"), ("web", "Warning", "NoFreeAddress")]


class _Never:
    pause_seconds = 600.0

    async def read(self) -> tuple[GroupName, ...]:
        """As ``Resync``."""
        return ()
