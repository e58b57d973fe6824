"""What no event tells, read from time to time: Avi's objects, address locks; it never looks at a group itself."""

import time
from collections.abc import Awaitable, Callable, Collection
from typing import Final

import structlog

from reconciler.avi_errors import AviError
from reconciler.avi_side import AviSide
from reconciler.ledger_keeper import LedgerKeeper
from reconciler.metrics import ReconcilerMetrics
from reconciler.ports import ClusterError, Kubernetes
from reconciler.status import StatusKeeper
from sharedvip.model import GroupName

_LONGEST_PAUSE_SECONDS: Final = 60.0
"""After a read that failed: a Controller that comes back is found within a minute."""
LOCKS_SECONDS: Final = 60.0
"""Between two looks at the locks alone: admission makes one for a leave with a new address, and where that is never
stored, whoever wants the address waits for us."""

_log = structlog.get_logger("reconciler.resync")


class Resync:
    """Reads the world again, as ``loop.Resync``.

    Args:
        kubernetes: The cluster.
        keeper: The janitor.
        avi: The Controller; None in guard mode.
        statuses: Where Services that are gone are forgotten.
        uids: Those of the Services that are there.
        metrics: Where the groups are counted.
        seconds: From one read that went well to the next.
        clock: Monotonic seconds.
    """

    def __init__(  # noqa: PLR0913 - each is another part of the process
        self,
        kubernetes: Kubernetes,
        *,
        keeper: LedgerKeeper,
        avi: AviSide | None,
        statuses: StatusKeeper,
        uids: Callable[[], Collection[str]],
        metrics: ReconcilerMetrics,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kubernetes: Final = kubernetes
        self._keeper: Final = keeper
        self._avi: Final = avi
        self._statuses: Final = statuses
        self._uids: Final = uids
        self._metrics: Final = metrics
        self._seconds: Final = seconds
        self._failures = 0
        self._at_least = 0.0
        self._clock: Final = clock
        self._due = clock()

    @property
    def pause_seconds(self) -> float:
        """Until the locks are to be looked at after a read that went well; from 2 to 60 s after one that failed."""
        if not self._failures:
            return min(LOCKS_SECONDS, max(0.0, self._due - self._clock()))
        back_off = min(_LONGEST_PAUSE_SECONDS, 2.0 ** min(self._failures, 6))
        return min(self._seconds, max(self._at_least, back_off))

    async def read(self) -> Collection[GroupName]:
        """Read; all groups that anybody knows of, those only Avi knows of too: nobody else would delete them.

        Where that is not due yet, those that hold a lock which they do not claim.
        """
        if not self._failures and self._clock() < self._due:
            return await self._holders_of_idle_locks()
        self._statuses.forget_services(self._uids())
        # Each for itself: what keeps us from the one shall not hide what the other has to say.
        works = (self._keeper.refresh, *([] if self._avi is None else [self._avi.read]))
        errors = [error for work in works if (error := await _failure(work)) is not None]
        self._failures = self._failures + 1 if errors else 0
        self._at_least = max((error.retry_seconds for error in errors if isinstance(error, AviError)), default=0.0)
        for error in errors:
            _log.warning("resync.failed", error=str(error), retry_seconds=self.pause_seconds)
        self._due = self._clock() + self._seconds
        on_avi = () if self._avi is None else self._avi.view.groups()
        self._metrics.groups.set(len(on_avi))
        return {*self._kubernetes.groups(), *on_avi, *self._keeper.groups_with_addresses()}

    async def _holders_of_idle_locks(self) -> Collection[GroupName]:
        try:
            return await self._keeper.holders_of_idle_locks()
        except ClusterError as error:
            _log.warning("locks.unread", error=str(error))
            return ()


async def _failure(work: Callable[[], Awaitable[object]]) -> AviError | ClusterError | None:
    try:
        await work()
    except (AviError, ClusterError) as error:
        return error
    return None
