"""A reconciler at work on a real API server and a simulated Avi Controller: the words of ``test_run``'s stories."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localcluster.cluster import LocalCluster
from reconciler.run import reconcile
from reconciler.settings import ReconcilerSettings
from sharedvip.annotations import READY_CONDITION, SHARED_VIP
from tests.builders import KEY, service_object
from tests.reconciler.controller import Avi

DEADLINE_SECONDS = 30.0
_PATIENCE_SECONDS = 0.1
_ROOT = Path(__file__).parents[2]
_DEPLOY = _ROOT / "deploy"

Object = dict[str, Any]


def install(cluster: LocalCluster) -> Path:
    """Our kind and the reconciler's rights as shipped; a kubeconfig that has no others."""
    files = ["00-namespace", "10-customresourcedefinition", "20-serviceaccount"]
    files += ["21-clusterrole", "22-clusterrolebinding", "23-role", "24-rolebinding"]
    cluster.run_kubectl("apply", "--server-side", *(f"--filename={_DEPLOY / file}.yaml" for file in files))
    cluster.run_kubectl("wait", "--for=condition=Established", "--timeout=20s", "crd/sharedvips.sharedvip.dev")
    return cluster.service_account_kubeconfig("sharedvip-system", "sharedvip-reconciler")


def forget_members(cluster: LocalCluster) -> None:
    """Delete every Service with the annotation: a reconciler would build for it, and count among what a test sees."""
    found = json.loads(cluster.run_kubectl("get", "services", "--all-namespaces", "--output=json").stdout)["items"]
    members: dict[str, list[str]] = {}
    for metadata in (one["metadata"] for one in found):
        if SHARED_VIP in metadata.get("annotations", {}):
            members.setdefault(metadata["namespace"], []).append(metadata["name"])
    for namespace, names in members.items():
        cluster.run_kubectl("delete", "service", *names, f"--namespace={namespace}", "--ignore-not-found")


@dataclass(frozen=True)
class World:
    """A namespace of the cluster, and a Controller."""

    cluster: LocalCluster
    namespace: str
    avi: Avi
    settings: ReconcilerSettings
    kubeconfig: Path

    async def kubectl(self, *args: str, told: Object | None = None) -> str:
        """What kubectl prints, as the administrator."""
        words = (*args, f"--namespace={self.namespace}")
        text = None if told is None else json.dumps(told)
        return (await asyncio.to_thread(self.cluster.run_kubectl, *words, input=text)).stdout

    async def apply(self, *objects: Object) -> None:
        """Somebody applies manifests."""
        await self.kubectl("apply", "--filename=-", told={"apiVersion": "v1", "kind": "List", "items": list(objects)})

    async def get(self, *args: str) -> Object:
        """An object, or a list of them."""
        return json.loads(await self.kubectl("get", *args, "--output=json"))

    async def vip(self, name: str) -> str:
        """The address in a Service's status."""
        ingress: list[Object] = (await self.get("service", name))["status"]["loadBalancer"].get("ingress") or []
        return ingress[0]["ip"] if ingress else ""

    async def condition(self, name: str) -> Object:
        """Our condition on a Service, empty where there is none."""
        conditions: list[Object] = (await self.get("service", name))["status"].get("conditions") or []
        return next((c for c in conditions if c["type"] == READY_CONDITION), Object())

    async def reason(self, name: str) -> str:
        """Its reason."""
        return str((await self.condition(name)).get("reason", ""))

    def names(self) -> list[str]:
        """What is on Avi."""
        return [name.replace(f"{self.namespace}~{KEY}", "group") for name in self.avi.names(self.settings.cluster_name)]

    def servers(self, listener: str) -> int:
        """How many servers the pool of a listener has."""
        name = f"sharedvip~{self.settings.cluster_name}~{self.namespace}~{KEY}~{listener}"
        return len(self.avi.servers(name))

    @asynccontextmanager
    async def reconciler(self, settings: ReconcilerSettings | None = None) -> AsyncGenerator["Process"]:
        """A reconciler in this process, which is told to stop in the end."""
        stop = asyncio.Event()
        task = asyncio.create_task(reconcile(settings or self.settings, kubeconfig=self.kubeconfig, stop=stop))
        try:
            yield Process(task, stop)
        finally:
            stop.set()
            await task

    def tell(self, story: Callable[[], Awaitable[None]]) -> None:
        """Run a story."""

        async def whole() -> None:
            await story()

        asyncio.run(whole())


@dataclass(frozen=True)
class Process:
    """A running reconciler."""

    task: asyncio.Task[int]
    stop: asyncio.Event


async def until(what: str, is_so: Callable[[], Awaitable[bool]], *, seconds: float = DEADLINE_SECONDS) -> None:
    """Look again and again until something is so."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not await is_so():
        assert asyncio.get_running_loop().time() < deadline, f"not within {seconds:g} s: {what}"
        await asyncio.sleep(_PATIENCE_SECONDS)


def workload(app: str, *, replicas: int) -> Object:
    """A Deployment of this app; kwok makes its pods ready."""
    container = {"name": "web", "image": "web", "ports": [{"containerPort": 8080}]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": app},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": app}},
            "template": {"metadata": {"labels": {"app": app}}, "spec": {"containers": [container]}},
        },
    }


def service(name: str, *ports: str, namespace: str, **annotations: str) -> Object:
    """A Service of the seed's group."""
    return dict(service_object(name, *ports, namespace=namespace, annotations=annotations))


async def fact(is_so: Callable[[], bool]) -> bool:
    """Something that needs no waiting to be looked at."""
    return is_so()


async def are_ready(world: World, *names: str) -> bool:
    """All of them are programmed."""
    return all([await world.reason(name) == "Programmed" for name in names])


async def has_reason(world: World, name: str, reason: str) -> bool:
    """Our condition on a Service says so."""
    return await world.reason(name) == reason


async def has_columns(world: World, *words: str) -> bool:
    """``kubectl get svip`` prints these words."""
    printed = (await world.kubectl("get", "svip", KEY, "--no-headers")).split()
    return set(words) <= set(printed)


async def has_event(world: World, name: str, reason: str) -> bool:
    """There is a Warning with this reason about a Service."""
    events = (await world.get("events.events.k8s.io"))["items"]
    return any((e["regarding"]["name"], e["reason"], e["type"]) == (name, reason, "Warning") for e in events)


async def is_left_alone(world: World, name: str) -> bool:
    """Nothing in its status is ours."""
    return await world.vip(name) == "" and await world.condition(name) == {}


async def is_claimed(world: World, name: str) -> bool:
    """A ledger has a claim of it."""
    ledgers = (await world.get("svip"))["items"]
    return any(claim["service"] == name for ledger in ledgers for claim in ledger["spec"].get("claims", []))


async def no_ledger(world: World) -> bool:
    """The namespace has none."""
    return (await world.get("svip"))["items"] == []


async def no_address(world: World, address: str) -> bool:
    """Nobody holds it."""
    return not await world.kubectl("get", "ipaddress", address, "--ignore-not-found")


def program(world: World) -> subprocess.Popen[bytes]:
    """``sharedvip reconciler`` in a process of its own, to be killed, stopped or told to end."""
    command = [sys.executable, "-m", "cli", "reconciler", "--mode=full", "--health-port=0"]
    options = {
        "cluster-name": world.settings.cluster_name,
        "avi-controller": world.settings.avi_controller,
        "avi-credentials-directory": world.settings.avi_credentials_directory,
        "avi-vip-network": "net1",
        "kubeconfig": world.kubeconfig,
    }
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(_ROOT), "HOME": str(world.cluster.directory)}
    return subprocess.Popen(  # noqa: S603 - our own program
        [*command, *(f"--{name}={value}" for name, value in options.items())],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
