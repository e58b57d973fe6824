"""What every guarantee of ``make soak`` is tried on, in its short form too: started once."""

from collections.abc import Generator

import pytest

from soak.rig import Rig


@pytest.fixture(scope="session")
def rig() -> Generator[Rig]:
    """Control plane, three webhook replicas, janitor."""
    with Rig(progress=lambda _: None) as running:
        yield running
