"""A Controller that is away for minutes while every group changes, and its return; it prints nothing."""

import asyncio
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from prometheus_client import CollectorRegistry

from reconciler.loop import Loop
from reconciler.metrics import ReconcilerMetrics
from sharedvip.model import GroupName
from simulator.faults import Fault
from soak.result import Result
from tests.builders import service
from tests.reconciler.controller import Avi, Stack, admitted, stack
from tests.reconciler.world import Endpoint, Slice

GROUPS: Final = 100
PER_SECOND: Final = 25.0
LIMIT_PER_SECOND: Final = 32 + 8
"""The Controller's limit, and those that eight threads had on their way."""
_PATIENCE_SECONDS: Final = 300.0


class _Never:
    pause_seconds = 86400.0

    async def read(self) -> tuple[GroupName, ...]:
        """As ``loop.Resync``."""
        return ()


def away(avi: Avi, *, seconds: float) -> Result:
    """All groups change while nobody answers; then how many calls a second sees, and when all is as wanted."""
    tried = f"{GROUPS} groups change while the Controller is away for {seconds:.0f} s"
    result = Result("weather", tried, rounds=1)
    begun = time.monotonic()
    asyncio.run(_away(avi, seconds, result))
    result.seconds = time.monotonic() - begun
    return result


async def _away(avi: Avi, seconds: float, result: Result) -> None:
    members = [service(f"s{number}", "80/TCP", key=f"key-{number}") for number in range(GROUPS)]
    kubernetes = admitted(*members)
    async with stack(avi, kubernetes, cluster="away", requests_per_second=PER_SECOND) as reconciler:
        loop, stop = _loop(reconciler), asyncio.Event()
        task = asyncio.create_task(loop.run(workers=8, resync=_Never(), stop=stop))
        loop.everything(kubernetes.groups())
        await _until(lambda: _reasons(reconciler) == {"Programmed"} and len(kubernetes.verdicts) == GROUPS)
        before = kubernetes.vips(*members)
        avi.running.faults.set(Fault(action="drop", path="^/api/", times=0))
        for each in members:
            kubernetes.endpoint_slices[each.name] = (Slice((Endpoint(("10.9.9.9",)),)),)
        avi.forget()
        loop.everything(kubernetes.groups())
        await _until(lambda: _reasons(reconciler) == {"ControllerUnreachable"})
        await asyncio.sleep(seconds)
        result.counts["calls while away"] = len(avi.calls())
        result.expect(kubernetes.vips(*members) == before, "a VIP was taken out of a status")
        avi.forget()
        avi.running.faults.clear()
        back = time.monotonic()
        await _until(lambda: _reasons(reconciler) == {"Programmed"})
        result.counts["seconds from the return until all is as wanted"] = round(time.monotonic() - back)
        stop.set()
        await task
    _judge_rate(avi, result)


def _judge_rate(avi: Avi, result: Result) -> None:
    entries = avi.running.journal.entries()
    times = sorted(datetime.fromisoformat(entry.started) for entry in entries)
    most = max(sum(begin <= at < begin + timedelta(seconds=1) for at in times) for begin in times)
    refused = sum(entry.status == 429 for entry in entries)  # noqa: PLR2004 - HTTP's Too Many Requests
    result.counts["calls after the return"] = len(times)
    result.counts["calls in the busiest second"] = most
    result.expect(most <= LIMIT_PER_SECOND, f"{most} calls in one second")
    result.expect(not refused, f"{refused} calls were more than the Controller takes")


def _loop(reconciler: Stack) -> Loop:
    metrics = ReconcilerMetrics(CollectorRegistry())
    return Loop(reconciler.kubernetes, worker=reconciler.worker, statuses=reconciler.statuses, metrics=metrics)


def _reasons(reconciler: Stack) -> set[str]:
    return {verdict.reason for verdict in reconciler.kubernetes.verdicts.values()}


async def _until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while not is_so():  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.05)
