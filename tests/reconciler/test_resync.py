"""The resync: which groups it names, and how soon it comes again."""

import asyncio

from prometheus_client import CollectorRegistry

from cluster.errors import ClusterError
from cluster.ip_address_documents import HeldAddress
from reconciler.ledger_keeper import LedgerKeeper
from reconciler.metrics import ReconcilerMetrics
from reconciler.resync import Resync
from reconciler.status import StatusKeeper
from sharedvip.model import GroupName, Policy
from simulator.faults import Fault
from tests.builders import GROUP, service
from tests.reconciler.controller import START, Avi, Stack, stack
from tests.reconciler.fake_kubernetes import FakeKubernetes

OTHER = GroupName("other", "key")


def _resync(kubernetes: FakeKubernetes, reconciler: Stack) -> Resync:
    return Resync(
        kubernetes,
        keeper=reconciler.keeper,
        avi=reconciler.side,
        statuses=reconciler.statuses,
        uids=set,
        metrics=_metrics(),
        seconds=300.0,
    )


def _metrics() -> ReconcilerMetrics:
    return ReconcilerMetrics(CollectorRegistry())


def test_groups_of_the_cluster_of_avi_and_of_the_locks_are_all_named(avi: Avi, cluster_name: str) -> None:
    """Whoever knows of a group: nobody else would clear it up."""

    async def story() -> None:
        before = FakeKubernetes()
        before.admit(service("web"), at=START)
        async with stack(avi, before, cluster=cluster_name) as predecessor:
            await predecessor.look()
        now = FakeKubernetes(addresses={"10.0.0.1": OTHER})
        newcomer = service("new", key="new")
        now.apply(newcomer)
        async with stack(avi, now, cluster=cluster_name, is_read=False) as reconciler:
            resync = _resync(now, reconciler)
            assert set(await resync.read()) == {GROUP, OTHER, newcomer.group}
            assert resync.pause_seconds == 300.0
            for group in (GROUP, OTHER):
                await reconciler.look(group)
        assert avi.names(cluster_name) == []
        assert now.addresses == {}

    asyncio.run(story())


def test_a_controller_that_is_away_is_asked_again_soon_and_ever_later(avi: Avi, cluster_name: str) -> None:
    """From 2 s to a minute; the groups of the cluster are looked at all the same."""

    async def story() -> None:
        kubernetes = FakeKubernetes()
        kubernetes.apply(service("web"))
        async with stack(avi, kubernetes, cluster=cluster_name, is_read=False) as reconciler:
            resync = _resync(kubernetes, reconciler)
            avi.running.faults.set(Fault(action="status", path="/api/", times=0))
            pauses: list[float] = []
            for _ in range(7):
                assert list(await resync.read()) == [GROUP]
                pauses.append(resync.pause_seconds)
            assert pauses == [2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]
            avi.running.faults.clear()
            await resync.read()
            assert resync.pause_seconds == 300.0
            assert reconciler.side.unknown is None

    asyncio.run(story())


def test_an_api_server_that_is_away_ends_nothing() -> None:
    """Guard mode: no Controller to ask."""

    async def story() -> None:
        kubernetes = _Away()
        keeper = LedgerKeeper(kubernetes, policy=Policy(), now=lambda: START)
        resync = Resync(
            kubernetes,
            keeper=keeper,
            avi=None,
            statuses=StatusKeeper(kubernetes),
            uids=set,
            metrics=_metrics(),
            seconds=300.0,
        )
        assert set(await resync.read()) == set()
        assert resync.pause_seconds == 2.0

    asyncio.run(story())


def test_the_controller_is_read_whatever_the_api_server_says(avi: Avi, cluster_name: str) -> None:
    """Of a Controller that was never read nobody knows anything: no group of the cluster would be built."""

    async def story() -> None:
        kubernetes = _Away()
        async with stack(avi, kubernetes, cluster=cluster_name, is_read=False) as reconciler:
            resync = _resync(kubernetes, reconciler)
            await resync.read()
            assert (resync.pause_seconds, reconciler.side.unknown) == (2.0, None)

    asyncio.run(story())


class _Away(FakeKubernetes):
    async def held_addresses(self) -> tuple[HeldAddress, ...]:
        raise ClusterError("no answer")
