"""``python -m soak`` that is ended: what it started goes with it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from localcluster.waiting import wait_until

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_soak_that_is_ended_leaves_nothing_behind(tmp_path: Path, number: signal.Signals) -> None:
    """As whoever runs it for hours in the background ends it, in the midst of its control plane's start."""
    words = [sys.executable, "-m", "soak", "same-port", "--rounds=1"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(words, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as running:  # noqa: S603 - our own
        try:
            wait_until(lambda: bool(list(tmp_path.glob("*/etcd.log"))), what="it starts", deadline_seconds=60)
            running.send_signal(number)
            assert running.wait(timeout=60) != 0
        finally:
            running.kill()
    assert list(tmp_path.iterdir()) == []
