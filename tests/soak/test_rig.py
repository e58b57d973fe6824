"""What the guarantees are tried on looks after itself, as a cluster does."""

import asyncio
import contextlib
import os
import signal

import pytest

from cli.demo.stage import RECONCILER, is_ready
from localcluster.waiting import wait_until
from soak.rig import Rig

pytestmark = pytest.mark.e2e


def test_a_janitor_that_ends_is_followed_by_another(rig: Rig) -> None:
    """Nobody calls for it: the Lease may be lost at any moment of a storm."""
    before = rig.processes[RECONCILER]
    os.killpg(before, signal.SIGKILL)

    wait_until(
        lambda: rig.processes.get(RECONCILER, before) != before, what="another janitor is there", deadline_seconds=60
    )
    rig.wait_ready(RECONCILER, rig.reconciler_health_port)


def test_a_blow_that_has_begun_is_finished(rig: Rig) -> None:
    """A replica that a storm has killed is there again before the next guarantee begins, though the storm is over."""
    replica = rig.replicas[0]
    before = rig.processes[replica.name]

    async def given_up() -> None:
        blow = asyncio.create_task(rig.restart_replica(0))
        await asyncio.to_thread(
            wait_until,
            lambda: rig.processes.get(replica.name) != before,
            what="the replica is killed",
            deadline_seconds=60,
        )
        blow.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await blow
        assert is_ready(replica.health_port)

    asyncio.run(given_up())
