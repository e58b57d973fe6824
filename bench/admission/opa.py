"""Open Policy Agent beside us: the same review, the same Services, one processor, TLS; it never sees a cluster."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from bench.admission.population import JsonObject
from bench.admission.stage import Progress, Stage, answers_tls
from localcluster.binaries import ensure_binaries
from localcluster.ports import LOOPBACK, free_ports
from sharedvip.annotations import LOAD_BALANCER_IP, SHARED_VIP

PATH: Final = "/"
"""OPA's own path for a webhook: the body is the input, ``data.system.main`` the answer."""
_REGO: Final = Path(__file__).with_name("rego")


def render_inventory(services: Mapping[str, Iterable[JsonObject]]) -> JsonObject:
    """As Gatekeeper syncs it: ``data.inventory.namespace[namespace][version][kind][name]``."""
    return {
        "inventory": {
            "namespace": {
                namespace: {"v1": {"Service": {service["metadata"]["name"]: service for service in stored}}}
                for namespace, stored in services.items()
            }
        }
    }


def render_index(services: Mapping[str, Iterable[JsonObject]]) -> JsonObject:
    """By namespace and key: who serves which listener, and at which address."""
    groups: dict[str, dict[str, JsonObject]] = {}
    for namespace, stored in services.items():
        for service in stored:
            notes = service["metadata"]["annotations"]
            empty: JsonObject = {"address": notes.get(LOAD_BALANCER_IP, ""), "listeners": {}}
            group = groups.setdefault(namespace, {}).setdefault(notes[SHARED_VIP], empty)
            for port in service["spec"]["ports"]:
                group["listeners"][f"{port['port']}/{port['protocol']}"] = service["metadata"]["name"]
    return {"groups": groups}


def start(stage: Stage, name: str, data: JsonObject, *, progress: Progress) -> int:
    """Start OPA with ``rego/<name>.rego`` and its data, and return its port when it answers."""
    program = ensure_binaries(["opa"], progress=progress).path("opa")
    file = stage.directory / f"{name}.json"
    file.write_text(json.dumps(data))
    (port,) = free_ports(1)
    argv = [
        str(program.absolute()),
        "run",
        "--server",
        f"--addr={LOOPBACK}:{port}",
        f"--tls-cert-file={stage.certificate}",
        f"--tls-private-key-file={stage.key}",
        "--log-level=error",
        "--disable-telemetry",
        str(_REGO / f"{name}.rego"),
        str(file),
    ]
    stage.start(f"opa-{name}", argv, environment={"GOMAXPROCS": "1"})
    stage.wait(lambda: answers_tls(port), what=f"OPA ({name}) answers")
    return port
