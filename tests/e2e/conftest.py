"""One whole sharedvip on loopback for all end-to-end tests, and a namespace for each."""

import secrets
from collections.abc import Generator

import pytest

from cli.demo.avi import AviView
from cli.demo.stage import Stage
from tests.e2e.scene import Scene


@pytest.fixture(scope="session")
def stage() -> Generator[Stage]:
    """Control plane, Avi simulator, two webhook replicas, reconciler."""
    with Stage(progress=lambda _: None) as running:
        yield running


@pytest.fixture
def scene(stage: Stage) -> Generator[Scene]:
    """A fresh namespace on the stage; its Services are gone, from Avi too, before the next test."""
    namespace = f"e2e-{secrets.token_hex(4)}"
    stage.cluster.create_namespace(namespace)
    made = Scene(stage, namespace, AviView(stage.avi))
    yield made
    made.clear()
