"""Nodes and NodePortLocal's pods on the real API server."""

import asyncio
import json

import pytest

from cluster.api import KubernetesApi
from cluster.nodes import EXCLUDED, NODE_PORT_LOCAL, LocalPodCache, LocalPort, Node, NodeCache
from tests.cluster.connection import Connection
from tests.cluster.test_ako_resources import becomes, following

pytestmark = pytest.mark.e2e


def _node(name: str, *, ip: str, **annotations: str) -> str:
    metadata = {"name": name, "labels": {"role": "edge"}, "annotations": annotations}
    status = {"addresses": [{"type": "Hostname", "address": name}, {"type": "InternalIP", "address": ip}]}
    return json.dumps({"apiVersion": "v1", "kind": "Node", "metadata": metadata, "status": status})


def test_a_node_comes_is_readdressed_and_goes(connection: Connection) -> None:
    """What the CNI says of its address comes before InternalIP; nothing but addresses and labels is a change."""
    name = f"edge-{connection.namespace}"

    async def story(api: KubernetesApi) -> None:
        changes: list[None] = []
        cache = NodeCache(api, on_change=lambda: changes.append(None))

        def node() -> Node | None:
            return next((n for n in cache.all() if n.name == name), None)

        async with following(cache.reflector):
            assert {"kwok-0", "kwok-1"} <= {n.name for n in cache.all()}
            told = _node(name, ip="10.9.0.1")
            await asyncio.to_thread(lambda: connection.cluster.run_kubectl("create", "--filename=-", input=told))
            await becomes(cache.reflector, lambda: node() is not None)
            found = node()
            assert found is not None
            assert found.addresses == {"IPv4": "10.9.0.1"}
            assert found.labels["role"] == "edge"
            assert not found.is_excluded
            before = len(changes)
            await connection.kubectl_async("annotate", "node", name, "note=1")
            calico = "projectcalico.org/IPv4Address=10.9.9.9/16"
            await connection.kubectl_async("annotate", "node", name, calico)
            await becomes(cache.reflector, lambda: (n := node()) is not None and n.addresses["IPv4"] == "10.9.9.9")
            assert len(changes) == before + 1
            await connection.kubectl_async("label", "node", name, f"{EXCLUDED}=")
            await becomes(cache.reflector, lambda: (n := node()) is not None and n.is_excluded)
            await connection.kubectl_async("delete", "node", name)
            await becomes(cache.reflector, lambda: node() is None)

    connection.tell(story)


def test_a_pods_opened_ports_are_found_by_its_address(connection: Connection) -> None:
    """As Antrea annotates it, in its older words and its newer."""
    opened = [
        {"podPort": 8080, "nodeIP": "10.102.47.229", "nodePort": 40002},
        {"podPort": 53, "nodeIP": "10.102.47.229", "nodePort": 40003, "protocol": "udp"},
        {"podPort": 54, "nodeIP": "10.102.47.229", "nodePort": 40004, "protocols": ["tcp", "udp"]},
    ]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web"},
        "spec": {"containers": [{"name": "web", "image": "web"}]},
    }

    async def story(api: KubernetesApi) -> None:
        told: list[str] = []
        cache = LocalPodCache(api, on_change=told.append)
        async with following(cache.reflector):
            text = json.dumps(pod)
            await asyncio.to_thread(lambda: connection.kubectl("create", "--filename=-", input=text))
            await connection.kubectl_async("wait", "--for=condition=Ready", "--timeout=20s", "pod/web")
            address = await connection.kubectl_async("get", "pod", "web", "--output=jsonpath={.status.podIP}")
            assert cache.ports_at(address) == ()
            await connection.kubectl_async("annotate", "pod", "web", f"{NODE_PORT_LOCAL}={json.dumps(opened)}")
            await becomes(cache.reflector, lambda: cache.ports_at(address) != ())
            node = "10.102.47.229"
            assert cache.ports_at(address) == (
                LocalPort(53, "UDP", node, 40003),
                LocalPort(54, "TCP", node, 40004),
                LocalPort(54, "UDP", node, 40004),
                LocalPort(8080, "TCP", node, 40002),
            )
            assert connection.namespace in told
            await connection.kubectl_async("delete", "pod", "web", "--grace-period=0", "--force")
            await becomes(cache.reflector, lambda: cache.ports_at(address) == ())

    connection.tell(story)
