"""The whole ``sharedvip webhook`` process: TLS, health, and an orderly end; nonsense hurts nobody."""

import itertools
import json
import re
import socket
import ssl
import threading
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from secrets import token_hex
from typing import Any, cast

import pytest

from certs.issue import KeyPair, expiry
from localcluster.cluster import LocalCluster
from localcluster.ports import LOOPBACK
from localcluster.waiting import wait_until
from tests.builders import service_object
from tests.certs.builders import DAY, serving, today
from tests.webhook.process import DEADLINE_SECONDS, DELETION, HEADERS, Webhook, started
from tests.webhook.replicas import some_address
from tests.webhook.reviews import encoded, review

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def webhook(sharedvips: LocalCluster, tmp_path_factory: pytest.TempPathFactory) -> Generator[Webhook]:
    """A ready process."""
    with started(tmp_path_factory.mktemp("webhook"), sharedvips.kubeconfig) as running:
        running.wait_for("/readyz", 200)
        yield running


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


def test_writes_to_the_ledger_are_counted_by_their_purpose(webhook: Webhook, namespace: str) -> None:
    """One for the claim and one for the lock of its address: how many rights admission uses, and how often."""
    written = [f'sharedvip_ledger_writes_total{{purpose="{purpose}"}}' for purpose in ("claim", "lock")]
    before = [webhook.metric(name) for name in written]
    made = service_object("web", "80/TCP", namespace=namespace, spec={"loadBalancerIP": some_address()})
    made = {**made, "metadata": {**made.get("metadata", {}), "uid": "the-uid-of-the-service"}}
    connection = webhook.connect()
    try:
        connection.request("POST", "/validate", encoded(review(made, namespace=namespace)), HEADERS)
        said = json.load(connection.getresponse())["response"]
        assert said["allowed"], said
    finally:
        connection.close()

    assert [webhook.metric(name) for name in written] == [number + 1 for number in before]


@pytest.mark.parametrize(
    ("kind", "status"), [pytest.param("LoadBalancer", 200, id="decided"), pytest.param(7, 400, id="not understood")]
)
def test_one_line_of_the_log_tells_of_a_request_and_nothing_of_its_body(
    webhook: Webhook, namespace: str, kind: object, status: int
) -> None:
    """An annotation may be a secret."""
    uid, secret = token_hex(8), "hush-hush"
    made = cast("dict[str, Any]", service_object("web", "80/TCP", namespace=namespace, spec={"type": kind}))
    made["metadata"] |= {"uid": uid, "annotations": {**made["metadata"]["annotations"], "secret": secret}}
    asked = encoded(review(made, namespace=namespace, uid=uid, dryRun=True))
    connection = webhook.connect()
    try:
        connection.request("POST", "/validate", asked, HEADERS)
        assert connection.getresponse().status == status
    finally:
        connection.close()

    # Of what is not understood nobody knows whose it is.
    sign = uid if status == 200 else "admission.failed"

    def lines() -> list[str]:
        return [line for line in webhook.children.log_tail("webhook").splitlines() if sign in line]

    wait_until(lambda: bool(lines()), what="the log tells of it", deadline_seconds=DEADLINE_SECONDS)
    assert len(lines()) == 1 or status != 200
    assert secret not in webhook.children.log_tail("webhook")


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
    assert webhook.is_serving()


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
        assert webhook.is_serving()
        assert slow.getresponse().status == 503
    finally:
        slow.close()


def test_no_call_fails_while_the_certificate_rotates_under_load(webhook: Webhook) -> None:
    """Eight callers with a new connection for each call, and one that keeps its own, through twenty swaps."""
    is_over = threading.Event()
    pairs = [serving(webhook.authority, now=today()) for _ in range(20)]

    def call() -> int:
        for calls in itertools.count(1):
            assert webhook.is_serving()
            if is_over.is_set():
                return calls
        return 0

    kept = webhook.connect()
    with ThreadPoolExecutor(8) as pool:
        callers = [pool.submit(call) for _ in range(8)]
        try:
            for pair in pairs:
                webhook.mount(pair)
                kept.request("POST", "/validate", DELETION, HEADERS)
                assert json.load(kept.getresponse())["response"]["allowed"]
        finally:
            is_over.set()
    kept.close()

    assert all(caller.result() > 1 for caller in callers)
    assert ssl.get_server_certificate((LOOPBACK, webhook.port)).encode() == pairs[-1].certificate_pem


def test_readyz_tells_of_bad_files_and_of_the_end_that_is_near(webhook: Webhook) -> None:
    """Ready all the same, until it has expired; good files end the warning."""
    good, other = (serving(webhook.authority, now=today()) for _ in range(2))
    webhook.mount(KeyPair(good.certificate_pem, other.key_pem))
    refused = "what is mounted is refused, and the old certificate served: the key is not the certificate's key"
    assert webhook.health("/readyz") == (200, f"ok\nwarning: {refused}")

    webhook.mount(serving(webhook.authority, now=today() - 355 * DAY))
    status, text = webhook.health("/readyz")
    assert status == 200
    assert re.fullmatch(r"ok\nwarning: the certificate expires at [-\d :]+ UTC, and is not renewed yet", text)

    webhook.mount(good)
    assert webhook.health("/readyz") == (200, "ok")
    expiry_seconds = webhook.metric('sharedvip_certificate_expiry_timestamp_seconds{certificate="serving"}')
    assert expiry_seconds == expiry(good.certificate_pem).timestamp()


def test_it_is_not_ready_once_its_certificate_has_expired(sharedvips: LocalCluster, tmp_path: Path) -> None:
    """It says until when it was valid, and is ready as soon as there is a good one."""
    with started(tmp_path, sharedvips.kubeconfig, issued=lambda: today() - 366 * DAY) as webhook:
        webhook.wait_for("/livez", 200)
        assert webhook.health("/readyz")[0] == 503
        assert "the certificate is valid only from " in webhook.health("/readyz")[1]

        webhook.mount(serving(webhook.authority, now=today()))
        webhook.wait_for("/readyz", 200)


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
        assert webhook.is_serving()  # whoever has not heard yet
        late.send(DELETION[100:])
        answered = json.load(late.getresponse())
        late.close()

        assert answered["response"]["allowed"]
        assert webhook.children.wait("webhook", timeout_seconds=DEADLINE_SECONDS) == 0


def test_at_the_end_an_unused_connection_is_its_callers_to_close(sharedvips: LocalCluster, tmp_path: Path) -> None:
    """A call that is sent on it meanwhile is answered, as the last one: nothing that we close carries a call."""
    with started(tmp_path, sharedvips.kubeconfig, "--drain-seconds=0") as webhook:
        webhook.wait_for("/readyz", 200)
        used, unused = webhook.connect(), webhook.connect()
        for connection in (used, unused):
            connection.request("POST", "/validate", DELETION, HEADERS)
            assert json.load(connection.getresponse())["response"]["allowed"]

        webhook.terminate()
        webhook.wait_to_linger()
        used.request("POST", "/validate", DELETION, HEADERS)
        answer = used.getresponse()
        assert answer.headers["connection"] == "close"
        assert json.load(answer)["response"]["allowed"]
        assert webhook.children.wait("webhook", timeout_seconds=0.0) is None
        used.close()
        unused.close()
        assert webhook.children.wait("webhook", timeout_seconds=DEADLINE_SECONDS) == 0


@pytest.mark.parametrize(
    ("flag", "signals"),
    [
        pytest.param("--linger-seconds=95", 2, id="asked twice"),
        pytest.param("--linger-seconds=0.5", 1, id="its time is over"),
    ],
)
def test_nobody_who_keeps_a_connection_keeps_it_from_ending(
    sharedvips: LocalCluster, tmp_path: Path, flag: str, signals: int
) -> None:
    """With exit code 0 all the same; asked twice it does not even wait for its goodbye, which may take 10 s."""
    with started(tmp_path, sharedvips.kubeconfig, "--drain-seconds=0", flag) as webhook:
        webhook.wait_for("/readyz", 200)
        kept = webhook.connect()
        kept.connect()
        webhook.terminate()
        webhook.wait_to_linger()
        for _ in range(signals - 1):
            webhook.terminate()
        assert webhook.children.wait("webhook", timeout_seconds=DEADLINE_SECONDS / signals**2) == 0
        kept.close()


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
