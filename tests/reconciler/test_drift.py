"""What people do to our objects on the Controller is put right at the next resync; others' are never touched."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from reconciler.avi_client import AviRequest
from reconciler.loop import Loop
from reconciler.metrics import ReconcilerMetrics
from reconciler.resync import Resync
from sharedvip.model import GroupName
from tests.builders import GROUP, service
from tests.reconciler.controller import OUR_TYPES, START, Avi, Stack, admitted, stack
from tests.reconciler.fake_kubernetes import FakeKubernetes

LB1 = service("lb1", "80/TCP")
LB2 = service("lb2", "80/UDP")
_NAME = "default~shared-vip-key-1"

Story = Callable[[Stack, str], Awaitable[None]]


def _tell(avi: Avi, cluster: str, story: Story) -> FakeKubernetes:
    kubernetes = admitted(LB1, LB2)

    async def told() -> None:
        async with stack(avi, kubernetes, cluster=cluster) as reconciler:
            await reconciler.look()
            await story(reconciler, f"sharedvip~{cluster}~{_NAME}")

    asyncio.run(told())
    return kubernetes


async def _resync(reconciler: Stack) -> int:
    """How many groups were repaired."""
    await reconciler.side.read()
    groups = sorted({*reconciler.kubernetes.groups(), *reconciler.side.view.groups()})
    return sum([(await reconciler.worker.run(group)).is_repair for group in groups])


async def _delete(reconciler: Stack, avi: Avi, kind: str, name: str) -> None:
    await reconciler.client.request(AviRequest("DELETE", f"{kind}/{avi.body(kind, name)['uuid']}"))


_DELETED = {
    "the virtual service": ["virtualservice"],
    "the virtual service and the rules": ["virtualservice", "l4policyset"],
    "all but the VIP": ["virtualservice", "l4policyset", "pool ~TCP~80", "pool ~UDP~80"],
    "all but the pools": ["virtualservice", "l4policyset", "vsvip"],
    "the virtual service and the VIP": ["virtualservice", "vsvip"],
    "everything": ["virtualservice", "l4policyset", "pool ~TCP~80", "pool ~UDP~80", "vsvip"],
}


@pytest.mark.parametrize("gone", _DELETED.values(), ids=_DELETED.keys())
def test_whatever_a_hand_deletes_is_built_again(avi: Avi, cluster_name: str, gone: list[str]) -> None:
    """Each set that the Controller lets a person delete; statuses tell the VIP that there is."""

    async def story(reconciler: Stack, name: str) -> None:
        built, before = avi.names(cluster_name), reconciler.kubernetes.vips(LB1)
        for what in gone:
            kind, _, rest = what.partition(" ")
            await _delete(reconciler, avi, kind, name + rest)
        assert await _resync(reconciler) == 1
        assert avi.names(cluster_name) == built
        assert await reconciler.look() == 0
        assert reconciler.kubernetes.vips(LB1, LB2) == [(reconciler.side.view.group(GROUP).vip,)] * 2
        if "vsvip" not in gone:
            assert reconciler.kubernetes.vips(LB1) == before

    _tell(avi, cluster_name, story)


_UDP = {"port": 80, "override_network_profile_ref": "/api/networkprofile?name=System-UDP-Fast-Path"}
_CHANGED: dict[str, tuple[str, dict[str, Any]]] = {
    "no servers": ("pool ~TCP~80", {"servers": []}),
    "another monitor": ("pool ~TCP~80", {"health_monitor_refs": ["/api/healthmonitor?name=System-Ping"]}),
    "no rules": ("l4policyset", {"l4_connection_policy": {"rules": []}}),
    "one port more": ("virtualservice", {"services": [{"port": 80}, _UDP, {"port": 81}]}),
    "a listener while down": ("virtualservice", {"remove_listening_port_on_vs_down": False}),
    "other markers": ("vsvip", {"east_west_placement": True}),
}


@pytest.mark.parametrize(("what", "how"), _CHANGED.values(), ids=_CHANGED.keys())
def test_whatever_a_hand_changes_is_changed_back(avi: Avi, cluster_name: str, what: str, how: dict[str, Any]) -> None:
    """In one call, and the VIP stays."""

    async def story(reconciler: Stack, name: str) -> None:
        before = reconciler.kubernetes.vips(LB1, LB2)
        kind, _, rest = what.partition(" ")
        was = avi.body(kind, name + rest)
        await reconciler.client.request(AviRequest("PATCH", f"{kind}/{was['uuid']}", body={"replace": how}))
        assert avi.body(kind, name + rest) != was
        avi.forget()
        assert await _resync(reconciler) == 1
        assert len(avi.calls(writes_only=True)) == 1
        assert avi.body(kind, name + rest) == was
        assert reconciler.kubernetes.vips(LB1, LB2) == before

    _tell(avi, cluster_name, story)


def test_a_pool_that_a_hand_renames_is_made_again_and_the_renamed_one_is_the_hands(avi: Avi, cluster_name: str) -> None:
    """It says that we made it, and has none of our names: it is left alone."""

    async def story(reconciler: Stack, name: str) -> None:
        pool = avi.body("pool", f"{name}~TCP~80")
        await reconciler.client.request(
            AviRequest("PATCH", f"pool/{pool['uuid']}", body={"replace": {"name": f"{cluster_name}-mine-now"}})
        )
        await _resync(reconciler)
        assert f"pool {_NAME}~TCP~80" in avi.names(cluster_name)
        assert await reconciler.look() == 0
        assert avi.body("pool", f"{cluster_name}-mine-now")["uuid"] == pool["uuid"]

    _tell(avi, cluster_name, story)


@pytest.mark.parametrize("kind", OUR_TYPES)
def test_an_object_with_our_name_that_we_did_not_make_is_never_touched(avi: Avi, cluster_name: str, kind: str) -> None:
    """Not at a resync, not by a group that needs the name, not when that group goes."""
    theirs = f"sharedvip~{cluster_name}~default~theirs" + ("~TCP~80" if kind == "pool" else "")
    member = service("x", "80/TCP", key="theirs")

    async def story(reconciler: Stack, _name: str) -> None:
        body: dict[str, Any] = {"name": theirs}
        if kind == "virtualservice":
            body |= {"services": [{"port": 9}], "vsvip_ref": f"/api/vsvip?name=sharedvip~{cluster_name}~{_NAME}"}
        await reconciler.client.request(AviRequest("POST", kind, body=body))
        was = avi.body(kind, theirs)
        await _resync(reconciler)
        reconciler.kubernetes.admit(member, at=START)
        for _ in range(2):
            with pytest.raises(Exception, match="sharedvip did not create it"):
                await reconciler.look(GroupName("default", "theirs"))
        reconciler.kubernetes.delete(member.name)
        with pytest.raises(Exception, match="sharedvip did not create it"):
            await reconciler.look(GroupName("default", "theirs"))
        assert avi.body(kind, theirs) == was
        if kind == "virtualservice":
            await _delete(reconciler, avi, kind, theirs)

    _tell(avi, cluster_name, story)


def test_two_clusters_on_one_controller_do_not_see_each_other(avi: Avi, cluster_name: str) -> None:
    """The same namespace and key in both; one's name begins as the other's; one goes, the other stays whole."""
    other = f"{cluster_name}-2"

    async def story(reconciler: Stack, _name: str) -> None:
        neighbours = admitted(LB1)
        async with stack(avi, neighbours, cluster=other) as neighbour:
            await neighbour.look()
            assert await _resync(reconciler) == await _resync(neighbour) == 0
            assert neighbours.vips(LB1) != reconciler.kubernetes.vips(LB1)
            whole = avi.names(cluster_name)
            neighbours.delete(LB1.name)
            await neighbour.look_at_all()
            assert (avi.names(other), avi.names(cluster_name)) == ([], whole)

    _tell(avi, cluster_name, story)


def test_a_repair_is_counted(avi: Avi, cluster_name: str) -> None:
    """``sharedvip_reconciler_drift_repaired_total``: by the resync, once."""

    async def story(reconciler: Stack, name: str) -> None:
        registry = CollectorRegistry()
        metrics, cluster = ReconcilerMetrics(registry), reconciler.kubernetes
        loop = Loop(cluster, worker=reconciler.worker, statuses=reconciler.statuses, metrics=metrics)
        resync = Resync(
            cluster,
            keeper=reconciler.keeper,
            avi=reconciler.side,
            statuses=reconciler.statuses,
            uids=set,
            metrics=metrics,
            seconds=0.05,
        )
        await _delete(reconciler, avi, "virtualservice", name)
        stop = asyncio.Event()
        task = asyncio.create_task(loop.run(workers=1, resync=resync, stop=stop))
        async with asyncio.timeout(10):
            while f"virtualservice {_NAME}" not in avi.names(cluster_name):  # noqa: ASYNC110 - the Controller has no event
                await asyncio.sleep(0.01)
        stop.set()
        await task
        assert registry.get_sample_value("sharedvip_reconciler_drift_repaired_total") == 1

    _tell(avi, cluster_name, story)
