"""Child processes that end with us: each has its own session and a log, and none outlives this process.

It never decides what to run or in which order to stop; a child that dies early is told with the end of its log.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Final, Self

LOG_TAIL_LINES: Final = 20
STOP_PATIENCE_SECONDS: Final = 10.0

# On Linux a child asks the kernel for SIGKILL when its parent dies, and only then becomes the program. A small Python
# in between and not ``preexec_fn``: that one runs Python in a fork of a process with threads, which may deadlock.
# 1 is PR_SET_PDEATHSIG, 9 is SIGKILL; the look at the parent closes the gap before the request.
_LAUNCH: Final = (
    "import ctypes, os, sys\n"
    "ctypes.CDLL(None).prctl(1, 9)\n"
    "if os.getppid() != int(sys.argv[1]): os._exit(1)\n"
    "try: os.execv(sys.argv[2], sys.argv[2:])\n"
    "except OSError as error: sys.exit(f'{sys.argv[2]}: {error.strerror}')\n"
)


class ProcessDied(Exception):  # noqa: N818 - says what happened; an "error" it is for whoever waited
    """A child ended although nobody asked it to.

    Attributes:
        name: The child's name.
        tail: The last lines of its log.
    """

    def __init__(self, *, name: str, code: int, tail: str) -> None:
        super().__init__(f"{name} ended with {code}; the end of its log:\n{tail}")
        self.name = name
        self.tail = tail


def launch_command(argv: Sequence[str]) -> list[str]:
    """The words that run ``argv`` (its first an absolute path) so that it dies with this process, where that is known.

    Other systems than Linux have no such request: there a SIGKILL of this process leaves the children.
    """
    if sys.platform != "linux":
        return list(argv)
    return [sys.executable, "-I", "-S", "-c", _LAUNCH, str(os.getpid()), *argv]


class ChildProcesses:
    """A context manager over named children; leaving it kills whatever still runs."""

    def __init__(self, *, logs: Path) -> None:
        """``logs`` is the folder of ``<name>.log``; a restarted child appends to its log."""
        self._logs = logs
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._lock = threading.Lock()
        # The kernel's request is tied to the parent's *thread*: a test that restarts a server in a thread of its own
        # would kill it by ending that thread. So one thread, which lives as long as the children, starts them all.
        self._parent = ThreadPoolExecutor(max_workers=1, thread_name_prefix="localcluster-parent")

    def __enter__(self) -> Self:
        """Itself; nothing is started yet."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Kill what still runs."""
        self.close()

    @property
    def pids(self) -> dict[str, int]:
        """The process id of every child started and not stopped, in the order of their start."""
        return {name: child.pid for name, child in list(self._children.items())}

    def start(
        self, name: str, argv: Sequence[str], *, environment: Mapping[str, str], folder: Path | None = None
    ) -> None:
        """Start ``argv``, its first word an absolute path, under a name that is not in use."""
        if name in self._children:
            raise ValueError(f"{name} is already running")
        self._parent.submit(self._start, name, argv, environment=environment, folder=folder).result()

    def _start(self, name: str, argv: Sequence[str], *, environment: Mapping[str, str], folder: Path | None) -> None:
        with self._log(name).open("ab") as log:
            child = subprocess.Popen(  # noqa: S603 - our own words
                launch_command(argv),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                cwd=folder,
                start_new_session=True,
            )
        self._children[name] = child

    def check(self, *names: str) -> None:
        """Return if every child still runs, or each of these.

        Raises:
            ProcessDied: One has ended.
        """
        for name, child in list(self._children.items()):
            code = child.poll() if not names or name in names else None
            if code is not None:
                raise ProcessDied(name=name, code=code, tail=self.log_tail(name))

    def wait(self, name: str, *, timeout_seconds: float) -> int | None:
        """The child's exit code, or None while it runs after that time."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._children[name].wait(timeout_seconds)
        return None

    def log_tail(self, name: str) -> str:
        """The last lines of a child's log, also when it has ended."""
        try:
            lines = self._log(name).read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return "(no log)"
        return "\n".join(lines[-LOG_TAIL_LINES:])

    def stop(self, *names: str, patience_seconds: float = STOP_PATIENCE_SECONDS) -> None:
        """End these children together: SIGTERM to each one's group, time to leave, then SIGKILL. Unknown names pass."""
        children = [self._children[name] for name in names if name in self._children]
        for child in children:
            _signal_group(child, signal.SIGTERM)
        deadline = time.monotonic() + patience_seconds
        for child in children:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(max(0.0, deadline - time.monotonic()))
        self.kill(*names)

    def kill(self, *names: str) -> None:
        """SIGKILL to the groups of these children, and wait for them; unknown names pass."""
        with self._lock:
            children = {name: self._children[name] for name in names if name in self._children}
            for child in children.values():
                # Also when the child itself is gone: its group may hold a grandchild, as go's compilers are.
                _signal_group(child, signal.SIGKILL)
            for name, child in children.items():
                child.wait()
                self._children.pop(name, None)

    def close(self) -> None:
        """End the thread that starts children, and kill what still runs; may be called twice."""
        # In this order: a start that Ctrl-C interrupted is still under way in that thread.
        self._parent.shutdown()
        self.kill(*self._children)

    def _log(self, name: str) -> Path:
        return self._logs / f"{name}.log"


def _signal_group(child: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Signal the child's session; it leads one, so that its id is the group's."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # PermissionError: macOS, for a zombie
        os.killpg(child.pid, number)
