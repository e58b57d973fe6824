"""AKO's two kinds as a test needs them: any spec, with a status of its own; not AKO's schemas."""

import json
from typing import Any

from localcluster.cluster import LocalCluster

NAMES = ("aviinfrasettings.ako.vmware.com", "l4rules.ako.vmware.com")


def _kind(kind: str, *, version: str, scope: str) -> dict[str, Any]:
    plural = f"{kind.lower()}s"
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": anything, "status": anything}}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{plural}.ako.vmware.com",
            "annotations": {"api-approved.kubernetes.io": "unapproved, for tests"},
        },
        "spec": {
            "group": "ako.vmware.com",
            "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
            "scope": scope,
            "versions": [
                {"name": version, "served": True, "storage": True, "schema": schema, "subresources": {"status": {}}}
            ],
        },
    }


def install(cluster: LocalCluster) -> None:
    """Install both, and wait until they are served."""
    kinds = [
        _kind("AviInfraSetting", version="v1beta1", scope="Cluster"),
        _kind("L4Rule", version="v1alpha2", scope="Namespaced"),
    ]
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": kinds})
    cluster.run_kubectl("apply", "--filename=-", input=listed)
    cluster.run_kubectl("wait", "--for=condition=Established", "--timeout=20s", *(f"crd/{name}" for name in NAMES))


def remove(cluster: LocalCluster) -> None:
    """Remove both, and all that there is of them."""
    cluster.run_kubectl("delete", "crd", *NAMES, "--ignore-not-found", "--timeout=30s")


def infra_setting(name: str, **spec: object) -> str:
    """An AviInfraSetting for ``kubectl apply``."""
    return _object("v1beta1", "AviInfraSetting", name, spec)


def l4_rule(name: str, **spec: object) -> str:
    """An L4Rule for ``kubectl apply``."""
    return _object("v1alpha2", "L4Rule", name, spec)


def _object(version: str, kind: str, name: str, spec: dict[str, object]) -> str:
    return json.dumps(
        {"apiVersion": f"ako.vmware.com/{version}", "kind": kind, "metadata": {"name": name}, "spec": spec}
    )
