"""A reconciler with settings, surroundings and a Controller of a test's choice: what operators may ask for."""

import asyncio
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from itertools import count
from pathlib import Path
from typing import Any, cast

from cluster.ako_resources import DetailedService, InfraSetting, L4Rule, Namespace
from cluster.nodes import LocalPort, Node
from reconciler.avi_client import AviClient, AviRequest
from reconciler.avi_objects import AviObjects
from reconciler.avi_rate import TokenBucket
from reconciler.avi_side import AviSide
from reconciler.graph import Json
from reconciler.group_pass import FullPass
from reconciler.ledger_keeper import LedgerKeeper
from reconciler.networks import VipNetwork
from reconciler.settings import ReconcilerSettings
from reconciler.status import StatusKeeper
from sharedvip.model import Policy, ServiceView
from simulator.serve import running
from simulator.settings import Settings, Subnet
from tests.builders import GROUP
from tests.reconciler.controller import START, Avi, admitted, no_fence
from tests.reconciler.fake_kubernetes import FakeKubernetes

SUBNETS = (Subnet("net1", "100.64.192.0/18"), Subnet("net1", "2001:db8::/64"), Subnet("net2", "100.65.0.0/24"))
_clusters = count()


@dataclass
class FakeSurroundings:
    """``Surroundings`` as a test says."""

    namespaces: dict[str, Namespace] = field(default_factory=dict[str, Namespace])
    infra: dict[str, InfraSetting] = field(default_factory=dict[str, InfraSetting])
    rules: dict[str, L4Rule] = field(default_factory=dict[str, L4Rule])
    """By name, all in the seed's namespace."""
    machines: list[Node] = field(default_factory=list[Node])
    opened: dict[str, tuple[LocalPort, ...]] = field(default_factory=dict[str, tuple[LocalPort, ...]])

    def namespace(self, name: str) -> Namespace | None:
        """As ``Surroundings``."""
        return self.namespaces.get(name)

    def infra_setting(self, name: str) -> InfraSetting | None:
        """As ``Surroundings``."""
        return self.infra.get(name)

    def l4_rule(self, namespace: str, name: str) -> L4Rule | None:
        """As ``Surroundings``."""
        rule = self.rules.get(name)
        return rule if rule is not None and rule.namespace == namespace else None

    def nodes(self) -> tuple[Node, ...]:
        """As ``Surroundings``."""
        return tuple(sorted(self.machines, key=lambda node: node.name))

    def local_ports(self, address: str) -> tuple[LocalPort, ...]:
        """As ``Surroundings``."""
        return self.opened.get(address, ())


@dataclass
class Scene:
    """A reconciler without its loop, and what it looks at."""

    avi: Avi
    kubernetes: FakeKubernetes
    around: FakeSurroundings
    settings: ReconcilerSettings
    client: AviClient
    side: AviSide
    worker: FullPass

    async def look(self) -> list[str]:
        """One pass of the seed's group; the calls it made."""
        self.avi.forget()
        await self.worker.run(GROUP)
        return self.avi.calls()

    def name(self, listener: str = "") -> str:
        """Of the group's objects, or of a listener's pool (``TCP~80``)."""
        name = f"sharedvip~{self.settings.cluster_name}~default~shared-vip-key-1"
        return f"{name}~{listener}" if listener else name

    def body(self, kind: str, listener: str = "") -> dict[str, Any]:
        """What the Controller has, references as names."""
        return cast("dict[str, Any]", self._named(self.avi.body(kind, self.name(listener))))

    def message(self) -> str:
        """What the ``SharedVIP`` says."""
        return self.kubernetes.reports[GROUP].verdict.message

    def verdict(self, service: ServiceView) -> tuple[bool, str, str]:
        """What a Service says."""
        verdict = self.kubernetes.verdicts[service.name]
        return verdict.is_ready, verdict.reason, verdict.message

    async def make(self, kind: str, **body: Json) -> None:
        """Somebody makes an object on the Controller."""
        await self.client.request(AviRequest("POST", kind, body=body))

    def _named(self, value: object) -> object:
        if isinstance(value, dict):
            return {key: self._named(entry) for key, entry in cast("dict[str, object]", value).items()}
        if isinstance(value, list):
            return [self._named(entry) for entry in cast("list[object]", value)]
        if isinstance(value, str) and value.startswith("/api/"):
            uuid = value.rpartition("/")[2]
            record = self.avi.running.controller.store.get(uuid)
            return record.name if record else uuid
        return value


def detailed(view: ServiceView, *, hostname: str = "", skips: bool = False, node_ports: tuple[int, ...] = ()) -> Any:  # noqa: ANN401 - a ServiceView to whoever takes one
    """A Service with what only the Avi side reads."""
    plain = {each.name: getattr(view, each.name) for each in fields(ServiceView)}
    return DetailedService(**plain, hostname=hostname, skips_node_ports=skips, node_ports=node_ports)


@contextmanager
def controller(directory: Path, **settings: Any) -> Generator[Avi]:  # noqa: ANN401 - fields of the simulator's Settings
    """A Controller of its own."""
    with running(replace(Settings(subnets=SUBNETS), **settings), directory=directory) as simulated:
        yield Avi(simulated, directory)


@contextmanager
def furnished(directory: Path) -> Generator[Avi]:
    """A Controller with a second SE group ``gold-group``, VRF ``blue``, tenant ``shop`` and health monitor ``own``."""

    async def furnish(scene: Scene) -> None:
        cloud = "/api/cloud?name=Default-Cloud"
        await scene.make("serviceenginegroup", name="gold-group", cloud_ref=cloud)
        await scene.make("vrfcontext", name="blue", cloud_ref=cloud)
        await scene.make("tenant", name="shop")
        await scene.make("healthmonitor", name="own", type="HEALTH_MONITOR_TCP")

    with controller(directory) as simulated:
        play(simulated, furnish)
        yield simulated


def play(
    avi: Avi,
    story: Callable[[Scene], Awaitable[None]],
    *services: ServiceView,
    around: FakeSurroundings | None = None,
    **changes: Any,  # noqa: ANN401 - fields of ReconcilerSettings
) -> FakeKubernetes:
    """Run a story of a reconciler that has just started, with these Services admitted; what is in the cluster then."""
    kubernetes = admitted(*services)
    asyncio.run(_played(avi, story, kubernetes, around or FakeSurroundings(), changes))
    return kubernetes


async def _played(
    avi: Avi,
    story: Callable[[Scene], Awaitable[None]],
    kubernetes: FakeKubernetes,
    around: FakeSurroundings,
    changes: dict[str, Any],
) -> None:
    settings = ReconcilerSettings(
        cluster_name=f"options{next(_clusters)}",
        avi_controller=avi.running.access.url,
        avi_credentials_directory=avi.credentials(),
        avi_vip_networks=(VipNetwork("net1"),),
    )
    settings = replace(settings, **changes)
    assert settings.problems == ()
    assert settings.avi_credentials_directory is not None
    client = AviClient(
        settings.endpoint,
        credentials=settings.avi_credentials_directory,
        tenant=settings.avi_tenant,
        api_version=settings.avi_api_version,
        rate=TokenBucket(10_000.0, burst=10_000.0),
        fence=no_fence,
    )
    objects = AviObjects(
        client,
        cluster=settings.cluster_name,
        cloud=settings.avi_cloud,
        has_tenants=settings.avi_tenant_per_namespace,
    )
    side = AviSide(objects, has_macro=settings.avi_has_macro, has_names=settings.avi_auto_fqdn != "disabled")
    worker = FullPass(
        kubernetes,
        keeper=LedgerKeeper(kubernetes, policy=Policy(), now=lambda: START),
        avi=side,
        statuses=StatusKeeper(kubernetes),
        settings=settings,
        surroundings=around,
    )
    try:
        await side.read()
        await story(Scene(avi, kubernetes, around, settings, client, side, worker))
    finally:
        await client.close()
