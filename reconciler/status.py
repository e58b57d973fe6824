"""What users see: the VIP and our condition on every member, Events on changes, the group's own status; no decisions.

Nothing is written when nothing changed, compared with what was last written and with what the cache shows.
"""

import contextlib
import time
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from cluster.ako_resources import DetailedService
from cluster.errors import Conflict
from cluster.events import LIFE_SECONDS
from cluster.service_status import Shown, entries_for
from reconciler.ports import GroupReport, Kubernetes, Verdict
from sharedvip.addresses import canonical
from sharedvip.model import GroupName, ServiceView

_WARN_AGAIN_SECONDS: Final = LIFE_SECONDS - 600.0


class _Said(NamedTuple):
    vip: str
    verdict: Verdict


class _Warned(NamedTuple):
    verdict: Verdict
    at: float


class StatusKeeper:
    """Statuses of all Services and groups.

    Args:
        kubernetes: The cluster.
        clock: Monotonic seconds.
    """

    def __init__(self, kubernetes: Kubernetes, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._kubernetes: Final = kubernetes
        self._clock: Final = clock
        self._said: dict[str, _Said] = {}
        self._warned: dict[str, _Warned] = {}
        self._reported: dict[GroupName, GroupReport] = {}

    async def publish(self, service: ServiceView, *, vip: str, verdict: Verdict) -> bool:
        """Say it on the Service unless it says so already; whether anything was written."""
        saying = _Said(vip, verdict)
        if self._said.get(service.uid) == saying and _shows(service, vip):
            return False
        if service.uid not in self._said and _says(service, saying):
            # We are new, and a predecessor said it: 2,000 writes at each start that would change nothing.
            self._said[service.uid] = saying
            return False
        await self._kubernetes.publish(service, vip=vip, verdict=verdict)
        if self._is_news(service, saying):
            await self._kubernetes.tell(service, "Normal" if verdict.is_ready else "Warning", verdict)
        self._said[service.uid] = saying
        return True

    def _is_news(self, service: ServiceView, saying: _Said) -> bool:
        before = self._said.get(service.uid)
        if before is not None:
            return before.verdict.reason != saying.verdict.reason or before.vip != saying.vip
        # After a restart we remember nothing: what the Service shows already was told before.
        return not (saying.verdict.is_ready and _shows(service, saying.vip))

    async def warn(self, service: ServiceView, verdict: Verdict) -> None:
        """Say it as an Event only, where the status is somebody else's; again while it holds, before the Event goes."""
        said, now = self._warned.get(service.uid), self._clock()
        if said is not None and said.verdict == verdict and now - said.at < _WARN_AGAIN_SECONDS:
            return
        if await self._kubernetes.tell(service, "Warning", verdict):
            self._warned[service.uid] = _Warned(verdict, now)

    async def withdraw(self, service: ServiceView) -> None:
        """Take back all that was said on a Service that is no member any more."""
        await self._kubernetes.withdraw(service)
        self._said.pop(service.uid, None)

    async def report(self, group: GroupName, report: GroupReport) -> None:
        """Say it on the ``SharedVIP`` unless it was the last thing said, and the address is still what it says.

        Admission goes by that: a hand may have taken it out, or another leader may have written what was true before.
        """
        ledger = self._kubernetes.ledger(group)
        if self._reported.get(group) != report or (ledger is not None and ledger.vip != report.vip):
            # Who writes the ledger all the time brings the next pass with it, and the others are not to wait for that.
            with contextlib.suppress(Conflict):
                await self._kubernetes.report(group, report)
                self._reported[group] = report

    def forget(self, group: GroupName) -> None:
        """The group is no more."""
        self._reported.pop(group, None)

    def forget_services(self, living: Iterable[str]) -> None:
        """Only Services with these uids are still there."""
        keep = set(living)
        self._said = {uid: said for uid, said in self._said.items() if uid in keep}
        self._warned = {uid: warned for uid, warned in self._warned.items() if uid in keep}


def _says(service: ServiceView, saying: _Said) -> bool:
    """Whether its status, as the cache has it, is what we would write, word for word."""
    vip, verdict = saying
    entries = entries_for(vip, further_vips=verdict.further_vips, hostname=verdict.hostname)
    wanted = Shown(verdict.is_ready, verdict.reason, verdict.message, entries)
    return isinstance(service, DetailedService) and service.shown == wanted


def _shows(service: ServiceView, vip: str) -> bool:
    return service.has_ready_condition and (not vip or vip in {canonical(shown) for shown in service.vips})
