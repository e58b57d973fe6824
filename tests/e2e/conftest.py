"""One whole sharedvip on loopback for all end-to-end tests, and a namespace for each."""

import secrets
from collections.abc import Generator

import pytest

from cli.demo.avi import AviView
from cli.demo.stage import Stage
from tests.e2e import truth
from tests.e2e.scene import Scene


@pytest.fixture(scope="session")
def stage() -> Generator[Stage]:
    """Control plane, Avi simulator, two webhook replicas, reconciler."""
    with Stage(progress=lambda _: None) as running:
        yield running
        truth.nothing_is_left(running)


@pytest.fixture
def scene(stage: Stage) -> Generator[Scene]:
    """A fresh namespace on the stage, audited when the test is over.

    Its Services are gone, from Avi too, before the next test.
    """
    namespace = f"e2e-{secrets.token_hex(4)}"
    stage.cluster.create_namespace(namespace)
    made = Scene(stage, namespace, AviView(stage.avi))
    yield made
    try:
        truth.holds(stage, namespace=namespace)
    finally:
        made.clear()
