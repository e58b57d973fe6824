"""A claim that a hand or a faulty replica gave to another, on the real API server: repaired once, then silence."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property

import msgspec
import pytest
from structlog.testing import capture_logs

from cluster.api import JSON_PATCH
from cluster.shared_vip_documents import RawSharedVip
from cluster.shared_vips import SharedVipStore, StaleLedger
from reconciler.kubernetes import ClusterKubernetes, Subscriber
from reconciler.ledger_keeper import LedgerKeeper
from reconciler.settled import Settled
from sharedvip.ledger import GRACE, Ledger, Member, Release, member_of
from sharedvip.model import GroupName, Listener, Policy
from tests.builders import KEY
from tests.cluster.connection import Connection
from tests.webhook.replicas import Scene, now, tell

pytestmark = pytest.mark.e2e

THIEF = Member("thief", "2")
LATER = timedelta(seconds=1) + GRACE


@dataclass
class Janitor:
    """A janitor for whom every grace is over; it counts its writes."""

    scene: Scene
    writes: list[None] = field(default_factory=list[None])

    @cached_property
    def kubernetes(self) -> ClusterKubernetes:
        """Its door to the cluster."""
        nobody, fence = Subscriber(group_changed=lambda _: None, service_left=lambda _: None), self._count
        return ClusterKubernetes(self.scene.api, fence=fence, now=now, subscriber=nobody, has_slices=False)

    @cached_property
    def keeper(self) -> LedgerKeeper:
        """The one under test."""
        return LedgerKeeper(self.kubernetes, policy=Policy(), now=lambda: now() + LATER)

    def _count(self) -> None:
        self.writes.append(None)

    @asynccontextmanager
    async def watching(self) -> AsyncGenerator["Janitor"]:
        """With caches that follow."""
        tasks = [asyncio.create_task(watch) for watch in self.kubernetes.watches()]
        try:
            await self.kubernetes.synced()
            yield self
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def settle(self) -> Settled:
        """One pass, when the cache shows the ledger as it is."""
        group, live = self.scene.group(), await _ledger(self.scene)
        await self.scene.until(lambda: self.kubernetes.ledger(group) == live)
        self.writes.clear()
        return await self.keeper.settle(group)


async def _ledger(scene: Scene) -> Ledger:
    found = await scene.ledger()
    assert found is not None
    return found


async def _edit(scene: Scene, listener: str, **values: str | int) -> None:
    """``kubectl edit`` where no policy is in the way."""
    path = f"/apis/sharedvip.dev/v1alpha1/namespaces/{scene.namespace}/sharedvips/{KEY}"
    stored = msgspec.json.decode(await scene.api.request("GET", path))
    at = [f"{claim['port']}/{claim['protocol']}" for claim in stored["spec"]["claims"]].index(listener)
    patch = [{"op": "replace", "path": f"/spec/claims/{at}/{name}", "value": value} for name, value in values.items()]
    by_hand = {"fieldManager": "kubectl-edit"}
    await scene.api.request("PATCH", path, query=by_hand, body=msgspec.json.encode(patch), content_type=JSON_PATCH)


async def _hands_to_a_name(scene: Scene) -> None:
    await _edit(scene, "80/TCP", service=THIEF.service)


async def _hands_to_no_name(scene: Scene) -> None:
    await _edit(scene, "80/TCP", service="th\x01ef")


async def _hands_to_a_member(scene: Scene) -> None:
    api = member_of(await scene.live("api"))
    await _edit(scene, "80/TCP", service=api.service, uid=api.uid)


async def _takes_by_force(scene: Scene) -> None:
    ledger = await _ledger(scene)
    taken = (claim for claim in ledger.claims if str(claim.listener) == "80/TCP")
    stolen = [claim._replace(service=THIEF.service, uid=THIEF.uid) for claim in taken]
    await scene.store.claim(ledger.name, THIEF, shared=ledger.shared, claims=stolen, force=True)


@pytest.mark.parametrize(
    "takes",
    [
        pytest.param(_hands_to_a_name, id="a hand, to a name that no Service has"),
        pytest.param(_hands_to_no_name, id="a hand, to what cannot be the name of a Service, nor of a field manager"),
        pytest.param(_hands_to_a_member, id="a hand, to a member without that port"),
        pytest.param(_takes_by_force, id="a faulty replica, by force"),
    ],
)
@pytest.mark.parametrize("ports", [("80/TCP",), ("80/TCP", "81/TCP")], ids=lambda ports: f"of {len(ports)}")
def test_a_claim_that_was_handed_to_another_is_taken_out_once(
    connection: Connection, takes: Callable[[Scene], Awaitable[None]], ports: tuple[str, ...]
) -> None:
    """And who has the port has its claim again, in the same pass."""

    async def story(scene: Scene) -> None:
        await scene.settled("web", *ports)
        await scene.settled("api", "443/TCP")
        before = await scene.claims()
        await takes(scene)
        assert await scene.claims() != before
        async with Janitor(scene).watching() as janitor:
            with capture_logs() as logs:
                settled = await janitor.settle()
            assert await scene.claims() == before
            assert (settled.refused, settled.wake_seconds) == ({}, None)
            told = [line["event"] for line in logs]
            assert "ledger.taken_back" in told or takes not in (_hands_to_a_name, _hands_to_no_name)
            assert [event for event in told if event != "ledger.taken_back"] == ["claims.released", "newcomer.accepted"]

            with capture_logs() as logs:
                assert await janitor.settle() == Settled(await _ledger(scene))
            assert (logs, janitor.writes) == ([], [])

    tell(connection, story)


def test_a_claim_of_which_a_hand_owns_the_rest_goes_with_its_service(connection: Connection) -> None:
    """The entry was the hand's, its member owns a part by force: what an apply would leave of it breaks the schema."""

    async def story(scene: Scene) -> None:
        web = await scene.settled("web", "80/TCP")
        await scene.settled("api", "443/TCP")
        await _edit(scene, "80/TCP", port=81)
        ledger = await _ledger(scene)
        later = [claim._replace(claimed_at=now()) for claim in ledger.claims_of(member_of(web))]
        await scene.store.claim(ledger.name, member_of(web), shared=ledger.shared, claims=later, force=True)
        await scene.delete("web")
        async with Janitor(scene).watching() as janitor:
            await scene.until(lambda: janitor.kubernetes.service(web.name) is None)
            settled = await janitor.settle()
            assert await scene.claims() == [("api", "443/TCP")]
            assert settled.wake_seconds is None

    tell(connection, story)


def test_what_is_claimed_before_the_hand_s_claim_is_taken_out_stays(connection: Connection) -> None:
    """The real owner of a name comes between the janitor's two writes: nothing goes that nobody has judged."""

    async def story(scene: Scene) -> None:
        web = member_of(await scene.settled("web", "80/TCP", "443/TCP"))
        await _hands_to_a_name(scene)
        judged, thief = await _ledger(scene), web._replace(service=THIEF.service)
        at_that_moment = [claim._replace(listener=Listener(81, "TCP")) for claim in judged.claims_of(thief)]
        after = [("thief", "80/TCP"), ("thief", "81/TCP"), ("web", "443/TCP")]

        class Interrupted(SharedVipStore):
            async def _read(self, name: GroupName, timeout_seconds: float) -> RawSharedVip | None:
                await scene.store.claim(name, thief, shared=judged.shared, claims=at_that_moment)
                return await super()._read(name, timeout_seconds)

        with pytest.raises(StaleLedger):
            await Interrupted(scene.api).release(judged, Release(thief, ()))
        assert await scene.claims() == after
        with pytest.raises(StaleLedger):
            await scene.store.release(judged, Release(thief, ()))
        assert await scene.claims() == after

    tell(connection, story)
