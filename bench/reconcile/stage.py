"""A control plane, a simulated Avi Controller and the reconciler, each a process; ended whole, it measures nothing.

The reconciler is the real one, with its own service account and nothing more. No webhook runs: what admission writes,
``world`` writes.
"""

import json
import sys
from collections.abc import Callable
from contextlib import ExitStack
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import yaml

from bench.reconcile.gauges import LEADER, fetch_metrics
from bench.reconcile.population import NAMESPACE as BENCH
from bench.reconcile.population import ROLLING
from cli.demo.install import CONFIGURATION_KINDS, NAMESPACE, manifests
from localcluster.cluster import LocalCluster
from localcluster.ports import free_ports
from localcluster.processes import ChildProcesses
from localcluster.waiting import wait_until

ROOT: Final = Path(__file__).resolve().parents[2]
RECONCILER: Final = "reconciler"
SIMULATOR: Final = "simulator"
CLUSTER_NAME: Final = "bench"
START_SECONDS: Final = 120.0
_SUBNET: Final = "net1=10.64.0.0/16"
_VARIABLE: Final = "SHAREDVIP_RECONCILER_"

Progress = Callable[[str], None]


class Controller(Enum):
    """How the simulated Controller behaves, as words of ``python -m simulator``."""

    INSTANT = ()
    RECORDED = ("--recorded-latency", "--requests-per-second=32")
    """As slow as a real one (``simulator/latency.py``), and with its limit."""


class Stage:
    """A context manager; inside it control plane and simulator run, and the reconciler when asked."""

    def __init__(self, controller: Controller, *, progress: Progress) -> None:
        """``progress`` gets a line for each thing that takes a while."""
        self._controller = controller
        self._progress = progress
        self._stack = ExitStack()
        self.cluster = LocalCluster(nodes=1, progress=progress)

    def __enter__(self) -> Self:
        """Start both, or nothing."""
        try:
            self._start()
        except BaseException:  # also Ctrl-C in the middle
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End everything, the control plane last."""
        self._stack.close()

    @property
    def control(self) -> str:
        """The simulator's control port."""
        return self._avi["control"]

    @property
    def pids(self) -> dict[str, int]:
        """Every process by its name, the control plane's included."""
        return {**self.cluster.processes, **self.children.pids}

    def start_reconciler(self, *, rate: float | None, resync_seconds: float = 300) -> None:
        """Start it, without waiting; ``rate`` is its calls per second to Avi, None without a limit (and resync)."""
        self.health_port = free_ports(1)[0]
        program = ["bench.reconcile.unlimited"] if rate is None else ["cli", "reconciler"]
        variables = {} if rate is None else {"AVI_REQUESTS_PER_SECOND": rate, "RESYNC_SECONDS": resync_seconds}
        words = (
            f"--cluster-name={CLUSTER_NAME}",
            f"--avi-controller={self._avi['url']}",
            f"--avi-credentials-directory={self.directory / 'credentials'}",
            "--avi-vip-network=net1",
            f"--health-port={self.health_port}",
            f"--kubeconfig={self._kubeconfig}",
        )
        environment = {f"{_VARIABLE}{name}": f"{value:g}" for name, value in variables.items()}
        self._run(RECONCILER, *program, *words, environment=environment)

    def stop_reconciler(self) -> None:
        """End it in order: the next one need not wait for the Lease."""
        self.children.stop(RECONCILER, patience_seconds=15)

    def wait_for_leader(self) -> None:
        """Return when the reconciler leads.

        Raises:
            ProcessDied: A program has ended.
            DeadlinePassed: It does not lead within two minutes.
        """
        wait_until(
            self._is_leader, what="the reconciler leads", deadline_seconds=START_SECONDS, meanwhile=self.children.check
        )

    @property
    def directory(self) -> Path:
        """A folder that goes away with the stage."""
        return self.cluster.directory / "bench"

    def _is_leader(self) -> bool:
        try:
            return fetch_metrics(self.health_port).total(LEADER) == 1
        except OSError:
            return False

    def _start(self) -> None:
        self._progress("bench: starting a control plane and a simulated Avi Controller")
        self._stack.enter_context(self.cluster)
        self.directory.mkdir()
        self.children = self._stack.enter_context(ChildProcesses(logs=self.directory))
        self._stack.callback(lambda: self.children.stop(*self.children.pids, patience_seconds=15))
        words = (
            f"--directory={self.directory}",
            f"--subnet={_SUBNET}",
            *self._controller.value,
        )
        self._run(SIMULATOR, "simulator", *words)
        self._install()
        self._kubeconfig = self.cluster.service_account_kubeconfig(NAMESPACE, "sharedvip-reconciler")
        self.webhook_kubeconfig = self.cluster.service_account_kubeconfig(NAMESPACE, "sharedvip-webhook")
        self._wait_for_simulator()

    def _install(self) -> None:
        """As ``deploy/`` says, but for the webhook, which nobody would answer for."""
        wanted = [m for m in manifests(webhook_url="https://127.0.0.1") if m["kind"] not in CONFIGURATION_KINDS]
        first = [m for m in wanted if m["kind"] in {"CustomResourceDefinition", "Namespace"}]
        self._apply(first)
        self.cluster.run_kubectl("wait", "--for=condition=Established", "crd/sharedvips.sharedvip.dev")
        self._apply([m for m in wanted if m not in first])
        for namespace in (BENCH, ROLLING):
            self.cluster.create_namespace(namespace)

    def _apply(self, objects: list[dict[str, Any]]) -> None:
        self.cluster.run_kubectl("apply", "-f", "-", input=yaml.safe_dump_all(objects))

    def _wait_for_simulator(self) -> None:
        file = self.directory / "avi.json"
        wait_until(
            file.exists, what="the simulator listens", deadline_seconds=START_SECONDS, meanwhile=self.children.check
        )
        self._avi: dict[str, str] = json.loads(file.read_text())
        credentials = self.directory / "credentials"
        credentials.mkdir(mode=0o700)
        for name in ("username", "password"):
            (credentials / name).write_text(self._avi[name])
        (credentials / "ca.crt").write_bytes(Path(self._avi["ca"]).read_bytes())

    def _run(self, name: str, *words: str, environment: dict[str, str] | None = None) -> None:
        given = {"HOME": str(self.directory), "PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), **(environment or {})}
        self.children.start(name, [sys.executable, "-m", *words], environment=given, folder=ROOT)
