"""The whole Controller's faults over the wire: restarts, leaders, upgrades, clocks, certificates; spoilt answers."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from simulator.serve import Running, running
from simulator.settings import Settings
from tests.contracts.bodies import pool, vsvip
from tests.contracts.client import Client, Document, Https, Site, path_of

NEW = "another password"


@pytest.fixture
def simulator(tmp_path: Path) -> Iterator[Running]:
    """A simulator of its own: these tests turn its whole life."""
    with running(Settings(nodes=3), directory=tmp_path) as started:
        yield started


@pytest.fixture
def site(simulator: Running) -> Iterator[Site]:
    """How to reach it."""
    access = simulator.access
    send = Https(access.url, verify=access.ca)
    yield Site(send, access.url, access.ca, access.username, access.password)
    send.close()


@pytest.fixture
def client(site: Site) -> Client:
    """A logged-in client."""
    return login(site)


def login(site: Site) -> Client:
    """A new login."""
    client = Client(site.send, site.url)
    assert client.login(site.username, site.password).status == 200
    return client


def order(simulator: Running, method: str, path: str, /, **fields: object) -> int:
    """A call to the control port; its status."""
    return requests.request(method, f"{simulator.access.control}/{path}", json=fields, timeout=30).status_code


def ask(client: Client, path: str = "pool") -> int:
    """A call whose connection may have been reset: then once more, as any client does."""
    try:
        return client.get(path).status
    except requests.ConnectionError:
        return client.get(path).status


def test_a_restart_resets_connections_and_keeps_or_loses_the_state(
    simulator: Running, client: Client, site: Site
) -> None:
    """The sessions are gone in both; the objects in one."""
    made = client.made("vsvip", vsvip(site))
    assert order(simulator, "POST", "restart", keeps_state=True) == 204
    assert ask(client) == 401
    assert login(site).read(made)["uuid"] == made["uuid"]
    assert order(simulator, "POST", "restart", keeps_state=False) == 204
    ask(client)

    assert login(site).get("vsvip").body["count"] == 0


def test_a_restart_resets_a_connection_that_waits_for_its_answer(
    simulator: Running, client: Client, site: Site
) -> None:
    """The client sees a reset, and never an answer of before."""
    order(simulator, "POST", "faults", action="delay", method="POST", seconds=60)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(client.post, "pool", pool(site))
        while not simulator.faults.lines()[0][1]:
            assert not waiting.done()
        order(simulator, "POST", "restart")
        with pytest.raises(requests.ConnectionError):
            waiting.result(timeout=30)


def test_a_controller_that_comes_up_says_so_until_it_is_up(simulator: Running, client: Client, site: Site) -> None:
    """503, and then it answers, without being told."""
    order(simulator, "POST", "restart", seconds=0.3)
    seen = [ask(client)]
    while seen[-1] == 503:
        seen.append(ask(client))

    assert (seen[0], seen[-1]) == (503, 401)
    assert login(site).get("pool").status == 200


def test_the_leader_changes(simulator: Running, client: Client, site: Site) -> None:
    """Objects stay; sessions do too if so ordered."""
    made = client.made("pool", pool(site))
    order(simulator, "POST", "leader", ends_sessions=False)
    assert ask(client) == 200
    order(simulator, "POST", "leader")
    assert ask(client) == 401
    fresh = login(site)

    roles = [node["role"] for node in fresh.get("cluster/runtime").body["node_states"]]
    assert roles == ["CLUSTER_FOLLOWER", "CLUSTER_FOLLOWER", "CLUSTER_LEADER"]
    assert fresh.read(made)["name"] == made["name"]


def test_an_upgrade_is_begun_and_ended(simulator: Running, client: Client, site: Site) -> None:
    """403 for writes meanwhile."""
    order(simulator, "PUT", "condition", condition="upgrading")
    assert [client.post("pool", pool(site)).status, client.get("pool").status] == [403, 200]
    order(simulator, "PUT", "condition", condition="ready")

    assert client.post("pool", pool(site)).status == 201


def test_the_clock_jumps(simulator: Running, client: Client) -> None:
    """A day ahead, every session is over."""
    assert order(simulator, "POST", "clock", seconds=24 * 3600) == 204

    assert client.get("pool").status == 401


def test_the_password_and_the_certificates_are_rotated(simulator: Running, client: Client, site: Site) -> None:
    """Who trusts the old CA is out at its next connection; who reads the files again is in."""
    old = Path(simulator.access.ca).read_bytes()
    assert order(simulator, "PUT", "password", password=NEW) == 204
    assert Client(site.send, site.url).login(site.username, site.password).status == 401
    assert order(simulator, "POST", "certificates") == 204
    stale = Path(simulator.access.ca).with_name("old.crt")
    stale.write_bytes(old)
    with pytest.raises(requests.exceptions.SSLError):
        Https(site.url, verify=str(stale))("GET", "/api/initial-data", headers={}, body=b"")
    fresh = Https(site.url, verify=simulator.access.ca)

    assert Client(fresh, site.url).login(site.username, NEW).status == 200
    assert client.get("pool").status == 200
    fresh.close()


@pytest.mark.parametrize(
    ("method", "path", "fields"),
    [
        ("POST", "restart", {"keep_state": True}),
        ("POST", "leader", {"seconds": "soon"}),
        ("PUT", "condition", {"condition": "tired"}),
        ("POST", "clock", {}),
        ("PUT", "password", {"password": 1}),
    ],
)
def test_an_order_that_is_none_is_refused(method: str, path: str, fields: Document, simulator: Running) -> None:
    """422, as for faults."""
    assert order(simulator, method, path, **fields) == 422


def test_half_a_body_may_say_that_it_is_whole(simulator: Running, client: Client, site: Site) -> None:
    """The connection lives on, the JSON is broken, and the call was done."""
    order(simulator, "POST", "faults", action="truncate", method="POST")
    body = pool(site)
    answer = client.post("pool", body)

    assert answer.status == 201
    assert int(answer.headers["content-length"]) == len(answer.text.encode())
    with pytest.raises(ValueError, match=r"Unterminated|Expecting|delimiter"):
        _ = answer.body
    assert client.get(f"pool?name={body['name']}").body["count"] == 1


def test_an_answer_may_come_under_another_content_type(simulator: Running, client: Client, site: Site) -> None:
    """Of the Controller's own, or a proxy's page in its place."""
    made = client.made("pool", pool(site))
    order(simulator, "POST", "faults", action="retype", path="pool", content_type="text/plain")
    page: Document = {"status": 502, "body": "<h1>Bad Gateway</h1>", "content_type": "text/html"}
    order(simulator, "POST", "faults", action="status", path="pool", nth=2, **page)
    first, second = client.get(path_of(made)), client.get(path_of(made))

    assert (first.headers["content-type"], first.body["uuid"]) == ("text/plain", made["uuid"])
    assert (second.status, second.headers["content-type"], second.text) == (502, "text/html", "<h1>Bad Gateway</h1>")
    assert client.get("pool").headers["content-type"] == "application/json"


def test_the_journal_is_read_from_where_one_was(simulator: Running, client: Client) -> None:
    """So that counting does not read all again."""
    client.get("pool")
    client.get("vsvip")
    url = f"{simulator.access.control}/journal"
    whole = requests.get(url, timeout=30).json()
    rest = requests.get(url, params={"after": whole[-2]["number"]}, timeout=30).json()

    assert rest == whole[-1:]
    assert requests.get(url, params={"after": "x"}, timeout=30).status_code == 422
