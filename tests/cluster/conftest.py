"""Fixtures for the tests of ``cluster`` on the real API server."""

from pathlib import Path
from typing import Final

import pytest

from localcluster.cluster import LocalCluster
from tests.cluster.connection import Connection

CRD: Final = Path(__file__).parents[2] / "deploy" / "10-customresourcedefinition.yaml"


@pytest.fixture(scope="session")
def sharedvips(cluster: LocalCluster) -> LocalCluster:
    """The cluster with our kind installed."""
    cluster.run_kubectl("apply", "--server-side", f"--filename={CRD}")
    cluster.run_kubectl("wait", "--for=condition=Established", "--timeout=20s", f"--filename={CRD}")
    return cluster


@pytest.fixture
def connection(sharedvips: LocalCluster, namespace: str) -> Connection:
    """A namespace of one's own there."""
    return Connection(sharedvips, namespace)
