"""The loop: events in, passes out, a resync from time to time; it never knows what a pass does."""

import asyncio
import time
from collections.abc import Collection, Iterable
from contextlib import suppress
from typing import Final, Literal, NamedTuple, Protocol

import structlog

from reconciler.avi_errors import AviError
from reconciler.group_pass import Outcome, Pass
from reconciler.metrics import ReconcilerMetrics
from reconciler.ports import ClusterError, Kubernetes
from reconciler.queue import COALESCE_SECONDS, FOUNDING_SECONDS, WorkQueue
from reconciler.status import StatusKeeper
from sharedvip.model import GroupName, ServiceName

_log = structlog.get_logger("reconciler.loop")


STOP_SECONDS: Final = 5.0
"""How long the passes on their way may take when the process is to end; a macro call takes up to 0.4 s."""


class NotLeaderError(Exception):
    """We may not be the leader any more: the process ends, and a new one starts as standby."""


class Resync(Protocol):
    """Reads again what no event tells."""

    @property
    def pause_seconds(self) -> float:
        """How long to wait before the next ``read``."""
        ...

    async def read(self) -> Collection[GroupName]:
        """Read; which groups to look at. Never raises because somebody could not be asked."""
        ...


class Work(NamedTuple):
    """A key of the queue. Two kinds, told apart by their first field: names alone would compare equal."""

    kind: Literal["group", "leaver"]
    namespace: str
    name: str


class Loop:
    """Workers over one queue.

    Args:
        kubernetes: The cluster.
        worker: What is done for a group.
        statuses: What is done for a Service that left; None in guard mode.
        metrics: Where it is counted.
    """

    def __init__(
        self, kubernetes: Kubernetes, *, worker: Pass, statuses: StatusKeeper | None, metrics: ReconcilerMetrics
    ) -> None:
        self._kubernetes: Final = kubernetes
        self._pass: Final = worker
        self._statuses: Final = statuses
        self._metrics: Final = metrics
        self._queue: Final[WorkQueue[Work]] = WorkQueue()
        # Asked when it is read: set at each take, it would never tell that the last one is done.
        metrics.queue_depth.set_function(lambda: len(self._queue))
        self._since: dict[Work, float] = {}

    def group_changed(self, group: GroupName, *, is_new: bool = False) -> None:
        """Something of the group changed, or may have.

        Args:
            group: Which.
            is_new: Whether nothing of it is on Avi: then its other members may be about to come.
        """
        work = Work("group", *group)
        self._since.setdefault(work, time.monotonic())
        self._queue.add(work, delay_seconds=FOUNDING_SECONDS if is_new else COALESCE_SECONDS)

    def service_left(self, service: ServiceName) -> None:
        """A Service carries our condition and is no member any more."""
        if self._statuses is not None:
            self._queue.add(Work("leaver", *service))

    def everything(self, groups: Iterable[GroupName]) -> None:
        """Look at these groups and at all Services that left."""
        for group in groups:
            self.group_changed(group)
        for service in self._kubernetes.leavers():
            self.service_left(service.name)

    async def run(self, *, workers: int, resync: Resync, stop: asyncio.Event) -> None:
        """Work until told to stop, then finish what is on its way, but not for long.

        Args:
            workers: How many groups are worked on at a time.
            resync: Reads again what no event tells, from time to time.
            stop: Ends the work.

        Raises:
            NotLeaderError: A fence was closed; in an ``ExceptionGroup``, as it comes from a task.
        """
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._work(), name=f"worker-{number}") for number in range(workers)]
            tasks.append(group.create_task(self._resync(resync), name="resync"))
            await stop.wait()
            self._queue.close()
            with suppress(TimeoutError):
                async with asyncio.timeout(STOP_SECONDS):
                    await self._queue.idle()
            for task in tasks:
                task.cancel()

    async def _resync(self, resync: Resync) -> None:
        while True:
            await asyncio.sleep(resync.pause_seconds)
            self.everything(await resync.read())

    async def _work(self) -> None:
        while True:
            work = await self._queue.take()
            started = time.monotonic()
            outcome = await self._one(work)
            self._metrics.reconcile_seconds.labels(outcome).observe(time.monotonic() - started)
            # A pass that finds nothing to do waits for nobody: a resync of 5,000 groups would keep the Lease from being
            # renewed for its 10 s (a pass takes about 2 ms).
            await asyncio.sleep(0)

    async def _one(self, work: Work) -> str:
        try:
            outcome = await self._do(work)
        except (AviError, ClusterError) as error:
            at_least = error.retry_seconds if isinstance(error, AviError) else 0.0
            self._again(work, error, at_least_seconds=at_least)
            return "failed"
        except NotLeaderError:
            raise
        except Exception as error:  # noqa: BLE001 - the last resort of a worker; told below
            # A bug in one group must not stop the others; its line has the traceback, once per try.
            _log.exception("pass.broken", kind=work.kind, namespace=work.namespace, key=work.name)
            self._again(work, error)
            return "broken"
        self._finish(work, outcome)
        return "done"

    async def _do(self, work: Work) -> Outcome:
        if work.kind == "group":
            return await self._pass.run(GroupName(work.namespace, work.name))
        service = self._kubernetes.service(ServiceName(work.namespace, work.name))
        if self._statuses and service and service.has_ready_condition and not service.is_member:
            await self._statuses.withdraw(service)
        return Outcome()

    def _again(self, work: Work, error: Exception, *, at_least_seconds: float = 0.0) -> None:
        pause = self._queue.retry(work, at_least_seconds=at_least_seconds)
        self._metrics.retries.inc()
        fields = {"kind": work.kind, "namespace": work.namespace, "key": work.name}
        _log.warning("pass.failed", **fields, error=str(error), retry_seconds=round(pause, 1))

    def _finish(self, work: Work, outcome: Outcome) -> None:
        self._queue.done(work)
        if outcome.is_repair:
            self._metrics.drift_repaired.inc()
        since = self._since.pop(work, None)
        if outcome.avi_calls and since is not None:
            seconds = time.monotonic() - since
            self._metrics.programmed_seconds.observe(seconds)
            fields = {"namespace": work.namespace, "key": work.name}
            _log.info("group.programmed", **fields, avi_calls=outcome.avi_calls, seconds=round(seconds, 3))
        if outcome.wake_seconds is not None:
            self._queue.add(work, delay_seconds=outcome.wake_seconds)
