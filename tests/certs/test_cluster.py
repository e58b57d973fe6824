"""`sharedvip certs` on a real API server: with its real rights, its real Secrets, and calls that Go itself verifies."""

import asyncio
import base64
import json
import time
from collections.abc import Callable, Generator
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple, TypedDict

import pytest
import yaml
from cryptography import x509
from structlog.testing import capture_logs

from certs.command import CertsSettings, run
from certs.issue import KeyPair, expiry, is_matching, is_signed_by
from certs.serving import Reload, ServingCertificate
from localcluster.cluster import LocalCluster
from tests.certs.builders import DAY, MountedSecret, today
from tests.certs.loopback import REFUSAL, serve_denials
from tests.repo.manifests import DEPLOY, SYSTEM, grant, of_kind

pytestmark = pytest.mark.e2e

TLS: Final = "sharedvip-webhook-tls"
AUTHORITY: Final = "sharedvip-webhook-ca"
CONFIGURATION: Final = "certs-test.sharedvip.dev"
"""Not `sharedvip.dev`: other tests share the cluster, and may have that one in force."""
KINDS: Final = {
    "validatingwebhookconfiguration": "60-validatingwebhookconfiguration.yaml",
    "mutatingwebhookconfiguration": "61-mutatingwebhookconfiguration.yaml",
}
DEADLINE_SECONDS: Final = 20.0


class Secret(NamedTuple):
    """One as it is stored."""

    version: str
    type: str
    data: dict[str, bytes]


class WebhookObject(TypedDict, total=False):
    """What these tests touch of a webhook."""

    clientConfig: dict[str, object]
    namespaceSelector: dict[str, object]


class Installed(NamedTuple):
    """A cluster with our namespace and rights, and neither Secrets nor webhook configurations."""

    cluster: LocalCluster
    kubeconfig: Path

    def certs(self, *, now: datetime | None = None) -> int:
        """`sharedvip certs` as the Job runs it, at a moment of ours."""
        moment = now or today()
        return asyncio.run(run(self.settings, now=lambda: moment))

    @property
    def settings(self) -> CertsSettings:
        """With an address for calls by URL."""
        return CertsSettings(kubeconfig=self.kubeconfig, ip_addresses=("127.0.0.1",), configuration=CONFIGURATION)

    def secret(self, name: str) -> Secret:
        """Read by the administrator."""
        found = json.loads(self.cluster.run_kubectl("get", "secret", "-n", SYSTEM, name, "-o", "json").stdout)
        data = {part: base64.b64decode(content) for part, content in found["data"].items()}
        return Secret(found["metadata"]["resourceVersion"], found["type"], data)

    def serving(self) -> KeyPair:
        """What the webhook would mount."""
        data = self.secret(TLS).data
        return KeyPair(data["tls.crt"], data["tls.key"])

    def bundle(self, kind: str) -> bytes:
        """What the API server is told to trust."""
        path = "jsonpath={.webhooks[0].clientConfig.caBundle}"
        return base64.b64decode(self.cluster.run_kubectl("get", kind, CONFIGURATION, "-o", path).stdout)

    def configure(self, kind: str, *, url: str, namespace: str = "nowhere") -> None:
        """Apply our own manifest, adapted to loopback and to one namespace."""
        manifest = yaml.safe_load((DEPLOY / KINDS[kind]).read_text(encoding="utf-8"))
        manifest["metadata"]["name"] = CONFIGURATION
        webhook: WebhookObject = manifest["webhooks"][0]
        webhook["clientConfig"] = {"url": url}
        webhook["namespaceSelector"] = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
        self.cluster.run_kubectl("apply", "-f", "-", input=json.dumps(manifest))

    def attempt(self, namespace: str) -> str:
        """What kubectl says when somebody creates an annotated Service (dry run)."""
        service = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "web", "annotations": {"ako.vmware.com/enable-shared-vip": "key"}},
            "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]},
        }
        arguments = ("create", "--dry-run=server", "-n", namespace, "-f", "-")
        return self.cluster.run_kubectl(*arguments, input=json.dumps(service), check=False).stderr

    def clean(self) -> None:
        """No Secrets, no configurations."""
        for kind in KINDS:
            self.cluster.run_kubectl("delete", kind, CONFIGURATION, "--ignore-not-found")
        self.cluster.run_kubectl("delete", "secret", "-n", SYSTEM, TLS, AUTHORITY, "--ignore-not-found")


def renamed_rights() -> str:
    """The cluster-wide rights of `sharedvip certs`, for the configurations of these tests."""
    role, binding = (
        next(found.content for found in of_kind(kind) if found.name == "sharedvip-certs")
        for kind in ("ClusterRole", "ClusterRoleBinding")
    )
    metadata = {"name": "sharedvip-certs-test"}
    rules = [{**rule, "resourceNames": [CONFIGURATION]} for rule in role["rules"]]
    items = (
        {**role, "metadata": metadata, "rules": rules},
        {**binding, "metadata": metadata, "roleRef": {**binding["roleRef"], **metadata}},
    )
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})


@pytest.fixture(scope="module")
def rights(cluster: LocalCluster) -> LocalCluster:
    """With our namespace, and the rights of the manifests."""
    cluster.run_kubectl("apply", "-f", "-", input=renamed_rights())
    grant(cluster)
    return cluster


@pytest.fixture
def installed(rights: LocalCluster) -> Generator[Installed]:
    """As the ServiceAccount that the manifests name."""
    ready = Installed(rights, rights.service_account_kubeconfig(SYSTEM, "sharedvip-certs"))
    ready.clean()
    yield ready
    ready.clean()


@pytest.fixture
def configured(installed: Installed) -> Installed:
    """With both webhook configurations, which nobody serves."""
    for kind in KINDS:
        installed.configure(kind, url="https://127.0.0.1/")
    return installed


def wait_until(condition: Callable[[], bool]) -> None:
    """The API server learns of a changed configuration a moment after it is stored."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "the condition did not become true in time"


def test_the_first_run_issues_stores_and_injects(configured: Installed) -> None:
    """With the rights of its own ServiceAccount, and no other."""
    assert configured.certs() == 0

    tls, authority = configured.secret(TLS), configured.secret(AUTHORITY)
    assert (tls.type, authority.type) == ("kubernetes.io/tls", "kubernetes.io/tls")
    assert set(tls.data) == {"tls.crt", "tls.key", "ca.crt"}
    assert is_matching(tls.data["tls.crt"], tls.data["tls.key"])
    assert is_signed_by(tls.data["tls.crt"], authority.data["tls.crt"])
    assert {configured.bundle(kind) for kind in KINDS} == {tls.data["ca.crt"]}


def test_a_second_run_writes_nothing(configured: Installed) -> None:
    """Not one object gets a new resourceVersion."""

    def versions() -> list[str]:
        path = "jsonpath={.metadata.resourceVersion}"
        kinds = [configured.cluster.run_kubectl("get", kind, CONFIGURATION, "-o", path).stdout for kind in KINDS]
        return [*kinds, configured.secret(TLS).version, configured.secret(AUTHORITY).version]

    configured.certs()
    before = versions()

    assert configured.certs(now=today() + 200 * DAY) == 0
    assert versions() == before


def test_applying_the_manifests_again_keeps_the_bundle(configured: Installed) -> None:
    """`kubectl apply` leaves alone what it did not set."""
    configured.certs()
    before = configured.bundle("validatingwebhookconfiguration")
    configured.configure("validatingwebhookconfiguration", url="https://127.0.0.1/")

    assert configured.bundle("validatingwebhookconfiguration") == before != b""


def test_a_run_near_the_end_renews_and_keeps_what_others_added(configured: Installed) -> None:
    """The authority stays; so does an entry of somebody else's in the Secret."""
    configured.certs()
    before = configured.serving()
    configured.cluster.run_kubectl("patch", "secret", "-n", SYSTEM, TLS, "-p", '{"stringData": {"note": "mine"}}')

    assert configured.certs(now=today() + 300 * DAY) == 0
    assert expiry(configured.serving().certificate_pem) > expiry(before.certificate_pem) + 200 * DAY
    assert configured.secret(TLS).data["note"] == b"mine"
    assert len(x509.load_pem_x509_certificates(configured.bundle("mutatingwebhookconfiguration"))) == 1


def test_runs_at_the_same_time_agree(configured: Installed) -> None:
    """The Job and the CronJob: who loses the race sees that the work is done."""

    async def both() -> list[int]:
        return await asyncio.gather(*(run(configured.settings) for _ in range(3)))

    assert asyncio.run(both()) == [0, 0, 0]
    tls, authority = configured.secret(TLS).data, configured.secret(AUTHORITY).data
    assert is_signed_by(tls["tls.crt"], authority["tls.crt"])
    assert {configured.bundle(kind) for kind in KINDS} == {authority["ca.crt"]} == {tls["ca.crt"]}


def test_without_any_webhook_configuration_the_job_must_come_again(installed: Installed) -> None:
    """The Secrets are written all the same, so that pods can start; the exit code makes the Job retry."""
    with capture_logs() as logs:
        assert installed.certs() == 1

    missing = [line["kind"] for line in logs if line["event"] == "webhook-configuration-missing"]
    assert missing == ["validatingwebhookconfigurations", "mutatingwebhookconfigurations"]
    assert installed.secret(TLS).data["tls.crt"]


def test_one_webhook_configuration_may_be_left_out(installed: Installed) -> None:
    """Who wants no mutation removes that one; renewal goes on, and says so."""
    installed.configure("validatingwebhookconfiguration", url="https://127.0.0.1/")
    with capture_logs() as logs:
        assert installed.certs() == 0

    assert [line["kind"] for line in logs if line["log_level"] == "warning"] == ["mutatingwebhookconfigurations"]


def test_an_api_server_that_says_no_ends_the_command_with_words(installed: Installed) -> None:
    """Another ServiceAccount may not read our Secrets: exit code 1, one line, no traceback."""
    kubeconfig = installed.cluster.service_account_kubeconfig(SYSTEM, "sharedvip-webhook")
    with capture_logs() as logs:
        assert asyncio.run(run(CertsSettings(kubeconfig=kubeconfig))) == 1

    assert [line["event"] for line in logs] == ["certs-failed"]
    assert 'cannot get resource "secrets"' in logs[0]["problem"]


def test_the_api_server_accepts_the_chain_all_through_a_rotation_of_the_authority(
    installed: Installed, namespace: str, tmp_path: Path
) -> None:
    """Go's verifier, calling for real: the old certificate, then old under the new bundle, then the new certificate."""
    installed.configure("validatingwebhookconfiguration", url="https://127.0.0.1/")
    # Issued so long ago that today less than 90 days of the authority's ten years are left, and renewed once since.
    installed.certs(now=today() - 3561 * DAY)
    installed.certs(now=today() - 272 * DAY)
    mounted = MountedSecret(tmp_path, installed.serving())
    certificate = ServingCertificate(mounted.certificate, mounted.key)

    with serve_denials(certificate.context) as url:
        installed.configure("validatingwebhookconfiguration", url=url, namespace=namespace)
        wait_until(lambda: REFUSAL in installed.attempt(namespace))

        assert installed.certs() == 0
        trusted = x509.load_pem_x509_certificates(installed.bundle("validatingwebhookconfiguration"))
        assert len(trusted) == 2
        assert all(REFUSAL in installed.attempt(namespace) for _ in range(5))

        mounted.swap(installed.serving())
        assert certificate.reload() is Reload.LOADED
        wait_until(lambda: REFUSAL in installed.attempt(namespace))
        assert all(REFUSAL in installed.attempt(namespace) for _ in range(5))
