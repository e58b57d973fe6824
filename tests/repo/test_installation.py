"""A real API server takes deploy/ as it is, and asks our webhooks about the right Services only."""

import asyncio
import json
import shlex
import socket
from collections.abc import Generator
from contextlib import contextmanager
from typing import NamedTuple

import pytest

from certs.command import CertsSettings, run
from localcluster.cluster import LocalCluster
from sharedvip.annotations import SHARED_VIP
from tests.repo.manifests import (
    DEPLOY,
    MANIFESTS,
    README,
    SYSTEM,
    Manifest,
    Object,
    commands_of,
    of_kind,
    wait_for_refusal,
)

pytestmark = pytest.mark.e2e


@contextmanager
def unreachable(cluster: LocalCluster, namespace: str, *, kind: str) -> Generator[None]:
    """A webhook configuration as it is, but for one namespace, and with nobody at its address."""
    # Bound and not listening: nobody else gets the port, and a call to it is refused.
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        url = f"https://127.0.0.1:{reserved.getsockname()[1]}"
        (manifest,) = of_kind(kind)
        cluster.run_kubectl("apply", "-f", "-", input=json.dumps(redirected(manifest, url, namespace)))
        try:
            yield
        finally:
            cluster.run_kubectl("delete", kind, "sharedvip-unreachable")


def redirected(manifest: Manifest, url: str, namespace: str) -> Object:
    """The same rules and conditions under another name."""
    webhooks = [
        {
            **webhook,
            "clientConfig": {"url": url},
            # Also where ours is Ignore: a call that fails is how these tests see that there was one.
            "failurePolicy": "Fail",
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        }
        for webhook in manifest.content["webhooks"]
    ]
    return {**manifest.content, "metadata": {"name": "sharedvip-unreachable"}, "webhooks": webhooks}


def service(
    name: str,
    *,
    annotations: dict[str, str] | None = None,
    finalizers: tuple[str, ...] = (),
    type_: str = "LoadBalancer",
) -> str:
    """One as users write it."""
    metadata = {"name": name, "finalizers": list(finalizers)} | ({"annotations": annotations} if annotations else {})
    spec = {"type": type_, "ports": [{"port": 80}]}
    return json.dumps({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})


def test_only_services_that_share_a_vip_or_did_are_validated(cluster: LocalCluster, namespace: str) -> None:
    """With nobody there, what succeeds was never sent; and what is deleted can always go."""

    def kubectl(*arguments: str, text: str | None = None) -> str:
        return cluster.run_kubectl(*arguments, "-n", namespace, input=text, check=False).stderr or "done"

    member = service("member", annotations={SHARED_VIP: "key"}, finalizers=("example.com/slow",))
    assert kubectl("create", "-f", "-", text=member) == "done"
    with unreachable(cluster, namespace, kind="ValidatingWebhookConfiguration"):
        refused = wait_for_refusal(lambda: kubectl("annotate", "service", "member", "note=1", "--overwrite"))
        assert 'failed calling webhook "validate.sharedvip.dev"' in refused
        assert "failed calling" in kubectl("create", "-f", "-", text=service("new", annotations={SHARED_VIP: ""}))
        cluster_ip = service("typed", annotations={SHARED_VIP: "key"}, type_="ClusterIP")
        assert "failed calling" in kubectl("create", "-f", "-", text=cluster_ip)
        # Leaving a group is a matter too: only the old object has the annotation.
        assert "failed calling" in kubectl("annotate", "service", "member", f"{SHARED_VIP}-")

        assert kubectl("create", "-f", "-", text=service("plain")) == "done"
        assert kubectl("create", "-f", "-", text=service("other", annotations={"note": "mine"})) == "done"
        assert kubectl("label", "service", "plain", "a=b") == "done"
        assert "failed calling" in kubectl("annotate", "service", "plain", f"{SHARED_VIP}=key")
        status = '-p={"status":{"loadBalancer":{"ingress":[{"ip":"192.0.2.1"}]}}}'
        assert kubectl("patch", "service", "member", "--subresource=status", "--type=merge", status) == "done"

        assert kubectl("delete", "service", "member", "--wait=false") == "done"
        assert kubectl("patch", "service", "member", "--type=merge", '-p={"metadata":{"finalizers":[]}}') == "done"
        assert "NotFound" in kubectl("get", "service", "member")


def test_only_load_balancers_that_share_a_vip_are_mutated(cluster: LocalCluster, namespace: str) -> None:
    """Nobody else has anything to inherit."""

    def kubectl(*arguments: str, text: str | None = None) -> str:
        return cluster.run_kubectl(*arguments, "-n", namespace, input=text, check=False).stderr or "done"

    assert kubectl("create", "-f", "-", text=service("member", annotations={SHARED_VIP: "key"})) == "done"
    with unreachable(cluster, namespace, kind="MutatingWebhookConfiguration"):
        refused = wait_for_refusal(lambda: kubectl("annotate", "service", "member", "note=1", "--overwrite"))
        assert 'failed calling webhook "mutate.sharedvip.dev"' in refused
        assert "failed calling" in kubectl("create", "-f", "-", text=service("new", annotations={SHARED_VIP: "key"}))

        cluster_ip = service("typed", annotations={SHARED_VIP: "key"}, type_="ClusterIP")
        assert kubectl("create", "-f", "-", text=cluster_ip) == "done"
        assert kubectl("create", "-f", "-", text=service("plain")) == "done"
        assert kubectl("annotate", "service", "member", f"{SHARED_VIP}-") == "done"


class Administrator(NamedTuple):
    """Somebody who types what the README says."""

    cluster: LocalCluster

    def types(self, heading: str, *, without: str) -> None:
        """The commands below a heading, one after the other, without those that say this; each must succeed."""
        commands = commands_of(README.read_text(encoding="utf-8"), heading)
        typed = [command for command in commands if without not in command]
        assert typed
        for command in typed:
            self.cluster.run_kubectl(*shlex.split(command.replace("deploy/", f"{DEPLOY}/"))[1:])

    def sees(self) -> set[str]:
        """Everything of ours, by kind and name; objects that a namespace brings by itself do not count."""
        found = [self._get("-l", "app.kubernetes.io/part-of=sharedvip")]
        found += [self._get("-l", "ipaddress.kubernetes.io/managed-by=sharedvip.dev", kinds="ipaddresses")]
        return set("\n".join(found).split())

    def trusted(self) -> set[str]:
        """Whom the API server is told to trust when it calls us."""
        path = "jsonpath={.items[*].webhooks[*].clientConfig.caBundle}"
        kinds = "validatingwebhookconfigurations,mutatingwebhookconfigurations"
        label = "-l=app.kubernetes.io/part-of=sharedvip"
        return set(self.cluster.run_kubectl("get", kinds, label, "-o", path).stdout.split())

    def _get(self, *options: str, kinds: str = "") -> str:
        # Its own kinds, and what the certificate's job makes.
        kinds = kinds or ",".join(sorted({manifest.kind for manifest in MANIFESTS} | {"Secret"}))
        return self.cluster.run_kubectl("get", kinds, "-A", *options, "-o", "name").stdout


@pytest.fixture
def administrator() -> Generator[Administrator]:
    """Of a control plane of their own: webhook configurations of the real name would be in everybody's way.

    And of what others have applied by the server's side before, kubectl would warn.
    """
    with LocalCluster() as fresh:
        yield Administrator(fresh)


def test_the_api_server_takes_every_manifest_without_a_warning(administrator: Administrator) -> None:
    """Schema, CEL, pod security and quota, all by the real code; unknown fields would be warned of."""
    kubectl = administrator.cluster.run_kubectl
    kubectl("apply", "-f", str(DEPLOY / "00-namespace.yaml"))  # dry run cannot put anything in one that is not
    done = kubectl("apply", "--dry-run=server", "--validate=strict", "-f", str(DEPLOY), deadline_seconds=120)

    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == len(MANIFESTS)


def test_the_readme_installs_repairs_and_uninstalls(administrator: Administrator) -> None:
    """Its commands, for real; the Job's pod is played by `sharedvip certs` itself, with the Job's own rights."""
    cluster = administrator.cluster
    administrator.types("Install", without="secret generic")  # it needs files with credentials
    settings = CertsSettings(kubeconfig=cluster.service_account_kubeconfig(SYSTEM, "sharedvip-certs"))
    assert asyncio.run(run(settings)) == 0
    (bundle,) = administrator.trusted()

    administrator.types("Emergency", without="create job")
    assert asyncio.run(run(settings)) == 0
    assert administrator.trusted() == {bundle}
    administrator.types("Certificates", without="create job")
    assert asyncio.run(run(settings)) == 0
    assert administrator.trusted().isdisjoint({bundle})

    parent = {"group": "sharedvip.dev", "resource": "sharedvips", "namespace": "shop", "name": "key"}
    metadata = {"name": "192.0.2.1", "labels": {"ipaddress.kubernetes.io/managed-by": "sharedvip.dev"}}
    address = {"apiVersion": "networking.k8s.io/v1", "kind": "IPAddress", "metadata": metadata}
    cluster.run_kubectl("create", "-f", "-", input=json.dumps({**address, "spec": {"parentRef": parent}}))
    assert {"ipaddress.networking.k8s.io/192.0.2.1", "secret/sharedvip-webhook-ca"} < administrator.sees()
    administrator.types("Uninstall", without="NAMESPACE NAME")
    assert administrator.sees() == set()
