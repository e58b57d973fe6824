"""What every guarantee of ``make soak`` is tried on, in its short form too: started once."""

from collections.abc import Generator

import pytest

from soak import living
from soak.rig import Rig
from tests.e2e import truth


@pytest.fixture(scope="session")
def rig() -> Generator[Rig]:
    """Control plane, three webhook replicas, janitor.

    In the end no claim and no lock is left: the short form of a guarantee leaves locks to a janitor that may be busy.
    """
    with Rig(progress=lambda _: None) as running:
        yield running
        for name in living.NAMESPACES:  # what it plants is to stay in conflict until here
            running.cluster.run_kubectl("delete", "svc", "-n", name, "--all")
        truth.nothing_is_left(running)
