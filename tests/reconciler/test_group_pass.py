"""A pass as users see it: statuses and Avi after what they did, with a cluster in memory and a simulated Controller."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from cluster.errors import ClusterError
from reconciler.avi_errors import AviError
from sharedvip.model import ServiceView
from simulator.faults import Fault
from tests.builders import GROUP, service
from tests.reconciler.controller import START, Avi, Stack, process, stack
from tests.reconciler.fake_kubernetes import FakeKubernetes
from tests.reconciler.world import Endpoint, Slice

WEB = service("web", "80/TCP")
API = service("api", "443/TCP")
RIVAL = service("rival", "80/TCP")
_GROUP = "default~shared-vip-key-1"

Story = Callable[[Stack, FakeKubernetes], Awaitable[None]]


@pytest.fixture
def tell(avi: Avi, cluster_name: str) -> Callable[[Story], None]:
    """Run a story with WEB and API admitted and built."""

    def telling(story: Story) -> None:
        async def whole() -> None:
            kubernetes = FakeKubernetes()
            kubernetes.admit(WEB, API, at=START)
            async with stack(avi, kubernetes, cluster=cluster_name) as reconciler:
                await reconciler.look()
                avi.forget()
                await story(reconciler, kubernetes)

        asyncio.run(whole())

    return telling


def _reason(kubernetes: FakeKubernetes, of: ServiceView) -> str:
    return kubernetes.verdicts[of.name].reason


def test_a_newcomer_in_conflict_is_told_and_nothing_else_happens(tell: Callable[[Story], None], avi: Avi) -> None:
    """No call to Avi, no other status, one Event, also when looked at again."""

    async def story(reconciler: Stack, kubernetes: FakeKubernetes) -> None:
        before = kubernetes.vips(WEB, API)
        kubernetes.apply(RIVAL)
        for _ in range(3):
            await reconciler.look()
        assert avi.calls() == []
        assert _reason(kubernetes, RIVAL) == "Conflict"
        assert kubernetes.vips(WEB, API, RIVAL) == [*before, ()]
        assert [event for event in kubernetes.events if event[0] == "rival"] == [("rival", "Warning", "Conflict")]
        assert kubernetes.reports[GROUP].verdict.message == "not let in: 'rival'"

    tell(story)


def test_who_can_be_no_member_is_told_and_nothing_else_happens(tell: Callable[[Story], None], avi: Avi) -> None:
    """One Event, and no status: it is no Service of ours."""

    async def story(reconciler: Stack, kubernetes: FakeKubernetes) -> None:
        kubernetes.apply(inside := replace(RIVAL, type="ClusterIP"))
        for _ in range(3):
            await reconciler.look()
        assert avi.calls() == []
        assert [event for event in kubernetes.events if event[0] == "rival"] == [("rival", "Warning", "Conflict")]
        assert inside.name not in kubernetes.verdicts
        assert kubernetes.reports[GROUP].verdict.is_ready

    tell(story)


def test_the_group_tells_how_many_servers_each_listener_has_and_how_many_take_traffic(
    tell: Callable[[Story], None],
) -> None:
    """Also where there is none, and when they change."""
    pods = (Endpoint(("10.9.9.1",)), Endpoint(("10.9.9.2",), is_ready=False), Endpoint(("10.9.9.3",)))

    async def story(reconciler: Stack, kubernetes: FakeKubernetes) -> None:
        def told() -> list[tuple[str, str, int, int]]:
            listeners = kubernetes.reports[GROUP].listeners
            return [(str(each.listener), each.service, each.servers, each.servers_ready) for each in listeners]

        assert told() == [("80/TCP", "web", 0, 0), ("443/TCP", "api", 0, 0)]
        kubernetes.endpoint_slices[WEB.name] = (Slice(pods),)
        await reconciler.look()
        assert told() == [("80/TCP", "web", 3, 2), ("443/TCP", "api", 0, 0)]

    tell(story)


def test_a_member_in_conflict_by_a_late_update_goes_on_serving(tell: Callable[[Story], None], avi: Avi) -> None:
    """Its old port is served, the new one is not; the condition says why."""

    async def story(reconciler: Stack, kubernetes: FakeKubernetes) -> None:
        before = kubernetes.vips(WEB, API)
        kubernetes.apply(service("web", "80/TCP", "443/TCP"))
        await reconciler.look()
        assert avi.calls() == []
        assert kubernetes.vips(WEB, API) == before
        assert [_reason(kubernetes, s) for s in (WEB, API)] == ["Conflict", "Programmed"]

    tell(story)


def test_a_namesake_that_was_admitted_and_not_stored_unseats_nobody(tell: Callable[[Story], None], avi: Avi) -> None:
    """``kubectl create`` of a Service that exists: admitted with force, then AlreadyExists (ADR 1)."""

    async def story(reconciler: Stack, kubernetes: FakeKubernetes) -> None:
        ledger = kubernetes.ledgers[GROUP]
        taken_over = tuple(c._replace(uid="uid-2") if c.service == "web" else c for c in ledger.claims)
        kubernetes.ledgers[GROUP] = replace(ledger, claims=taken_over)
        await reconciler.look()
        assert avi.calls() == []
        assert kubernetes.vips(WEB) != [()]

    tell(story)


def test_a_port_passes_to_the_newcomer_when_its_holder_goes(tell: Callable[[Story], None], avi: Avi) -> None:
    """One PATCH, no gap: the listener stays."""

    async def story(reconciler: Stack, kubernetes: FakeKubernetes) -> None:
        vip = kubernetes.vips(WEB)
        kubernetes.apply(RIVAL)
        await reconciler.look()
        kubernetes.delete(WEB.name)
        await reconciler.look()
        assert avi.calls() == ["PATCH pool"]
        assert kubernetes.vips(RIVAL) == vip

    tell(story)


def test_a_leaver_keeps_nothing_of_ours(tell: Callable[[Story], None], avi: Avi) -> None:
    """Its listener goes from Avi, and its status is taken back."""

    async def story(reconciler: Stack, kubernetes: FakeKubernetes) -> None:
        kubernetes.apply(replace(API, sharing_key=None))
        await reconciler.look()
        for leaver in kubernetes.leavers():
            await reconciler.statuses.withdraw(leaver)
        assert avi.calls() == ["PUT l4policyset", "PUT virtualservice", "DELETE pool"]
        assert kubernetes.vips(API) == [()]
        assert API.name not in kubernetes.verdicts

    tell(story)


def test_a_shared_vip_that_a_hand_deletes_comes_back_and_avi_never_hears_of_it(
    tell: Callable[[Story], None], avi: Avi
) -> None:
    """It carries our finalizer; its Services come back as newcomers, and find what they need."""

    async def story(reconciler: Stack, kubernetes: FakeKubernetes) -> None:
        before = kubernetes.vips(WEB, API)
        kubernetes.ledgers[GROUP] = replace(kubernetes.ledgers[GROUP], is_deleting=True)
        await reconciler.look()
        assert GROUP not in kubernetes.ledgers
        await reconciler.look()
        assert len(kubernetes.ledgers[GROUP].claims) == 2
        assert avi.calls() == []
        assert kubernetes.vips(WEB, API) == before

    tell(story)


def test_nor_does_it_wait_for_a_controller_that_refuses(tell: Callable[[Story], None], avi: Avi) -> None:
    """Nobody can join while it is being deleted."""

    async def story(reconciler: Stack, kubernetes: FakeKubernetes) -> None:
        avi.running.faults.set(Fault(action="status", status=400, body={"error": "no"}, times=0))
        kubernetes.apply(service("z", "81/TCP"))
        with pytest.raises(AviError):
            await reconciler.look()
        kubernetes.ledgers[GROUP] = replace(kubernetes.ledgers[GROUP], is_deleting=True)
        await reconciler.look()
        assert GROUP not in kubernetes.ledgers
        avi.running.faults.clear()

    tell(story)


def test_nor_does_it_go_before_the_controller_was_read(tell: Callable[[Story], None]) -> None:
    """The reconciler has just begun: the address that the members show stands nowhere else."""

    async def story(reconciler: Stack, kubernetes: FakeKubernetes) -> None:
        before = kubernetes.vips(WEB, API)
        kubernetes.ledgers[GROUP] = replace(kubernetes.ledgers[GROUP], is_deleting=True)
        begun = process(reconciler.client, kubernetes, reconciler.settings)
        for _ in range(2):
            await begun.look()
        assert kubernetes.vips(WEB, API) == before
        await begun.look_at_all()
        await begun.look()
        assert (kubernetes.vips(WEB, API), kubernetes.ledgers[GROUP].is_deleting) == (before, False)

    tell(story)


def test_what_somebody_elses_finalizer_keeps_is_served(tell: Callable[[Story], None], avi: Avi) -> None:
    """Ours is gone, so there is nothing to wait for."""

    async def story(reconciler: Stack, kubernetes: FakeKubernetes) -> None:
        kubernetes.ledgers[GROUP] = replace(kubernetes.ledgers[GROUP], is_deleting=True, has_finalizer=False)
        kubernetes.delete(API.name)
        await reconciler.look()
        assert avi.calls() == ["PUT l4policyset", "PUT virtualservice", "DELETE pool"]

    tell(story)


def test_one_status_that_cannot_be_written_keeps_no_other_from_being_told(tell: Callable[[Story], None]) -> None:
    """And the pass is tried again."""

    async def story(reconciler: Stack, kubernetes: FakeKubernetes) -> None:
        kubernetes.unwritable.add(service("a", "1/TCP").name)
        kubernetes.apply(service("a", "1/TCP"), service("z", "2/TCP"))
        with pytest.raises(ClusterError, match="cannot be written"):
            await reconciler.look()
        assert _reason(kubernetes, service("z")) == "Programmed"

    tell(story)


def test_nor_an_address_from_being_let_go(tell: Callable[[Story], None]) -> None:
    """A status that the API server will never take is no reason to keep what others may want."""

    async def story(reconciler: Stack, kubernetes: FakeKubernetes) -> None:
        kubernetes.unwritable.add(service("a").name)
        kubernetes.apply(service("a", "1/TCP"))
        kubernetes.addresses["10.9.9.9"] = GROUP
        await reconciler.keeper.refresh()
        with pytest.raises(ClusterError, match="cannot be written"):
            await reconciler.look()
        assert kubernetes.addresses == {}

    tell(story)


def test_a_group_that_writes_down_its_own_address_is_not_touched(tell: Callable[[Story], None], avi: Avi) -> None:
    """All members set the address they have."""

    async def story(reconciler: Stack, kubernetes: FakeKubernetes) -> None:
        (vip,) = kubernetes.vips(WEB)[0]
        kubernetes.ledgers.clear()
        for member in (WEB, API):
            kubernetes.apply(replace(member, load_balancer_ip=vip))
        await reconciler.look()
        assert avi.calls() == []
        assert kubernetes.ledgers[GROUP].shared.static_address == vip

    tell(story)


def test_without_macro_calls_a_group_is_built_and_gone_all_the_same(avi: Avi, cluster_name: str) -> None:
    """A Controller may not take them; n + 3 calls each way."""

    async def story() -> None:
        kubernetes = FakeKubernetes()
        kubernetes.admit(WEB, API, at=START)
        async with stack(avi, kubernetes, cluster=cluster_name, has_macro=False) as reconciler:
            await reconciler.look()
            assert avi.calls() == ["POST vsvip", "POST pool", "POST pool", "POST l4policyset", "POST virtualservice"]
            avi.forget()
            assert await reconciler.look() == 0
            kubernetes.delete(WEB.name, API.name)
            await reconciler.look()
            assert sorted(avi.calls()) == sorted(
                ["DELETE virtualservice", "DELETE l4policyset", "DELETE pool", "DELETE pool", "DELETE vsvip"]
            )
            assert avi.names(cluster_name) == []

    asyncio.run(story())
