"""Nobody is in anybody's way: not of our own installation, not of the system's Services, not of ordinary ones.

What the API server does without an answer of ours is what the administrator chose.
"""

import json
import os
import signal
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from cli.demo.install import DEPLOY
from cli.demo.stage import Stage
from sharedvip.parse import ServiceObject
from tests.builders import service_object
from tests.e2e.scene import Scene, render

pytestmark = pytest.mark.e2e

CONFIGURATION = "validatingwebhookconfiguration/sharedvip.dev"
FAILED = 'failed calling webhook "validate.sharedvip.dev"'


@contextmanager
def dead(stage: Stage) -> Generator[None]:
    """Every replica is gone: SIGKILL."""
    for replica in stage.replicas:
        stage.stop(replica.name, kill=True)
    try:
        yield
    finally:
        for replica in stage.replicas:
            stage.start_webhook(replica)
        for replica in stage.replicas:
            stage.wait_ready(replica.name, replica.health_port)


@contextmanager
def asleep(stage: Stage) -> Generator[None]:
    """Every replica takes connections, and does nothing: SIGSTOP."""
    pids = [stage.processes[replica.name] for replica in stage.replicas]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@contextmanager
def policy(scene: Scene, failure_policy: str) -> Generator[None]:
    """The administrator chooses, and the API server has heard of it."""

    def choose(choice: str) -> None:
        patch = [{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": choice}]
        scene.kubectl("patch", CONFIGURATION, "--type=json", "-p", json.dumps(patch))

    before = scene.read(CONFIGURATION)["webhooks"][0]["failurePolicy"]
    choose(failure_policy)
    try:
        yield
    finally:
        choose(before)


def apply_to(stage: Stage, namespace: str, *services: ServiceObject) -> str:
    """``kubectl apply`` elsewhere; "" or the error."""
    done = stage.cluster.run_kubectl("-n", namespace, "apply", "-f", "-", input=render(*services), check=False)
    return done.stderr if done.returncode else ""


def test_a_dead_webhook_is_in_nobodys_way_but_its_members(scene: Scene) -> None:
    """Fail, as shipped: our own Services, the system's, and everybody's without the annotation come and go."""
    stage = scene.stage
    scene.apply(service_object("member", "80"))
    own = str(DEPLOY / "40-service.yaml")
    system = service_object("system", "80", spec={"type": "ClusterIP"})
    with dead(stage):
        assert FAILED in scene.apply(service_object("other", "81")).stderr

        stage.cluster.run_kubectl("delete", "-f", own)
        stage.cluster.run_kubectl("apply", "-f", own)
        for namespace in ("sharedvip-system", "kube-system"):
            assert apply_to(stage, namespace, system) == ""
            stage.cluster.run_kubectl("-n", namespace, "label", "svc", "system", "a=b")
            stage.cluster.run_kubectl("-n", namespace, "delete", "svc", "system")
        assert scene.apply(service_object("plain", "80", key=None)).returncode == 0
        scene.kubectl("label", "svc", "plain", "a=b")
        scene.kubectl("delete", "svc", "plain")
        scene.kubectl("delete", "svc", "member")

    assert scene.apply(service_object("other", "81")).returncode == 0


def test_with_ignore_a_dead_webhook_lets_members_pass(scene: Scene) -> None:
    """The administrator's choice; the reconciler looks at them afterwards."""
    with dead(scene.stage), policy(scene, "Ignore"):
        scene.wait("the API server has heard of it", lambda: scene.apply(service_object("one", "80")).returncode == 0)
        assert scene.apply(service_object("two", "81")).returncode == 0

    scene.wait("both are members", lambda: scene.claims() == {("one", 80, "TCP"), ("two", 81, "TCP")})


@pytest.mark.parametrize("failure_policy", ["Fail", "Ignore"])
def test_a_webhook_that_sleeps_is_given_up_by_the_api_server(scene: Scene, failure_policy: str) -> None:
    """After its own ``timeoutSeconds``; then it is again what the administrator chose.

    Its request waits in a connection that is there from before; whoever wakes claims nothing for it.
    """
    before = [service_object(f"before-{port}", str(port)) for port in range(1000, 1008)]
    with ThreadPoolExecutor(len(before)) as pool:
        assert all(done.returncode == 0 for done in pool.map(scene.apply, before))
    with policy(scene, failure_policy):
        chosen = scene.read(CONFIGURATION)["webhooks"][0]["failurePolicy"]
        with asleep(scene.stage):
            done = scene.apply(service_object("one", "80"))
            if failure_policy == "Ignore" and done.returncode:  # it had not heard of it yet
                done = scene.apply(service_object("one", "80"))

    assert chosen == failure_policy
    if failure_policy == "Fail":
        assert FAILED in done.stderr
        assert "deadline exceeded" in done.stderr
        assert scene.apply(service_object("two", "80")).returncode == 0
    assert (done.returncode == 0) == (failure_policy == "Ignore")


def test_the_manifests_exempt_what_must_come_up_before_us() -> None:
    """Both configurations, by a label that nobody can move."""
    for name in ("60-validatingwebhookconfiguration.yaml", "61-mutatingwebhookconfiguration.yaml"):
        text = Path(DEPLOY / name).read_text()
        assert "kubernetes.io/metadata.name" in text
        assert "values: [kube-system, sharedvip-system]" in text
