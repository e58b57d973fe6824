"""A control plane full of Services, with the programs that are measured beside it; ended whole, it measures nothing.

The webhook is the real one, with its own service account and nothing more. Everything but the program under
measurement shares one processor with the load generator, so that nothing but that program runs on the other.
"""

import base64
import os
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, cast

import yaml

from bench.admission.kube import MERGE_PATCH, Kube, in_parallel
from bench.admission.population import BenchGroup, JsonObject, Namespace, groups, render_ledger, render_members
from bench.pinned import pin, pinned
from cli.demo.install import CONFIGURATION_KINDS, NAMESPACE, Manifest, manifests
from localcluster.cluster import LocalCluster
from localcluster.ports import LOOPBACK, free_ports
from localcluster.processes import ChildProcesses
from localcluster.waiting import wait_until

ROOT: Final = Path(__file__).resolve().parents[2]
WEBHOOK: Final = "webhook"
FLOOR: Final = "floor"
POLICY_LABEL: Final = "bench-policy"
START_SECONDS: Final = 120.0
_VAP: Final = Path(__file__).with_name("vap.yaml")
_DIRECT: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Processors:
    """Where what is measured runs, and where everything else does; the same one where there is no other."""

    server: int
    others: int


def processors() -> Processors:
    """The last and the first that this process may use."""
    allowed = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
    return Processors(server=allowed[-1], others=allowed[0])


class Stage:
    """A context manager; inside it the control plane runs and is full."""

    def __init__(self, namespaces: Sequence[Namespace], *, progress: Progress) -> None:
        """``namespaces`` with their Services; ``progress`` gets a line for each thing that takes a while."""
        self._namespaces = tuple(namespaces)
        self._progress = progress
        self._stack = ExitStack()
        self.processors = processors()
        self.cluster = LocalCluster(nodes=1, progress=progress)
        self.groups = tuple(groups(namespaces))
        self.services: dict[str, list[JsonObject]] = {}
        """By namespace, as the API server stores them."""

    def __enter__(self) -> Self:
        """Start everything, or nothing."""
        try:
            self._start()
        except BaseException:  # also Ctrl-C in the middle
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End everything: what is measured first, the control plane last."""
        self._stack.close()

    @property
    def directory(self) -> Path:
        """A folder that goes away with the stage."""
        return self.cluster.directory

    @property
    def ca(self) -> Path:
        """What to trust when calling a program under measurement."""
        return self.directory / "tls" / "ca.crt"

    @property
    def certificate(self) -> Path:
        """The serving certificate of every program under measurement: ECDSA P-256."""
        return self.directory / "tls" / "tls.crt"

    @property
    def key(self) -> Path:
        """Its key."""
        return self.directory / "tls" / "tls.key"

    def start(self, name: str, argv: Sequence[str], *, environment: dict[str, str] | None = None) -> int:
        """Start a program on the processor of what is measured; its process id."""
        given = {"HOME": str(self.directory), "PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), **(environment or {})}
        self.children.start(name, pinned(argv, cpu=self.processors.server), environment=given, folder=ROOT)
        return self.children.pids[name]

    def start_webhook(self) -> float:
        """Start the webhook, and return when it is ready: after how many seconds."""
        begun = time.perf_counter()
        words = (
            f"--host={LOOPBACK}",
            f"--port={self.webhook_port}",
            f"--health-port={self.health_port}",
            f"--certificate={self.certificate}",
            f"--key={self.key}",
            "--drain-seconds=0",
            "--linger-seconds=0",
            f"--kubeconfig={self.cluster.service_account_kubeconfig(NAMESPACE, 'sharedvip-webhook')}",
        )
        self.start(WEBHOOK, [sys.executable, "-m", "cli", "webhook", *words])
        self.wait(lambda: answers(f"http://{LOOPBACK}:{self.health_port}/readyz"), what="the webhook is ready")
        return time.perf_counter() - begun

    def start_floor(self) -> int:
        """Start the floor, and return its port when it answers."""
        (port,) = free_ports(1)
        words = (f"--port={port}", f"--certificate={self.certificate}", f"--key={self.key}")
        self.start(FLOOR, [sys.executable, "-m", "bench.admission.floor", *words])
        self.wait(lambda: answers_tls(port), what="the floor answers")
        return port

    def memory_mib(self, name: str) -> float:
        """A program's resident memory."""
        status = Path(f"/proc/{self.children.pids[name]}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024

    def metrics(self) -> str:
        """The webhook's metrics."""
        with _DIRECT.open(f"http://{LOOPBACK}:{self.health_port}/metrics", timeout=10) as reply:
            return reply.read().decode()

    def wait(self, condition: Callable[[], bool], *, what: str) -> None:
        """Return as soon as the condition holds.

        Raises:
            ProcessDied: A program has ended.
            DeadlinePassed: It does not hold within two minutes.
        """
        wait_until(condition, what=what, deadline_seconds=START_SECONDS, meanwhile=self.children.check)

    def stop(self, name: str) -> None:
        """End one program."""
        self.children.stop(name, patience_seconds=10)

    def set_policy(self, namespace: str, policy: str) -> None:
        """Who judges the Services of a namespace from now on: ``none``, ``vap`` or ``ours``."""
        labels = {"metadata": {"labels": {POLICY_LABEL: policy}}}
        self.kube.request("PATCH", f"/api/v1/namespaces/{namespace}", body=labels, content_type=MERGE_PATCH).parse()

    def _start(self) -> None:
        pin(self.processors.others)
        self._progress("bench: starting etcd, kube-apiserver and controllers")
        self._stack.enter_context(self.cluster)
        self.children = self._stack.enter_context(ChildProcesses(logs=self.directory))
        self._stack.callback(lambda: self.children.stop(*self.children.pids, patience_seconds=10))
        self.kube = Kube(self.cluster.kubeconfig, ca=self.cluster.ca)
        self.webhook_port, self.health_port = free_ports(2)
        self._issue_certificate()
        self._install()
        self._fill()

    def _issue_certificate(self) -> None:
        folder = self.directory / "tls"
        argv = [sys.executable, "-m", "cli", "certs", f"--ip-address={LOOPBACK}", f"--directory={folder}"]
        self.start("certs", argv)
        code = self.children.wait("certs", timeout_seconds=START_SECONDS)
        if code != 0:
            raise RuntimeError(f"sharedvip certs ended with {code}:\n{self.children.log_tail('certs')}")
        self.children.kill("certs")

    def _install(self) -> None:
        """As ``deploy/`` says, for the namespaces that ask for it; and the policy that is compared with us."""
        bundle = base64.b64encode(self.ca.read_bytes()).decode()
        wanted = [
            _for_labelled(manifest, bundle) if manifest["kind"] in CONFIGURATION_KINDS else manifest
            for manifest in manifests(webhook_url=f"https://{LOOPBACK}:{self.webhook_port}")
        ]
        first = [m for m in wanted if m["kind"] in {"CustomResourceDefinition", "Namespace"}]
        self._apply(first)
        self.cluster.run_kubectl("wait", "--for=condition=Established", "crd/sharedvips.sharedvip.dev")
        self._apply([m for m in wanted if m not in first])
        self.cluster.run_kubectl("apply", "-f", str(_VAP))
        for namespace in self._namespaces:
            self.cluster.create_namespace(namespace.name)

    def _apply(self, objects: Iterable[JsonObject]) -> None:
        self.cluster.run_kubectl("apply", "-f", "-", input=yaml.safe_dump_all(objects))

    def _fill(self) -> None:
        count = sum(namespace.services for namespace in self._namespaces)
        self._progress(f"bench: creating {count:,} Services in {len(self.groups):,} groups")
        # Nobody else may write a ledger.
        reconciler = self.cluster.service_account_kubeconfig(NAMESPACE, "sharedvip-reconciler")
        self.keeper = Kube(reconciler, ca=self.cluster.ca)
        for stored in in_parallel(self._create, self.groups):
            self.services.setdefault(stored[0]["metadata"]["namespace"], []).extend(stored)

    def _create(self, group: BenchGroup) -> list[JsonObject]:
        path = f"/api/v1/namespaces/{group.namespace}/services"
        stored = [self.kube.post(path, service) for service in render_members(group)]
        ledgers = f"/apis/sharedvip.dev/v1alpha1/namespaces/{group.namespace}/sharedvips"
        self.keeper.post(ledgers, render_ledger(group, stored))
        return stored


def answers(url: str) -> bool:
    """Whether a GET there ends well."""
    try:
        with _DIRECT.open(url, timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False


def answers_tls(port: int) -> bool:
    """Whether something takes connections there."""
    try:
        socket.create_connection((LOOPBACK, port), timeout=5).close()
    except OSError:
        return False
    return True


def _for_labelled(manifest: Manifest, bundle: str) -> Manifest:
    """A webhook configuration that trusts our certificate, and is asked only about labelled namespaces."""
    adapted: list[dict[str, Any]] = []
    for webhook in cast("list[dict[str, Any]]", manifest["webhooks"]):
        client = {**webhook["clientConfig"], "caBundle": bundle}
        adapted.append(
            {**webhook, "clientConfig": client, "namespaceSelector": {"matchLabels": {POLICY_LABEL: "ours"}}}
        )
    return {**manifest, "webhooks": adapted}
