"""The objects of deploy/, read once, for the tests that look at them; it judges nothing."""

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

from localcluster.cluster import LocalCluster

DEPLOY: Final = Path(__file__).parents[2] / "deploy"
README: Final = DEPLOY / "README.md"
FILES: Final = sorted(DEPLOY.glob("*.yaml"))
SYSTEM: Final = "sharedvip-system"
DEADLINE_SECONDS: Final = 20.0

Object = dict[str, Any]
"""A Kubernetes object as YAML gives it: of any shape, looked into by the tests that know which."""


class Manifest(NamedTuple):
    """One object of one file."""

    file: str
    kind: str
    name: str
    content: Object


def manifests() -> Iterator[Manifest]:
    """Every object, in the order in which `kubectl apply -f deploy/` takes them."""
    for path in FILES:
        for content in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            yield Manifest(path.name, content["kind"], content["metadata"]["name"], content)


MANIFESTS: Final = tuple(manifests())
_LEDGER_GUARD: Final = ("ValidatingAdmissionPolicyBinding", "sharedvip-ledger")
WEBHOOKS: Final = {
    webhook["name"]: webhook
    for manifest in MANIFESTS
    if manifest.kind.endswith("WebhookConfiguration")
    for webhook in manifest.content["webhooks"]
}


def of_kind(*kinds: str) -> list[Manifest]:
    """Those of these kinds."""
    return [manifest for manifest in MANIFESTS if manifest.kind in kinds]


def pod_templates() -> dict[str, Object]:
    """The pods that we run, by what runs them."""
    return {
        f"{manifest.kind}/{manifest.name}": pod_of(manifest) for manifest in of_kind("Deployment", "Job", "CronJob")
    }


def pod_of(manifest: Manifest) -> Object:
    """A CronJob has one level more."""
    spec = manifest.content["spec"]
    return (spec["jobTemplate"]["spec"] if manifest.kind == "CronJob" else spec)["template"]["spec"]


PODS: Final = pod_templates()


def commands_of(text: str, heading: str = "") -> list[str]:
    """The kubectl commands in a page's shell blocks, each on one line: below one second-level heading, or all."""
    section = text.partition(f"## {heading}\n")[2].partition("\n## ")[0] if heading else text
    blocks = re.findall(r"^ *```shell\n(.*?)^ *```$", section, flags=re.MULTILINE | re.DOTALL)
    lines = re.sub(r"\\\n *|(?<=\|)\n *", "", "".join(blocks)).splitlines()
    return [line.strip() for line in lines if line.strip().startswith("kubectl ")]


def grant(cluster: LocalCluster) -> None:
    """Apply our namespace, CRD, identities and rights, and return when they are in force."""
    # But for the ledger's guard: in the cluster that tests share, others write ledgers as the administrator.
    rights = [m.content for m in MANIFESTS if m.file < "30" and (m.kind, m.name) != _LEDGER_GUARD]
    cluster.run_kubectl("apply", "-f", "-", input=yaml.safe_dump_all(rights))
    cluster.run_kubectl("wait", "--for=condition=Established", "crd/sharedvips.sharedvip.dev")
    # The last right applied; the authorizer learns of each a moment after it is stored.
    user = f"--as=system:serviceaccount:{SYSTEM}:sharedvip-certs"
    question = ("auth", "can-i", "get", "secrets/sharedvip-webhook-tls", "-n", SYSTEM, user)
    wait_for(lambda: cluster.run_kubectl(*question, check=False).stdout, lambda answer: answer.startswith("yes"))


def wait_for_refusal(attempt: Callable[[], str]) -> str:
    """The first answer other than "done": a new configuration or policy is in force a moment after it is stored."""
    return wait_for(attempt, lambda answer: answer != "done")


def wait_for(attempt: Callable[[], str], is_right: Callable[[str], bool]) -> str:
    """The first answer that is right."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not is_right(answer := attempt()):
        assert time.monotonic() < deadline, f"it did not come into force: {answer}"
    return answer
