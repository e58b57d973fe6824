"""The rate limit: nginx's arithmetic by a clock of ours, and what a client sees of it."""

import json
import ssl
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPSConnection
from pathlib import Path

import pytest

from simulator.ratelimit import REAL_PER_SECOND, Limiter, RateLimit
from simulator.serve import Running, running
from simulator.settings import Knobs, Settings
from tests.simulator.desk import Clock, desk


def limiter(*, per_second: float = 8.0, burst: int = 3) -> tuple[Limiter, Clock]:
    """A limiter and its clock."""
    clock = Clock()
    return Limiter(RateLimit(per_second, burst), clock=clock), clock


def test_excess_waits_and_what_is_beyond_the_burst_is_refused() -> None:
    """Each one that waits, waits an eighth of a second longer; a refused one does not count."""
    it, clock = limiter()

    assert [it.delay_seconds("a") for _ in range(6)] == [0.0, 0.125, 0.25, 0.375, None, None]
    clock.forward(0.125)
    assert it.delay_seconds("a") == 0.375


def test_who_asks_slowly_never_waits() -> None:
    """At the rate itself, for as long as it likes."""
    it, clock = limiter()
    delays: list[float | None] = []
    for _ in range(50):
        delays.append(it.delay_seconds("a"))
        clock.forward(0.125)

    assert max(delay or 0.0 for delay in delays) < 0.001


def test_each_address_has_a_rate_of_its_own() -> None:
    """One client does not slow another."""
    it, _ = limiter()
    for _ in range(9):
        it.delay_seconds("a")

    assert (it.delay_seconds("a"), it.delay_seconds("b")) == (None, 0.0)


def test_no_rate_is_no_limit() -> None:
    """The default."""
    it, _ = limiter(per_second=0.0)

    assert {it.delay_seconds("a") for _ in range(1000)} == {0.0}
    assert Settings().requests_per_second == 0.0


def test_over_time_a_client_gets_the_rate_and_no_more() -> None:
    """Who asks twice as fast as allowed is served at the rate, and the rest refused."""
    it, clock = limiter(per_second=REAL_PER_SECOND, burst=100)
    served = 0
    for _ in range(60 * 64):
        served += it.delay_seconds("a") is not None
        clock.forward(1 / 64)

    assert served == pytest.approx(60 * REAL_PER_SECOND + 100, rel=0.01)


def ask(simulator: Running, *, address: str = "127.0.0.1") -> tuple[int, dict[str, str], bytes]:
    """Status, headers in lower case and body of one call from a loopback address."""
    context = ssl.create_default_context(cafile=simulator.access.ca)
    port = int(simulator.access.url.rpartition(":")[2])
    connection = HTTPSConnection("127.0.0.1", port, timeout=30, context=context, source_address=(address, 0))
    try:
        connection.request("GET", "/api/initial-data")
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def test_a_client_that_asks_too_fast_gets_a_429_and_another_address_does_not(tmp_path: Path) -> None:
    """One call is served, one waits, the rest are refused, with ``error`` as its body; the journal tells them all."""
    knobs = Knobs(request_burst=1, rate_limited_retry_after_seconds=7)
    with (
        running(Settings(requests_per_second=0.5, knobs=knobs), directory=tmp_path) as limited,
        ThreadPoolExecutor(4) as threads,
    ):
        answers = [one.result() for one in [threads.submit(ask, limited) for _ in range(4)]]
        other = ask(limited, address="127.0.0.9")
        entries = limited.journal.entries()

    assert sorted(status for status, _, _ in answers) == [200, 200, 429, 429]
    refused = next(answer for answer in answers if answer[0] == 429)
    assert (refused[1]["retry-after"], json.loads(refused[2])) == ("7", {"error": "Too many requests"})
    assert sorted(entry.status for entry in entries) == [200, 200, 200, 429, 429]
    assert max(entry.milliseconds for entry in entries) >= 1000
    assert other[0] == 200


def test_the_limit_is_read_and_set_where_a_controller_has_it() -> None:
    """``controllerproperties``; what is no number is refused."""
    it = desk(knobs=Knobs(request_burst=50))
    path = "controllerproperties"

    assert it.client.get(path).body["portal_request_burst_limit"] == 50
    changed = it.client.put(path, {"portal_request_rate_limit": 32})
    assert changed.body.items() >= {"portal_request_rate_limit": 32, "portal_request_burst_limit": 50}.items()
    assert it.controller.rate_limit.per_second == 32
    assert it.client.put(path, {"portal_request_rate_limit": "many"}).status == 400
    assert it.client.put(path, {"portal_request_burst_limit": -1}).status == 400
