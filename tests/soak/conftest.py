"""What every guarantee of ``make soak`` is tried on, in its short form too: started once."""

from collections.abc import Generator

import pytest

from cli.demo.install import NAMESPACE
from soak.rig import Rig
from tests.e2e import truth


@pytest.fixture(scope="session")
def rig() -> Generator[Rig]:
    """Control plane, three webhook replicas, janitor.

    In the end no claim and no lock is left: the short form of a guarantee leaves locks to a janitor that may be busy.
    """
    with Rig(progress=lambda _: None) as running:
        yield running
        # What living-cluster plants is to stay in conflict until here. And of what a storm has stored, a deletion
        # leaves some that the API server did not live to answer.
        others = ",".join(f"metadata.namespace!={name}" for name in ("default", "kube-system", NAMESPACE))
        running.cluster.run_kubectl("delete", "svc", "-A", f"--field-selector={others}", "--wait=false")
        truth.nothing_is_left(running)
