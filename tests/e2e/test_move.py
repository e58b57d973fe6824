"""A group changes its static address: all are served where they were until all have come, then the VIP moves once."""

import json
import socket
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest

from cli.demo.stage import RECONCILER
from localcluster.ports import LOOPBACK
from sharedvip.annotations import INTENDED_ADDRESS
from sharedvip.parse import ServiceObject
from tests.builders import KEY, service_object
from tests.e2e import truth
from tests.e2e.scene import Scene

pytestmark = pytest.mark.e2e

OLD, NEW = "100.64.196.211", "100.64.196.219"
PORTS = {"web": "80", "api": "443"}


def at(name: str, address: str, *, intended: str = "") -> ServiceObject:
    """A member's manifest."""
    notes = {INTENDED_ADDRESS: intended} if intended else {}
    return service_object(name, PORTS[name], annotations=notes, spec={"loadBalancerIP": address})


def journal(scene: Scene) -> list[dict[str, Any]]:
    """Every call that the Avi Controller was asked."""
    with urllib.request.urlopen(f"{scene.stage.avi.control}/journal", timeout=10) as reply:  # noqa: S310 - our own URL
        return json.loads(reply.read())


def writes_since(scene: Scene, number: int) -> list[str]:
    """The calls that write, after one in the journal: ``POST macro``."""
    later = [entry for entry in journal(scene) if entry["number"] > number and entry["method"] != "GET"]
    return [f"{entry['method']} {entry['path'].split('/')[2]}" for entry in later if entry["path"].startswith("/api/")]


def ledger(scene: Scene) -> dict[str, Any]:
    """The group's ``SharedVIP``."""
    return scene.read("svip", KEY)


def moving(scene: Scene) -> str:
    """What the condition Moving says, "" where it is not there."""
    conditions = ledger(scene)["status"].get("conditions", [])
    return next((one["message"] for one in conditions if one["type"] == "Moving"), "")


def is_locked(scene: Scene, address: str) -> bool:
    """Whether anybody holds an address."""
    return scene.kubectl("get", "ipaddress", address, may_fail=True).returncode == 0


def has_moved(scene: Scene) -> bool:
    """Whether both Services show the new address, and the old one is free."""
    return set(scene.addresses().values()) == {NEW} and not is_locked(scene, OLD)


def settle(scene: Scene) -> int:
    """Both Services share the old address; the number of the last call to Avi."""
    assert scene.apply(at("web", OLD), at("api", OLD)).returncode == 0
    assert scene.wait_for_one_address("web", "api") == OLD
    return max(entry["number"] for entry in journal(scene))


def test_a_group_moves_when_all_have_come_and_its_vip_moves_once(scene: Scene) -> None:
    """One manifest after the other; the condition says who is missing, and nobody is in conflict meanwhile."""
    last = settle(scene)

    refused = scene.apply(at("web", NEW))
    assert "annotation 'sharedvip.dev/intended-address'" in refused.stderr
    done = scene.apply(at("web", NEW, intended=NEW))
    assert done.returncode == 0, done.stderr
    scene.wait("the group tells how far it is", lambda: bool(moving(scene)))
    assert moving(scene) == f"1 of 2 Services carry {NEW}; waits for 'api'"
    assert scene.addresses() == {"web": OLD, "api": OLD}
    assert is_locked(scene, NEW)
    truth.holds(scene.stage, namespace=scene.namespace)
    assert writes_since(scene, last) == []

    done = scene.apply(at("api", NEW, intended=NEW))
    assert done.returncode == 0, done.stderr
    scene.wait("both are served on the new address, and the old one is free", lambda: has_moved(scene))

    assert writes_since(scene, last) == ["DELETE macro", "POST macro"]
    spec = ledger(scene)["spec"]
    assert (spec["staticAddress"], spec.get("intendedAddress")) == (NEW, None)
    assert not any("heading" in claim for claim in spec["claims"])
    assert [one["reason"] for one in ledger(scene)["status"]["conditions"]] == ["Programmed"]
    truth.holds(scene.stage, namespace=scene.namespace)


def test_a_move_that_comes_true_while_the_reconciler_is_dead_is_made_when_it_is_back(scene: Scene) -> None:
    """Both manifests in one apply, and once."""
    last = settle(scene)
    scene.stage.stop(RECONCILER, kill=True)
    try:
        done = scene.apply(at("web", NEW, intended=NEW), at("api", NEW, intended=NEW))
        assert done.returncode == 0, done.stderr
        assert scene.addresses() == {"web": OLD, "api": OLD}
    finally:
        scene.stage.start_reconciler()
        scene.stage.wait_ready(RECONCILER, scene.stage.reconciler_health_port)
    scene.wait("both are served on the new address, and the old one is free", lambda: has_moved(scene))

    writes = [write for write in writes_since(scene, last) if "macro" in write]
    assert writes == ["DELETE macro", "POST macro"]


@contextmanager
def slow_refusal(scene: Scene) -> Generator[None]:
    """Another webhook, which is asked beside ours about this namespace's Services, and in the end refuses."""
    with socket.create_server((LOOPBACK, 0), backlog=64) as deaf:
        webhook = {
            "name": "slow.example.com",
            "admissionReviewVersions": ["v1"],
            "clientConfig": {"url": f"https://{LOOPBACK}:{deaf.getsockname()[1]}/"},
            "failurePolicy": "Fail",
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": scene.namespace}},
            "objectSelector": {"matchLabels": {"slow": "yes"}},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["services"]}],
            "sideEffects": "None",
            "timeoutSeconds": 2,
        }
        kind = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration"}
        made = json.dumps({**kind, "metadata": {"name": scene.namespace}, "webhooks": [webhook]})
        scene.kubectl("apply", "-f", "-", given=made)
        try:
            yield
        finally:
            scene.kubectl("delete", "-f", "-", given=made)


def test_what_is_on_its_way_is_nobody_elses(scene: Scene) -> None:
    """A Service alone is to move, and for two seconds another webhook does not say that it may not."""
    assert scene.apply(at("web", OLD)).returncode == 0
    assert scene.wait_for_one_address("web") == OLD
    last = journal(scene)[-1]["number"]
    moved = at("web", NEW)
    moved["metadata"]["labels"] = {"slow": "yes"}  # pyright: ignore[reportTypedDictNotRequiredAccess] - builders always set it

    def is_refused() -> bool:
        return "slow.example.com" in scene.apply(moved).stderr

    with slow_refusal(scene):
        scene.wait("the API server asks the other webhook too", is_refused)

    assert ledger(scene)["spec"]["staticAddress"] == NEW
    for address, verb in ((OLD, "already held"), (NEW, "being claimed")):
        rival = service_object("rival", "443", key="rival", spec={"loadBalancerIP": address})
        assert f"{address} is {verb} by shared VIP '{KEY}'" in scene.apply(rival).stderr
    assert scene.addresses() == {"web": OLD}
    assert writes_since(scene, last) == []
    assert scene.apply(moved).returncode == 0
    scene.wait("it has moved", lambda: has_moved(scene))
