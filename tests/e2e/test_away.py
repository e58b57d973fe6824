"""The webhook is away, its ``failurePolicy`` is ``Ignore``, Services are stored meanwhile: who is in stays served."""

import json
from collections.abc import Generator

import pytest

from cli.demo.stage import RECONCILER
from tests.builders import service_object
from tests.e2e.scene import Scene

pytestmark = pytest.mark.e2e


def _policy(scene: Scene, said: str) -> None:
    patch = json.dumps([{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": said}])
    scene.kubectl("patch", "validatingwebhookconfiguration/sharedvip.dev", "--type=json", "--patch", patch)


@pytest.fixture
def away(scene: Scene) -> Generator[None]:
    """Every replica comes back in the end, and is minded again."""
    try:
        yield
    finally:
        _policy(scene, "Fail")
        for replica in scene.stage.replicas:
            if replica.name not in scene.stage.processes:
                scene.stage.start_webhook(replica)
            scene.stage.wait_ready(replica.name, replica.health_port)
        if RECONCILER not in scene.stage.processes:
            scene.stage.start_reconciler()


def _told(scene: Scene) -> dict[str, str]:
    """The reasons in the Services' conditions."""
    conditions = {s["metadata"]["name"]: s["status"].get("conditions", []) for s in scene.read("svc")["items"]}
    return {name: said["reason"] for name, all_said in conditions.items() for said in all_said}


@pytest.mark.usefixtures("away")
def test_who_is_in_keeps_the_vip_and_newcomers_come_all_together_or_not_at_all(scene: Scene) -> None:
    """Whoever restarts; what was in conflict is let in once it is none."""
    assert scene.apply(service_object("one", "80"), service_object("two", "443")).returncode == 0
    vip = scene.wait_for_one_address("one", "two")
    _policy(scene, "Ignore")
    for replica in scene.stage.replicas:
        scene.stage.stop(replica.name, kill=True)

    told, past = {"one": "Programmed", "two": "Programmed"}, {"rival": "80", "fits": "8080", "later": "8081"}
    for name, port in past.items():
        late = service_object(name, port)
        scene.wait("it is stored", lambda late=late: scene.apply(late).returncode == 0)
        told[name] = "Conflict"
        scene.wait("all are told", lambda: _told(scene) == told)
        assert {name: seen for name, seen in scene.addresses().items() if seen} == {"one": vip, "two": vip}
        assert [one.listeners for one in scene.on_avi()] == [("443/TCP", "80/TCP")]
        assert scene.claims() == {("one", 80, "TCP"), ("two", 443, "TCP")}
        if name == "fits":
            scene.stage.stop(RECONCILER, kill=True)
            # Two that no group lets in: it is found as a whole, and is one of conflict.
            assert scene.apply(*(service_object(one, "80", key="another") for one in ("x", "y"))).returncode == 0
            told.update(x="Conflict", y="Conflict")
            scene.stage.start_reconciler()
            scene.stage.wait_ready(RECONCILER, scene.stage.reconciler_health_port)

    scene.kubectl("delete", "svc", "rival")
    assert scene.wait_for_one_address("one", "two", "fits", "later") == vip
    assert scene.apply(service_object("y", "81", key="another")).returncode == 0
    assert scene.wait_for_one_address("x", "y") != vip
