"""``sharedvip demo`` as a newcomer runs it: the story, the playground, and what is left behind."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from localcluster.waiting import wait_until

pytestmark = pytest.mark.e2e

DEADLINE_SECONDS = 120.0
COMMAND = str(Path(sys.executable).with_name("sharedvip"))


def surroundings(folder: Path) -> Mapping[str, str]:
    """The user's environment, with a folder for temporary files that can be looked at afterwards."""
    return {**os.environ, "TMPDIR": str(folder)}


def processes_in(folder: Path) -> list[str]:
    """The processes that were started with that folder for temporary files, or below it."""
    found: list[str] = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
        except OSError:
            continue
        if str(folder).encode() in words:
            found.append(words.partition(b"\0")[0].decode())
    return found


def test_the_demo_tells_its_story_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """Exit code 0, the three refusals, both addresses, and no process or folder afterwards."""
    begun = time.monotonic()
    done = subprocess.run(  # noqa: S603 - our own command
        [COMMAND, "demo"],
        env=surroundings(tmp_path),
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert time.monotonic() > begun
    for said in (
        "[duplicate-port]",
        "[static-address-mismatch]",
        "[not-load-balancer]",
        "100.64.196.61",
        "100.64.196.75",
    ):
        assert said in done.stdout
    assert done.stdout.count("✓") == 8
    assert list(tmp_path.iterdir()) == []
    assert processes_in(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_the_playground_says_how_to_reach_it_and_ends_whole(tmp_path: Path, number: signal.Signals) -> None:
    """``--keep DIR``: the four files while it runs; nothing afterwards."""
    directory, temporary = tmp_path / "keep", tmp_path / "tmp"
    temporary.mkdir()
    running = subprocess.Popen(  # noqa: S603 - our own command
        [COMMAND, "demo", "--keep", str(directory), "--webhooks", "3"],
        env=surroundings(temporary),
        stderr=subprocess.PIPE,
    )
    try:
        wait_until((directory / "processes.json").exists, what="it runs", deadline_seconds=DEADLINE_SECONDS)
        replicas = json.loads((directory / "webhooks.json").read_text())
        avi = json.loads((directory / "avi.json").read_text())
        pids = json.loads((directory / "processes.json").read_text())

        assert [sorted(replica) for replica in replicas] == [["ca", "pid", "url"]] * 3
        assert {"url", "username", "password", "ca"} <= set(avi)
        assert {"etcd", "kube-apiserver", "avi-simulator", "reconciler", "webhook-1"} <= set(pids)
        assert "current-context" in (directory / "kubeconfig").read_text()
    finally:
        running.send_signal(number)
        _, said = running.communicate(timeout=DEADLINE_SECONDS)

    assert running.returncode == 0, said
    assert list(directory.iterdir()) == []
    assert list(temporary.iterdir()) == []
    assert processes_in(temporary) == []


def test_an_interrupted_start_leaves_nothing_behind(tmp_path: Path) -> None:
    """Ctrl-C while the control plane comes up."""
    running = subprocess.Popen(  # noqa: S603 - our own command
        [COMMAND, "demo"], env=surroundings(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    wait_until(lambda: bool(processes_in_started(tmp_path)), what="etcd runs", deadline_seconds=DEADLINE_SECONDS)
    running.send_signal(signal.SIGINT)
    said, _ = running.communicate(timeout=DEADLINE_SECONDS)

    assert running.returncode == 130, said
    assert b"Traceback" not in said
    assert list(tmp_path.iterdir()) == []
    assert processes_in(tmp_path) == []


def processes_in_started(folder: Path) -> list[str]:
    """The programs of the control plane among them."""
    return [name for name in processes_in(folder) if name.endswith("etcd")]
