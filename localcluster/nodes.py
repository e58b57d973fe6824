"""The Nodes that kwok keeps alive: values in, objects out; it asks nobody."""

import ipaddress
from typing import Final

from localcluster.api import JsonObject
from localcluster.commands import NODE_ANNOTATION

# 172.20.0.0/16 for the nodes, 10.128.0.0/9 for their pods (4094 each): neither meets the Services' 10.96.0.0/16.
_NODE_ADDRESSES: Final = ipaddress.IPv4Address("172.20.0.1")
_POD_ADDRESSES: Final = ipaddress.IPv4Address("10.128.0.0")
_PODS_PER_NODE_BITS: Final = 12
_ROOM: Final = {"cpu": "1000", "memory": "1Ti", "pods": "4000"}


def render_node(number: int) -> JsonObject:
    """The Node ``kwok-<number>`` with an InternalIP, a pod network and room for 4000 pods; fewer than 2048 fit."""
    name = f"kwok-{number}"
    key, _, value = NODE_ANNOTATION.partition("=")
    pods = f"{_POD_ADDRESSES + (number << _PODS_PER_NODE_BITS)}/{32 - _PODS_PER_NODE_BITS}"
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": {key: value},
            "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "type": "kwok"},
        },
        "spec": {"podCIDR": pods, "podCIDRs": [pods]},
        "status": {
            "allocatable": _ROOM,
            "capacity": _ROOM,
            "addresses": [
                {"type": "InternalIP", "address": str(_NODE_ADDRESSES + number)},
                {"type": "Hostname", "address": name},
            ],
        },
    }


def is_ready(node: JsonObject) -> bool:
    """Whether pods can be placed on a Node: its Ready condition is True and no taint is left."""
    conditions: list[dict[str, str]] = node.get("status", {}).get("conditions", [])
    is_up = any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)
    return is_up and not node.get("spec", {}).get("taints")
