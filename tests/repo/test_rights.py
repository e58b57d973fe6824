"""Our ServiceAccounts may do what their programs do, and nothing else: asked of a real API server."""

import json
from ipaddress import IPv6Address
from typing import Final, NamedTuple
from zlib import crc32

import pytest

from localcluster.cluster import LocalCluster
from tests.repo.manifests import SYSTEM, grant, wait_for_refusal

pytestmark = pytest.mark.e2e


class Right(NamedTuple):
    """What one of our ServiceAccounts wants to do, in the words of a SubjectAccessReview."""

    account: str
    verb: str
    resource: str
    group: str = ""
    subresource: str = ""
    name: str = ""
    namespace: str = "shop"
    """A user's, where it is not ours. The authorizer does not mind whether it exists."""

    def review(self) -> str:
        """What `kubectl auth can-i --as=...` asks, for another than oneself."""
        attributes = self._asdict()
        user = f"system:serviceaccount:{SYSTEM}:sharedvip-{attributes.pop('account')}"
        kind = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview"}
        return json.dumps({**kind, "spec": {"user": user, "resourceAttributes": attributes}})


GRANTED: Final = {
    "the webhook may watch Services": Right("webhook", "watch", "services"),
    "the webhook may look at a Service": Right("webhook", "get", "services"),
    "the webhook may watch the ledgers": Right("webhook", "watch", "sharedvips", group="sharedvip.dev"),
    "the reconciler may watch the ledgers": Right("reconciler", "watch", "sharedvips", group="sharedvip.dev"),
    "the reconciler may watch Services": Right("reconciler", "watch", "services"),
    "the webhook may claim": Right("webhook", "patch", "sharedvips", group="sharedvip.dev"),
    "the webhook may make a group": Right("webhook", "create", "sharedvips", group="sharedvip.dev"),
    "the webhook may lock an address": Right("webhook", "create", "ipaddresses", group="networking.k8s.io"),
    "the webhook may note who leaves, and who takes over": Right(
        "webhook", "patch", "ipaddresses", group="networking.k8s.io"
    ),
    "the reconciler may claim for newcomers": Right("reconciler", "patch", "sharedvips", group="sharedvip.dev"),
    "the reconciler may write a group's status": Right(
        "reconciler", "patch", "sharedvips", group="sharedvip.dev", subresource="status"
    ),
    "the reconciler may write a Service's status": Right("reconciler", "patch", "services", subresource="status"),
    "the reconciler may watch endpoints": Right("reconciler", "watch", "endpointslices", group="discovery.k8s.io"),
    "the reconciler may watch nodes": Right("reconciler", "watch", "nodes"),
    "the reconciler may watch pods": Right("reconciler", "watch", "pods"),
    "the reconciler may watch namespaces": Right("reconciler", "watch", "namespaces"),
    "the reconciler may watch AviInfraSettings": Right(
        "reconciler", "watch", "aviinfrasettings", group="ako.vmware.com"
    ),
    "the reconciler may watch L4Rules": Right("reconciler", "watch", "l4rules", group="ako.vmware.com"),
    "the reconciler may end a group": Right("reconciler", "delete", "sharedvips", group="sharedvip.dev"),
    "the reconciler may unlock an address": Right("reconciler", "delete", "ipaddresses", group="networking.k8s.io"),
    "the reconciler may tell events": Right("reconciler", "create", "events", group="events.k8s.io"),
    "the reconciler may make its Lease": Right(
        "reconciler", "create", "leases", group="coordination.k8s.io", namespace=SYSTEM
    ),
    "the reconciler may renew its Lease": Right(
        "reconciler", "update", "leases", group="coordination.k8s.io", name="sharedvip-reconciler", namespace=SYSTEM
    ),
    "certs may make its Secrets": Right("certs", "create", "secrets", namespace=SYSTEM),
    "certs may read the authority": Right("certs", "get", "secrets", name="sharedvip-webhook-ca", namespace=SYSTEM),
    "certs may renew the certificate": Right(
        "certs", "patch", "secrets", name="sharedvip-webhook-tls", namespace=SYSTEM
    ),
    "certs may tell the API server whom to trust": Right(
        "certs",
        "patch",
        "validatingwebhookconfigurations",
        group="admissionregistration.k8s.io",
        name="sharedvip.dev",
        namespace="",
    ),
}
WITHHELD: Final = {
    "the webhook may not change a Service": Right("webhook", "update", "services"),
    "the webhook may not write a Service's status": Right("webhook", "patch", "services", subresource="status"),
    "the webhook may not write a group's status": Right(
        "webhook", "patch", "sharedvips", group="sharedvip.dev", subresource="status"
    ),
    "the webhook may not create Services": Right("webhook", "create", "services"),
    "the webhook may not delete Services": Right("webhook", "delete", "services"),
    "the webhook may not end a group": Right("webhook", "delete", "sharedvips", group="sharedvip.dev"),
    "the webhook may not unlock an address": Right("webhook", "delete", "ipaddresses", group="networking.k8s.io"),
    "the webhook may not replace an address": Right("webhook", "update", "ipaddresses", group="networking.k8s.io"),
    "the webhook may not read the authority": Right(
        "webhook", "get", "secrets", name="sharedvip-webhook-ca", namespace=SYSTEM
    ),
    "the webhook may not read users' Secrets": Right("webhook", "list", "secrets"),
    "the webhook may not hold the Lease": Right(
        "webhook", "update", "leases", group="coordination.k8s.io", name="sharedvip-reconciler", namespace=SYSTEM
    ),
    "the webhook may not change who calls it": Right(
        "webhook",
        "patch",
        "validatingwebhookconfigurations",
        group="admissionregistration.k8s.io",
        name="sharedvip.dev",
        namespace="",
    ),
    "the reconciler may not change a Service": Right("reconciler", "patch", "services"),
    "the reconciler may not delete a Service": Right("reconciler", "delete", "services"),
    "the reconciler may not change endpoints": Right("reconciler", "patch", "endpointslices", group="discovery.k8s.io"),
    "the reconciler may not read the Avi credentials by API": Right(
        "reconciler", "get", "secrets", name="sharedvip-avi", namespace=SYSTEM
    ),
    "the reconciler may not read users' Secrets": Right("reconciler", "list", "secrets"),
    "the reconciler may not touch another's Lease": Right(
        "reconciler", "update", "leases", group="coordination.k8s.io", name="another", namespace=SYSTEM
    ),
    "the reconciler may not make Leases elsewhere": Right(
        "reconciler", "create", "leases", group="coordination.k8s.io", namespace="kube-node-lease"
    ),
    "certs may not read the Avi credentials": Right("certs", "get", "secrets", name="sharedvip-avi", namespace=SYSTEM),
    "certs may not list our Secrets": Right("certs", "list", "secrets", namespace=SYSTEM),
    "certs may not delete its Secrets": Right(
        "certs", "delete", "secrets", name="sharedvip-webhook-ca", namespace=SYSTEM
    ),
    "certs may not make Secrets elsewhere": Right("certs", "create", "secrets"),
    "certs may not read Services": Right("certs", "get", "services"),
    "certs may not touch another's webhook configuration": Right(
        "certs",
        "patch",
        "validatingwebhookconfigurations",
        group="admissionregistration.k8s.io",
        name="another",
        namespace="",
    ),
    "certs may not make a webhook configuration": Right(
        "certs", "create", "mutatingwebhookconfigurations", group="admissionregistration.k8s.io", namespace=""
    ),
    "nobody of us may grant rights": Right(
        "reconciler", "create", "clusterrolebindings", group="rbac.authorization.k8s.io", namespace=""
    ),
}


@pytest.fixture(scope="module")
def system(cluster: LocalCluster) -> LocalCluster:
    """A cluster with our rights."""
    grant(cluster)
    return cluster


@pytest.fixture(scope="module")
def answers(system: LocalCluster) -> dict[Right, bool]:
    """What the real authorizer says, all asked at once."""
    rights = [*GRANTED.values(), *WITHHELD.values()]
    reviews = "\n---\n".join(right.review() for right in rights)
    allowed = system.run_kubectl("create", "-f", "-", "-o", "jsonpath={.status.allowed},", input=reviews).stdout
    return dict(zip(rights, (answer == "true" for answer in allowed.split(",")[:-1]), strict=True))


@pytest.mark.parametrize(
    ("right", "allowed"),
    [
        *(pytest.param(right, True, id=sentence) for sentence, right in GRANTED.items()),
        *(pytest.param(right, False, id=sentence) for sentence, right in WITHHELD.items()),
    ],
)
def test_rights_are_what_they_are_meant_to_be(answers: dict[Right, bool], right: Right, *, allowed: bool) -> None:
    """As `kubectl auth can-i --as=...` would say, one by one."""
    assert answers[right] is allowed


def own_address(namespace: str) -> str:
    """A claim of ours on an address of the range for documentation, another one for each test."""
    address = IPv6Address((0x20010DB8 << 96) + crc32(namespace.encode()))
    parent = {"group": "sharedvip.dev", "resource": "sharedvips", "namespace": namespace, "name": "key"}
    metadata = {"name": str(address), "labels": {"ipaddress.kubernetes.io/managed-by": "sharedvip.dev"}}
    kind = {"apiVersion": "networking.k8s.io/v1", "kind": "IPAddress"}
    return json.dumps({**kind, "metadata": metadata, "spec": {"parentRef": parent}})


def test_the_reconciler_cannot_free_a_cluster_ip(system: LocalCluster, namespace: str) -> None:
    """The right to change and delete addresses ends at those that carry our label."""

    def kubectl(*arguments: str, text: str | None = None) -> str:
        return system.run_kubectl(*arguments, input=text).stdout.strip()

    def as_reconciler(verb: str, name: str, *options: str) -> str:
        user = f"--as=system:serviceaccount:{SYSTEM}:sharedvip-reconciler"
        return system.run_kubectl(verb, name, user, *options, check=False).stderr or "done"

    ours = kubectl("create", "-f", "-", "-o", "name", text=own_address(namespace))
    path = "jsonpath={.spec.clusterIP}"
    theirs = kubectl("create", "service", "clusterip", "web", "--tcp=80", "-n", namespace, "-o", path)

    cluster_ip = f"ipaddress/{theirs}"
    mark = ("--type=merge", "-p", '{"metadata":{"annotations":{"a":"b"}}}')
    assert "only if its label" in wait_for_refusal(lambda: as_reconciler("delete", cluster_ip, "--dry-run=server"))
    assert "only if its label" in as_reconciler("patch", cluster_ip, *mark)
    assert as_reconciler("patch", ours, *mark) == "done"
    assert as_reconciler("delete", ours) == "done"
