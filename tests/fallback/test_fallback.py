"""``deploy/fallback/`` on a real API server, with a webhook that nobody serves: the rules hold, in the same words."""

import contextlib
import json
import subprocess
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import yaml

from localcluster.cluster import LocalCluster
from localcluster.ports import LOOPBACK, free_ports
from localcluster.waiting import wait_until
from sharedvip.decide import decide
from sharedvip.ledger import group_of
from sharedvip.model import Situation
from sharedvip.parse import ServiceObject, parse_service
from tests.builders import KEY, lines, service_object
from tests.e2e.scene import render

pytestmark = pytest.mark.e2e

DEPLOY = Path(__file__).parents[2] / "deploy"
MANIFESTS = [
    one for file in sorted((DEPLOY / "fallback").glob("*.yaml")) for one in yaml.safe_load_all(file.read_text())
]
POLICIES = [one for one in MANIFESTS if one["kind"] == "ValidatingAdmissionPolicy"]
IP = "100.64.196.75"
DEADLINE_SECONDS = 30.0


class Fallback:
    """A namespace in which only the fallback speaks."""

    def __init__(self, cluster: LocalCluster, namespace: str) -> None:
        self._cluster = cluster
        self._namespace = namespace

    def apply(self, *services: ServiceObject) -> subprocess.CompletedProcess[str]:
        """``kubectl apply -f -``; it may fail."""
        return self.kubectl("apply", "-f", "-", given=render(*services))

    def kubectl(self, *words: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run kubectl in the namespace; it may fail."""
        return self._cluster.run_kubectl("-n", self._namespace, *words, input=given, check=False)

    def sees(self, *services: ServiceObject) -> None:
        """Store Services, and wait until the policies know them: as every informer they are late."""
        assert self.apply(*services).returncode == 0
        for service in services:
            probe = json.loads(json.dumps(service))
            probe["metadata"]["name"] = "probe"
            wait_until(
                lambda probe=probe: self._refuses(probe), what="the policies see it", deadline_seconds=DEADLINE_SECONDS
            )

    def _refuses(self, probe: ServiceObject) -> bool:
        done = self.kubectl("apply", "--dry-run=server", "-f", "-", given=render(probe))
        return "[duplicate-port]" in done.stderr


def only_in(namespace: str, manifest: dict[str, Any]) -> dict[str, Any]:
    """The manifest under a name of its own, in force in that namespace alone."""
    spec = json.loads(json.dumps(manifest).replace("sharedvip-fallback", f"sharedvip-fallback-{namespace}"))
    if spec["kind"] == "ValidatingAdmissionPolicyBinding":
        spec["spec"]["matchResources"] = {"namespaceSelector": selector(namespace)}
    return spec


def selector(namespace: str) -> dict[str, Any]:
    """Selects one namespace."""
    return {"matchLabels": {"kubernetes.io/metadata.name": namespace}}


def dead_webhook(namespace: str) -> dict[str, Any]:
    """Our webhook configuration with ``failurePolicy: Ignore``, for a port where nobody listens."""
    manifest = yaml.safe_load((DEPLOY / "60-validatingwebhookconfiguration.yaml").read_text())
    (webhook,) = manifest["webhooks"]
    webhook["clientConfig"] = {"url": f"https://{LOOPBACK}:{free_ports(1)[0]}/validate"}
    webhook["namespaceSelector"] = selector(namespace)
    webhook["failurePolicy"] = "Ignore"
    manifest["metadata"]["name"] = f"dead-{namespace}"
    return manifest


@contextlib.contextmanager
def installed(cluster: LocalCluster, namespace: str) -> Generator[Fallback]:
    """The two policies in force in a namespace whose webhook is gone."""
    text = yaml.safe_dump_all([*(only_in(namespace, one) for one in MANIFESTS), dead_webhook(namespace)])
    cluster.run_kubectl("apply", "-f", "-", input=text)
    made = Fallback(cluster, namespace)
    # The type is refused by a policy without parameters: once it is in force, its binding is known.
    wait_until(
        lambda: made.kubectl("create", "--dry-run=server", "-f", "-", given=render(plain())).returncode == 1,
        what="the policies are in force",
        deadline_seconds=DEADLINE_SECONDS,
    )
    try:
        yield made
    finally:
        cluster.run_kubectl("delete", "-f", "-", input=text)


@pytest.fixture
def fallback(cluster: LocalCluster, namespace: str) -> Generator[Fallback]:
    """The namespace with the policies from the start."""
    with installed(cluster, namespace) as made:
        yield made


def plain() -> ServiceObject:
    """A ClusterIP Service with the annotation."""
    return service_object("plain", spec={"type": "ClusterIP"})


def words_of(candidate: ServiceObject, *peers: ServiceObject) -> str:
    """What our rules say, on one line."""
    view = parse_service(candidate)
    assert view.group
    group = group_of(view.group, ledger=None, services=[parse_service(peer) for peer in peers], candidate=view)
    return " ".join(lines(decide(view, Situation(group))))


def test_a_second_holder_of_a_port_is_refused(fallback: Fallback) -> None:
    """In our words, at the right place of the list; what fits is let in."""
    one = service_object("one", "80")
    fallback.sees(one)
    two = service_object("two", "443", "80")

    done = fallback.apply(two)

    assert done.returncode == 1
    assert done.stderr.rstrip().endswith(f"denied request: {words_of(two, one)}")
    assert fallback.apply(service_object("two", "443", "80/UDP")).returncode == 0


def test_all_that_stands_against_one_peer_is_told(fallback: Fallback) -> None:
    """In the order of the rules; on one line, as a policy's message has no other."""
    one = service_object("one", "80", "443", spec={"loadBalancerIP": IP})
    fallback.sees(one)
    two = service_object("two", "443", "81", "80", spec={"loadBalancerIP": "100.64.196.76"})

    done = fallback.apply(two)

    assert words_of(two, one).count("[duplicate-port]") == 2
    assert words_of(two, one).endswith("[static-address-mismatch]")
    assert done.stderr.rstrip().endswith(f"denied request: {words_of(two, one)}")


def test_more_than_a_message_can_hold_is_refused_in_fewer_words(fallback: Fallback) -> None:
    """The API server drops a message of more than 5 KiB."""
    ports = [str(number) for number in range(8000, 8060)]
    fallback.sees(service_object("one", *ports))

    done = fallback.apply(service_object("two", *ports))

    assert done.stderr.rstrip().endswith(
        "denied request: spec.ports: many of them are already served on this shared VIP; choose other ports "
        "[duplicate-port]"
    )


@pytest.mark.parametrize(
    ("held", "wanted", "said"),
    [
        pytest.param(
            IP,
            "foo",
            f"'foo' differs from the {IP} that Service 'one' shares under '{KEY}'; "
            f"set {IP}, or leave it out to inherit it",
            id="what is no address",
        ),
        pytest.param(
            "foo",
            IP,
            f"{IP} differs from the 'foo' that Service 'one' shares under '{KEY}'; "
            "use another sharing key, or make the Services of the group agree first",
            id="what the peer has is no address",
        ),
        pytest.param(
            "",
            "new\nline",
            f"is set to a text that is no address, but Service 'one' shares '{KEY}' without a static address; "
            "leave it out, or use another sharing key",
            id="what cannot be shown on one line",
        ),
    ],
)
def test_a_text_that_is_no_address_differs_too(fallback: Fallback, held: str, wanted: str, said: str) -> None:
    """Admission would tell it as another rule, which the fallback does not have."""
    fallback.sees(service_object("one", "80", spec={"loadBalancerIP": held}))

    done = fallback.apply(service_object("two", "443", spec={"loadBalancerIP": wanted}))

    assert done.stderr.rstrip().endswith(f"spec.loadBalancerIP: {said} [static-address-mismatch]")


@pytest.mark.parametrize(
    ("held", "wanted"),
    [
        pytest.param({"loadBalancerIP": IP}, {"loadBalancerIP": "100.64.196.76"}, id="another address"),
        pytest.param({"loadBalancerIP": IP}, {}, id="no address, and nobody to inherit it"),
        pytest.param({}, {"loadBalancerIP": IP}, id="an address in a group without one"),
    ],
)
def test_a_different_static_address_is_refused(
    fallback: Fallback, held: dict[str, object], wanted: dict[str, object]
) -> None:
    """In our words."""
    one = service_object("one", "80", spec=held)
    fallback.sees(one)
    two = service_object("two", "443", spec=wanted)

    done = fallback.apply(two)

    assert done.returncode == 1
    assert done.stderr.rstrip().endswith(f"denied request: {words_of(two, one)}")


def test_the_same_address_in_the_annotation_is_let_in(fallback: Fallback) -> None:
    """The field and AKO's annotation say the same."""
    fallback.sees(service_object("one", "80", spec={"loadBalancerIP": IP}))

    done = fallback.apply(service_object("two", "443", annotations={"ako.vmware.com/load-balancer-ip": IP}))

    assert done.returncode == 0, done.stderr


def test_the_annotation_on_another_type_is_refused(fallback: Fallback) -> None:
    """In our words, also in an empty namespace."""
    done = fallback.apply(plain())

    assert done.returncode == 1
    assert done.stderr.rstrip().endswith(f"denied request: {words_of(plain())}")


def test_what_does_not_share_is_left_alone(fallback: Fallback) -> None:
    """Without the annotation, in another group, or as a change that no rule looks at."""
    fallback.sees(service_object("one", "80"))

    assert fallback.apply(service_object("ordinary", "80", key=None)).returncode == 0
    assert fallback.apply(service_object("elsewhere", "80", key="other")).returncode == 0
    assert fallback.kubectl("label", "svc", "one", "a=b").returncode == 0


def test_an_update_into_a_conflict_is_refused(fallback: Fallback) -> None:
    """By port, and by key."""
    fallback.sees(service_object("one", "80"))
    assert fallback.apply(service_object("two", "443"), service_object("three", "80", key="other")).returncode == 0

    by_port = fallback.apply(service_object("two", "80"))
    by_key = fallback.apply(service_object("three", "80"))

    assert "[duplicate-port]" in by_port.stderr
    assert "[duplicate-port]" in by_key.stderr


def test_an_old_conflict_may_be_changed_and_fixed(cluster: LocalCluster, namespace: str) -> None:
    """Only a new violation is refused: what was stored before the policies stays changeable."""
    one, twin = service_object("one", "80"), service_object("twin", "80")
    odd = service_object("odd", spec={"type": "ClusterIP"})
    assert Fallback(cluster, namespace).apply(one, twin, odd).returncode == 0
    with installed(cluster, namespace) as fallback:
        fallback.sees(service_object("other", "443"))

        assert fallback.kubectl("label", "svc", "twin", "odd", "a=b").returncode == 0
        assert "[duplicate-port]" in fallback.apply(service_object("twin", "80", "443")).stderr
        assert fallback.apply(service_object("twin", "81")).returncode == 0
        assert "[duplicate-port]" in fallback.apply(service_object("twin", "80")).stderr


def test_what_is_being_deleted_is_never_refused(cluster: LocalCluster, namespace: str) -> None:
    """Its finalizers must come off, whatever is wrong with it by then."""
    one, odd = service_object("one", "80"), service_object("odd", "80", spec={"type": "ClusterIP"})
    twin = service_object("twin", "80")
    for service in (twin, odd):
        service["metadata"]["finalizers"] = ["example.com/hold"]  # pyright: ignore[reportTypedDictNotRequiredAccess, reportGeneralTypeIssues] - we never read it
    assert Fallback(cluster, namespace).apply(one, twin, odd).returncode == 0
    with installed(cluster, namespace) as fallback:
        fallback.sees(service_object("other", "443"))
        assert fallback.kubectl("delete", "svc", "twin", "odd", "--wait=false").returncode == 0

        into_conflict = fallback.kubectl("patch", "svc", "twin", f"--patch={patch(80, 443)}")
        released = [
            fallback.kubectl("patch", "svc", name, "--type=merge", '--patch={"metadata": {"finalizers": null}}')
            for name in ("twin", "odd")
        ]

        assert into_conflict.returncode == 0, into_conflict.stderr
        assert [done.returncode for done in released] == [0, 0]
        left = json.loads(fallback.kubectl("get", "svc", "-o", "json").stdout)["items"]
        assert {found["metadata"]["name"] for found in left} == {"one", "other"}


def test_a_change_that_no_rule_looks_at_is_not_compared(cluster: LocalCluster, namespace: str) -> None:
    """Two peers of 400 ports each: more than the API server compares within its budget, and their labels change."""
    bare = {"allocateLoadBalancerNodePorts": False}
    ports = {name: [str(first + number) for number in range(400)] for name, first in (("one", 1000), ("two", 2000))}
    stored = [service_object(name, *numbers, spec=bare) for name, numbers in ports.items()]
    assert Fallback(cluster, namespace).apply(*stored).returncode == 0
    with installed(cluster, namespace) as fallback:
        fallback.sees(service_object("other", "443"))

        labelled = fallback.kubectl("label", "svc", "one", "a=b")
        grown = fallback.apply(service_object("one", *ports["one"], "80", spec=bare))

    assert labelled.returncode == 0, labelled.stderr
    assert "cost limit exceeded" in grown.stderr


def patch(*ports: int) -> str:
    """A strategic merge patch that gives a Service these ports."""
    return json.dumps({"spec": {"ports": [{"name": f"tcp-{port}", "port": port} for port in ports]}})


def test_a_key_that_is_none_makes_no_group(fallback: Fallback) -> None:
    """As in admission, which refuses the key itself: that rule is not repeated."""
    done = fallback.apply(service_object("one", "80", key="a/b"), service_object("two", "80", key="a/b"))

    assert done.returncode == 0, done.stderr


def test_the_policies_are_of_the_right_types(cluster: LocalCluster, namespace: str) -> None:
    """The API server's own type check finds nothing; a field that does not exist, it would."""
    wrong = json.loads(json.dumps(MANIFESTS[0]).replace("object.spec.type", "object.spec.kind"))
    told = {one["metadata"]["name"]: only_in(namespace, one) for one in (*POLICIES, renamed(wrong))}
    text = yaml.safe_dump_all(told.values())
    cluster.run_kubectl("apply", "-f", "-", input=text)
    try:
        warnings = {name: type_warnings(cluster, one["metadata"]["name"]) for name, one in told.items()}
    finally:
        cluster.run_kubectl("delete", "-f", "-", input=text)

    assert [name for name, found in warnings.items() if found] == ["sharedvip-fallback-wrong"]
    assert warnings.keys() == {"sharedvip-fallback-type", "sharedvip-fallback-group", "sharedvip-fallback-wrong"}


def renamed(policy: dict[str, Any]) -> dict[str, Any]:
    """The policy under another name."""
    return {**policy, "metadata": {"name": "sharedvip-fallback-wrong"}}


def type_warnings(cluster: LocalCluster, policy: str) -> list[dict[str, str]]:
    """What the type check says, once it has looked."""

    def status() -> dict[str, Any]:
        return json.loads(cluster.run_kubectl("get", "validatingadmissionpolicy", policy, "-o", "json").stdout)[
            "status"
        ]

    wait_until(lambda: "typeChecking" in status(), what="the types are checked", deadline_seconds=DEADLINE_SECONDS)
    return status()["typeChecking"].get("expressionWarnings", [])


def test_a_member_goes_along_when_its_group_moves(fallback: Fallback) -> None:
    """It says so by the annotation; without it, another address is refused as ever."""
    new = "100.64.196.76"
    held = {"loadBalancerIP": IP}
    fallback.sees(service_object("one", "80", spec=held), service_object("two", "443", spec=held))
    intends = {"sharedvip.dev/intended-address": new}

    strays = fallback.apply(service_object("one", "80", spec={"loadBalancerIP": new}))
    goes = fallback.apply(service_object("one", "80", spec={"loadBalancerIP": new}, annotations=intends))
    joins = fallback.apply(service_object("three", "53", spec={"loadBalancerIP": new}, annotations=intends))

    assert "[static-address-mismatch]" in strays.stderr
    assert goes.returncode == 0, goes.stderr
    assert "[static-address-mismatch]" in joins.stderr
