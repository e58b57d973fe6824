"""The whole reconciler with what is around a group, on a real API server: nodes and AKO's kinds move what is built."""

import asyncio
import json
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

import pytest

from localcluster.cluster import LocalCluster
from reconciler.networks import VipNetwork
from reconciler.settings import ReconcilerSettings
from sharedvip.annotations import INFRA_SETTING
from tests.cluster import ako_kinds
from tests.reconciler.controller import Avi
from tests.reconciler.live import World, are_ready, fact, has_reason, service, until, workload

pytestmark = pytest.mark.e2e

CRD = Path(__file__).parents[2] / "deploy" / "10-customresourcedefinition.yaml"


@pytest.fixture
def world(cluster: LocalCluster, *, namespace: str, avi: Avi, cluster_name: str) -> Generator[World]:
    """Our kind and AKO's, and the administrator's rights."""
    cluster.run_kubectl("apply", "--server-side", f"--filename={CRD}")
    cluster.run_kubectl("create", "namespace", "sharedvip-system", check=False)
    ako_kinds.install(cluster)
    settings = ReconcilerSettings(
        cluster_name=cluster_name,
        avi_controller=avi.running.access.url,
        avi_credentials_directory=avi.credentials(),
        avi_vip_networks=(VipNetwork("net1"),),
        lease_name=f"lease-{namespace}",
        health_host="127.0.0.1",
        health_port=0,
        service_type="NodePort",
    )
    yield World(cluster, namespace, avi, settings, cluster.kubeconfig)
    ako_kinds.remove(cluster)


def ours(world: World) -> list[str]:
    """What is on Avi of the test's own group: namespaces of other tests may still be going."""
    return [name for name in world.names() if name.partition(" ")[2].startswith("group")]


def test_nodes_and_infra_settings_are_followed(world: World) -> None:
    """A node that comes is a server, one that goes is none; a group waits for its AviInfraSetting and follows it."""
    namespace = world.namespace
    notes = {INFRA_SETTING: "gold"}
    name = f"sharedvip~{world.settings.cluster_name}~{namespace}~shared-vip-key-1"
    edge = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": f"edge-{namespace}"},
        "status": {"addresses": [{"type": "InternalIP", "address": "10.9.0.1"}]},
    }

    async def apply_infra(**spec: object) -> None:
        told = ako_kinds.infra_setting("gold", **spec)
        await asyncio.to_thread(lambda: world.cluster.run_kubectl("apply", "--filename=-", input=told))

    def has_rhi() -> bool:
        return world.avi.body("virtualservice", name)["enable_rhi"] is True

    async def story() -> None:
        async with world.reconciler():
            await world.apply(
                workload("avi-server", replicas=1), service("web", "80/TCP", namespace=namespace, **notes)
            )
            await until("it waits", lambda: has_reason(world, "web", "InfraSettingMissing"))
            assert ours(world) == []
            await apply_infra()
            await until("it is programmed", lambda: are_ready(world, "web"))
            assert world.servers("TCP~80") == 2
            await apply_infra(network={"enableRhi": True})
            await until("the route is announced", lambda: fact(has_rhi))
            told = json.dumps(edge)
            await asyncio.to_thread(lambda: world.cluster.run_kubectl("create", "--filename=-", input=told))
            await until("a third server", lambda: fact(lambda: world.servers("TCP~80") == 3))
            await asyncio.to_thread(world.cluster.run_kubectl, "delete", "node", f"edge-{namespace}")
            await until("two servers", lambda: fact(lambda: world.servers("TCP~80") == 2))

    world.tell(story)


def test_a_namespace_that_is_not_selected_any_more_loses_its_group(world: World) -> None:
    """And its Services have nothing of ours in their statuses; the label brings all back."""
    selective = replace(world.settings, namespace_selector="avi=yes", service_type="ClusterIP")

    async def label(value: str) -> None:
        words = ("label", "namespace", world.namespace, f"avi={value}", "--overwrite")
        await asyncio.to_thread(world.cluster.run_kubectl, *words)

    async def story() -> None:
        await label("yes")
        async with world.reconciler(selective):
            await world.apply(workload("avi-server", replicas=1), service("web", "80/TCP", namespace=world.namespace))
            await until("it is programmed", lambda: are_ready(world, "web"))
            await label("no")
            await until("nothing is on Avi", lambda: fact(lambda: ours(world) == []))
            await until("our words are gone", lambda: has_reason(world, "web", ""))
            assert await world.vip("web") == ""
            await label("yes")
            await until("it is programmed again", lambda: are_ready(world, "web"))

    world.tell(story)
