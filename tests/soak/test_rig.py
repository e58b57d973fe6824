"""What the guarantees are tried on looks after itself, as a cluster does."""

import os
import signal

import pytest

from cli.demo.stage import RECONCILER
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
