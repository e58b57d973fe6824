"""The whole ``sharedvip webhook`` process on loopback, and how its callers and probes see it; it judges nothing."""

import json
import os
import signal
import ssl
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from http.client import HTTPSConnection
from pathlib import Path

from certs.issue import Authority, KeyPair
from localcluster.ports import LOOPBACK, free_ports
from localcluster.processes import ChildProcesses
from localcluster.waiting import wait_until
from tests.certs.builders import MountedSecret, authority, serving, today
from tests.webhook.reviews import encoded, review

DEADLINE_SECONDS = 30.0
ROOT = Path(__file__).parents[2]
HEADERS = {"Content-Type": "application/json"}
DELETION = encoded(review(operation="DELETE"))
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Webhook:
    """One process."""

    children: ChildProcesses
    port: int
    health_port: int
    ca: Path
    authority: Authority
    mounted: MountedSecret

    @property
    def context(self) -> ssl.SSLContext:
        """A client's, which trusts only our authority."""
        return ssl.create_default_context(cafile=str(self.ca))

    def connect(self, context: ssl.SSLContext | None = None) -> HTTPSConnection:
        """A connection that is kept alive."""
        return HTTPSConnection(LOOPBACK, self.port, timeout=DEADLINE_SECONDS, context=context or self.context)

    def is_serving(self, context: ssl.SSLContext | None = None) -> bool:
        """Whether a new connection gets a decision; ``context`` is another client's.

        Raises:
            OSError: Nobody is served there, or not this client.
        """
        connection = self.connect(context)
        try:
            connection.request("POST", "/validate?timeout=5s", DELETION, HEADERS)
            return json.load(connection.getresponse())["response"]["allowed"]
        finally:
            connection.close()

    def health(self, path: str) -> tuple[int, str]:
        """What a probe gets; 0 where nobody answers."""
        try:
            with _DIRECT.open(f"http://{LOOPBACK}:{self.health_port}{path}", timeout=5) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def mount(self, pair: KeyPair) -> None:
        """Swap the certificate's files; returns when the process has seen it, and taken or refused it."""
        before = self._looks()
        self.mounted.swap(pair)
        wait_until(
            lambda: self._looks() > before, what="the new files were looked at", deadline_seconds=DEADLINE_SECONDS
        )

    def _looks(self) -> float:
        return sum(self.metric(f'sharedvip_certificate_reloads_total{{outcome="{o}"}}') for o in ("loaded", "refused"))

    def wait_for(self, path: str, status: int) -> None:
        """Wait until a probe gets that."""
        wait_until(
            lambda: self.health(path)[0] == status,
            what=f"{path} answers {status}",
            deadline_seconds=DEADLINE_SECONDS,
            meanwhile=self.children.check,
        )

    def metric(self, name: str) -> float:
        """The value of a sample, with its labels as ``/metrics`` spells them; 0 where there is none."""
        for line in self.health("/metrics")[1].splitlines():
            if line.startswith(f"{name} "):
                return float(line.rpartition(" ")[2])
        return 0.0

    def wait_to_linger(self) -> None:
        """Wait until only open connections keep it from ending."""
        wait_until(
            lambda: "webhook.lingering" in self.children.log_tail("webhook"),
            what="it has drained",
            deadline_seconds=DEADLINE_SECONDS,
        )

    def terminate(self) -> None:
        """SIGTERM, and no waiting."""
        os.killpg(self.children.pids["webhook"], signal.SIGTERM)


@contextmanager
def started(
    directory: Path, kubeconfig: Path, *flags: str, issued: Callable[[], datetime] = today
) -> Generator[Webhook]:
    """A process with a certificate of its own, which looks at its files all the time; not yet ready."""
    of = authority(now=today())
    mounted = MountedSecret(directory, serving(of, now=issued()))
    (directory / "ca.crt").write_bytes(of.certificate_pem)
    port, health_port = free_ports(2)
    with ChildProcesses(logs=directory) as children:
        words = ["-m", "cli", "webhook", f"--host={LOOPBACK}", f"--port={port}", f"--health-port={health_port}"]
        files = [f"--certificate={mounted.certificate}", f"--key={mounted.key}"]
        rest = ["--drain-seconds=1", f"--kubeconfig={kubeconfig}", *flags]
        poll = {"SHAREDVIP_WEBHOOK_CERTIFICATE_POLL_SECONDS": "0.05"}
        environment = {"HOME": str(directory), "PATH": "/usr/bin:/bin", **poll}
        children.start("webhook", [sys.executable, *words, *files, *rest], environment=environment, folder=ROOT)
        yield Webhook(children, port, health_port, directory / "ca.crt", of, mounted)
