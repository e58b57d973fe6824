"""Cut off from the API server, or asked by too many: 503 before the caller gives up, and no guess.

The network to the API server drops every packet: connections stay open, and nothing comes back.
"""

import json
import secrets
import urllib.parse
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from localcluster.cluster import LocalCluster
from localcluster.forwarder import Forwarder
from localcluster.ports import LOOPBACK
from localcluster.waiting import wait_until
from tests.builders import service_object
from tests.cluster.connection import Connection
from tests.webhook.process import HEADERS, Webhook, started
from tests.webhook.reviews import encoded, review

pytestmark = pytest.mark.e2e

CALLER_SECONDS = 10
AT_ONCE = 3
STALENESS = "sharedvip_cache_staleness_seconds"


@contextmanager
def behind_a_network(
    cluster: LocalCluster, directory: Path, setting: str = f"in_flight_limit: {AT_ONCE}"
) -> Generator[tuple[Webhook, Forwarder]]:
    """A ready process that reaches the API server through a forwarder."""
    port = urllib.parse.urlsplit(cluster.server).port
    assert port is not None
    with Forwarder([(LOOPBACK, port)]) as network:
        kubeconfig = directory / "kubeconfig"
        kubeconfig.write_text(cluster.kubeconfig.read_text().replace(str(port), str(network.address[1])))
        settings = directory / "settings.yaml"
        settings.write_text(f"{setting}\n")
        with started(directory, kubeconfig, f"--config={settings}") as webhook:
            webhook.wait_for("/readyz", 200)
            yield webhook, network
            network.release()


def ask(webhook: Webhook, namespace: str, *, path: str = "/validate", dry_run: bool = True) -> tuple[int, str]:
    """A create in a group of its own; a caller who waits exactly as long as he says, as the API server does."""
    name = f"web-{secrets.token_hex(4)}"
    whole = review(service_object(name, key=name, namespace=namespace), namespace=namespace, dryRun=dry_run)
    whole["request"]["object"]["metadata"]["uid"] = name
    connection = webhook.connect()
    connection.timeout = CALLER_SECONDS
    try:
        connection.request("POST", f"{path}?timeout={CALLER_SECONDS}s", encoded(whole), HEADERS)
        reply = connection.getresponse()
        return reply.status, reply.read().decode()
    finally:
        connection.close()


def in_flight(webhook: Webhook) -> int:
    """By its own metric."""
    return round(webhook.metric("sharedvip_admission_in_flight"))


def test_a_ledger_that_does_not_answer_is_a_503_before_the_caller_gives_up(
    connection: Connection, tmp_path: Path
) -> None:
    """For both webhooks; and whoever needs no ledger is answered all the same. When it is back, all is as before."""
    with behind_a_network(connection.cluster, tmp_path) as (webhook, network):
        assert ask(webhook, connection.namespace)[0] == 200
        network.hold()

        status, text = ask(webhook, connection.namespace)
        assert (status, text.partition(":")[0]) == (503, "the ledger cannot be asked")
        assert ask(webhook, connection.namespace, path="/mutate")[0] == 503
        assert webhook.health("/livez")[0] == 200

        network.release()
        assert ask(webhook, connection.namespace)[0] == 200


def test_who_has_heard_nothing_for_too_long_is_not_ready(connection: Connection, tmp_path: Path) -> None:
    """180 s, as it is shipped. It goes on answering, as who decides looks live; and is ready when it hears again."""
    cluster, namespace = connection.cluster, connection.namespace
    with behind_a_network(cluster, tmp_path, "staleness_limit_seconds: 5") as (webhook, network):
        network.hold()
        webhook.wait_for("/readyz", 503)
        assert "the API server has said nothing for " in webhook.health("/readyz")[1]
        assert min(webhook.metric(f'{STALENESS}{{resource="{one}"}}') for one in ("services", "sharedvips")) > 4
        assert webhook.health("/livez")[0] == 200

        network.release()
        assert ask(webhook, namespace, dry_run=False)[0] == 200  # a ledger to hear of
        manifest = json.dumps(service_object("plain", "80/TCP", key=None, namespace=namespace))
        cluster.run_kubectl("create", "-f", "-", input=manifest)
        webhook.wait_for("/readyz", 200)


def test_too_many_at_once_are_told_at_once_and_the_others_in_time(connection: Connection, tmp_path: Path) -> None:
    """So many wait for a ledger that does not answer as there are places; the next one does not wait with them."""
    with behind_a_network(connection.cluster, tmp_path) as (webhook, network), ThreadPoolExecutor(AT_ONCE) as threads:
        network.hold()
        waiting = [threads.submit(ask, webhook, connection.namespace) for _ in range(AT_ONCE)]
        wait_until(lambda: in_flight(webhook) == AT_ONCE, what="all places are taken", deadline_seconds=CALLER_SECONDS)

        assert ask(webhook, connection.namespace) == (503, "too many requests at once\n")
        assert in_flight(webhook) == AT_ONCE
        assert {one.result()[0] for one in waiting} == {503}
        assert in_flight(webhook) == 0
