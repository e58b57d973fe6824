"""``--client-ca`` with a real API server that shows its certificate, and with callers that do not or may not."""

import base64
import json
import re
import ssl
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from certs.issue import Authority, KeyPair
from localcluster.cluster import LocalCluster
from localcluster.ports import LOOPBACK
from localcluster.waiting import wait_until
from tests.builders import service_object
from tests.certs.builders import authority, client, today
from tests.repo.manifests import DEPLOY
from tests.webhook.process import DEADLINE_SECONDS, Webhook, started

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
HOW_TO = ROOT / "docs/how-to/client-certificates.md"
OLD, NEW = authority(now=today()), authority(now=today())
REFUSAL = "[not-load-balancer]"
LOADED = 'sharedvip_certificate_reloads_total{outcome="loaded"}'


@dataclass(frozen=True)
class Guarded:
    """A control plane whose API server has a client certificate, and a webhook that asks for it."""

    cluster: LocalCluster
    webhook: Webhook
    directory: Path

    def ask(self) -> str:
        """What kubectl is told when somebody creates what is not allowed."""
        words = ("create", "--dry-run=server", "-f", "-")
        unfit = service_object("web", spec={"type": "ClusterIP"})
        return self.cluster.run_kubectl(*words, input=json.dumps(unfit), check=False).stderr

    def wait_until_asked(self) -> None:
        """The API server learns of a webhook a moment after it is configured."""
        wait_until(
            lambda: REFUSAL in self.ask(), what="the API server asks the webhook", deadline_seconds=DEADLINE_SECONDS
        )

    def trust(self, *authorities: Authority) -> None:
        """Change the webhook's file of authorities; returns when it has them."""
        before, file = self.webhook.metric(LOADED), self.directory / "client-ca.crt"
        fresh = self.directory / "client-ca.new"
        fresh.write_bytes(b"".join(one.certificate_pem for one in authorities))
        fresh.replace(file)
        wait_until(
            lambda: self.webhook.metric(LOADED) > before,
            what="the webhook has the new authorities",
            deadline_seconds=DEADLINE_SECONDS,
        )

    def restart(self, pair: KeyPair, *, user: str = "*") -> None:
        """Have the API server show another certificate; ``user`` is whom the kubeconfig means it for."""
        write_files(self.directory, user=user)
        show(pair, self.directory)
        self.cluster.restart_apiserver()

    def wait_until_cut(self) -> None:
        """The API server is not let in, and kubectl is told what the how-to's table has."""
        wait_until(
            lambda: re.search(r"failed calling webhook .*: (EOF|.*connection reset by peer)", self.ask()) is not None,
            what="the API server is cut",
            deadline_seconds=DEADLINE_SECONDS,
        )

    def showing(self, pair: KeyPair) -> ssl.SSLContext:
        """Another client's context."""
        context, file = self.webhook.context, self.directory / "other.pem"
        file.write_bytes(pair.certificate_pem + pair.key_pem)
        context.load_cert_chain(file)
        return context


def page_blocks() -> list[Any]:
    """The YAML of the how-to, block by block."""
    blocks = HOW_TO.read_text().split("```yaml\n")[1:]
    return [yaml.safe_load(block.partition("```")[0]) for block in blocks]


def write_files(directory: Path, *, user: str = "*") -> Path:
    """The how-to's two files for the API server, with our paths in them; the path of the first."""
    admission, kubeconfig = page_blocks()[:2]
    for plugin in admission["plugins"]:
        plugin["configuration"]["kubeConfigFile"] = str(directory / "webhooks.kubeconfig")
    files = {"client-certificate": str(directory / "tls.crt"), "client-key": str(directory / "tls.key")}
    # On loopback there are no Service names.
    kubeconfig["users"] = [{"name": user, "user": files}]
    (directory / "webhooks.kubeconfig").write_text(json.dumps(kubeconfig))
    (directory / "admission.yaml").write_text(yaml.safe_dump(admission))
    return directory / "admission.yaml"


def show(pair: KeyPair, directory: Path) -> None:
    """What the API server has."""
    (directory / "tls.crt").write_bytes(pair.certificate_pem)
    (directory / "tls.key").write_bytes(pair.key_pem)


def configuration(webhook: Webhook) -> str:
    """Our own, by URL."""
    made = yaml.safe_load((DEPLOY / "60-validatingwebhookconfiguration.yaml").read_text())
    bundle = base64.b64encode(webhook.ca.read_bytes()).decode()
    made["webhooks"][0]["clientConfig"] = {"url": f"https://{LOOPBACK}:{webhook.port}/validate", "caBundle": bundle}
    return json.dumps(made)


@pytest.fixture
def guarded(tmp_path: Path) -> Generator[Guarded]:
    """Ready, and asked."""
    api_server, webhook = tmp_path / "api-server", tmp_path / "webhook"
    api_server.mkdir()
    webhook.mkdir()
    show(client(OLD, "kube-apiserver"), api_server)
    (api_server / "client-ca.crt").write_bytes(OLD.certificate_pem)
    flags = [f"--admission-control-config-file={write_files(api_server)}"]
    with LocalCluster(nodes=0, progress=lambda _: None, api_server_flags=flags) as cluster:
        cluster.run_kubectl("apply", "-f", str(DEPLOY / "10-customresourcedefinition.yaml"))
        cluster.run_kubectl("wait", "--for=condition=Established", "crd/sharedvips.sharedvip.dev")
        asking = (f"--client-ca={api_server / 'client-ca.crt'}", "--client-name=kube-apiserver")
        with started(webhook, cluster.kubeconfig, *asking) as running:
            running.wait_for("/readyz", 200)
            cluster.run_kubectl("apply", "-f", "-", input=configuration(running))
            made = Guarded(cluster, running, api_server)
            made.wait_until_asked()
            yield made


def test_only_the_api_server_is_answered_and_its_authority_rotates(guarded: Guarded) -> None:
    """The API server is served while it shows the right one; who has none, or another name, never is."""
    api_server, successor = client(OLD, "kube-apiserver"), client(NEW, "kube-apiserver")

    with pytest.raises(OSError):  # noqa: PT011 - an alert, a reset or an end, whichever comes first
        guarded.webhook.is_serving()
    with pytest.raises(OSError):  # noqa: PT011 - likewise
        guarded.webhook.is_serving(guarded.showing(client(OLD, "somebody")))
    assert guarded.webhook.metric("sharedvip_client_refusals_total") == 1
    assert guarded.webhook.is_serving(guarded.showing(api_server))
    with pytest.raises(OSError):  # noqa: PT011 - likewise
        guarded.webhook.is_serving(guarded.showing(successor))

    guarded.trust(OLD, NEW)
    assert all(REFUSAL in guarded.ask() for _ in range(5))
    assert guarded.webhook.is_serving(guarded.showing(successor))

    guarded.restart(successor)
    guarded.wait_until_asked()
    guarded.trust(NEW)
    assert all(REFUSAL in guarded.ask() for _ in range(5))
    with pytest.raises(OSError):  # noqa: PT011 - likewise
        guarded.webhook.is_serving(guarded.showing(api_server))

    guarded.restart(successor, user="another-webhook.svc")
    guarded.wait_until_cut()
