"""Users' applies go on while replicas are replaced and certificates rotate: none fails, by the failurePolicy ``Fail``.

The short form of ``python -m soak rolling-restart certificate-rotation``, with real kubectl.
"""

import base64
import itertools
import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

import pytest
from cryptography import x509

from cli.demo.stage import Stage
from soak.serving import failed_open, rotate
from tests.builders import service_object
from tests.e2e.scene import Scene

pytestmark = pytest.mark.e2e

HANDS = 3
"""People at work at the same time."""
APPLIES = 60


class Applying:
    """People who apply one Service after the other, new at first and then with another port each time."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._is_over = threading.Event()
        self.done = 0
        self.failed: list[str] = []

    def work(self, person: int) -> None:
        """One person with a group of five Services, until it is over and enough was applied."""
        for number in itertools.count():
            if self._is_over.is_set() and self.done >= APPLIES:
                return
            made = service_object(f"s{person}-{number % 5}", f"{1000 + number}/TCP", key=f"group-{person}")
            applied = self._scene.apply(made)
            self.done += 1
            if applied.returncode:
                self.failed.append(applied.stderr)

    def stop(self) -> None:
        """Soon."""
        self._is_over.set()


@contextmanager
def applying(scene: Scene) -> Generator[Applying]:
    """While the block runs."""
    people = Applying(scene)
    with ThreadPoolExecutor(HANDS) as pool:
        at_work: list[Future[None]] = [pool.submit(people.work, person) for person in range(HANDS)]
        try:
            yield people
        finally:
            people.stop()
    for one in at_work:
        one.result()


class Material(NamedTuple):
    """What is served, and what the API server trusts."""

    served: str
    trusted: list[x509.Certificate]


def material(stage: Stage) -> Material:
    """Now."""
    path = "jsonpath={.webhooks[0].clientConfig.caBundle}"
    bundle = stage.cluster.run_kubectl("get", "validatingwebhookconfiguration", "sharedvip.dev", "-o", path).stdout
    trusted = x509.load_pem_x509_certificates(base64.b64decode(bundle))
    return Material((stage.directory / "tls" / "tls.crt").read_text(), trusted)


def nothing_fails(scene: Scene, disturb: Callable[[], object]) -> None:
    """No apply, and no call of the mutating webhook that only the API server would know of."""
    before = failed_open(scene.stage)
    with applying(scene) as people:
        disturb()

    assert people.failed == []
    assert people.done >= APPLIES
    assert failed_open(scene.stage) == before


def test_a_rolling_restart_of_all_replicas_fails_no_apply(scene: Scene) -> None:
    """A successor is ready first; then SIGTERM: not ready, the calls that come all the same, and the end with 0."""
    leaving = scene.stage.replicas

    def roll() -> None:
        for replica in leaving:
            scene.stage.replace_webhook(replica, drain_seconds=1.0)

    nothing_fails(scene, roll)
    assert not set(leaving) & set(scene.stage.replicas)
    for replica in leaving:  # the connections that so few people leave unused are 90 s old before they go
        scene.stage.wait_ended(replica, is_hurried=True)


def test_a_rotation_of_certificate_and_authority_fails_no_apply(scene: Scene) -> None:
    """``sharedvip certs`` stores, tells the API server old and new, and the kubelet mounts; replicas serve the new."""
    seen = [material(scene.stage)]

    def rotations() -> None:
        for is_authority in (False, True):
            rotate(scene.stage, is_authority=is_authority)
            seen.append(material(scene.stage))

    nothing_fails(scene, rotations)
    first, second, third = seen
    assert len({first.served, second.served, third.served}) == 3
    assert first.trusted == second.trusted
    assert third.trusted[1:] == second.trusted
