"""The files of ``deploy/``, as users apply them, adapted only where loopback demands it; it never writes a file.

Two things differ: the API server reaches the webhook by URL (there is no cluster network here), and no pods of ours run
(kwok runs nothing), so that Deployments, Jobs and what looks after them are left out.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, cast

import yaml

DEPLOY: Final = Path(__file__).resolve().parents[2] / "deploy"
NAMESPACE: Final = "sharedvip-system"
CONFIGURATION_KINDS: Final = frozenset({"ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"})
_RUN_PODS: Final = frozenset({"Deployment", "Job", "CronJob", "PodDisruptionBudget"})

Manifest = dict[str, Any]


def manifests(*, webhook_url: str) -> tuple[Manifest, ...]:
    """What to apply, in the order of the files; the webhook configurations call ``webhook_url``, without trust yet."""
    return tuple(_adapted(manifest, webhook_url) for manifest in _read() if manifest["kind"] not in _RUN_PODS)


def _read() -> Iterator[Manifest]:
    for file in sorted(DEPLOY.glob("*.yaml")):
        for document in yaml.safe_load_all(file.read_text()):
            if isinstance(document, dict):
                yield cast("Manifest", document)


def _adapted(manifest: Manifest, webhook_url: str) -> Manifest:
    if manifest["kind"] not in CONFIGURATION_KINDS:
        return manifest
    webhooks = [
        {**webhook, "clientConfig": {"url": webhook_url + webhook["clientConfig"]["service"]["path"]}}
        for webhook in manifest["webhooks"]
    ]
    return {**manifest, "webhooks": webhooks}
