"""AdmissionReviews as the API server sends them, of Services as it stores them; it never sends one."""

import copy
import json
import uuid
from collections.abc import Iterable, Iterator
from typing import Any, Final

from bench.admission.population import JsonObject

_SERVICE: Final = {"group": "", "version": "v1", "kind": "Service"}
_SERVICES: Final = {"group": "", "version": "v1", "resource": "services"}
_USER: Final = {
    "username": "system:serviceaccount:payments:deployer",
    "uid": "5f1f3a1c-9d3b-4b57-9b8f-4f7f4d1a3b11",
    "groups": ["system:serviceaccounts", "system:serviceaccounts:payments", "system:authenticated"],
}


def irrelevant_updates(stored: Iterable[JsonObject]) -> Iterator[bytes]:
    """A label changes: the most frequent request that reaches admission, and no rule looks at it."""
    for service in stored:
        new = copy.deepcopy(service)
        new["metadata"]["labels"]["app.kubernetes.io/version"] = "2.7.1"
        yield _render("UPDATE", new, old=service, options="UpdateOptions")


def port_updates(stored: Iterable[JsonObject]) -> Iterator[bytes]:
    """A member's target port changes and with it nothing that another Service could mind."""
    for service in stored:
        new = copy.deepcopy(service)
        new["spec"]["ports"][0]["targetPort"] = 9090
        yield _render("UPDATE", new, old=service, options="UpdateOptions")


def refused_creates(stored: Iterable[JsonObject]) -> Iterator[bytes]:
    """A Service with the annotation that is no LoadBalancer, which needs no look at anything else."""
    for service in stored:
        new = copy.deepcopy(service)
        new["metadata"]["name"] += "-copy"
        new["metadata"]["uid"] = str(uuid.uuid5(uuid.NAMESPACE_DNS, new["metadata"]["name"]))
        new["spec"]["type"] = "ClusterIP"
        for field in ("loadBalancerClass", "allocateLoadBalancerNodePorts"):
            new["spec"].pop(field, None)
        yield _render("CREATE", new, old=None, options="CreateOptions")


def _render(operation: str, new: JsonObject, *, old: JsonObject | None, options: str) -> bytes:
    metadata: dict[str, Any] = new["metadata"]
    review = {
        "kind": "AdmissionReview",
        "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{metadata['namespace']}/{metadata['name']}")),
            "kind": _SERVICE,
            "resource": _SERVICES,
            "requestKind": _SERVICE,
            "requestResource": _SERVICES,
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "operation": operation,
            "userInfo": _USER,
            "object": new,
            "oldObject": old,
            "dryRun": False,
            "options": {"kind": options, "apiVersion": "meta.k8s.io/v1", "fieldManager": "kubectl-client-side-apply"},
        },
    }
    return json.dumps(review, separators=(",", ":")).encode()
