"""One simulated Avi Controller for all tests here, a cluster name of its own for each, and a world to run in."""

import itertools
from collections.abc import Generator
from pathlib import Path

import pytest

from localcluster.cluster import LocalCluster
from reconciler.settings import ReconcilerSettings, VipNetwork
from simulator.serve import running
from simulator.settings import Settings, Subnet
from tests.reconciler.controller import Avi
from tests.reconciler.live import World, forget_members, install

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


@pytest.fixture(scope="session")
def installed(cluster: LocalCluster) -> Path:
    """Our kind and the reconciler's rights as shipped; a kubeconfig that has no others."""
    return install(cluster)


@pytest.fixture
def world(cluster: LocalCluster, *, namespace: str, avi: Avi, cluster_name: str, installed: Path) -> World:
    """Everything but the reconciler, which looks at all namespaces: those of other tests take their time to go."""
    forget_members(cluster)
    settings = ReconcilerSettings(
        cluster_name=cluster_name,
        avi_controller=avi.running.access.url,
        avi_credentials_directory=avi.credentials(),
        avi_vip_networks=(VipNetwork("net1"),),
        avi_requests_per_second=32.0,
        health_host="127.0.0.1",
        health_port=0,
    )
    return World(cluster, namespace, avi, settings, installed)
