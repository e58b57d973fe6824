"""The command of the local control plane: ``python -m localcluster build`` and ``up``; it ends cleanly on a signal."""

import argparse
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Never

from localcluster.api import ApiUnreachable
from localcluster.binaries import REQUIRED, ensure_binaries
from localcluster.cluster import KubectlFailed, LocalCluster, NotReady, say
from localcluster.credentials import write_private
from localcluster.ports import NoFreePort
from localcluster.processes import ProcessDied
from localcluster.toolchain import CannotBuild

REASONS = (CannotBuild, ProcessDied, NotReady, KubectlFailed, ApiUnreachable, NoFreePort, OSError)
INTERRUPTED = 130
SIGNALS = (signal.SIGINT, signal.SIGTERM)


def build(names: list[str]) -> None:
    """Build what is missing, and print the folder; two if ``KUBEBUILDER_ASSETS`` holds only a part."""
    binaries = ensure_binaries(names, progress=say)
    for folder in sorted({binaries.path(name).parent for name in names}):
        print(folder)  # noqa: T201 - the command's answer


def up(directory: Path, *, nodes: int) -> None:
    """Run a cluster until a signal; its kubeconfig is ``directory/kubeconfig`` as long as it runs."""
    kubeconfig = directory / "kubeconfig"
    with LocalCluster(nodes=nodes, directory=directory) as cluster:
        try:
            write_private(kubeconfig, cluster.kubeconfig.read_bytes())
            print(f"KUBECONFIG={kubeconfig.absolute()}", flush=True)  # noqa: T201 - the command's answer
            say("localcluster: ready; Ctrl-C stops it and removes everything")
            threading.Event().wait()
        finally:
            kubeconfig.unlink(missing_ok=True)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 when done, 1 with a reason on stderr, 130 when a signal ended it."""
    for number in SIGNALS:
        signal.signal(number, _interrupt)
    asked = _parser().parse_args(arguments)
    try:
        if asked.command == "build":
            build(asked.names or list(REQUIRED))
        else:
            up(asked.directory, nodes=asked.nodes)
    except REASONS as reason:
        say(f"localcluster: {reason}")
        return 1
    except KeyboardInterrupt:
        say("localcluster: stopped")
        return INTERRUPTED
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m localcluster", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    building = commands.add_parser("build", help="build the programs once; prints their folder")
    building.add_argument("names", nargs="*", metavar="PROGRAM", help=f"by default {' '.join(REQUIRED)}")
    running = commands.add_parser("up", help="run a cluster until Ctrl-C")
    running.add_argument("--directory", type=Path, required=True, help="where kubeconfig is written")
    running.add_argument("--nodes", type=int, default=1, help="how many fake nodes (default 1)")
    return parser


def _interrupt(number: int, frame: FrameType | None) -> Never:
    """End through every ``finally``, which takes about a second; a second signal must not interrupt those."""
    del number, frame
    for ignored in SIGNALS:
        signal.signal(ignored, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
