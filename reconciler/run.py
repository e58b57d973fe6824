"""The reconciler as a process: caches, health, Lease, loop, and an orderly end; it never decides about a group.

Not the leader: the caches are kept warm, and nothing is written anywhere. The leader that loses its Lease ends with 1,
and a new process begins as a standby: nothing that it remembers can be wrong then. An Avi Controller that cannot be
reached, or refuses the credentials, ends nothing: the members' condition says so, and it is asked again.
"""

import asyncio
import secrets
import signal
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import structlog
from prometheus_client import REGISTRY, CollectorRegistry

from cluster.api import KubernetesApi
from cluster.lease import Lease
from reconciler.avi_client import AviClient
from reconciler.avi_objects import AviObjects
from reconciler.avi_rate import TokenBucket
from reconciler.avi_side import AviSide
from reconciler.group_pass import FullPass, Pass
from reconciler.guard_pass import GuardPass
from reconciler.health import create_app, serving
from reconciler.kubernetes import ClusterKubernetes, Subscriber
from reconciler.ledger_keeper import LedgerKeeper
from reconciler.loop import STOP_SECONDS, Loop, NotLeaderError
from reconciler.metrics import ReconcilerMetrics
from reconciler.ports import ClusterError
from reconciler.resync import Resync
from reconciler.settings import ReconcilerSettings
from reconciler.status import StatusKeeper
from sharedvip.model import GroupName, ServiceName

STOPPED: Final = 0
"""Exit code: somebody asked for the end."""
FAILED: Final = 1
"""Exit code: the Lease is lost, no API server is named, the health port is taken, or we have a bug."""
WRONG_SETTINGS: Final = 2
"""Exit code: nothing was begun."""

USER_AGENT: Final = "sharedvip-reconciler"

_log = structlog.get_logger("reconciler.run")


async def run(settings: ReconcilerSettings, *, kubeconfig: Path | None) -> int:
    """Reconcile until SIGTERM or SIGINT; the exit code. Only the main thread can.

    Args:
        settings: The operator's.
        kubeconfig: Where the API server is; None: we are a pod.
    """
    for problem in settings.problems:
        _log.error("setting.wrong", problem=problem)
    if settings.problems:
        return WRONG_SETTINGS
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    try:
        return await reconcile(settings, kubeconfig=kubeconfig, stop=stop)
    except (ClusterError, OSError) as error:
        _log.error("start.failed", error=str(error))
        return FAILED
    finally:
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(name)


async def reconcile(
    settings: ReconcilerSettings,
    *,
    kubeconfig: Path | None,
    stop: asyncio.Event,
    announce: Callable[[int], object] = lambda _port: None,
) -> int:
    """Reconcile until told to stop; the exit code.

    Args:
        settings: Without problems.
        kubeconfig: As for ``run``.
        stop: Ends it.
        announce: Called once with the health port.

    Raises:
        ClusterError: No API server is named.
        OSError: The health port is taken.
    """
    api = await KubernetesApi.connect(kubeconfig, user_agent=USER_AGENT)
    try:
        reconciler = _Reconciler(settings, api)
        app = create_app(reconciler.registry, REGISTRY, is_ready=lambda: reconciler.kubernetes.has_synced)
        async with serving(app, host=settings.health_host, port=settings.health_port) as port:
            announce(port)
            return await reconciler.run(stop)
    finally:
        await api.close()


class _Reconciler:
    """All parts of one process, and how they begin and end."""

    def __init__(self, settings: ReconcilerSettings, api: KubernetesApi) -> None:
        self._settings: Final = settings
        self.registry: Final = CollectorRegistry()
        self._metrics: Final = ReconcilerMetrics(self.registry)
        identity = settings.identity or f"{socket.gethostname()}_{secrets.token_hex(4)}"
        self._lease: Final = Lease(api, namespace=settings.namespace, name=settings.lease_name, identity=identity)
        is_full = settings.mode == "full"
        self.kubernetes: Final = ClusterKubernetes(
            api,
            fence=self._fence,
            now=_utc_now,
            subscriber=Subscriber(self._group_changed, self._service_left),
            has_slices=is_full,
            settings=settings if is_full else None,
        )
        self._keeper: Final = LedgerKeeper(self.kubernetes, policy=settings.policy, now=_utc_now)
        self._statuses: Final = StatusKeeper(self.kubernetes)
        self._client: Final = self._open_client() if is_full else None
        self._avi: Final = self._avi_side(self._client) if self._client else None
        statuses = self._statuses if is_full else None
        self._loop: Final = Loop(self.kubernetes, worker=self._worker(), statuses=statuses, metrics=self._metrics)
        self._is_working = False

    async def run(self, stop: asyncio.Event) -> int:
        """Until told to stop, or the Lease is lost; the exit code."""
        watches = [asyncio.create_task(watch, name="watch") for watch in self.kubernetes.watches()]
        lease = asyncio.create_task(self._lease.run(), name="lease")
        leading = asyncio.create_task(self._lead(stop), name="lead")
        stopping = asyncio.create_task(stop.wait(), name="stop")
        try:
            await asyncio.wait({*watches, lease, leading, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if stop.is_set() and self._is_working:
                await asyncio.wait({leading}, timeout=STOP_SECONDS + 1)
            is_stopped = stop.is_set() and not self._lease.lost.is_set()
        finally:
            failures = await _cancelled((leading, stopping, *watches, lease))
            await self._leave()
        for failure in failures:
            _log.error("run.failed", exc_info=failure)
        return STOPPED if is_stopped and not failures else FAILED

    async def _lead(self, stop: asyncio.Event) -> None:
        await self.kubernetes.synced()
        await self._lease.held()
        self._metrics.is_leader.set(1)
        resync = self._resync()
        groups = await resync.read()
        self._is_working = True
        self._loop.everything(groups)
        try:
            await self._loop.run(workers=self._settings.workers, resync=resync, stop=stop)
        except* NotLeaderError:
            _log.error("lease.fenced")

    async def _leave(self) -> None:
        """After all work has ended: hand over, log out."""
        self._metrics.is_leader.set(0)
        await self._lease.release()
        if self._client is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(STOP_SECONDS):
                    await self._client.close()

    def _fence(self) -> None:
        if not self._lease.is_held:
            raise NotLeaderError

    def _group_changed(self, group: GroupName) -> None:
        # A standby remembers what was shown, too: it must not wait for a grace when it takes over.
        self._keeper.observe(group, is_leading=self._is_working)
        if self._is_working:
            self._loop.group_changed(group, is_new=self._avi is not None and self._avi.is_new(group))

    def _service_left(self, service: ServiceName) -> None:
        if self._is_working:
            self._loop.service_left(service)

    def _open_client(self) -> AviClient:
        settings = self._settings
        assert settings.avi_credentials_directory is not None  # noqa: S101 - one of the settings' problems
        return AviClient(
            settings.endpoint,
            credentials=settings.avi_credentials_directory,
            tenant=settings.avi_tenant,
            api_version=settings.avi_api_version,
            rate=TokenBucket(settings.avi_requests_per_second),
            fence=self._fence,
            observe=self._metrics.count_call,
        )

    def _avi_side(self, client: AviClient) -> AviSide:
        settings = self._settings
        objects = AviObjects(
            client,
            cluster=settings.cluster_name,
            cloud=settings.avi_cloud,
            has_tenants=settings.avi_tenant_per_namespace,
        )
        has_names = settings.avi_auto_fqdn != "disabled" or bool(settings.avi_default_domain)
        return AviSide(objects, has_macro=settings.avi_has_macro, has_names=has_names)

    def _worker(self) -> Pass:
        if self._avi is None:
            return GuardPass(self.kubernetes, keeper=self._keeper, statuses=self._statuses)
        return FullPass(
            self.kubernetes,
            keeper=self._keeper,
            avi=self._avi,
            statuses=self._statuses,
            settings=self._settings,
            surroundings=self.kubernetes.surroundings,
        )

    def _resync(self) -> Resync:
        return Resync(
            self.kubernetes,
            keeper=self._keeper,
            avi=self._avi,
            statuses=self._statuses,
            uids=self.kubernetes.uids,
            metrics=self._metrics,
            seconds=self._settings.resync_seconds,
        )


async def _cancelled(tasks: Iterable[asyncio.Task[Any]]) -> list[BaseException]:
    """End the tasks; what they died of before, cancellation excepted."""
    ended = list(tasks)
    for task in ended:
        task.cancel()
    outcomes = await asyncio.gather(*ended, return_exceptions=True)
    return [o for o in outcomes if isinstance(o, BaseException) and not isinstance(o, asyncio.CancelledError)]


def _utc_now() -> datetime:
    return datetime.now(UTC)
