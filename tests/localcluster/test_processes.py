"""Children have a log, end with their group, and never outlive whoever started them."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Generator
from pathlib import Path

import pytest

from localcluster.processes import ChildProcesses, ProcessDied
from localcluster.waiting import DeadlinePassed, wait_until
from tests.localcluster.observe import processes_about

ENVIRONMENT = {"PATH": "/usr/bin:/bin"}


@pytest.fixture
def children(tmp_path: Path) -> Generator[ChildProcesses]:
    """No child yet, and none afterwards."""
    with ChildProcesses(logs=tmp_path) as running:
        yield running


def start_shell(children: ChildProcesses, name: str, script: str) -> None:
    """A shell script as a child."""
    children.start(name, ["/bin/sh", "-c", script], environment=ENVIRONMENT)


def test_an_early_death_is_told_with_the_logs_end(children: ChildProcesses) -> None:
    """Who waits for a server learns why it is gone."""
    start_shell(children, "server", "for i in $(seq 30); do echo line $i; done; exit 3")
    children.wait("server", timeout_seconds=20)
    with pytest.raises(ProcessDied, match=r"^server ended with 3; the end of its log:\nline 11\n") as died:
        children.check()

    assert died.value.name == "server"
    assert died.value.tail.splitlines()[-1] == "line 30"


def test_who_waits_for_one_child_does_not_hear_of_another(children: ChildProcesses) -> None:
    """What somebody else ends and starts again meanwhile is not its concern."""
    start_shell(children, "ended", "exit 3")
    start_shell(children, "running", "sleep 60")
    children.wait("ended", timeout_seconds=20)

    children.check("running")
    with pytest.raises(ProcessDied):
        children.check("running", "ended")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing stands between, and start itself raises")
def test_a_program_that_is_not_there_is_a_death(children: ChildProcesses) -> None:
    """A missing binary reads like any other early end."""
    children.start("server", ["/nothing/there"], environment=ENVIRONMENT)
    children.wait("server", timeout_seconds=20)
    with pytest.raises(ProcessDied, match=r"/nothing/there: No such file or directory$"):
        children.check()


def test_stop_ends_the_whole_group(children: ChildProcesses, tmp_path: Path) -> None:
    """A grandchild goes too, and a child that ignores SIGTERM is killed when patience ends."""
    held = tmp_path / "held"
    held.touch()
    start_shell(children, "server", f"trap '' TERM; tail -f {held} & while true; do wait; done")
    wait_until(lambda: len(processes_about(str(held))) == 2, what="both run", deadline_seconds=20)
    children.stop("server", patience_seconds=0.2)

    assert children.pids == {}
    wait_until(lambda: not processes_about(str(held)), what="both are gone", deadline_seconds=5)


def test_a_child_has_time_to_leave(children: ChildProcesses, tmp_path: Path) -> None:
    """SIGTERM comes first, and what the child does then is done."""
    start_shell(children, "server", f"trap 'touch {tmp_path}/left; exit' TERM; touch {tmp_path}/up; tail -f /dev/null")
    wait_until((tmp_path / "up").exists, what="it runs", deadline_seconds=20)
    children.stop("server")

    assert (tmp_path / "left").exists()


def test_a_child_outlives_the_thread_that_asked_for_it(children: ChildProcesses) -> None:
    """The kernel's request to die with the parent means the parent's thread; it must not be the caller's."""
    thread = threading.Thread(target=start_shell, args=(children, "server", "exec tail -f /dev/null"))
    thread.start()
    thread.join()

    assert children.wait("server", timeout_seconds=0.5) is None


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a child ask to die with its parent")
def test_no_child_outlives_a_killed_parent(tmp_path: Path) -> None:
    """After SIGKILL of this process the kernel ends its children."""
    held = tmp_path / "held"
    held.touch()
    script = (
        "import sys, threading; from pathlib import Path; from localcluster.processes import ChildProcesses\n"
        f"children = ChildProcesses(logs=Path({str(tmp_path)!r}))\n"
        f"children.start('server', ['/usr/bin/tail', '-f', {str(held)!r}], environment={{}})\n"
        "threading.Event().wait()\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with subprocess.Popen([sys.executable, "-c", script], env=environment) as parent:  # noqa: S603 - our own words
        tail = f"tail -f {held}"
        wait_until(
            lambda: any(line.startswith(f"/usr/bin/{tail}") for line in processes_about(tail)),
            what="the child runs",
            deadline_seconds=20,
        )
        parent.send_signal(signal.SIGKILL)

    wait_until(lambda: not processes_about(tail), what="the child is gone", deadline_seconds=5)


def test_a_name_is_used_once(children: ChildProcesses) -> None:
    """Two children of one name would share a log and hide one another."""
    start_shell(children, "server", "exec tail -f /dev/null")
    with pytest.raises(ValueError, match=r"^server is already running$"):
        start_shell(children, "server", "exit")


def test_a_deadline_names_what_was_awaited() -> None:
    """The condition is looked at once even when there is no time at all."""
    wait_until(lambda: True, what="now", deadline_seconds=0)
    with pytest.raises(DeadlinePassed, match=r"^never: not so within 0\.1 s$"):
        wait_until(lambda: False, what="never", deadline_seconds=0.1)
