"""What a developer reads when ``kubectl apply`` says no: the whole text, word for word."""

import pytest

from tests.builders import service_object
from tests.e2e.scene import Scene

pytestmark = pytest.mark.e2e

PREFIX = (
    'Error from server (Forbidden): error when creating "STDIN": '
    'admission webhook "validate.sharedvip.dev" denied the request: '
)


def test_a_second_holder_of_a_port_is_refused(scene: Scene) -> None:
    """80/TCP twice on one VIP; nothing of the refused Service is stored."""
    scene.apply_example("shared-vip.yaml")

    done = scene.apply_example("refused/duplicate-port.yaml")

    assert done.returncode == 1
    assert done.stderr == (
        f"{PREFIX}spec.ports[0]: 80/TCP is already served on shared VIP 'shared-vip-key-1' by Service "
        "'sharedvip-avisvc-lb1'; choose another port, or another protocol [duplicate-port]\n"
    )
    assert {name for name, _, _ in scene.claims()} == {"sharedvip-avisvc-lb1", "sharedvip-avisvc-lb2"}


def test_a_different_static_address_is_refused(scene: Scene) -> None:
    """Two members of one group with two addresses."""
    scene.apply(service_object("one", spec={"loadBalancerIP": "100.64.196.201"}))

    done = scene.apply(service_object("two", "443", spec={"loadBalancerIP": "100.64.196.202"}))

    assert done.returncode == 1
    assert done.stderr.partition("\n")[2] == (
        f"{PREFIX}spec.loadBalancerIP: 100.64.196.202 differs from the 100.64.196.201 that Service 'one' shares under "
        "'shared-vip-key-1'; set 100.64.196.201, or leave it out to inherit it [static-address-mismatch]\n"
    )


def test_the_annotation_on_another_type_is_refused(scene: Scene) -> None:
    """A ClusterIP Service has no VIP to share."""
    done = scene.apply_example("refused/not-load-balancer.yaml")

    assert done.returncode == 1
    assert done.stderr == (
        f"{PREFIX}spec.type: 'ClusterIP' may not share a VIP, but annotation 'ako.vmware.com/enable-shared-vip' asks "
        "for it; set 'LoadBalancer', or remove the annotation [not-load-balancer]\n"
    )


def test_all_that_is_wrong_is_said_at_once(scene: Scene) -> None:
    """One line per violation, in a stable order."""
    scene.apply(service_object("one", "80", spec={"loadBalancerIP": "100.64.196.203"}))

    done = scene.apply(service_object("two", "80", spec={"loadBalancerIP": "100.64.196.204"}))

    said = [line.rpartition("[")[2] for line in done.stderr.splitlines() if line.endswith("]")]
    assert said == ["duplicate-port]", "static-address-mismatch]"]


def test_an_update_into_a_conflict_is_refused_and_changes_nothing(scene: Scene) -> None:
    """``kubectl patch`` to a port that another member serves."""
    scene.apply(service_object("one", "80"), service_object("two", "443"))

    done = scene.kubectl(
        "patch",
        "svc",
        "two",
        "--type=json",
        "-p",
        '[{"op":"replace","path":"/spec/ports/0/port","value":80}]',
        may_fail=True,
    )

    assert done.returncode == 1
    assert "80/TCP is already served on shared VIP 'shared-vip-key-1' by Service 'one'" in done.stderr
    assert scene.read("svc", "two")["spec"]["ports"][0]["port"] == 443


def test_a_refused_dry_run_leaves_no_trace(scene: Scene) -> None:
    """``kubectl apply --dry-run=server`` of a conflicting Service is refused, and the ledger is as it was."""
    scene.apply(service_object("one", "80"))
    before = scene.read("svip")["items"]

    done = scene.apply(service_object("two", "80"), dry_run=True)

    assert done.returncode == 1
    assert "[duplicate-port]" in done.stderr
    assert [one["spec"] for one in scene.read("svip")["items"]] == [one["spec"] for one in before]


def test_an_admitted_dry_run_leaves_no_trace(scene: Scene) -> None:
    """Not a claim, not a ledger, not a lock on its address."""
    done = scene.apply(service_object("one", "80", spec={"loadBalancerIP": "100.64.196.205"}), dry_run=True)

    assert done.returncode == 0
    assert scene.read("svip")["items"] == []
    assert scene.kubectl("get", "ipaddress", "100.64.196.205", may_fail=True).returncode == 1


def test_a_member_without_an_address_inherits_its_groups(scene: Scene) -> None:
    """In the field that the group uses; applying the same manifest again changes nothing."""
    scene.apply(service_object("one", "80", spec={"loadBalancerIP": "100.64.196.206"}))

    first = scene.apply(service_object("two", "443"))
    again = scene.apply(service_object("two", "443"))

    assert scene.read("svc", "two")["spec"]["loadBalancerIP"] == "100.64.196.206"
    assert (first.stdout, again.stdout) == ("service/two created\n", "service/two unchanged\n")


def test_an_address_of_another_namespace_is_refused_without_naming_it(scene: Scene) -> None:
    """What is in another namespace is not the asker's to know."""
    scene.kubectl("create", "namespace", f"{scene.namespace}-b")
    scene.apply(service_object("one", "80", spec={"loadBalancerIP": "100.64.196.207"}))

    done = scene.kubectl(
        "apply",
        "-n",
        f"{scene.namespace}-b",
        "-f",
        "-",
        given=(
            "{apiVersion: v1, kind: Service, metadata: {name: thief, annotations: "
            "{ako.vmware.com/enable-shared-vip: k}}, spec: {type: LoadBalancer, loadBalancerIP: 100.64.196.207, "
            "ports: [{port: 80}]}}"
        ),
        may_fail=True,
    )
    scene.kubectl("delete", "namespace", f"{scene.namespace}-b", "--wait=false")

    assert done.returncode == 1
    assert "[static-address-taken]" in done.stderr
    assert "in another namespace" in done.stderr
    assert "'one'" not in done.stderr
