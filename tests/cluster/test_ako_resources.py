"""AKO's kinds and annotations on the real API server: absent, there, changed, gone."""

import asyncio
import json
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from cluster.ako_resources import (
    HOSTNAME,
    SKIP_NODE_PORT,
    TENANT,
    DetailedService,
    DetailedServiceCache,
    InfraSetting,
    L4Rule,
    Namespace,
    Network,
    infra_settings,
    l4_rules,
    namespaces,
)
from cluster.api import KubernetesApi
from cluster.reflector import Reflector
from cluster.service_status import Shown, entries_for, publish, withdraw
from localcluster.cluster import LocalCluster
from sharedvip.annotations import INFRA_SETTING
from sharedvip.model import GroupName, ServiceName
from tests.builders import KEY, service_object
from tests.cluster import ako_kinds
from tests.cluster.connection import Connection
from tests.cluster.following import becomes
from tests.cluster.ledgers import NOW

pytestmark = pytest.mark.e2e

DEADLINE_SECONDS = 30.0


@pytest.fixture
def installed(cluster: LocalCluster) -> Generator[LocalCluster]:
    """A cluster with AKO's kinds, for as long as the test runs."""
    ako_kinds.install(cluster)
    yield cluster
    ako_kinds.remove(cluster)


@asynccontextmanager
async def following(reflector: Reflector[Any, Any]) -> AsyncGenerator[None]:
    """A reflector that has synced and follows."""
    task = asyncio.create_task(reflector.run())
    try:
        await asyncio.wait_for(reflector.synced(), DEADLINE_SECONDS)
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_kinds_that_are_not_there_are_none_and_found_when_they_come(connection: Connection) -> None:
    """No crash, no wait at the start; and when the kind goes, its objects are gone."""
    ako_kinds.remove(connection.cluster)

    async def story(api: KubernetesApi) -> None:
        changes: list[tuple[str, str]] = []

        def changed(old: InfraSetting | None, new: InfraSetting | None) -> None:
            changes.append((old.se_group if old else "", new.se_group if new else ""))

        reflector = infra_settings(api, changed)
        reflector.pause_seconds = 0.2
        async with following(reflector):
            assert len(reflector) == 0
            await asyncio.to_thread(ako_kinds.install, connection.cluster)
            told = ako_kinds.infra_setting("gold", seGroup={"name": "gold-group"})
            await asyncio.to_thread(lambda: connection.kubectl("apply", "--filename=-", input=told))
            await becomes(reflector, lambda: reflector.get("", "gold") is not None)
            await asyncio.to_thread(ako_kinds.remove, connection.cluster)
            await becomes(reflector, lambda: reflector.get("", "gold") is None)
        assert changes == [("", "gold-group"), ("gold-group", "")]

    connection.tell(story)


def test_an_infra_setting_is_read_as_ako_writes_it(connection: Connection, installed: LocalCluster) -> None:
    """Every field that a shared VIP has a use for, and AKO's verdict on it."""
    told = ako_kinds.infra_setting(
        "silver",
        seGroup={"name": "compact"},
        network={
            "vipNetworks": [{"networkName": "net1", "cidr": "10.0.0.0/24", "v6cidr": "2001:db8::/64"}],
            "nodeNetworks": [{"networkUUID": "network-7", "cidrs": ["10.1.0.0/24"]}],
            "enableRhi": True,
            "enablePublicIP": True,
            "bgpPeerLabels": ["peer1"],
        },
        nsxSettings={"t1lr": "/infra/tier-1s/t1"},
        l7Settings={"shardSize": "MEDIUM"},
    )
    connection.kubectl("apply", "--filename=-", input=told)
    verdict = json.dumps({"status": {"status": "Rejected", "error": "no such group"}})
    patch = ("--subresource=status", "--type=merge", f"--patch={verdict}")
    installed.run_kubectl("patch", "aviinfrasetting", "silver", *patch)

    async def story(api: KubernetesApi) -> None:
        reflector = infra_settings(api, lambda _old, _new: None)
        async with following(reflector):
            assert reflector.get("", "silver") == InfraSetting(
                name="silver",
                se_group="compact",
                vip_networks=(Network("net1", cidr="10.0.0.0/24", cidr_v6="2001:db8::/64"),),
                node_networks=(Network("", uuid="network-7", cidrs=("10.1.0.0/24",)),),
                enable_rhi=True,
                enable_public_ip=True,
                bgp_peer_labels=("peer1",),
                t1_lr="/infra/tier-1s/t1",
                rejection="no such group",
            )

    connection.tell(story)


def test_an_l4_rule_is_kept_as_it_stands(connection: Connection, installed: LocalCluster) -> None:
    """Its spec is for whoever builds objects."""
    del installed
    connection.kubectl("apply", "--filename=-", input=ako_kinds.l4_rule("rule", performanceLimits={"maxThroughput": 5}))

    async def story(api: KubernetesApi) -> None:
        reflector = l4_rules(api, lambda _old, _new: None)
        async with following(reflector):
            spec = {"performanceLimits": {"maxThroughput": 5}}
            assert reflector.get(connection.namespace, "rule") == L4Rule(connection.namespace, "rule", spec)

    connection.tell(story)


def test_a_namespace_says_its_tenant_and_its_infra_setting(connection: Connection) -> None:
    """By annotation, and its labels for the operator's selector."""
    notes = (f"{TENANT}=shop", f"{INFRA_SETTING}=gold")
    connection.cluster.run_kubectl("annotate", "namespace", connection.namespace, *notes)
    connection.cluster.run_kubectl("label", "namespace", connection.namespace, "avi=yes")

    async def story(api: KubernetesApi) -> None:
        reflector = namespaces(api, lambda _old, _new: None, is_required=True)
        async with following(reflector):
            found = reflector.get("", connection.namespace)
            assert found is not None
            assert (found.tenant, found.infra_setting, found.labels["avi"]) == ("shop", "gold", "yes")
            assert reflector.get("", "default") == Namespace("default", {"kubernetes.io/metadata.name": "default"})

    connection.tell(story)


def test_who_may_not_read_namespaces_waits_for_the_right_only_if_it_must(connection: Connection) -> None:
    """Not required: as if none said anything. Required: nothing is decided."""
    name = connection.namespace
    connection.kubectl("create", "serviceaccount", "nobody")
    kubeconfig = connection.cluster.service_account_kubeconfig(name, "nobody")

    async def story(_admin: KubernetesApi) -> None:
        api = await KubernetesApi.connect(kubeconfig, user_agent="sharedvip-test/1")
        try:
            async with following(namespaces(api, lambda _old, _new: None, is_required=False)):
                pass
            waiting = namespaces(api, lambda _old, _new: None, is_required=True)
            task = asyncio.create_task(waiting.run())
            done, _ = await asyncio.wait({task}, timeout=1.0)
            assert not done
            assert not waiting.has_synced
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        finally:
            await api.close()

    connection.tell(story)


def test_one_watch_of_services_tells_what_only_avi_needs(connection: Connection) -> None:
    """Host name, skip annotation, node ports; a change of these alone is a change."""
    notes = {HOSTNAME: "web.example.com", SKIP_NODE_PORT: ""}
    web = service_object("web", "80/TCP", "53/UDP", namespace=connection.namespace, annotations=notes)
    plain = service_object("plain", "80/TCP", namespace=connection.namespace, key=None)
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": [web, plain]})
    connection.kubectl("apply", "--filename=-", input=listed)
    stored = connection.get("service", "web")
    name = ServiceName(connection.namespace, "web")

    async def story(api: KubernetesApi) -> None:
        cache = DetailedServiceCache(api)

        def hostname() -> str:
            found = cache.get(name)
            return found.hostname if isinstance(found, DetailedService) else ""

        async with following(cache.reflector):
            found = cache.get(name)
            assert isinstance(found, DetailedService)
            assert (found.hostname, found.skips_node_ports) == ("web.example.com", True)
            assert found.node_ports == tuple(port["nodePort"] for port in stored["spec"]["ports"])
            assert found.uid == stored["metadata"]["uid"]
            assert cache.members(GroupName(connection.namespace, KEY)) == (found,)
            # A Service that is no member is kept for its address alone.
            assert not isinstance(cache.get(ServiceName(connection.namespace, "plain")), DetailedService)
            await connection.kubectl_async("annotate", "service", "web", f"{HOSTNAME}=api.example.com", "--overwrite")
            await becomes(cache.reflector, lambda: hostname() == "api.example.com")

    connection.tell(story)


def test_what_we_said_of_a_service_is_known_again(connection: Connection) -> None:
    """Word for word as it was published, so that a new leader need not say it again; nothing where we said nothing."""
    connection.kubectl("apply", "--filename=-", input=json.dumps(service_object("web", namespace=connection.namespace)))
    name, wanted = ServiceName(connection.namespace, "web"), "80/TCP served on 10.0.0.1"

    async def story(api: KubernetesApi) -> None:
        cache = DetailedServiceCache(api)

        def shown() -> Shown | None:
            found = cache.get(name)
            return found.shown if isinstance(found, DetailedService) else None

        async with following(cache.reflector):
            assert shown() is None
            found = cache.get(name)
            assert found is not None
            await publish(
                api,
                found,
                vip="10.0.0.1",
                ready=True,
                reason="Programmed",
                message=wanted,
                now=NOW,
                hostname="web.example.com",
                further_vips=("2001:db8::1",),
            )
            entries = entries_for("10.0.0.1", further_vips=["2001:db8::1"], hostname="web.example.com")
            await becomes(cache.reflector, lambda: shown() == Shown(True, "Programmed", wanted, entries))  # noqa: FBT003 - a field
            await withdraw(api, found)
            await becomes(cache.reflector, lambda: shown() is None)

    connection.tell(story)
