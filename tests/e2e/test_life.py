"""A group's life: pods come and go, members leave, processes die, and what is unrelated is never touched."""

import json
import re
import urllib.request

import pytest

from cli.demo.stage import RECONCILER
from tests.builders import service_object
from tests.e2e.scene import Scene

pytestmark = pytest.mark.e2e

COUNTED = r"^sharedvip_admission_(?:requests|failures)_total\S* (\S+)$"


def servers(scene: Scene) -> set[int]:
    """How many servers the namespace's pools have."""
    return {len(pool.servers) for one in scene.on_avi() for pool in one.pools}


def requests_seen(scene: Scene) -> float:
    """How many requests all replicas have decided or failed, by their metrics."""
    total = 0.0
    for replica in scene.stage.replicas:
        with urllib.request.urlopen(f"{replica.health_url}/metrics", timeout=10) as reply:  # noqa: S310 - our own URL
            text = reply.read().decode()
        total += sum(map(float, re.findall(COUNTED, text, re.MULTILINE)))
    return total


def test_the_pools_follow_the_deployment(scene: Scene) -> None:
    """Two pods, four pods, none: the servers of both pools are the pods."""
    scene.apply_example("deployment.yaml")
    scene.apply_example("shared-vip.yaml")
    scene.wait("both pools have two servers", lambda: servers(scene) == {2})

    scene.kubectl("scale", "deployment/avi-server", "--replicas=4")
    scene.wait("both pools have four servers", lambda: servers(scene) == {4})

    scene.kubectl("scale", "deployment/avi-server", "--replicas=0")
    scene.wait("both pools are empty", lambda: servers(scene) == {0})


def test_who_leaves_takes_only_its_own(scene: Scene) -> None:
    """The other member keeps the VIP; when all have left, nothing is left on Avi and in the ledger."""
    scene.apply(service_object("one", "80"), service_object("two", "443"))
    vip = scene.wait_for_one_address("one", "two")

    scene.kubectl("delete", "svc", "one")
    scene.wait("Avi serves only 443", lambda: [s.listeners for s in scene.on_avi()] == [("443/TCP",)])

    assert scene.addresses() == {"two": vip}
    assert scene.claims() == {("two", 443, "TCP")}
    scene.kubectl("delete", "svc", "two")
    scene.wait("Avi holds nothing", lambda: scene.on_avi() == ())
    scene.wait("no ledger is left", lambda: scene.read("svip")["items"] == [])


def test_who_removes_the_annotation_leaves(scene: Scene) -> None:
    """Its port is free for others, and the address leaves its status."""
    scene.apply(service_object("one", "80"), service_object("two", "443"))
    scene.wait_for_one_address("one", "two")

    scene.kubectl("annotate", "svc", "one", "ako.vmware.com/enable-shared-vip-")
    scene.wait("its address is withdrawn", lambda: scene.addresses()["one"] == "")

    assert scene.apply(service_object("three", "80")).returncode == 0
    scene.wait_for_one_address("two", "three")


def test_an_ordinary_service_brings_its_address_into_a_group(scene: Scene) -> None:
    """The way of everybody who has Services already: its own address, in its spec and its status, is no other's."""
    plain = service_object("one", "80", key=None, spec={"loadBalancerIP": "100.64.196.213"})
    assert scene.apply(plain).returncode == 0
    status = json.dumps({"status": {"loadBalancer": {"ingress": [{"ip": "100.64.196.213"}]}}})
    scene.kubectl("patch", "svc", "one", "--subresource=status", "--type=merge", "-p", status)
    member, peer = (
        service_object(name, port, spec={"loadBalancerIP": "100.64.196.213"})
        for name, port in (("one", "80"), ("two", "443"))
    )
    done = scene.apply(member, peer)

    assert done.returncode == 0, done.stderr
    assert scene.wait_for_one_address("one", "two") == "100.64.196.213"


def test_a_port_is_free_at_once_when_its_holder_is_deleted(scene: Scene) -> None:
    """Delete, then create under another name: no waiting for a cache."""
    for round_number in range(5):
        assert scene.apply(service_object(f"one-{round_number}", "80")).returncode == 0
        scene.kubectl("delete", "svc", f"one-{round_number}")


def test_a_service_that_is_recreated_gets_its_port_back(scene: Scene) -> None:
    """``kubectl replace --force``: the same name, another uid."""
    scene.apply(service_object("one", "80"))

    manifest = scene.kubectl("get", "svc", "one", "-o", "json").stdout
    done = scene.kubectl("replace", "--force", "-f", "-", given=manifest, may_fail=True)

    assert done.returncode == 0, done.stderr
    scene.wait_for_one_address("one")


def test_an_unrelated_service_never_reaches_the_webhook(scene: Scene) -> None:
    """Counted by the webhook's own metrics: created, changed, deleted, and nobody asked us."""
    before = requests_seen(scene)

    scene.apply(service_object("plain", "80", key=None))
    scene.kubectl("label", "svc", "plain", "a=b")
    scene.kubectl("delete", "svc", "plain")
    assert requests_seen(scene) == before

    scene.apply(service_object("member", "80"))
    assert requests_seen(scene) > before


def test_a_webhook_replica_that_is_killed_is_not_missed(scene: Scene) -> None:
    """SIGKILL to one of two: applies go on, and the replica comes back."""
    replica = scene.stage.replicas[0]
    scene.stage.stop(replica.name, kill=True)
    try:
        assert scene.apply(service_object("one", "80")).returncode == 0
        assert "[duplicate-port]" in scene.apply(service_object("two", "80")).stderr
    finally:
        scene.stage.start_webhook(replica)
        scene.stage.wait_ready(replica.name, replica.health_port)
    assert "[duplicate-port]" in scene.apply(service_object("three", "80")).stderr


def test_a_reconciler_that_is_killed_goes_on_where_it_was(scene: Scene) -> None:
    """Admission goes on without it; when it is back, Avi holds what was admitted, once."""
    scene.apply(service_object("one", "80"))
    vip = scene.wait_for_one_address("one")
    scene.stage.stop(RECONCILER, kill=True)
    try:
        assert scene.apply(service_object("two", "443")).returncode == 0
    finally:
        scene.stage.start_reconciler()
        scene.stage.wait_ready(RECONCILER, scene.stage.reconciler_health_port)

    assert scene.wait_for_one_address("one", "two") == vip
    scene.wait("Avi serves both", lambda: [s.listeners for s in scene.on_avi()] == [("443/TCP", "80/TCP")])
