"""The whole ``sharedvip webhook`` process: TLS, health, and an orderly end; nonsense hurts nobody."""

import json
import os
import signal
import socket
import ssl
import sys
import urllib.error
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPSConnection
from pathlib import Path

import pytest

from localcluster.cluster import LocalCluster
from localcluster.ports import LOOPBACK, free_ports
from localcluster.processes import ChildProcesses
from localcluster.waiting import wait_until
from tests.certs.builders import authority, serving, today
from tests.webhook.reviews import encoded, review

pytestmark = pytest.mark.e2e

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

    @property
    def context(self) -> ssl.SSLContext:
        """A client's, which trusts only our authority."""
        return ssl.create_default_context(cafile=str(self.ca))

    def connect(self) -> HTTPSConnection:
        """A connection that is kept alive."""
        return HTTPSConnection(LOOPBACK, self.port, timeout=DEADLINE_SECONDS, context=self.context)

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

    def wait_for(self, path: str, status: int) -> None:
        """Wait until a probe gets that."""
        wait_until(
            lambda: self.health(path)[0] == status,
            what=f"{path} answers {status}",
            deadline_seconds=DEADLINE_SECONDS,
            meanwhile=self.children.check,
        )

    def terminate(self) -> None:
        """SIGTERM, and no waiting."""
        os.killpg(self.children.pids["webhook"], signal.SIGTERM)


@contextmanager
def started(directory: Path, kubeconfig: Path) -> Generator[Webhook]:
    """A process with a certificate of its own; not yet ready."""
    of = authority(now=today())
    pair = serving(of, now=today())
    for name, content in (("ca.crt", of.certificate_pem), ("tls.crt", pair.certificate_pem), ("tls.key", pair.key_pem)):
        (directory / name).write_bytes(content)
    port, health_port = free_ports(2)
    with ChildProcesses(logs=directory) as children:
        words = ["-m", "cli", "webhook", f"--host={LOOPBACK}", f"--port={port}", f"--health-port={health_port}"]
        files = [f"--certificate={directory / 'tls.crt'}", f"--key={directory / 'tls.key'}"]
        rest = ["--drain-seconds=1", f"--kubeconfig={kubeconfig}"]
        environment = {"HOME": str(directory), "PATH": "/usr/bin:/bin"}
        children.start("webhook", [sys.executable, *words, *files, *rest], environment=environment, folder=ROOT)
        yield Webhook(children, port, health_port, directory / "ca.crt")


@pytest.fixture(scope="module")
def webhook(sharedvips: LocalCluster, tmp_path_factory: pytest.TempPathFactory) -> Generator[Webhook]:
    """A ready process."""
    with started(tmp_path_factory.mktemp("webhook"), sharedvips.kubeconfig) as running:
        running.wait_for("/readyz", 200)
        yield running


def is_serving(webhook: Webhook) -> bool:
    """Whether a new connection gets a decision."""
    connection = webhook.connect()
    try:
        connection.request("POST", "/validate?timeout=5s", DELETION, HEADERS)
        return json.load(connection.getresponse())["response"]["allowed"]
    finally:
        connection.close()


def test_a_connection_serves_many_requests(webhook: Webhook) -> None:
    """The API server keeps 25 of them."""
    connection = webhook.connect()
    try:
        connection.connect()
        before = connection.sock
        for path in ("/validate", "/mutate", "/validate"):
            connection.request("POST", path, DELETION, HEADERS)
            assert json.load(connection.getresponse())["response"]["allowed"]
        assert connection.sock is before
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        pytest.param("GET", "/validate", 405, id="another method"),
        pytest.param("POST", "/nowhere", 404, id="another path"),
        pytest.param("GET", "/readyz", 404, id="health is on the other port"),
        pytest.param("GET", "/docs", 404, id="no pages"),
    ],
)
def test_only_the_two_endpoints_are_there(webhook: Webhook, method: str, path: str, status: int) -> None:
    """And they take POST."""
    connection = webhook.connect()
    try:
        connection.request(method, path)
        assert connection.getresponse().status == status
    finally:
        connection.close()


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(b"\x00\xff" * 500, id="rubbish"),
        pytest.param(b"POST /validate HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", id="HTTP without TLS"),
        pytest.param(b"\x16\x03\x01", id="half a handshake"),
    ],
)
def test_what_is_no_tls_is_cut_and_hurts_nobody(webhook: Webhook, said: bytes) -> None:
    """The next caller is served."""
    with socket.create_connection((LOOPBACK, webhook.port), timeout=DEADLINE_SECONDS) as raw:
        raw.sendall(said)
        raw.shutdown(socket.SHUT_WR)
        answered = b""
        while piece := raw.recv(1000):
            answered += piece

    assert b"HTTP/1.1 200" not in answered
    assert is_serving(webhook)


def test_rubbish_inside_tls_is_a_bad_request(webhook: Webhook) -> None:
    """400, by the HTTP parser."""
    raw = socket.create_connection((LOOPBACK, webhook.port), timeout=DEADLINE_SECONDS)
    with webhook.context.wrap_socket(raw, server_hostname=LOOPBACK) as line:
        line.sendall(b"\x00\x01\x02 nonsense\r\n\r\n")
        assert line.recv(1000).startswith(b"HTTP/1.1 400")


def test_a_slow_client_is_told_in_time_and_blocks_nobody(webhook: Webhook) -> None:
    """Half a body: 503 when its own time is over, and everybody else is served meanwhile."""
    slow = webhook.connect()
    try:
        slow.putrequest("POST", "/validate?timeout=1s")
        slow.putheader("Content-Type", "application/json")
        slow.putheader("Content-Length", "100")
        slow.endheaders(b"{")
        assert is_serving(webhook)
        assert slow.getresponse().status == 503
    finally:
        slow.close()


def test_at_the_end_it_is_not_ready_first_and_finishes_what_is_in_flight(
    sharedvips: LocalCluster, tmp_path: Path
) -> None:
    """SIGTERM: new calls go elsewhere, those that came are answered, and the exit code is 0."""
    with started(tmp_path, sharedvips.kubeconfig) as webhook:
        webhook.wait_for("/livez", 200)
        webhook.wait_for("/readyz", 200)
        assert "sharedvip_cache_staleness_seconds" in webhook.health("/metrics")[1]
        late = webhook.connect()
        late.putrequest("POST", "/validate?timeout=30s")
        late.putheader("Content-Type", "application/json")
        late.putheader("Content-Length", str(len(DELETION)))
        late.endheaders(DELETION[:100])

        webhook.terminate()
        webhook.wait_for("/readyz", 503)
        assert webhook.health("/readyz")[1] == "stopping"
        assert is_serving(webhook)  # whoever has not heard yet
        late.send(DELETION[100:])
        answered = json.load(late.getresponse())
        late.close()

        assert answered["response"]["allowed"]
        assert webhook.children.wait("webhook", timeout_seconds=DEADLINE_SECONDS) == 0


def test_it_is_alive_and_not_ready_without_an_api_server(sharedvips: LocalCluster, tmp_path: Path) -> None:
    """503 with the reason; admission answers 503 too, and does not guess."""
    nowhere = tmp_path / "kubeconfig"
    nowhere.write_text(sharedvips.kubeconfig.read_text().replace(sharedvips.server, "https://127.0.0.1:1"))
    with started(tmp_path, nowhere) as webhook:
        webhook.wait_for("/livez", 200)
        assert webhook.health("/readyz") == (503, "the caches are not complete yet")
        connection = webhook.connect()
        connection.request("POST", "/validate", encoded(review()), HEADERS)
        assert connection.getresponse().status == 503
        connection.close()
        webhook.terminate()
        assert webhook.children.wait("webhook", timeout_seconds=DEADLINE_SECONDS) == 0
