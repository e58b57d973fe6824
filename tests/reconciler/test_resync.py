"""The resync: which groups it names, and how soon it comes again."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

from prometheus_client import CollectorRegistry

from cluster.errors import ClusterError
from cluster.ip_address_documents import HeldAddress
from reconciler.ledger_keeper import LedgerKeeper
from reconciler.metrics import ReconcilerMetrics
from reconciler.resync import LOCKS_SECONDS, Resync
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
            assert resync.pause_seconds == LOCKS_SECONDS
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
            assert resync.pause_seconds == LOCKS_SECONDS
            assert reconciler.side.unknown is None

    asyncio.run(story())


def test_an_api_server_that_is_away_ends_nothing() -> None:
    """Guard mode: no Controller to ask."""

    async def story() -> None:
        kubernetes = _Away()
        keeper = LedgerKeeper(kubernetes, policy=Policy(), now=lambda: START)
        resync = _guarding(kubernetes, keeper, clock=lambda: 0.0)
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


def test_a_lock_that_no_event_tells_of_is_looked_at_within_a_minute() -> None:
    """Admission made it for a leave with a new address, which somebody else refused then."""

    async def story() -> None:
        kubernetes, time = FakeKubernetes(), [0.0]
        kubernetes.admit(service("web", load_balancer_ip="10.0.0.1"), service("dns", key="other"), at=START)
        keeper = LedgerKeeper(kubernetes, policy=Policy(), now=lambda: START)
        resync = _guarding(kubernetes, keeper, clock=lambda: time[0])
        both = {GROUP, GroupName(GROUP.namespace, "other")}
        assert set(await resync.read()) == both
        kubernetes.addresses["10.0.0.9"] = GROUP
        assert set(await resync.read()) == {GROUP}

        settled = await keeper.settle(GROUP)
        await keeper.release_addresses(GROUP, settled.ledger)
        assert kubernetes.addresses == {"10.0.0.1": GROUP}
        # What it lives on it holds, also where nobody asks for it any more.
        kubernetes.addresses["10.0.0.7"] = GROUP
        kubernetes.ledgers[GROUP] = replace(kubernetes.ledgers[GROUP], vip="10.0.0.7")
        assert set(await resync.read()) == set()
        time[0] = 290.0
        assert resync.pause_seconds == 10.0, "all is read again then, by its own time"
        time[0] = 301.0
        assert resync.pause_seconds == 0.0
        assert set(await resync.read()) == both
        assert resync.pause_seconds == LOCKS_SECONDS

    asyncio.run(story())


def test_nor_does_a_look_at_the_locks_that_fails_end_anything() -> None:
    """It is tried again in a minute."""

    async def story() -> None:
        kubernetes = _Away(is_away=False)
        resync = _guarding(kubernetes, LedgerKeeper(kubernetes, policy=Policy(), now=lambda: START), clock=lambda: 0.0)
        await resync.read()
        kubernetes.is_away = True
        assert set(await resync.read()) == set()
        assert resync.pause_seconds == LOCKS_SECONDS

    asyncio.run(story())


def _guarding(kubernetes: FakeKubernetes, keeper: LedgerKeeper, *, clock: Callable[[], float]) -> Resync:
    """Guard mode: no Controller to ask."""
    return Resync(
        kubernetes,
        keeper=keeper,
        avi=None,
        statuses=StatusKeeper(kubernetes),
        uids=set,
        metrics=_metrics(),
        seconds=300.0,
        clock=clock,
    )


@dataclass
class _Away(FakeKubernetes):
    is_away: bool = True

    async def held_addresses(self) -> tuple[HeldAddress, ...]:
        if self.is_away:
            raise ClusterError("no answer")
        return await super().held_addresses()
