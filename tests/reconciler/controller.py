"""A simulated Avi Controller with a journal that is read as sentences, and a reconciler on top of it."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import cast

from reconciler.avi_client import AviClient
from reconciler.avi_objects import AviObjects
from reconciler.avi_rate import TokenBucket
from reconciler.avi_side import AviSide
from reconciler.group_pass import FullPass
from reconciler.ledger_keeper import LedgerKeeper
from reconciler.names import created_by
from reconciler.settings import ReconcilerSettings, VipNetwork
from reconciler.status import StatusKeeper
from sharedvip.model import GroupName, Policy, ServiceView
from simulator.serve import Running
from tests.builders import GROUP
from tests.reconciler.fake_kubernetes import FakeKubernetes
from tests.reconciler.world import two_pods

START = datetime(2026, 11, 23, tzinfo=UTC)
OUR_TYPES = ("virtualservice", "l4policyset", "pool", "vsvip")


@dataclass
class Avi:
    """One simulated Controller for all tests of a session; each test is another cluster on it."""

    running: Running
    directory: Path
    """For credentials."""
    _numbers: "count[int]" = field(default_factory=count)
    _since: str = ""

    def credentials(self) -> Path:
        """As a mounted Secret shows them. Each time others: avisdk shares a session among all that have the same CA."""
        directory = self.directory / f"credentials-{next(self._numbers)}"
        directory.mkdir()
        access = self.running.access
        for name, text in (("username", access.username), ("password", access.password)):
            (directory / name).write_text(text)
        (directory / "ca.crt").write_bytes(Path(access.ca).read_bytes())
        return directory

    def calls(self, *, writes_only: bool = False) -> list[str]:
        """``POST macro``, ``GET pool``, ``POST login``: since the last ``forget``."""
        told = [
            f"{e.method} {e.path.partition('?')[0].strip('/').removeprefix('api/').partition('/')[0]}"
            for e in self.running.journal.entries()
            if e.started >= self._since  # who was called before may end after it: a caller that gave up does not wait
        ]
        return [call for call in told if not writes_only or (not call.startswith("GET") and "log" not in call)]

    def forget(self) -> None:
        """Begin to count anew."""
        self.running.journal.clear()
        self._since = datetime.now(UTC).isoformat()

    def names(self, cluster: str) -> list[str]:
        """Everything on the Controller whose name says that it is a cluster's: ``pool TCP~80``, sorted."""
        prefix = f"sharedvip~{cluster}~"
        return sorted(
            f"{kind} {record.name.removeprefix(prefix)}"
            for kind in OUR_TYPES
            for record in self.running.controller.store.of_kind(kind)
            if record.name.startswith(prefix)
        )

    def body(self, kind: str, name: str) -> dict[str, object]:
        """What the Controller has of one object."""
        record = next(r for r in self.running.controller.store.of_kind(kind) if r.name == name)
        return {**record.document, "uuid": record.uuid}

    def servers(self, pool: str) -> list[str]:
        """``10.244.1.11:8080`` for each server of a pool."""
        found = cast("list[dict[str, str]]", self.body("pool", pool).get("servers") or [])
        return [server["external_uuid"] for server in found]


@dataclass
class Stack:
    """The reconciler of one cluster, without its loop."""

    kubernetes: FakeKubernetes
    settings: ReconcilerSettings
    client: AviClient
    side: AviSide
    keeper: LedgerKeeper
    statuses: StatusKeeper
    worker: FullPass

    async def look(self, group: GroupName = GROUP) -> int:
        """One pass of one group; how many calls it made that write."""
        return (await self.worker.run(group)).avi_calls

    async def look_at_all(self) -> None:
        """A resync: read Avi, then a pass of every group that anybody knows of."""
        await self.side.read()
        for group in sorted({*self.kubernetes.groups(), *self.side.view.groups()}):
            await self.worker.run(group)

    @property
    def owner(self) -> str:
        """``created_by`` of this cluster's objects."""
        return created_by(self.settings.cluster_name)


def no_fence() -> None:
    """Always the leader."""


def process(
    client: AviClient,
    kubernetes: FakeKubernetes,
    settings: ReconcilerSettings,
    *,
    has_macro: bool = True,
    now: Callable[[], datetime] = lambda: START,
) -> Stack:
    """A reconciler that knows nothing yet."""
    objects = AviObjects(client, cluster=settings.cluster_name, cloud=settings.avi_cloud)
    side = AviSide(objects, has_macro=has_macro)
    keeper = LedgerKeeper(kubernetes, policy=Policy(), now=now)
    statuses = StatusKeeper(kubernetes)
    worker = FullPass(kubernetes, keeper=keeper, avi=side, statuses=statuses, settings=settings)
    return Stack(kubernetes, settings, client, side, keeper, statuses, worker)


@asynccontextmanager
async def stack(  # noqa: PLR0913 - all keyword-only but two; each is what some test is about
    avi: Avi,
    kubernetes: FakeKubernetes,
    *,
    cluster: str,
    fence: Callable[[], None] = no_fence,
    is_read: bool = True,
    has_macro: bool = True,
    now: Callable[[], datetime] = lambda: START,
    observe: Callable[[str, int], None] = lambda _method, _status: None,
    patience_seconds: float = 30.0,
    credentials: Path | None = None,
    clock: Callable[[], float] = time.monotonic,
    requests_per_second: float = 10_000.0,
) -> AsyncGenerator[Stack]:
    """A reconciler that has just started; it logs out at the end."""
    credentials = credentials or avi.credentials()
    settings = ReconcilerSettings(
        cluster_name=cluster,
        avi_controller=avi.running.access.url,
        avi_credentials_directory=credentials,
        avi_vip_networks=(VipNetwork("net1"),),
    )
    client = AviClient(
        settings.endpoint,
        credentials=credentials,
        tenant=settings.avi_tenant,
        api_version=settings.avi_api_version,
        rate=TokenBucket(requests_per_second),
        fence=fence,
        observe=observe,
        now=clock,
        timeout=(patience_seconds, patience_seconds),
    )
    reconciler = process(client, kubernetes, settings, has_macro=has_macro, now=now)
    try:
        if is_read:
            await reconciler.side.read()
            avi.forget()
        yield reconciler
    finally:
        avi.running.faults.clear()
        await client.close()


def admitted(*services: ServiceView) -> FakeKubernetes:
    """A cluster where these came by admission, with two pods behind each."""
    kubernetes = FakeKubernetes()
    kubernetes.admit(*services, at=START)
    for each in services:
        kubernetes.endpoint_slices[each.name] = tuple(s for p in each.ports for s in two_pods(p.listener.protocol))
    return kubernetes


def tell(
    avi: Avi,
    cluster: str,
    story: Callable[[Stack], Awaitable[None]],
    *services: ServiceView,
    fence: Callable[[], None] = no_fence,
    is_read: bool = True,
) -> FakeKubernetes:
    """Run a story of a reconciler that has just started; what is in the cluster after it."""
    kubernetes = admitted(*services)

    async def told() -> None:
        async with stack(avi, kubernetes, cluster=cluster, fence=fence, is_read=is_read) as reconciler:
            await story(reconciler)

    asyncio.run(told())
    return kubernetes
