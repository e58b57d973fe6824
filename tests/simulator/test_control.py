"""The control port: the journal, the state, the end of all sessions, scripted faults."""

import socket
import time
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
import requests

from simulator.serve import Running, running
from simulator.settings import Settings
from tests.contracts.bodies import pool, vsvip
from tests.contracts.client import Client, Document, Https, Site, path_of
from tests.contracts.sdk import session


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A simulator for these tests."""
    with running(Settings(), directory=tmp_path_factory.mktemp("avi")) as started:
        yield started


@pytest.fixture
def site(simulator: Running) -> Generator[Site]:
    """How to reach it; no fault outlives its test."""
    access = simulator.access
    send = Https(access.url, verify=access.ca)
    yield Site(send, access.url, access.ca, access.username, access.password)
    simulator.faults.clear()
    send.close()


@pytest.fixture
def client(site: Site) -> Client:
    """A logged-in client."""
    client = Client(site.send, site.url)
    client.login(site.username, site.password)
    return client


def control(simulator: Running, method: str, path: str, body: object = None) -> requests.Response:
    """A call to the control port."""
    return requests.request(method, f"{simulator.access.control}/{path}", json=body, timeout=30)


def journal(simulator: Running) -> list[Document]:
    """The calls since they were forgotten."""
    return control(simulator, "GET", "journal").json()


def fault(simulator: Running, **fields: object) -> None:
    """Set a fault over the wire."""
    answer = control(simulator, "POST", "faults", fields)
    assert answer.status_code == 204, answer.text


def test_the_journal_tells_every_call(simulator: Running, client: Client) -> None:
    """With path and query as sent, tenant, status, time and who; no body."""
    control(simulator, "DELETE", "journal")
    client.get("pool/?include_name&name=x")
    client.within("nowhere").delete("pool/pool-1")
    first, second = journal(simulator)

    assert first.items() >= {"method": "GET", "path": "//api/pool/", "query": "include_name&name=x"}.items()
    assert (first["status"], first["tenant"], second["tenant"], second["status"]) == (200, "admin", "nowhere", 403)
    assert (second["method"], second["number"]) == ("DELETE", first["number"] + 1)
    assert 0 < first["milliseconds"] < 30_000
    assert first["user_agent"].startswith("python-requests/")
    assert set(first) == {
        *("number", "method", "path", "query", "tenant", "status", "started", "milliseconds", "user_agent"),
        "body_bytes",
    }


def test_the_journal_can_be_forgotten(simulator: Running, client: Client) -> None:
    """So that a test counts its own calls."""
    client.get("pool")
    control(simulator, "DELETE", "journal")

    assert journal(simulator) == []


def test_the_state_shows_every_object_by_kind(simulator: Running, client: Client, site: Site) -> None:
    """With references by name, without login, and without a secret."""
    made = client.made("vsvip", vsvip(site))
    answer = control(simulator, "GET", "state")

    assert made["name"] in [entry["name"] for entry in answer.json()["vsvip"]]
    assert "#Default-Cloud" in answer.json()["vsvip"][0]["cloud_ref"]
    assert site.password not in answer.text


def test_all_sessions_can_be_ended(simulator: Running, client: Client) -> None:
    """As a restart of the Controller does."""
    assert control(simulator, "DELETE", "sessions").status_code == 204

    assert client.get("pool").status == 401


def test_avisdk_logs_in_again_after_the_end_of_its_session(simulator: Running, site: Site) -> None:
    """Once, and replays the call."""
    with session(site) as sdk:
        sdk.get("pool")
        control(simulator, "DELETE", "sessions")
        control(simulator, "DELETE", "journal")

        assert sdk.get("pool").status_code == 200
    calls = [(entry["path"], entry["status"]) for entry in journal(simulator)]
    assert calls[:3] == [("/api/pool", 401), ("/login", 200), ("/api/pool", 200)]


def test_unknown_paths_and_methods_are_refused(simulator: Running) -> None:
    """404 and 405."""
    assert control(simulator, "GET", "nothing").status_code == 404
    assert control(simulator, "POST", "state").status_code == 405


def test_a_status_hits_the_nth_matching_call_and_no_other(simulator: Running, client: Client, site: Site) -> None:
    """And the Controller does nothing then."""
    words = {"error": "Configuration is disallowed during upgrade"}
    fault(simulator, action="status", method="POST", path="^//api/pool", nth=2, times=2, status=403, body=words)
    answers = [client.post("pool", pool(site, created_by="faulty")) for _ in range(4)]

    assert [answer.status for answer in answers] == [201, 403, 403, 201]
    assert answers[1].body == words
    assert client.get("pool?created_by=faulty").body["count"] == 2
    assert control(simulator, "GET", "faults").json()[0]["seen"] == 4


def test_a_fault_without_end_ends_when_it_is_removed(simulator: Running, client: Client) -> None:
    """``times: 0``."""
    fault(simulator, action="status", times=0)
    assert [client.get("pool").status for _ in range(3)] == [503, 503, 503]
    control(simulator, "DELETE", "faults")

    assert client.get("pool").status == 200


def test_a_dropped_call_does_nothing(simulator: Running, client: Client, site: Site) -> None:
    """The connection is reset; the journal tells no status."""
    fault(simulator, action="drop", method="POST")
    body = pool(site)
    with pytest.raises(requests.ConnectionError):
        client.post("pool", body)

    assert client.get(f"pool?name={body['name']}").body["count"] == 0
    assert [entry["status"] for entry in journal(simulator) if entry["method"] == "POST"][-1] == 0


def test_a_lost_answer_is_of_a_call_that_was_done(simulator: Running, client: Client, site: Site) -> None:
    """What makes a blind second POST a 409."""
    fault(simulator, action="lose", method="POST")
    body = pool(site)
    with pytest.raises(requests.ConnectionError):
        client.post("pool", body)

    assert client.post("pool", body).status == 409


def test_a_cut_answer_ends_in_its_middle(simulator: Running, client: Client, site: Site) -> None:
    """And the call was done, too."""
    made = client.made("pool", pool(site))
    fault(simulator, action="cut", method="GET", path=path_of(made))
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        client.get(path_of(made))

    assert client.get(path_of(made)).status == 200


def test_a_delayed_call_is_late(simulator: Running, client: Client) -> None:
    """And answered."""
    fault(simulator, action="delay", seconds=0.2, path="pool")
    assert client.get("pool").status == 200

    assert journal(simulator)[-1]["milliseconds"] >= 200


@pytest.mark.parametrize(
    "fields",
    [
        {"action": "explode"},
        {"action": "drop", "nth": 0},
        {"action": "drop", "path": "("},
        {"action": "drop", "tims": 2},
        {"action": "status", "status": 99},
        {},
    ],
)
def test_a_fault_that_is_none_is_refused(fields: Document, simulator: Running) -> None:
    """422, so that no test runs without the fault it counts on."""
    assert control(simulator, "POST", "faults", fields).status_code == 422


def test_latency_is_configured_for_reads_and_writes(tmp_path: Path) -> None:
    """Apart, since a real Controller's writes are slow."""
    with running(Settings(write_seconds=0.1), directory=tmp_path) as slow:
        send = Https(slow.access.url, verify=slow.access.ca)
        client = Client(send, slow.access.url)
        client.login(slow.access.username, slow.access.password)
        client.get("pool")
        send.close()
        login, read = slow.journal.entries()

    # A timer of the event loop may be early by its clock's resolution: 99.982 was seen.
    assert login.milliseconds > 99 > read.milliseconds


def test_it_ends_at_once_whatever_its_clients_do(tmp_path: Path) -> None:
    """Idle connections, and one that never began its handshake: once, uvloop hung on the latter."""
    with socket.socket() as silent:
        with running(Settings(), directory=tmp_path) as simulator:
            idle = Https(simulator.access.url, verify=simulator.access.ca)
            silent.connect(("127.0.0.1", int(simulator.access.url.rpartition(":")[2])))
            assert Client(idle, simulator.access.url).get("initial-data").status == 200
            began = time.monotonic()
        assert time.monotonic() - began < 30
        idle.close()


def test_a_body_over_the_limit_is_refused(tmp_path: Path) -> None:
    """413, without reading it all."""
    with running(Settings(body_limit_bytes=1000), directory=tmp_path) as small:
        send = Https(small.access.url, verify=small.access.ca)
        client = Client(send, small.access.url)
        client.login(small.access.username, small.access.password)
        answer = client.post("pool", {"name": "x" * 2000})
        send.close()

    assert answer.status == 413
