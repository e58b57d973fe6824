"""Nobody changes what a shared VIP is made of through ``services/status``, of which no webhook is asked."""

import json

import pytest

from sharedvip import annotations
from tests.builders import service_object
from tests.e2e.scene import Scene

pytestmark = pytest.mark.e2e

OURS = (
    annotations.SHARED_VIP,
    annotations.LOAD_BALANCER_IP,
    annotations.INTENDED_ADDRESS,
    annotations.INFRA_SETTING,
    annotations.L4_RULE,
)


def through_the_status(scene: Scene, change: dict[str, object]) -> tuple[int, str]:
    """Exit code and error of a merge patch of Service ``one``."""
    words = ("patch", "svc", "one", "--subresource=status", "--type=merge", "-p", json.dumps(change))
    done = scene.kubectl(*words, may_fail=True)
    return done.returncode, done.stderr


@pytest.mark.parametrize("name", OURS)
def test_an_annotation_that_we_read_is_not_changed_there(scene: Scene, name: str) -> None:
    """Neither given, nor changed, nor taken away."""
    key = None if name == annotations.SHARED_VIP else "k"
    scene.apply(service_object("one", "80", key=key))

    code, said = through_the_status(scene, {"metadata": {"annotations": {name: "other"}}})

    assert code == 1
    assert "is not changed through services/status; change the Service itself" in said


def test_a_member_does_not_leave_there(scene: Scene) -> None:
    """Its claim would stand for nobody."""
    scene.apply(service_object("one", "80"))

    code, _ = through_the_status(scene, {"metadata": {"annotations": {annotations.SHARED_VIP: None}}})

    assert code == 1
    assert scene.claims() == {("one", 80, "TCP")}


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"metadata": {"annotations": {"ako.vmware.com/tenant-name": "admin"}}}, id="another annotation"),
        pytest.param({"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.7"}]}}}, id="the status"),
    ],
)
def test_everything_else_is_as_ever(scene: Scene, change: dict[str, object]) -> None:
    """Controllers write statuses, and AKO annotations beside them."""
    scene.apply(service_object("one", "80"))

    assert through_the_status(scene, change) == (0, "")
