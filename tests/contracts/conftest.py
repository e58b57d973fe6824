"""Which Controllers the suite runs on: the simulator always, a real one when AVI_CONTROLLER is set.

A real one needs AVI_USERNAME and AVI_PASSWORD, and takes AVI_CA (a file), AVI_CLOUD, AVI_NETWORK and AVI_SUBNET. The
suite works in a tenant of its own and leaves nothing behind.
"""

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from simulator.serve import running
from simulator.settings import Settings
from tests.contracts.client import Client, Https, Site, path_of, unique

CONTROLLERS = ["simulator", *(["real"] if os.environ.get("AVI_CONTROLLER") else [])]
DELETION_ORDER = (
    *("virtualservice", "l4policyset", "pool", "vsvip"),
    *("healthmonitor", "networkprofile", "applicationprofile"),
)


@pytest.fixture(scope="session", params=CONTROLLERS)
def controller(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A Controller to test."""
    if request.param == "real":
        with real() as site:
            yield site
        return
    with (
        running(Settings(), directory=tmp_path_factory.mktemp("controller")) as simulator,
        closing(simulator.access.url, verify=simulator.access.ca) as send,
    ):
        access = simulator.access
        yield Site(send, access.url, access.ca, access.username, access.password)


@pytest.fixture(scope="session")
def admin(controller: Site) -> Client:
    """A logged-in client in tenant admin."""
    client = Client(controller.send, controller.url)
    answer = client.login(controller.username, controller.password)
    assert answer.status == 200, answer.text
    return client


@pytest.fixture(scope="session")
def tenant(admin: Client, controller: Site) -> Iterator[str]:
    """A tenant of the suite's own."""
    made = admin.made("tenant", {"name": unique("sharedvip-contract")})
    yield made["name"]
    # The session of the beginning has run out, where the other tests took a quarter of an hour.
    assert admin.login(controller.username, controller.password).status == 200
    assert admin.delete(path_of(made)).status == 204


@pytest.fixture
def client(admin: Client, tenant: str) -> Iterator[Client]:
    """A logged-in client in the suite's tenant; what the test made there is gone afterwards."""
    own = admin.within(tenant)
    yield own
    for kind in DELETION_ORDER:
        for entry in own.get(f"{kind}?include_name&page_size=200&fields=tenant_ref").results:
            if entry["tenant_ref"].endswith(f"#{tenant}"):
                answer = own.delete(path_of(entry))
                assert answer.status == 204, answer.text


@contextmanager
def real() -> Generator[Site]:
    """The Controller that the environment names."""
    environment = os.environ
    host = environment["AVI_CONTROLLER"]
    url = host if host.startswith("https://") else f"https://{host}"
    verify: str | bool = str(Path(environment["AVI_CA"]).resolve()) if "AVI_CA" in environment else True
    with closing(url, verify=verify) as send:
        yield Site(
            send,
            url,
            verify,
            environment["AVI_USERNAME"],
            environment["AVI_PASSWORD"],
            environment.get("AVI_CLOUD", "Default-Cloud"),
            environment.get("AVI_NETWORK", "net1"),
            environment.get("AVI_SUBNET", "100.64.196.0/24"),
        )


@contextmanager
def closing(url: str, *, verify: str | bool) -> Generator[Https]:
    """A transport that lets go of its connections."""
    send = Https(url, verify=verify)
    try:
        yield send
    finally:
        send.close()
