"""Fixtures for every test: one local control plane for the whole run, and a namespace of its own for each test."""

import contextlib
import secrets
import signal
from collections.abc import Callable, Generator
from types import FrameType
from typing import Never

import pytest
from hypothesis import HealthCheck, settings

from localcluster.binaries import ensure_binaries
from localcluster.cluster import LocalCluster
from localcluster.toolchain import CannotBuild

# A busy machine is no failure: Hypothesis counts 200 ms for each example, by the wall's clock.
settings.register_profile("sharedvip", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("sharedvip")


def _say_to_terminal(config: pytest.Config) -> Callable[[str], None]:
    """Progress lines that pytest's capture does not swallow."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    capture = config.pluginmanager.get_plugin("capturemanager")

    def say(line: str) -> None:
        with capture.global_and_fixture_disabled() if capture else contextlib.nullcontext():
            if reporter:
                reporter.ensure_newline()
                reporter.write_line(line, flush=True)

    return say


def pytest_configure() -> None:
    """SIGTERM ends the run as Ctrl-C does: through the fixtures' ends, so that no folder of a cluster stays."""

    def interrupt(number: int, frame: FrameType | None) -> Never:
        del frame
        signal.signal(number, signal.SIG_IGN)  # a second one must not interrupt the ends
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # In a shell's background Ctrl-C is ignored, and what the tests start and interrupt would ignore it too.
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build the programs before the first test: a cold build takes longer than a test may."""
    if session.config.option.collectonly:
        return
    if any("cluster" in getattr(item, "fixturenames", ()) for item in session.items):
        say = _say_to_terminal(session.config)
        try:
            ensure_binaries(progress=say)
        except CannotBuild as reason:
            # The tests without a control plane run all the same; the others fail in the fixture, with this reason.
            say(f"localcluster: {reason}")


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Generator[LocalCluster]:
    """The control plane that the tests share; what a test changes, it changes in its own namespace."""
    with LocalCluster(nodes=2, progress=_say_to_terminal(request.config)) as running:
        yield running


@pytest.fixture
def namespace(cluster: LocalCluster) -> Generator[str]:
    """The name of a fresh namespace; it is deleted afterwards, without waiting for that."""
    name = f"test-{secrets.token_hex(4)}"
    cluster.create_namespace(name)
    yield name
    cluster.run_kubectl("delete", "namespace", name, "--wait=false")
