"""``docs/how-to/fallback.md``, typed: the webhook's processes are gone, and the seed's rules hold in its words."""

import contextlib
import shlex
import subprocess
from collections.abc import Generator
from pathlib import Path

import pytest

from localcluster.cluster import LocalCluster
from sharedvip.parse import ServiceObject
from tests.builders import service_object
from tests.e2e.scene import Scene
from tests.repo.manifests import commands_of

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/how-to/fallback.md").read_text()
HELD = service_object("one", "80", spec={"loadBalancerIP": "100.64.196.211"})
BROKEN = {
    "duplicate-port": service_object("two", "80", spec={"loadBalancerIP": "100.64.196.211"}),
    "static-address-mismatch": service_object("two", "443", spec={"loadBalancerIP": "100.64.196.212"}),
    "not-load-balancer": service_object("two", "443", spec={"type": "ClusterIP"}),
}


def type_commands(cluster: LocalCluster, heading: str) -> None:
    """What the page says under a heading."""
    for command in commands_of(PAGE, heading):
        words = shlex.split(command.replace("deploy/fallback/", f"{ROOT}/deploy/fallback/"))
        cluster.run_kubectl(*words[1:])


@contextlib.contextmanager
def only_the_fallback(scene: Scene) -> Generator[None]:
    """No webhook process is there; afterwards all is as it was."""
    stage = scene.stage
    for replica in stage.replicas:
        stage.stop(replica.name, kill=True)
    try:
        type_commands(stage.cluster, "Switch it on")
        yield
    finally:
        for replica in stage.replicas:
            stage.start_webhook(replica)
        for replica in stage.replicas:
            stage.wait_ready(replica.name, replica.health_port)
        type_commands(stage.cluster, "Switch it off")
        scene.wait(
            "the webhook is the law again", lambda: "denied the request" in refusal(scene, BROKEN["duplicate-port"])
        )


def refusal(scene: Scene, service: ServiceObject) -> str:
    """What kubectl prints, "" where it is let in; nothing is stored."""
    return scene.apply(service, dry_run=True).stderr


def words_of(done: str) -> str:
    """A refusal without who says it."""
    return done.rpartition("denied the request: ")[2].rpartition("denied request: ")[2].strip()


def test_with_the_webhooks_gone_the_seeds_rules_hold_in_the_same_words(scene: Scene) -> None:
    """Who fits is let in meanwhile, and the reconciler takes it in."""
    assert scene.apply(HELD).returncode == 0
    by_webhook = {rule: words_of(refusal(scene, service)) for rule, service in BROKEN.items()}

    with only_the_fallback(scene):
        scene.wait("the policies are in force", lambda: all(_is_by_policy(scene, one) for one in BROKEN.values()))
        stored: dict[str, subprocess.CompletedProcess[str]] = {}
        for rule, service in BROKEN.items():
            stored[rule] = scene.apply(service)
        late = scene.apply(service_object("three", "443", spec={"loadBalancerIP": "100.64.196.211"}))

    assert {rule: done.returncode for rule, done in stored.items()} == dict.fromkeys(BROKEN, 1)
    assert {rule: words_of(done.stderr) for rule, done in stored.items()} == by_webhook
    assert all(words.endswith(f"[{rule}]") for rule, words in by_webhook.items())
    assert late.returncode == 0, late.stderr
    assert scene.wait_for_one_address("one", "three") == "100.64.196.211"


def _is_by_policy(scene: Scene, service: ServiceObject) -> bool:
    return "ValidatingAdmissionPolicy 'sharedvip-fallback-" in refusal(scene, service)
