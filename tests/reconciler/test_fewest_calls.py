"""How many calls the Avi Controller gets, counted by its own journal: AKO's numbers (`ako.md` 3.1) are the mark."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from prometheus_client import CollectorRegistry

from reconciler.loop import Loop
from reconciler.metrics import ReconcilerMetrics
from sharedvip.model import GroupName, ServiceName, ServiceView
from tests.builders import GROUP, service
from tests.reconciler.controller import START, Avi, Stack, admitted, stack
from tests.reconciler.fake_kubernetes import FakeKubernetes
from tests.reconciler.world import Endpoint, Slice

GROUPS = 1000
BOOT_READS = 30

_MEMBERS = tuple(service(f"s{number}", f"{number}/TCP") for number in range(1, 6))


def _tell(avi: Avi, cluster: str, story: Callable[[Stack], Awaitable[None]], *, has_macro: bool = True) -> None:
    async def told() -> None:
        async with stack(avi, admitted(*_MEMBERS), cluster=cluster, has_macro=has_macro) as reconciler:
            await reconciler.look()
            await story(reconciler)

    asyncio.run(told())


@pytest.mark.parametrize(("has_macro", "most"), [(True, 1), (False, len(_MEMBERS) + 3)], ids=["macro", "one by one"])
def test_a_group_is_created_and_deleted_by_one_call_or_by_three_more_than_listeners(
    avi: Avi, cluster_name: str, *, has_macro: bool, most: int
) -> None:
    """Five listeners; AKO needs eight calls each way."""

    async def story(reconciler: Stack) -> None:
        assert len(avi.calls()) == most
        avi.forget()
        reconciler.kubernetes.delete(*(member.name for member in _MEMBERS))
        await reconciler.look()
        assert len(avi.calls()) == most
        assert avi.names(cluster_name) == []

    _tell(avi, cluster_name, story, has_macro=has_macro)


def test_what_changes_nothing_on_avi_costs_no_call(avi: Avi, cluster_name: str) -> None:
    """A look, a relabelled Service, the same ports in another order; AKO writes an L4PolicySet each time."""

    async def story(reconciler: Stack) -> None:
        avi.forget()
        for _ in range(3):
            await reconciler.look()
        reconciler.kubernetes.apply(service("s1", "1/TCP", sharing_label="irrelevant"))
        await reconciler.look()
        assert avi.calls() == []

    _tell(avi, cluster_name, story)


def test_a_port_that_is_replaced_costs_four_calls_and_one_that_comes_or_goes_three(avi: Avi, cluster_name: str) -> None:
    """The pool, the rules, the virtual service."""

    async def story(reconciler: Stack) -> None:
        for ports, most in ((("1/TCP", "443/TCP"), 3), (("1/TCP",), 3), (("444/TCP",), 4)):
            avi.forget()
            reconciler.kubernetes.admit(service("s1", *ports), at=START)
            await reconciler.look()
            assert len(avi.calls()) <= most

    _tell(avi, cluster_name, story)


def test_a_burst_of_endpoint_events_is_one_patch(avi: Avi, cluster_name: str) -> None:
    """A rollout of 100 pods, an event for each, within the time in which events are one."""

    async def story(reconciler: Stack) -> None:
        avi.forget()
        metrics = ReconcilerMetrics(CollectorRegistry())
        loop = Loop(reconciler.kubernetes, worker=reconciler.worker, statuses=reconciler.statuses, metrics=metrics)
        stop = asyncio.Event()
        task = asyncio.create_task(loop.run(workers=2, resync=_Never(), stop=stop))
        for number in range(1, 101):
            pods = tuple(Endpoint((f"10.244.7.{pod}",)) for pod in range(1, number + 1))
            reconciler.kubernetes.endpoint_slices[_MEMBERS[0].name] = (Slice(pods),)
            loop.group_changed(GROUP)
        async with asyncio.timeout(10):
            while len(avi.servers(f"sharedvip~{cluster_name}~default~{GROUP.key}~TCP~1")) < 100:  # noqa: ASYNC110 - the Controller has no event
                await asyncio.sleep(0.01)
        stop.set()
        await task
        assert avi.calls() == ["PATCH pool"]

    _tell(avi, cluster_name, story)


def test_only_a_group_of_which_nothing_is_on_avi_is_new(avi: Avi, cluster_name: str) -> None:
    """Then it is worth waiting for its other Services; while nobody knows what is there, nobody waits."""

    async def told() -> None:
        kubernetes = admitted(*_MEMBERS)
        async with stack(avi, kubernetes, cluster=cluster_name, is_read=False) as reconciler:
            assert not reconciler.side.is_new(GROUP)
            await reconciler.side.read()
            assert reconciler.side.is_new(GROUP)
            await reconciler.look()
            assert not reconciler.side.is_new(GROUP)

    asyncio.run(told())


def test_a_boot_with_a_thousand_groups_reads_thirty_pages_and_writes_nothing(avi: Avi, cluster_name: str) -> None:
    """Two listeners each, 5,000 objects; 200 fit on a page."""

    async def told() -> None:
        kubernetes = _Large()
        for number in range(GROUPS):
            key = f"key-{number}"
            kubernetes.admit(service(f"s{number}", "80/TCP", "80/UDP", key=key), at=START)
        async with stack(avi, kubernetes, cluster=cluster_name) as reconciler:
            names = [GroupName(GROUP.namespace, f"key-{number}") for number in range(GROUPS)]
            assert sum([await reconciler.look(name) for name in names]) == GROUPS
            async with stack(avi, kubernetes, cluster=cluster_name, is_read=False) as restarted:
                avi.forget()
                await restarted.look_at_all()
                calls = [call for call in avi.calls() if "log" not in call]
                assert len(calls) <= BOOT_READS
                assert [call for call in calls if not call.startswith("GET")] == []
        kubernetes.delete(*list(kubernetes.stored))

    asyncio.run(told())


class _Large(FakeKubernetes):
    """The fake looks through all Services for each group; here each is a group."""

    def members(self, group: GroupName) -> tuple[ServiceView, ...]:
        """As ``Kubernetes``."""
        member = self.stored.get(ServiceName(group.namespace, f"s{group.key.removeprefix('key-')}"))
        return () if member is None else (member,)


class _Never:
    pause_seconds = 600.0

    async def read(self) -> tuple[GroupName, ...]:
        """As ``Resync``."""
        return ()
