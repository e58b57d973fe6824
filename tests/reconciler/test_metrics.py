"""What Prometheus sees of the reconciler's work, after a group was built over a call that failed."""

import asyncio

from prometheus_client import CollectorRegistry

from reconciler.loop import Loop
from reconciler.metrics import ReconcilerMetrics
from simulator.faults import Fault
from tests.builders import GROUP, service
from tests.reconciler.controller import Avi, admitted, stack
from tests.reconciler.sweep import PATIENCE_SECONDS

WEB = service("web", "80/TCP")


def test_calls_passes_retries_and_the_time_to_a_served_group_are_counted(avi: Avi, cluster_name: str) -> None:
    """One answer is refused, one never comes, the third try is well."""
    registry = CollectorRegistry()
    metrics = ReconcilerMetrics(registry)

    def value(name: str, **labels: str) -> float:
        return registry.get_sample_value(f"sharedvip_{name}", labels) or 0.0

    async def told() -> None:
        kubernetes = admitted(WEB)
        async with stack(
            avi, kubernetes, cluster=cluster_name, observe=metrics.count_call, patience_seconds=PATIENCE_SECONDS
        ) as reconciler:
            avi.running.faults.set(Fault(action="status", path="macro", status=503))
            avi.running.faults.set(Fault(action="drop", path="macro", nth=2))
            loop = Loop(kubernetes, worker=reconciler.worker, statuses=reconciler.statuses, metrics=metrics)
            stop = asyncio.Event()
            task = asyncio.create_task(loop.run(workers=1, resync=_Never(), stop=stop))
            loop.group_changed(GROUP)
            async with asyncio.timeout(30):
                while not value("reconciler_programmed_seconds_count"):  # noqa: ASYNC110 - a metric has no event
                    await asyncio.sleep(0.01)
            stop.set()
            await task

    asyncio.run(told())

    assert [value("avi_calls_total", method="POST", code=code) for code in ("503", "0", "201")] == [1, 1, 1]
    assert value("avi_calls_total", method="GET", code="200") > 0
    assert value("reconciler_retries_total") == 2
    assert [value("reconciler_reconcile_seconds_count", outcome=outcome) for outcome in ("failed", "done")] == [2, 1]
    assert value("reconciler_programmed_seconds_count") == 1
    # From the first event on, both pauses (0.25 and 0.5 s at least) included.
    assert value("reconciler_programmed_seconds_sum") > 0.75
    assert value("reconciler_queue_depth") == 0


class _Never:
    pause_seconds = 600.0

    async def read(self) -> tuple[()]:
        """As ``Resync``."""
        return ()
