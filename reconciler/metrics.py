"""What is counted, on a registry of its own; it never decides anything."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""From a pass without a call (a few ms) over one macro call (0.4 s on a real Controller) to trouble."""


class ReconcilerMetrics:
    """The reconciler's collectors."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.queue_depth: Final = Gauge(
            "sharedvip_reconciler_queue_depth", "Groups and leavers that wait or are worked on.", registry=registry
        )
        self.groups: Final = Gauge(
            "sharedvip_reconciler_groups", "Groups of which something is on the Avi Controller.", registry=registry
        )
        self.reconcile_seconds: Final = Histogram(
            "sharedvip_reconciler_reconcile_seconds",
            "Time of one pass of a group.",
            ["outcome"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.retries: Final = Counter(
            "sharedvip_reconciler_retries_total", "Passes that failed and will be tried again.", registry=registry
        )
        self.drift_repaired: Final = Counter(
            "sharedvip_reconciler_drift_repaired_total",
            "Groups that somebody else changed on the Avi Controller, and that were put right.",
            registry=registry,
        )
        self.avi_calls: Final = Counter(
            "sharedvip_avi_calls_total",
            "Calls to the Avi Controller by method and answer; code 0: no answer.",
            ["method", "code"],
            registry=registry,
        )
        self.programmed_seconds: Final = Histogram(
            "sharedvip_reconciler_programmed_seconds",
            "Time from the first event of a group to its change being on Avi and in every status.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.is_leader: Final = Gauge(
            "sharedvip_reconciler_leader", "1 while this process is the leader.", registry=registry
        )

    def count_call(self, method: str, code: int) -> None:
        """One call to the Controller."""
        self.avi_calls.labels(method, str(code)).inc()
