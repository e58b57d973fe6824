"""What the demo installs is what users apply, adapted only where loopback demands it."""

import yaml

from cli.demo.install import CONFIGURATION_KINDS, DEPLOY, manifests

URL = "https://127.0.0.1:1234"


def test_only_what_runs_pods_is_left_out() -> None:
    """Everything else is applied, in the order of the files."""
    files = [d for f in sorted(DEPLOY.glob("*.yaml")) for d in yaml.safe_load_all(f.read_text())]

    installed = manifests(webhook_url=URL)

    left_out = {d["kind"] for d in files} - {m["kind"] for m in installed}
    assert left_out == {"Deployment", "Job", "CronJob", "PodDisruptionBudget"}
    unchanged = [m for m in installed if m["kind"] not in CONFIGURATION_KINDS]
    assert unchanged == [d for d in files if d["kind"] not in CONFIGURATION_KINDS | left_out]


def test_the_api_server_calls_by_url() -> None:
    """The one adaptation; all else of the configurations is as users apply it."""
    for manifest in manifests(webhook_url=URL):
        for webhook in manifest.get("webhooks", []):
            assert webhook["clientConfig"] == {"url": f"{URL}/{webhook['name'].partition('.')[0]}"}
