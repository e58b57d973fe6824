"""The documentation's two manifests do what it says, on a real API server and through to Avi."""

import re

import pytest

from tests.e2e.scene import Scene

pytestmark = pytest.mark.e2e

LB1, LB2 = "sharedvip-avisvc-lb1", "sharedvip-avisvc-lb2"
TABLE = """\
NAME                   TYPE           CLUSTER-IP   EXTERNAL-IP   PORT(S)   AGE
sharedvip-avisvc-lb1   LoadBalancer   IP   {vip}   80:NODEPORT/TCP   TIME
sharedvip-avisvc-lb2   LoadBalancer   IP   {vip}   80:NODEPORT/UDP   TIME
"""


def table(text: str) -> str:
    """``kubectl get svc`` without what differs from run to run, and without its padding."""
    text = re.sub(r"10\.96\.\d+\.\d+", "IP", text)
    text = re.sub(r"80:\d+/", "80:NODEPORT/", text)
    text = re.sub(r"\d+m?\d*s\b", "TIME", text)
    return re.sub(r"  +", "   ", text)


def test_services_without_an_address_share_the_one_that_avi_allocates(scene: Scene) -> None:
    """The first manifest: one virtual service, one VIP, in the status of both, as in the documentation's table."""
    done = scene.apply_example("shared-vip.yaml")

    assert (done.returncode, done.stderr) == (0, "")
    vip = scene.wait_for_one_address(LB1, LB2)
    assert re.fullmatch(r"100\.64\.196\.\d+", vip)
    assert table(scene.kubectl("get", "svc").stdout) == table(TABLE.format(vip=vip))
    (built,) = scene.on_avi()
    assert (built.vip, built.listeners) == (vip, ("80/TCP", "80/UDP"))


def test_services_share_the_address_they_prefer(scene: Scene) -> None:
    """The second manifest: the VIP matches the preferred static address of the specification."""
    done = scene.apply_example("shared-vip-static.yaml")

    assert done.returncode == 0
    assert scene.wait_for_one_address(LB1, LB2) == "100.64.196.75"
    assert table(scene.kubectl("get", "svc").stdout) == table(TABLE.format(vip="100.64.196.75"))
    assert [one.vip for one in scene.on_avi()] == ["100.64.196.75"]


def test_the_group_is_shown_as_one_object(scene: Scene) -> None:
    """``kubectl get svip`` has the key, the VIP, the Services, the listeners and whether it is ready."""
    scene.apply_example("shared-vip.yaml")
    vip = scene.wait_for_one_address(LB1, LB2)
    scene.wait("the SharedVIP is ready", lambda: "True" in scene.kubectl("get", "svip").stdout)

    header, row = scene.kubectl("get", "svip").stdout.splitlines()

    assert header.split() == ["NAME", "KEY", "VIP", "SERVICES", "LISTENERS", "READY", "AGE"]
    assert row.split()[:-1] == ["shared-vip-key-1", "shared-vip-key-1", vip, f"{LB1},{LB2}", "80/TCP,80/UDP", "True"]


def test_every_member_says_that_it_is_ready(scene: Scene) -> None:
    """The condition on each Service, with a reason, and an Event."""
    scene.apply_example("shared-vip.yaml")
    scene.wait_for_one_address(LB1, LB2)

    for name in (LB1, LB2):
        (condition,) = scene.read("svc", name)["status"]["conditions"]
        assert (condition["type"], condition["status"], condition["reason"]) == (
            "sharedvip.dev/Ready",
            "True",
            "Programmed",
        )
    scene.wait("an Event tells of it", lambda: "Programmed" in scene.kubectl("get", "events").stdout)
