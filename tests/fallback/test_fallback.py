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
from tests.builders import lines, service_object
from tests.e2e.scene import render

pytestmark = pytest.mark.e2e

DEPLOY = Path(__file__).parents[2] / "deploy"
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
    files = sorted((DEPLOY / "fallback").glob("*.yaml"))
    documents = [one for file in files for one in yaml.safe_load_all(file.read_text())]
    text = yaml.safe_dump_all([*(only_in(namespace, one) for one in documents), dead_webhook(namespace)])
    cluster.run_kubectl("apply", "-f", "-", input=text)
    made = Fallback(cluster, namespace)
    # The type is refused by a policy without parameters: once it is in force, its binding is known.
    wait_until(
        lambda: made.kubectl("create", "--dry-run=server", "-f", "-", given=render(plain())).returncode == 1,
        what="the policies are in force",
        deadline_seconds=DEADLINE_SECONDS,
    )
    yield made
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
