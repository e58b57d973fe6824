"""What an end-to-end test does in its namespace, and what it sees there and on Avi; it asserts nothing."""

import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cli.demo.avi import AviView, VirtualService
from cli.demo.stage import Stage
from localcluster.waiting import wait_until
from sharedvip.parse import ServiceObject

EXAMPLES = Path(__file__).parents[2] / "examples"
DEADLINE_SECONDS = 30.0


class Scene:
    """A namespace on the stage."""

    def __init__(self, stage: Stage, namespace: str, avi: AviView) -> None:
        self.stage = stage
        self.namespace = namespace
        self._avi = avi

    def kubectl(
        self, *words: str, given: str | None = None, may_fail: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl in the namespace."""
        return self.stage.cluster.run_kubectl("-n", self.namespace, *words, input=given, check=not may_fail)

    def apply(self, *services: ServiceObject, dry_run: bool = False) -> subprocess.CompletedProcess[str]:
        """``kubectl apply -f -``; it may fail."""
        flags = ["--dry-run=server"] if dry_run else []
        return self.kubectl("apply", *flags, "-f", "-", given=render(*services), may_fail=True)

    def apply_example(self, name: str) -> subprocess.CompletedProcess[str]:
        """A file of ``examples/``, moved to the namespace; it may fail."""
        text = (EXAMPLES / name).read_text().replace("namespace: default", f"namespace: {self.namespace}")
        return self.kubectl("apply", "-f", "-", given=text, may_fail=True)

    def read(self, *words: str) -> dict[str, Any]:
        """``kubectl get … -o json``."""
        return json.loads(self.kubectl("get", *words, "-o", "json").stdout)

    def addresses(self) -> Mapping[str, str]:
        """The external address of every LoadBalancer Service, "" where it has none."""
        services = [s for s in self.read("svc")["items"] if s["spec"]["type"] == "LoadBalancer"]
        return {s["metadata"]["name"]: _address(s) for s in services}

    def claims(self) -> set[tuple[str, int, str]]:
        """Everything the ledgers of the namespace hold: Service, port, protocol."""
        ledgers = self.read("svip")["items"]
        return {(c["service"], c["port"], c["protocol"]) for one in ledgers for c in one["spec"].get("claims", [])}

    def on_avi(self) -> tuple[VirtualService, ...]:
        """The namespace's virtual services."""
        return tuple(one for one in self._avi.virtual_services() if f"~{self.namespace}~" in one.name)

    def wait(self, what: str, is_so: Callable[[], bool]) -> None:
        """Wait until something is so."""
        wait_until(is_so, what=what, deadline_seconds=DEADLINE_SECONDS)

    def wait_for_one_address(self, *services: str) -> str:
        """Wait until these Services have one external address, the same; that address."""
        self.wait(f"{services} have one address", lambda: self._one_address(services) is not None)
        return self._one_address(services) or ""

    def clear(self) -> None:
        """Delete the namespace's Services, and wait until Avi knows nothing of them."""
        self.kubectl("delete", "svc", "--all")
        self.wait("nothing of the namespace is left on Avi", lambda: not self.on_avi())
        self.wait("no ledger is left", lambda: not self.read("svip")["items"])
        self.stage.cluster.run_kubectl("delete", "namespace", self.namespace, "--wait=false", "--ignore-not-found")

    def _one_address(self, services: tuple[str, ...]) -> str | None:
        known = self.addresses()
        found = {known.get(name, "") for name in services}
        return found.pop() if len(found) == 1 and "" not in found else None


def render(*services: ServiceObject) -> str:
    """The Services as one manifest, in the namespace that kubectl is told."""
    items = [{**s, "metadata": {k: v for k, v in s["metadata"].items() if k != "namespace"}} for s in services]  # pyright: ignore[reportTypedDictNotRequiredAccess] - builders always set it
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})


def _address(service: dict[str, Any]) -> str:
    ingress: list[dict[str, str]] = service["status"].get("loadBalancer", {}).get("ingress") or []
    return ingress[0].get("ip", "") if ingress else ""
