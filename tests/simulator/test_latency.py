"""Latency as recorded from a real Controller."""

from pathlib import Path

from simulator.latency import VIRTUAL_SERVICE
from simulator.serve import running
from simulator.settings import Settings
from tests.contracts.bodies import macro, tree
from tests.contracts.client import Client, Https, Site


def test_a_virtual_service_takes_as_long_as_a_real_one(tmp_path: Path) -> None:
    """240 to 370 ms, which the answer says itself; a read is faster."""
    with running(Settings(has_recorded_latency=True, seed=1), directory=tmp_path) as real:
        access = real.access
        send = Https(access.url, verify=access.ca)
        site = Site(send, access.url, access.ca, access.username, access.password)
        client = Client(send, access.url)
        client.login(access.username, access.password)
        made, read = client.post("macro", macro(tree(site))), client.get("pool")
        send.close()
        _, write, get = real.journal.entries()

    shortest, longest = (1000 * seconds for seconds in VIRTUAL_SERVICE)
    told = float(made.headers["server-timing"].removeprefix("total;dur="))
    assert made.status == 201
    assert shortest <= told <= longest
    assert write.milliseconds >= told - 1
    assert float(read.headers["server-timing"].removeprefix("total;dur=")) < shortest
    assert get.milliseconds < write.milliseconds
