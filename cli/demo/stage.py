"""Everything of sharedvip on loopback, started in order and ended whole; it tells no story.

A real etcd, kube-apiserver, controllers and kwok, the Avi simulator, webhook replicas behind one address, and the
reconciler, each with its own service account's rights and nothing more.
"""

import base64
import itertools
import json
import os
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import yaml

from cli.demo.install import CONFIGURATION_KINDS, NAMESPACE, manifests
from localcluster.binaries import Progress
from localcluster.cluster import LocalCluster, say
from localcluster.forwarder import Forwarder
from localcluster.mounted import MountedVolume
from localcluster.ports import LOOPBACK, free_ports
from localcluster.processes import ChildProcesses
from localcluster.waiting import wait_until
from webhook.settings import WebhookSettings

AVI: Final = "avi-simulator"
RECONCILER: Final = "reconciler"
START_SECONDS: Final = 60.0
STOP_SECONDS: Final = 10.0
DRAIN_SECONDS: Final = 0.2
"""Here nobody needs a moment to learn that a replica goes, unless it is replaced under load."""
LINGER_SECONDS: Final = WebhookSettings().linger_seconds
POLL_SECONDS: Final = 0.5
"""How often the webhook looks at its certificate: nobody waits for a kubelet here."""
_DIRECT: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True, slots=True)
class Replica:
    """One webhook process."""

    name: str
    port: int
    health_port: int

    @property
    def url(self) -> str:
        """The base of ``/validate`` and ``/mutate``."""
        return f"https://{LOOPBACK}:{self.port}"

    @property
    def health_url(self) -> str:
        """The base of ``/livez``, ``/readyz`` and ``/metrics``."""
        return f"http://{LOOPBACK}:{self.health_port}"


@dataclass(frozen=True, slots=True)
class Avi:
    """How to reach the Avi Controller."""

    url: str
    username: str
    password: str
    ca: str
    control: str


class Stage:
    """A context manager; inside it everything runs and is ready."""

    def __init__(self, *, webhooks: int = 2, progress: Progress = say) -> None:
        """``webhooks`` is how many replicas; ``progress`` gets a line for each thing that takes a while."""
        self._count = webhooks
        self._numbers = itertools.count(1)
        self._progress = progress
        self._stack = ExitStack()
        self.cluster = LocalCluster(nodes=2, progress=progress)
        self.forwarder = Forwarder()
        self.replicas: tuple[Replica, ...] = ()

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
        """End everything: ours first, the control plane last."""
        self._stack.close()

    @property
    def directory(self) -> Path:
        """The folder of logs, certificates and kubeconfigs; it goes away with the stage."""
        return self.cluster.directory

    @property
    def ca(self) -> Path:
        """The certificate to trust when calling a webhook replica."""
        return self.directory / "tls" / "ca.crt"

    @property
    def avi(self) -> Avi:
        """The simulator's address and credentials."""
        return Avi(**json.loads((self.directory / "avi" / "avi.json").read_text()))

    @property
    def processes(self) -> Mapping[str, int]:
        """Every process's id by its name."""
        return {**self.cluster.processes, **self._children.pids}

    def start_webhook(self, replica: Replica, *, drain_seconds: float = DRAIN_SECONDS) -> None:
        """Start one replica, without waiting for it."""
        tls = self.directory / "tls"
        self._start_program(
            replica.name,
            "webhook",
            f"--host={LOOPBACK}",
            f"--port={replica.port}",
            f"--health-port={replica.health_port}",
            f"--certificate={tls / 'tls.crt'}",
            f"--key={tls / 'tls.key'}",
            f"--drain-seconds={drain_seconds}",
            f"--kubeconfig={self.cluster.service_account_kubeconfig(NAMESPACE, 'sharedvip-webhook')}",
        )

    def replace_webhook(self, replica: Replica, *, drain_seconds: float = DRAIN_SECONDS) -> Replica:
        """As a rolling update with ``maxSurge: 1`` does: a ready successor first, then SIGTERM.

        New connections come until ``/readyz`` says no, and then go elsewhere, as kube-proxy sees to it. The rest of its
        orderly end nobody waits for, until somebody asks ``wait_ended``.
        """
        successor, others = self._new_replica(*free_ports(2)), tuple(one for one in self.replicas if one != replica)
        self.start_webhook(successor, drain_seconds=drain_seconds)
        self.wait_ready(successor.name, successor.health_port)
        self._send_to(*others, replica, successor)
        os.killpg(self._children.pids[replica.name], signal.SIGTERM)
        wait_until(lambda: not is_ready(replica.health_port), what="it is not ready", deadline_seconds=START_SECONDS)
        self._send_to(*others, successor)
        return successor

    def wait_ended(self, replica: Replica, *, is_hurried: bool = False) -> None:
        """Return when one that was replaced has ended; hurried, by a second signal, while nobody asks it anything.

        Raises:
            RuntimeError: It did not by itself, or not with 0.
        """
        if is_hurried:
            with suppress(ProcessLookupError):  # it may have ended already
                os.killpg(self._children.pids[replica.name], signal.SIGTERM)
        code = self._children.wait(replica.name, timeout_seconds=START_SECONDS + LINGER_SECONDS)
        self._children.kill(replica.name)
        if code != 0:
            raise RuntimeError(f"{replica.name} ended with {code}:\n{self.log_tail(replica.name)}")

    def issue_certificates(self) -> None:
        """``sharedvip certs``, as the Job of ``deploy/`` runs it.

        Raises:
            RuntimeError: It did not end with 0.
        """
        kubeconfig = self.cluster.service_account_kubeconfig(NAMESPACE, "sharedvip-certs")
        self._start_program("certs", "certs", f"--ip-address={LOOPBACK}", f"--kubeconfig={kubeconfig}")
        code = self._children.wait("certs", timeout_seconds=START_SECONDS)
        self._children.kill("certs")
        if code != 0:
            raise RuntimeError(f"sharedvip certs ended with {code}:\n{self._children.log_tail('certs')}")

    def mount_certificates(self) -> None:
        """What the kubelet does some time after the Secret was written."""
        self._tls.write(self._serving_secret())

    def start_reconciler(self) -> None:
        """Start the reconciler, without waiting for it."""
        self._start_program(
            RECONCILER,
            "reconciler",
            "--mode=full",
            "--cluster-name=demo",
            f"--avi-controller={self.avi.url}",
            f"--avi-credentials-directory={self.directory / 'avi-credentials'}",
            "--avi-cloud=Default-Cloud",
            "--avi-vip-network=net1=100.64.196.0/24",
            f"--health-port={self.reconciler_health_port}",
            f"--kubeconfig={self.cluster.service_account_kubeconfig(NAMESPACE, 'sharedvip-reconciler')}",
        )

    def stop(self, name: str, *, kill: bool = False) -> None:
        """End one of our processes, by SIGTERM or SIGKILL."""
        if kill:
            self._children.kill(name)
        else:
            self._children.stop(name, patience_seconds=STOP_SECONDS)

    def wait_ready(self, name: str, health_port: int) -> None:
        """Return when a program of ours says that it is ready.

        Raises:
            ProcessDied: It has ended.
            DeadlinePassed: It did not say so within a minute.
        """
        wait_until(
            lambda: is_ready(health_port),
            what=f"{name} is ready",
            deadline_seconds=START_SECONDS,
            meanwhile=lambda: self._children.check(name),
        )

    def log_tail(self, name: str) -> str:
        """The last lines of a program's log."""
        return self._children.log_tail(name)

    def _start(self) -> None:
        self._progress("demo: starting etcd, kube-apiserver, controllers, scheduler and kwok")
        self._stack.enter_context(self.cluster)
        self._children = self._stack.enter_context(ChildProcesses(logs=self.directory))
        self._stack.callback(self._stop_ours)
        self._progress("demo: starting the Avi simulator")
        self._start_program(AVI, "simulator", f"--directory={self.directory / 'avi'}")
        self._stack.enter_context(self.forwarder)
        self._progress("demo: installing the files of deploy/ and the certificates")
        self._install()
        self.issue_certificates()
        self._tls = MountedVolume(self.directory / "tls", self._serving_secret())
        self._wait_for_avi()
        self._start_ours()

    def _start_ours(self) -> None:
        self._progress(f"demo: starting {self._count} webhook replicas and the reconciler")
        self.reconciler_health_port, *ports = free_ports(2 * self._count + 1)
        self.replicas = tuple(self._new_replica(*ports[2 * n : 2 * n + 2]) for n in range(self._count))
        for replica in self.replicas:
            self.start_webhook(replica)
        self.start_reconciler()
        for replica in self.replicas:
            self.wait_ready(replica.name, replica.health_port)
        self._send_to(*self.replicas)
        self.wait_ready(RECONCILER, self.reconciler_health_port)

    def _new_replica(self, *ports: int) -> Replica:
        return Replica(f"webhook-{next(self._numbers)}", *ports)

    def _send_to(self, *replicas: Replica) -> None:
        """What a Service's endpoints are: where new connections go."""
        self.replicas = replicas
        self.forwarder.set_backends([(LOOPBACK, replica.port) for replica in replicas])

    def _stop_ours(self) -> None:
        self._children.stop(*self._children.pids, patience_seconds=STOP_SECONDS)

    def _install(self) -> None:
        host, port = self.forwarder.address
        wanted = manifests(webhook_url=f"https://{host}:{port}")
        first = [m for m in wanted if m["kind"] in {"CustomResourceDefinition", "Namespace"}]
        self._apply(first)
        self.cluster.run_kubectl("wait", "--for=condition=Established", "crd/sharedvips.sharedvip.dev")
        # The configurations come with their certificate: until then nobody could be asked.
        self._apply([m for m in wanted if m not in first and m["kind"] not in CONFIGURATION_KINDS])
        self._apply([m for m in wanted if m["kind"] in CONFIGURATION_KINDS])

    def _apply(self, objects: list[dict[str, Any]]) -> None:
        self.cluster.run_kubectl("apply", "-f", "-", input=yaml.safe_dump_all(objects))

    def _serving_secret(self) -> dict[str, bytes]:
        secret = self.cluster.run_kubectl("get", "secret", "-n", NAMESPACE, "sharedvip-webhook-tls", "-o", "json")
        return {name: base64.b64decode(content) for name, content in json.loads(secret.stdout)["data"].items()}

    def _wait_for_avi(self) -> None:
        file = self.directory / "avi" / "avi.json"
        wait_until(
            file.exists,
            what="the Avi simulator listens",
            deadline_seconds=START_SECONDS,
            meanwhile=self._children.check,
        )
        credentials = self.directory / "avi-credentials"
        credentials.mkdir(mode=0o700)
        avi = self.avi
        for name, text in (("username", avi.username), ("password", avi.password)):
            (credentials / name).write_text(text)
        (credentials / "ca.crt").write_bytes(Path(avi.ca).read_bytes())

    def _start_program(self, name: str, *words: str) -> None:
        """Start ``sharedvip <words>`` in an environment without the user's own."""
        environment = {
            "HOME": str(self.directory),
            "PATH": "/usr/bin:/bin",
            "PYTHONUNBUFFERED": "1",
            "SHAREDVIP_WEBHOOK_CERTIFICATE_POLL_SECONDS": str(POLL_SECONDS),
        }
        root = Path(__file__).resolve().parents[2]
        self._children.start(name, [sys.executable, "-m", "cli", *words], environment=environment, folder=root)


def is_ready(health_port: int) -> bool:
    """Whether ``/readyz`` says so."""
    try:
        with _DIRECT.open(f"http://{LOOPBACK}:{health_port}/readyz", timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False
