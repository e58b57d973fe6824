"""What the API server's audit log keeps of our decisions, beside who asked and what for."""

import json
from pathlib import Path

import pytest

from localcluster.cluster import LocalCluster
from localcluster.waiting import wait_until
from tests.builders import KEY, service_object
from tests.repo.manifests import DEPLOY
from tests.webhook.process import DEADLINE_SECONDS, started
from tests.webhook.test_client_certificates import configuration

pytestmark = pytest.mark.e2e

POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "rules": [{"level": "Metadata", "verbs": ["create"], "resources": [{"group": "", "resources": ["services"]}]}],
}
WEBHOOK = "validate.sharedvip.dev"


def annotations(log: Path) -> list[dict[str, str]]:
    """Ours, of each entry that has any."""
    entries = [json.loads(line).get("annotations", {}) for line in log.read_text().splitlines()] if log.exists() else []
    ours = ({k.rpartition("/")[2]: v for k, v in of.items() if k.startswith(f"{WEBHOOK}/")} for of in entries)
    return [of for of in ours if of]


def test_the_audit_log_tells_what_was_claimed_and_by_which_rule_it_was_refused(tmp_path: Path) -> None:
    """As ``docs/`` says: whoever looks into an incident needs no log of ours."""
    policy, log, directory = tmp_path / "policy.json", tmp_path / "audit.log", tmp_path / "webhook"
    directory.mkdir()
    policy.write_text(json.dumps(POLICY))
    flags = (f"--audit-policy-file={policy}", f"--audit-log-path={log}", "--audit-log-mode=blocking")
    with LocalCluster(nodes=0, progress=lambda _: None, api_server_flags=flags) as cluster:
        cluster.run_kubectl("apply", "-f", str(DEPLOY / "10-customresourcedefinition.yaml"))
        cluster.run_kubectl("wait", "--for=condition=Established", "crd/sharedvips.sharedvip.dev")
        with started(directory, cluster.kubeconfig) as webhook:
            webhook.wait_for("/readyz", 200)
            cluster.run_kubectl("apply", "-f", "-", input=configuration(webhook))

            def is_refused() -> bool:
                unfit = json.dumps(service_object("unfit", spec={"type": "ClusterIP"}))
                return (
                    "[not-load-balancer]" in cluster.run_kubectl("create", "-f", "-", input=unfit, check=False).stderr
                )

            wait_until(is_refused, what="the API server asks us", deadline_seconds=DEADLINE_SECONDS)
            cluster.run_kubectl("create", "-f", "-", input=json.dumps(service_object("web", "80/TCP")))

            assert {"rules": "not-load-balancer"} in annotations(log)
            assert {"claimed": f"{KEY}: 80/TCP"} in annotations(log)
