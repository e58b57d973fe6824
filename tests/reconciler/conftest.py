"""One simulated Avi Controller for all tests here; a cluster name of its own for each test."""

import itertools
from collections.abc import Generator

import pytest

from simulator.serve import running
from simulator.settings import Settings, Subnet
from tests.reconciler.controller import Avi

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def simulated_avi(tmp_path_factory: pytest.TempPathFactory) -> Generator[Avi]:
    """The Controller, over HTTPS on loopback."""
    directory = tmp_path_factory.mktemp("avi")
    settings = Settings(subnets=(Subnet("net1", "100.64.192.0/18"), Subnet("net1", "2001:db8::/64")))
    with running(settings, directory=directory) as simulated:
        yield Avi(simulated, directory)


@pytest.fixture
def avi(simulated_avi: Avi) -> Avi:
    """The Controller with nothing counted yet."""
    simulated_avi.running.faults.clear()
    simulated_avi.forget()
    return simulated_avi


@pytest.fixture
def cluster_name() -> str:
    """A cluster that no other test uses."""
    return f"c{next(_numbers)}"
