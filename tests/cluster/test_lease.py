"""Leadership on the real API server: one leader, a fence that closes in time, a handover that does not wait."""

import asyncio
import time
from typing import Any

import pytest

from cluster.api import KubernetesApi
from cluster.lease import Lease, LeaseTimes
from tests.cluster.connection import Connection

pytestmark = pytest.mark.e2e

NAME = "sharedvip-reconciler"
TIMES = LeaseTimes()
QUICK = LeaseTimes(duration=2, renew_deadline=1.5, retry=0.05)
DEADLINE_SECONDS = 20.0


class Clock:
    """A clock that stands until it is turned: each machine has its own."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        """Monotonic seconds."""
        return self.seconds


def candidate(
    api: KubernetesApi, connection: Connection, identity: str, *, clock: Clock | None = None, times: LeaseTimes = TIMES
) -> Lease:
    """One who wants to lead."""
    return Lease(
        api, namespace=connection.namespace, name=NAME, identity=identity, times=times, clock=clock or time.monotonic
    )


def spec(connection: Connection) -> dict[str, Any]:
    """What the Lease says."""
    return connection.get("lease", NAME)["spec"]


def test_the_first_leads_and_says_so(connection: Connection) -> None:
    """In the fields that kubectl and other people's tools read."""

    async def story(api: KubernetesApi) -> None:
        a = candidate(api, connection, "a")
        assert not a.is_held
        assert await a.attempt()
        assert a.is_held
        await asyncio.wait_for(a.held(), DEADLINE_SECONDS)
        begun = spec(connection)
        assert await a.attempt()
        renewed = spec(connection)

        assert (begun["holderIdentity"], begun["leaseDurationSeconds"], begun["leaseTransitions"]) == ("a", 15, 0)
        assert renewed["acquireTime"] == begun["acquireTime"]
        assert renewed["renewTime"] > begun["renewTime"]
        assert renewed["leaseTransitions"] == 0

    connection.tell(story)


def test_of_many_at_once_exactly_one_leads(connection: Connection) -> None:
    """Making the Lease, and taking one that was given up, are both decided by the API server."""

    async def story(api: KubernetesApi) -> None:
        everybody = [candidate(api, connection, f"candidate-{i}") for i in range(8)]
        for _ in range(3):
            results = await asyncio.gather(*(one.attempt() for one in everybody))
            leaders = [one for one, leads in zip(everybody, results, strict=True) if leads]
            assert len(leaders) == 1
            assert [one.is_held for one in everybody].count(True) == 1
            await leaders[0].release()

    connection.tell(story)


def test_the_second_waits_for_the_whole_duration_without_a_sign_of_life(connection: Connection) -> None:
    """By its own clock, from when it saw the last change; what time the first one wrote means nothing to it."""

    async def story(api: KubernetesApi) -> None:
        ours, theirs = Clock(), Clock()
        a, b = candidate(api, connection, "a", clock=ours), candidate(api, connection, "b", clock=theirs)
        assert await a.attempt()
        theirs.seconds += 1000
        assert not await b.attempt()
        theirs.seconds += TIMES.duration
        assert not await b.attempt()
        assert await a.attempt()
        theirs.seconds += 1
        assert not await b.attempt()
        theirs.seconds += TIMES.duration + 0.1
        assert await b.attempt()

        assert spec(connection)["leaseTransitions"] == 1

    connection.tell(story)


def test_the_fence_closes_before_another_may_lead(connection: Connection) -> None:
    """It needs no word with the API server: a paused or cut off leader stops by itself, and for good."""
    assert TIMES.renew_deadline < TIMES.duration

    async def story(api: KubernetesApi) -> None:
        clock = Clock()
        a = candidate(api, connection, "a", clock=clock)
        assert await a.attempt()
        clock.seconds += TIMES.renew_deadline - 0.1
        assert a.is_held
        clock.seconds += 0.2
        assert not a.is_held
        # A renewal that comes too late to be certain does not open it again.
        assert not await a.attempt()

        assert a.lost.is_set()
        assert not a.is_held

    connection.tell(story)


def test_who_finds_another_one_leading_has_lost(connection: Connection) -> None:
    """Even where its own clock stood still, as a suspended machine's does."""

    async def story(api: KubernetesApi) -> None:
        ours, theirs = Clock(), Clock()
        a, b = candidate(api, connection, "a", clock=ours), candidate(api, connection, "b", clock=theirs)
        assert await a.attempt()
        assert not await b.attempt()
        theirs.seconds += TIMES.duration + 1
        assert await b.attempt()
        assert not await a.attempt()

        assert a.lost.is_set()
        assert not a.is_held
        assert b.is_held
        # There is no way back for it, not even when the other one is gone.
        await b.release()
        assert not await a.attempt()

    connection.tell(story)


def test_a_released_lease_is_taken_at_once(connection: Connection) -> None:
    """A rolling update must not cost the duration."""

    async def story(api: KubernetesApi) -> None:
        a, b = candidate(api, connection, "a"), candidate(api, connection, "b")
        assert await a.attempt()
        assert not await b.attempt()
        await b.release()
        assert a.is_held
        assert not await b.attempt()
        await a.release()
        assert not a.is_held
        assert "holderIdentity" not in spec(connection)
        assert await b.attempt()

    connection.tell(story)


def test_it_renews_until_it_is_cancelled_and_ends_when_it_is_lost(connection: Connection) -> None:
    """``run`` returns on a loss, so that whoever waits for it ends the process."""

    async def story(api: KubernetesApi) -> None:
        # Connected before it counts: a request that is given up in the middle of a TLS handshake leaks its socket
        # (CPython 3.11), and a quick candidate gives up after half a second.
        await asyncio.gather(*(api.request("GET", "/readyz") for _ in range(4)))
        a, b = (candidate(api, connection, name, times=QUICK) for name in "ab")
        first = asyncio.create_task(a.run())
        await asyncio.wait_for(a.held(), DEADLINE_SECONDS)
        second = asyncio.create_task(b.run())
        begun = spec(connection)["renewTime"]
        async with asyncio.timeout(DEADLINE_SECONDS):
            while (await asyncio.to_thread(spec, connection))["renewTime"] == begun:
                assert not b.is_held
        stolen = '{"spec": {"holderIdentity": "somebody"}}'
        await connection.kubectl_async("patch", "lease", NAME, "--type=merge", f"--patch={stolen}")
        await asyncio.wait_for(first, DEADLINE_SECONDS)
        assert a.lost.is_set()
        # Nobody renews for the thief: after the duration the second one leads.
        await asyncio.wait_for(b.held(), DEADLINE_SECONDS)
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)

        assert b.is_held
        assert not b.lost.is_set()

    connection.tell(story)
